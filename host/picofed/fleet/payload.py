"""What belongs onto a board: the firmware package, the native module for its architecture, main.py."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from picofed import __version__
from picofed.errors import PicofedError
from picofed.fleet.probe import LIBRARY, Probe
from picofed.toolchain import build
from picofed.toolchain.layout import firmware_root
from picofed.toolchain.mip import CORE, firmware_files
from picofed.toolchain.mpy import Abi, of_file
from picofed.toolchain.products import ARCHITECTURES

OLDEST: Final = (1, 23, 0)
MODULE: Final = f"{LIBRARY}/{CORE}"
MAIN: Final = "/main.py"
# While files are replaced, neither is there: a firmware that is half old, half new must not start. The second is of a
# firmware that was installed as sources, which MicroPython would prefer.
STARTER: Final = f"{LIBRARY}/picofed/main.mpy"
SOURCE_STARTER: Final = f"{LIBRARY}/picofed/main.py"


class PayloadError(PicofedError):
    """Nothing here fits this board."""


@dataclass(frozen=True)
class Payload:
    """Contents by path on the board. main: given by the user, so that it replaces whatever is there."""

    files: dict[str, bytes]
    given_main: bool


def check(probe: Probe) -> None:
    """Raise PayloadError for a MicroPython that cannot run the firmware."""
    if probe.version < OLDEST:
        has = ".".join(map(str, probe.version))
        raise PayloadError(f"MicroPython {has} is too old, 1.23 is the oldest: install a newer one (--micropython)")
    if probe.frozen and probe.frozen != __version__:
        raise PayloadError(
            f"its MicroPython has picofed {probe.frozen} built in, this is {__version__}: build and install a new one"
        )
    ours = build.picofed_digest()
    if probe.sources and ours and probe.sources != ours:
        raise PayloadError(
            f"its MicroPython has another picofed {probe.frozen} built in than this one: build and install a new one"
        )
    if probe.abi.arch == "none" and not probe.built_in:
        raise PayloadError("its MicroPython loads no native modules: install one that does, or a whole firmware")


def payload(probe: Probe, main: Path | None) -> Payload:
    """Every file of a board. Raises PayloadError or ToolchainError."""
    check(probe)
    files: dict[str, bytes] = {}
    if not probe.built_in:
        files[MODULE] = module(probe.abi)
    if not probe.frozen:
        files |= {f"{LIBRARY}/{name}": data for name, data in firmware_files().items()}
    # Never part of a MicroPython with picofed in it, so that one with a sensor is not hidden.
    files[MAIN] = (firmware_root() / "main.py" if main is None else main).read_bytes()
    return Payload(files, main is not None)


def check_main(path: Path) -> None:
    """Raise PayloadError for what no MicroPython runs: it would take the place of a main.py that works."""
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(path.read_bytes(), path.name, "exec", dont_inherit=True)
    except OSError as error:
        raise PayloadError(f"cannot read {path}: {error.strerror or error}") from error
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise PayloadError(f"{path} is no program that a board can run: {line}{error.msg}") from error
    except (ValueError, MemoryError, RecursionError) as error:  # zero bytes, or nested without end
        raise PayloadError(f"{path} is no program that a board can run: {error or 'nested too deeply'}") from error


@cache
def module(abi: Abi) -> bytes:
    """picofed_core.mpy for a board's ABI; a Thumb core that is not among ours takes a smaller one's."""
    problem: PicofedError | None = None
    fitting = [arch for arch in ARCHITECTURES if abi.loads(Abi(arch, abi.version))]
    for arch in sorted(fitting, key=lambda arch: (arch == abi.arch, ARCHITECTURES.index(arch)), reverse=True):
        try:
            data = build.natmod(arch).read_bytes()
        except PicofedError as error:
            problem = problem or error
            continue
        made = of_file(data)
        if abi.loads(made):
            return data
        problem = PayloadError(f"its MicroPython takes native modules {abi}, ours are {made}: install another one")
    raise problem or PayloadError(f"there is no native module for {abi.arch}: docs/boards.md lists what there is")
