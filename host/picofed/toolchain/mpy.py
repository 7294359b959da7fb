"""MicroPython's .mpy files from outside: for which architecture and ABI one was made, and which a board can load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from picofed.errors import PicofedError

# In the order of MicroPython's MP_NATIVE_ARCH_*; a board's own number is sys.implementation._mpy >> 10.
ARCHITECTURES: Final = (
    "none", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa", "xtensawin",
    "rv32imc",
)  # fmt: skip
_THUMB: Final = ("armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp")


class MpyError(PicofedError):
    """Bytes that are no .mpy file of a known kind."""


@dataclass(frozen=True)
class Abi:
    """arch: for native code, "none" where there is none. version: as in folder names, "6.3" for example."""

    arch: str
    version: str

    def __str__(self) -> str:
        return f"{self.arch}_{self.version}"

    def loads(self, module: Abi) -> bool:
        """Whether a board with this ABI takes a native module with that one. A Thumb core runs what smaller ones do."""
        if self.version != module.version:
            return False
        if self.arch in _THUMB and module.arch in _THUMB:
            return _THUMB.index(module.arch) <= _THUMB.index(self.arch)
        return self.arch == module.arch


def _abi(version: int, flags: int) -> Abi:
    arch = flags >> 2 & 0x3F
    if arch >= len(ARCHITECTURES):
        raise MpyError(f"native architecture {arch} is not known here: update picofed")
    return Abi(ARCHITECTURES[arch], f"{version}.{flags & 3}")


def of_file(data: bytes) -> Abi:
    """The ABI that a .mpy file needs."""
    if len(data) < 4 or data[:1] != b"M":
        raise MpyError("not a .mpy file")
    return _abi(data[1], data[2])


def of_board(number: int) -> Abi:
    """The ABI of a board, from its sys.implementation._mpy."""
    return _abi(number & 0xFF, number >> 8)
