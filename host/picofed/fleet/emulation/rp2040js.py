"""An emulated Raspberry Pi Pico that runs the very UF2 that a real one does (boards/rp2040js).

with Rp2040jsBoard() as board:                    # the firmware with picofed in it
    ...
with Rp2040jsBoard(firmware="plain") as board:    # MicroPython alone: install() brings picofed
    ...
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, ClassVar, Final

from picofed.errors import PicofedError
from picofed.fleet.emulation.board import EmulationError, Start
from picofed.fleet.emulation.image_board import ImageBoard
from picofed.fleet.emulation.littlefs import BLOCK
from picofed.toolchain import rp2, rp2040js, uf2
from picofed.toolchain.command import require
from picofed.toolchain.layout import repo_root

FLASH_BYTES: Final = 2 * 1024 * 1024
# The end of the flash is MicroPython's file system (MICROPY_HW_FLASH_STORAGE_BYTES of upstream's RPI_PICO).
STORAGE_BYTES: Final = 1408 * 1024
_STORAGE: Final = FLASH_BYTES - STORAGE_BYTES
# What the firmware with picofed in it keeps out of its file system: frozen weights, then ledger and seed store.
FROZEN_BYTES: Final = 32 * BLOCK
REGION_BYTES: Final = 4 * BLOCK
_DRIVE_INFO: Final = "INFO_UF2.TXT"
_INJECTED: Final = "/lib/boardserve.py"


class Rp2040jsBoard(ImageBoard):
    """See EmulatedBoard. heap is the Pico's and cannot be chosen.

    firmware: a flavour of picofed.toolchain.rp2, or a UF2 file; it is in the flash from the first start on, until
    load() brings another.
    """

    name: ClassVar[str] = "rp2040js"
    natmod_arch: ClassVar[str] = "armv6m"
    program_bytes: ClassVar[int] = 256  # a page of its flash

    def __init__(
        self, directory: Path | str | None = None, *, firmware: str | Path = "picofed", **options: Any
    ) -> None:
        if options.get("heap") is not None:
            raise EmulationError("a Pico's heap is what its firmware leaves: heap cannot be chosen")
        if options.get("virtual_time"):
            raise EmulationError("an emulated Pico has no virtual time")
        super().__init__(directory, **options)
        self._firmware = firmware

    @property
    def in_boot_loader(self) -> bool:
        """The board waits for a UF2 file, as with its button held: load() one and reset(), or tend() to its drive."""
        return not self.running and (self._state / "boot-loader").exists()

    @property
    def drive(self) -> Path | None:
        """See EmulatedBoard."""
        return self._drive if self.in_boot_loader and (self._drive / _DRIVE_INFO).exists() else None

    @property
    def _drive(self) -> Path:
        return self.directory / "drive"

    def boot_loader(self) -> None:
        """See EmulatedBoard."""
        self.power_off()
        (self._state / "boot-loader").touch()
        self.tend()

    def tend(self) -> bool:
        """See EmulatedBoard."""
        if not self.in_boot_loader:
            return False
        if self.drive is None:
            self._drive.mkdir(exist_ok=True)
            info = "UF2 Bootloader, emulated\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n"
            (self._drive / _DRIVE_INFO).write_bytes(info.encode())
        for file in sorted(self._drive.iterdir()):
            if file.name != _DRIVE_INFO and file.is_file() and uf2.is_whole(file.read_bytes()):
                try:
                    self.load(file)
                except PicofedError:
                    file.unlink()
                    raise
                self.reset()
                return True
        return False

    def power_off(self) -> None:
        """See EmulatedBoard. The boot loader's drive goes."""
        super().power_off()
        if self._directory is not None:
            (self._state / "boot-loader").unlink(missing_ok=True)
            shutil.rmtree(self._drive, ignore_errors=True)

    def load(self, file: Path) -> None:
        """Write a UF2 file into the flash of a board that is off, as the boot loader does. Files stay."""
        self._must_be_off()
        content = self._content()
        self._program(content, file)
        self._save(content)

    def _program(self, content: bytearray, file: Path) -> None:
        for address, page in uf2.pages_of(file.read_bytes()):
            offset = address - uf2.RP2040_FLASH
            if not 0 <= offset <= FLASH_BYTES - len(page):
                raise EmulationError(f"{file} does not fit a Pico's flash")
            content[offset : offset + len(page)] = page

    def _storage(self) -> bytearray:
        """The file system, which another firmware may have made larger or smaller than this one does."""
        whole = self._content()[_STORAGE:]
        for kept in (FROZEN_BYTES + REGION_BYTES, REGION_BYTES):
            smaller = whole[:-kept]
            if self._image(smaller).is_whole():
                return smaller
        return whole

    def _put_storage(self, storage: bytearray) -> None:
        content = self._content()
        content[_STORAGE : _STORAGE + len(storage)] = storage
        self._save(content)

    def _make_flash(self) -> None:
        if self.flash.exists():
            return
        size = STORAGE_BYTES - (FROZEN_BYTES + REGION_BYTES if self._firmware == "picofed" else 0)
        storage = bytearray(b"\xff" * size)
        image = self._image(storage)
        image.format()
        if self._entropy is not None:
            module = repo_root() / "boards" / "rp2040js" / "boardserve.py"
            image.write({_INJECTED: module.read_bytes()})
        content = bytearray(b"\xff" * FLASH_BYTES)
        content[_STORAGE : _STORAGE + size] = storage
        self._program(content, self._uf2())
        self._save(content)

    def prepare(self) -> None:
        """See EmulatedBoard."""
        self._node, self._guard = require("node"), require("setpriv")
        self._library, self._rom = rp2040js.rp2040js(), rp2.boot_rom()
        self._uf2()

    def _uf2(self) -> Path:
        if isinstance(self._firmware, Path):
            return self._firmware
        return rp2.rp2_firmware(self._firmware) / "firmware.uf2"

    def _command(self, power_cut: int | None) -> Start:
        environment = {
            "PICOFED_LINE": str(self._master),
            "PICOFED_PARENT": str(os.getpid()),
            "PICOFED_BOARD_ID": self._board_id.hex(),
            "PICOFED_RP2040JS": str(self._library),
        }
        if self._entropy is not None:
            environment["PICOFED_ENTROPY_SEED"] = self._entropy
        if power_cut is not None:
            environment["PICOFED_POWER_CUT"] = str(power_cut)
        program = repo_root() / "boards" / "rp2040js" / "board.mjs"
        # Node cannot ask for a signal when its parent dies.
        argv = [self._guard, "--pdeathsig", "KILL", self._node, str(program)]
        return Start([*argv, str(self._rom), str(self.flash), str(self._state)], environment)
