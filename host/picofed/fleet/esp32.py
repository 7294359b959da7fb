"""MicroPython onto ESP32 boards, by Espressif's esptool, which speaks to the boot loader in the chip."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from picofed.fleet.catalog import Kind
from picofed.fleet.images import Image, ImageError

_OLDEST: Final = 5  # earlier ones call the commands otherwise
_BAUD: Final = 460800  # the chip's ROM is asked at 115200 first
_FATAL: Final = re.compile(r"fatal error occurred: (.*)")
_ADVICE: Final = re.compile(r"\s*(This can have many causes|For troubleshooting|Wrong chip argument).*")
_WRITTEN: Final = re.compile(r"^Writing at .*?([0-9.]+)%", re.MULTILINE)


def complaint() -> str:
    """What keeps esptool from being used; "" for nothing."""
    if importlib.util.find_spec("esptool") is None:
        return "ESP32 boards need esptool: pip install 'picofed[esp32]'"
    version = importlib.metadata.version("esptool")
    if int(version.partition(".")[0]) < _OLDEST:
        return f"ESP32 boards need esptool {_OLDEST} or later, this is {version}: pip install 'picofed[esp32]'"
    return ""


def write(image: Image, port: str, kind: Kind, advance: Callable[[int, int], None]) -> None:
    """Put an image where it belongs in the flash of the chip at a port, and reset the chip. Raises ImageError."""
    if problem := complaint():
        raise ImageError(problem)
    command = [sys.executable, "-m", "esptool", "--chip", kind.flash.chip, "--port", port, "--baud", str(_BAUD)]
    # Only the image's own range is erased: the file system behind it, with ledger and keys, stays.
    command += ["write-flash", hex(kind.flash.offset), str(image.path)]
    colourless = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**colourless, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    ) as running:
        assert running.stdout is not None
        said = []
        try:
            for line in running.stdout:
                said.append(line.strip())
                if (written := _WRITTEN.match(line)) is not None:
                    advance(int(float(written[1])), 100)
        except BaseException:
            running.terminate()
            raise
    if running.returncode:
        raise ImageError(_reason([line for line in said if line]))


def _reason(said: list[str]) -> str:
    """esptool's own reason in one line, and what to do."""
    fatal = [found[1] for line in said if (found := _FATAL.search(line))]
    reason = _ADVICE.sub("", fatal[0]) if fatal else said[-1] if said else "failed"
    if reason.startswith("This chip is "):
        return f"wrong board: esptool says {reason.rstrip('.')}"
    if "connect to" in reason:
        reason = f"{reason.rstrip('.')} (hold BOOT while you press reset, and try again)"
    return f"esptool: {reason}"
