"""A board on a serial port as device under test. Its flash is emptied before each test: the file system, and what the
firmware keeps outside it. That takes the REPL, which whoever holds the board has (THREATS.md); no message on the link.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from console import PATIENCE
from picofed import __version__
from picofed.fleet import catalog
from picofed.native import blake2b

from dut import Dut

# Of itself, as the board may have any firmware or none. RP2: ledger, seed store and frozen weights lie behind the file
# system; ESP32: in a partition of their own.
_WIPE = """
import os, sys
def wipe(path):
    for name in os.listdir(path or '/'):
        inner = path + '/' + name
        try:
            os.remove(inner)
        except OSError:
            wipe(inner)
            os.rmdir(inner)
def erase(device, first):
    for block in range(first, device.ioctl(4, 0)):
        device.ioctl(6, block)
wipe('')
if sys.platform == 'rp2':
    import rp2
    status = os.statvfs('/')
    erase(rp2.Flash(), status[1] * status[2] // 4096)
elif sys.platform == 'esp32':
    from esp32 import Partition
    for found in Partition.find(Partition.TYPE_DATA, label='picofed'):
        erase(found, 0)
"""
_BUILT_IN = """
import sys
sys.path[:] = ['.frozen']
try:
    import picofed
    print(picofed.__version__)
except ImportError:
    pass
"""


class RealDut(Dut):
    """kind: its folder in boards/, which says what native module it takes."""

    repeats = False

    def __init__(self, kind: str, port: str) -> None:
        self.kind = kind
        self.natmod_arch = catalog.kind(kind).natmod_arch
        self._port = port
        self._starts = 0

    @property
    def port(self) -> str:
        return self._port

    @property
    def identity(self) -> bytes:
        chip = bytes.fromhex(self._asked("import machine; print(machine.unique_id().hex())").strip())
        return blake2b(chip, 8) if len(chip) > 8 else chip.ljust(8, b"\0")

    def _asked(self, code: str) -> str:
        """What code prints on a board that may have been reset a moment ago: it hears no Ctrl-C while it starts."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.mpremote("exec", code)
            except AssertionError:
                if time.monotonic() > end:
                    raise

    @property
    def starts(self) -> int:
        return self._starts

    @property
    def log(self) -> str:
        return f"see the board at {self._port}"

    def begin(self, files: Mapping[str, bytes]) -> None:
        self.mpremote("exec", _WIPE)
        built_in = self.mpremote("exec", _BUILT_IN).strip()
        assert built_in in ("", __version__), f"the board has picofed {built_in} in its firmware: flash it anew"
        with tempfile.TemporaryDirectory() as name:
            for path, content in files.items():
                if built_in and path.startswith("/lib/"):
                    continue
                place = Path(name) / path[1:]
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            words: list[str] = []
            for entry in sorted(Path(name).iterdir()):
                words += ["+", "fs", "cp", "-r", str(entry), ":"]
            if words:  # mpremote without any is a terminal
                self.mpremote(*words[1:])
        self.reset()

    def reset(self, power_cut: int | None = None) -> None:
        assert power_cut is None
        self.mpremote("reset")
        self._starts += 1
        end = time.monotonic() + PATIENCE
        while not Path(self._port).exists():
            assert time.monotonic() < end, f"{self._port} did not come back after a reset"
            time.sleep(0.1)

    def power_off(self) -> None:
        raise AssertionError("nobody can cut the power of a real board from here")

    def wait_power_cut(self, seconds: float) -> bool:
        raise AssertionError("nobody can cut the power of a real board from here")
