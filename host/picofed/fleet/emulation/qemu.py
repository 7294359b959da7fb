"""QEMU's machines as boards: MicroPython of boards/qemu, LittleFS in the file flash.img, a UART behind the port.

A small program, the bridge (boards/common/bridge.c), carries bytes between pseudo-terminal and QEMU and dies with it.
"""

import os
from pathlib import Path
from typing import Any, ClassVar

from picofed.fleet.emulation.board import Start
from picofed.fleet.emulation.image_board import ImageBoard
from picofed.toolchain.command import require
from picofed.toolchain.qemu import bridge, qemu_firmware

DEFAULT_HEAP_BYTES = 192 * 1024


class QemuBoard(ImageBoard):
    """See EmulatedBoard. heap: bytes, DEFAULT_HEAP_BYTES if None.

    instruction_counts: run slower, and let boardserve.instructions() count exactly, the same in every run
        (boards/qemu/README.md).
    """

    program: ClassVar[str] = "qemu-system-arm"
    machine: ClassVar[tuple[str, ...]]
    icount_shift: ClassVar[int] = 6
    flash_blocks: ClassVar[int] = 352  # 1408 KiB, as MicroPython leaves them on a Pico

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        instruction_counts: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(directory, **options)
        self._instruction_counts = instruction_counts

    def prepare(self) -> None:
        """See EmulatedBoard."""
        self._qemu = require(self.program)
        self._firmware = qemu_firmware(self.name)
        self._bridge = bridge()

    def _command(self, power_cut: int | None) -> Start:
        settings = {"board_id": self._board_id.hex(), "heap": self._heap or DEFAULT_HEAP_BYTES}
        settings |= {} if self._entropy is None else {"entropy": self._entropy}
        settings |= {} if power_cut is None else {"power_cut": power_cut}
        settings |= {"virtual_time": 1} if self._virtual_time else {}
        (self._state / "settings").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        argv = [str(self._bridge), str(self.directory), self._qemu, "-machine", *self.machine, "-nodefaults"]
        argv += ["-display", "none", "-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]
        argv += ["-chardev", "file,id=log,path=/dev/stderr,append=on"]
        # An argument, or QEMU would hand the board its own command line.
        argv += ["-semihosting-config", "enable=on,target=native,chardev=log,arg=board"]
        argv += ["-icount", f"shift={self.icount_shift}"] if self._instruction_counts else []
        argv += ["-kernel", str(self._firmware)]
        return Start(argv, {"PICOFED_LINE": str(self._master), "PICOFED_PARENT": str(os.getpid())})


class QemuM0(QemuBoard):
    """A Cortex-M0 with the RAM of an RP2040."""

    name: ClassVar[str] = "qemu_m0"
    natmod_arch: ClassVar[str] = "armv6m"
    machine: ClassVar[tuple[str, ...]] = (
        "microbit",
        *("-global", "nrf51-soc.flash-size=1048576", "-global", "nrf51-soc.sram-size=262144"),
    )


class QemuM3(QemuBoard):
    """A Cortex-M3."""

    name: ClassVar[str] = "qemu_m3"
    natmod_arch: ClassVar[str] = "armv7m"
    machine: ClassVar[tuple[str, ...]] = ("mps2-an385",)


class QemuM4F(QemuBoard):
    """A Cortex-M4 with floating point."""

    name: ClassVar[str] = "qemu_m4f"
    natmod_arch: ClassVar[str] = "armv7emsp"
    machine: ClassVar[tuple[str, ...]] = ("mps2-an386",)


class QemuM33(QemuBoard):
    """A Cortex-M33 with floating point, in its secure state."""

    name: ClassVar[str] = "qemu_m33"
    natmod_arch: ClassVar[str] = "armv7emsp"
    machine: ClassVar[tuple[str, ...]] = ("mps2-an505",)


class QemuRV32(QemuBoard):
    """A 32-bit RISC-V."""

    name: ClassVar[str] = "qemu_rv32"
    natmod_arch: ClassVar[str] = "rv32imc"
    program: ClassVar[str] = "qemu-system-riscv32"
    machine: ClassVar[tuple[str, ...]] = ("virt", "-m", "16M", "-bios", "none")
    icount_shift: ClassVar[int] = 0


QEMU_BOARDS: tuple[type[QemuBoard], ...] = (QemuM0, QemuM3, QemuM4F, QemuM33, QemuRV32)
