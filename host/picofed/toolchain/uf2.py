"""UF2, the format in which the Pico's boot loader takes firmware: 256 bytes of flash in each block of 512."""

from __future__ import annotations

import struct
from typing import Final

from picofed.toolchain.command import ToolchainError

RP2040_FAMILY: Final = 0xE48BFF56
RP2040_FLASH: Final = 0x10000000
PAYLOAD: Final = 256

_BLOCK: Final = 512
_HEAD: Final = struct.Struct("<8I")
_MAGIC: Final = (0x0A324655, 0x9E5D5157)
_END: Final = 0x0AB16F30
_HAS_FAMILY: Final = 0x2000
_NOT_FLASH: Final = 0x0001


def from_binary(image: bytes, address: int = RP2040_FLASH, family: int = RP2040_FAMILY) -> bytes:
    """The UF2 file that puts `image` at `address` (a multiple of 256); the last page is filled with zeros."""
    if not image or address % PAYLOAD:
        raise ToolchainError("a UF2 file needs a firmware of at least one byte at the start of a page")
    pages = -(-len(image) // PAYLOAD)
    blocks = []
    for number in range(pages):
        page = image[number * PAYLOAD : (number + 1) * PAYLOAD].ljust(PAYLOAD, b"\0")
        head = _HEAD.pack(*_MAGIC, _HAS_FAMILY, address + number * PAYLOAD, PAYLOAD, number, pages, family)
        blocks.append((head + page).ljust(_BLOCK - 4, b"\0") + struct.pack("<I", _END))
    return b"".join(blocks)


def pages_of(file: bytes, family: int = RP2040_FAMILY) -> list[tuple[int, bytes]]:
    """(address, bytes) of every block of a UF2 file that is meant for `family`. Raises ToolchainError where a block is
    damaged or where the file has none for it."""
    if not file or len(file) % _BLOCK:
        raise ToolchainError("this is no UF2 file: its length is no multiple of 512")
    found = []
    for start in range(0, len(file), _BLOCK):
        block = file[start : start + _BLOCK]
        *magic, flags, address, length, _, _, block_family = _HEAD.unpack_from(block)
        if tuple(magic) != _MAGIC or struct.unpack_from("<I", block, _BLOCK - 4)[0] != _END:
            raise ToolchainError(f"this is no UF2 file: block {start // _BLOCK} is damaged")
        if length > _BLOCK - _HEAD.size - 4:
            raise ToolchainError(f"UF2 block {start // _BLOCK} claims {length} bytes")
        if flags & _HAS_FAMILY and block_family == family and not flags & _NOT_FLASH:
            found.append((address, block[_HEAD.size : _HEAD.size + length]))
    if not found:
        raise ToolchainError(f"this UF2 file has nothing for chip family {family:#010x}")
    return found


def is_whole(file: bytes, family: int = RP2040_FAMILY) -> bool:
    """Whether every block of a UF2 file has arrived: a boot loader starts the board as soon as that is so."""
    numbers: dict[int, set[int]] = {}
    for start in range(0, len(file) - _BLOCK + 1, _BLOCK):
        *magic, _, _, _, number, total, block_family = _HEAD.unpack_from(file, start)
        if tuple(magic) == _MAGIC and block_family == family:
            numbers.setdefault(total, set()).add(number)
    return len(file) % _BLOCK == 0 and any(len(seen) == total for total, seen in numbers.items())
