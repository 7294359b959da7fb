"""Flash regions on the host: two erase blocks with NOR semantics, in memory or in a file (SPEC 4.2, 5.1).

The same interface as on a board: `block_size`, `read(offset, buffer)`, `program(offset, data)`, `erase(offset)`.
Offsets count from the start of the region.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

BLOCK_SIZE: Final = 4096
BLOCKS: Final = 2


class Flash(Protocol):
    """What the ledger and the seed store need of a flash region."""

    block_size: int

    def read(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the buffer from `offset`."""

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that are 0 in `data`; bits already 0 stay 0."""

    def erase(self, offset: int) -> None:
        """Set the block that starts at `offset` to 0xff."""


def check_block_size(block_size: int) -> int:
    """A power of two, 256..65536; ValueError otherwise."""
    if not 256 <= block_size <= 65536 or block_size & (block_size - 1):
        raise ValueError(f"block size {block_size}: use a power of two from 256 to 65536")
    return block_size


class MemoryFlash:
    """A region in a bytearray, which may be the caller's own; erased unless an image is given."""

    def __init__(self, block_size: int = BLOCK_SIZE, image: bytes | bytearray | None = None) -> None:
        self.block_size = check_block_size(block_size)
        size = BLOCKS * block_size
        self.image = bytearray(b"\xff" * size) if image is None else bytearray(image)
        if len(self.image) != size:
            raise ValueError(f"an image of {len(self.image)} bytes does not fit {BLOCKS} blocks of {block_size}")

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > len(self.image):
            raise ValueError(f"{length} bytes at {offset} are outside the region")

    def read(self, offset: int, buffer: bytearray | memoryview) -> None:
        """See Flash."""
        self._check(offset, len(buffer))
        buffer[:] = self.image[offset : offset + len(buffer)]

    def program(self, offset: int, data: bytes) -> None:
        """See Flash."""
        self._check(offset, len(data))
        for i, byte in enumerate(data):
            self.image[offset + i] &= byte

    def erase(self, offset: int) -> None:
        """See Flash."""
        if offset % self.block_size:
            raise ValueError(f"{offset} is not the start of a block")
        self._check(offset, self.block_size)
        self.image[offset : offset + self.block_size] = b"\xff" * self.block_size


class FileFlash:
    """A region in a file, created erased. Every write reaches the disk before the call returns."""

    def __init__(self, path: str | Path, block_size: int = BLOCK_SIZE) -> None:
        self.block_size = check_block_size(block_size)
        self.path = Path(path)
        if not self.path.exists():
            self._write(b"\xff" * (BLOCKS * block_size))
        if self.path.stat().st_size != BLOCKS * block_size:
            raise ValueError(f"{self.path} is not a region of {BLOCKS} blocks of {block_size} bytes")

    def _write(self, image: bytes) -> None:
        with self.path.open("wb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())

    def _update(self, offset: int, data: bytes, erase: bool) -> None:
        if offset < 0 or offset + len(data) > BLOCKS * self.block_size:
            raise ValueError(f"{len(data)} bytes at {offset} are outside the region")
        with self.path.open("r+b") as file:
            if not erase:
                file.seek(offset)
                data = bytes(a & b for a, b in zip(file.read(len(data)), data, strict=True))
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def read(self, offset: int, buffer: bytearray | memoryview) -> None:
        """See Flash."""
        if offset < 0 or offset + len(buffer) > BLOCKS * self.block_size:
            raise ValueError(f"{len(buffer)} bytes at {offset} are outside the region")
        with self.path.open("rb") as file:
            file.seek(offset)
            buffer[:] = file.read(len(buffer))

    def program(self, offset: int, data: bytes) -> None:
        """See Flash."""
        self._update(offset, bytes(data), erase=False)

    def erase(self, offset: int) -> None:
        """See Flash."""
        if offset % self.block_size:
            raise ValueError(f"{offset} is not the start of a block")
        self._update(offset, b"\xff" * self.block_size, erase=True)
