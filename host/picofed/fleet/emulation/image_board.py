"""What emulated boards share whose flash is one file with a LittleFS on all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from picofed.fleet.emulation.board import EmulatedBoard, EmulationError
from picofed.fleet.emulation.littlefs import BLOCK, Image

_PROGRAM_BYTES = 32  # what MicroPython's VfsLfs2 assumes by itself


class ImageBoard(EmulatedBoard):
    """See EmulatedBoard."""

    flash_blocks: ClassVar[int]  # of 4 KiB

    @property
    def flash(self) -> Path:
        """File with the flash's content."""
        return self.directory / "flash.img"

    def install(self, files: Mapping[str, bytes]) -> None:
        """See EmulatedBoard."""
        self._must_be_off()
        content = self._content()
        Image(content, _PROGRAM_BYTES, self.flash).write(files)
        self._save(content)

    def read_files(self) -> dict[str, bytes]:
        """See EmulatedBoard."""
        self._must_be_off()
        return Image(self._content(), _PROGRAM_BYTES, self.flash).read()

    def _make_flash(self) -> None:
        if not self.flash.exists():
            content = bytearray(b"\xff" * (self.flash_blocks * BLOCK))
            Image(content, _PROGRAM_BYTES, self.flash).format()
            self._save(content)

    def _content(self) -> bytearray:
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
