"""An ESP32's kind of processor: MicroPython of boards/xtensa under QEMU's user mode, LittleFS in the file flash.img.

The board process holds the master end of the pseudo-terminal itself, so no byte passes through Python.
"""

import os
from typing import ClassVar

from picofed.fleet.emulation.board import Start
from picofed.fleet.emulation.image_board import ImageBoard
from picofed.toolchain import xtensa
from picofed.toolchain.command import require

PROCESSOR = "de233_fpu"  # the one of QEMU's that has what the ESP32's and the ESP32-S3's have in common
DEFAULT_HEAP_BYTES = 160 * 1024


class XtensaBoard(ImageBoard):
    """See EmulatedBoard. heap: bytes, DEFAULT_HEAP_BYTES if None."""

    name: ClassVar[str] = "xtensa"
    natmod_arch: ClassVar[str] = "xtensawin"
    flash_blocks: ClassVar[int] = 512  # 2 MiB, as MicroPython leaves them on an ESP32 with 4 MiB

    def prepare(self) -> None:
        self._qemu = require("qemu-xtensa")
        self._program = xtensa.board()

    def _command(self, power_cut: int | None) -> Start:
        environment = {
            "PICOFED_LINE": str(self._master),
            "PICOFED_PARENT": str(os.getpid()),
            "PICOFED_BOARD_ID": self._board_id.hex(),
            "PICOFED_HEAP": str(self._heap or DEFAULT_HEAP_BYTES),
        }
        if self._entropy is not None:
            environment["PICOFED_ENTROPY_SEED"] = self._entropy
        if power_cut is not None:
            environment["PICOFED_POWER_CUT"] = str(power_cut)
        if self._virtual_time:
            environment["PICOFED_VIRTUAL_TIME"] = str(self._state / "uptime")
        files = [str(self.flash), str(self._state / "boots")]
        return Start([self._qemu, "-cpu", PROCESSOR, str(self._program), *files], environment)
