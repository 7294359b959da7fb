"""What emulated boards share whose flash is the file flash.img, with a LittleFS in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from picofed.fleet.emulation.board import EmulatedBoard, EmulationError
from picofed.fleet.emulation.littlefs import BLOCK, Image


class ImageBoard(EmulatedBoard):
    """See EmulatedBoard. The file system is all of the flash, unless a board says otherwise."""

    flash_blocks: ClassVar[int]  # of 4 KiB
    program_bytes: ClassVar[int] = 32  # what MicroPython's VfsLfs2 assumes by itself

    @property
    def flash(self) -> Path:
        """File with the flash's content."""
        return self.directory / "flash.img"

    def install(self, files: Mapping[str, bytes]) -> None:
        """See EmulatedBoard."""
        self._must_be_off()
        storage = self._storage()
        self._image(storage).write(files)
        self._put_storage(storage)

    def read_files(self) -> dict[str, bytes]:
        """See EmulatedBoard."""
        self._must_be_off()
        return self._image(self._storage()).read()

    def _make_flash(self) -> None:
        if not self.flash.exists():
            storage = bytearray(b"\xff" * (self.flash_blocks * BLOCK))
            self._image(storage).format()
            self._save(storage)

    def _image(self, storage: bytearray) -> Image:
        return Image(storage, self.program_bytes, self.flash)

    def _storage(self) -> bytearray:
        """What the file system is in."""
        return self._content()

    def _put_storage(self, storage: bytearray) -> None:
        self._save(storage)

    def _content(self) -> bytearray:
        """The whole flash."""
        try:
            return bytearray(self.flash.read_bytes())
        except OSError as error:
            raise EmulationError(f"cannot read {self.flash}: {error.strerror}") from error

    def _save(self, content: bytearray) -> None:
        beside = self.flash.with_suffix(".new")
        try:
            beside.write_bytes(content)
            beside.rename(self.flash)
        except OSError as error:
            raise EmulationError(f"cannot write {self.flash}: {error.strerror}") from error
