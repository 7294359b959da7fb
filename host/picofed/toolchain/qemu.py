"""MicroPython for QEMU's machines, and the program that puts QEMU behind a serial port.

from picofed.toolchain import qemu
qemu.qemu_firmware("qemu_m3")     # .../firmware.elf
qemu.bridge()                     # .../bridge
"""

import shutil
import sys
from pathlib import Path

from picofed.toolchain.build import (
    compiler_version,
    content_addressed,
    make_environment,
    micropython_digest,
    mpy_cross,
    tree_digest,
)
from picofed.toolchain.command import ToolchainError, require, run_logged
from picofed.toolchain.layout import repo_root
from picofed.toolchain.sources import micropython_source

# QEMU's board -> prefix of the compiler that its board.mk names.
QEMU_COMPILERS = {
    "qemu_m0": "arm-none-eabi-",
    "qemu_m3": "arm-none-eabi-",
    "qemu_m4f": "arm-none-eabi-",
    "qemu_m33": "arm-none-eabi-",
    "qemu_rv32": "riscv64-unknown-elf-",
}
_SOURCES = (".c", ".h", ".py", ".mk", ".ld", "Makefile")


def qemu_firmware(name: str) -> Path:
    """MicroPython as an ELF file for the board boards/<name>. Raises ToolchainError."""
    if name not in QEMU_COMPILERS:
        raise ToolchainError(f"no QEMU board is called {name!r}: choose one of {', '.join(QEMU_COMPILERS)}")
    compiler, make = require(QEMU_COMPILERS[name] + "gcc"), require("make")
    source, cross, boards = micropython_source(), mpy_cross(), repo_root() / "boards"
    what = f"building MicroPython for {name}"

    def inputs() -> list[str]:
        own = tree_digest([boards / "common", boards / "qemu", boards / name], _SOURCES)
        return [micropython_digest(source), compiler_version(compiler), cross.parent.name, own]

    def build(folder: Path, log: Path) -> None:
        argv = [make, "-j2", "-C", str(boards / "qemu"), f"BOARD={name}", f"MPY_DIR={source}"]
        argv += [f"MICROPY_MPYCROSS={cross}", f"BUILD={folder}/build", f"PYTHON={sys.executable}"]
        run_logged(argv, log, what, env=make_environment())
        (folder / "build" / "firmware.elf").rename(folder / "firmware.elf")
        shutil.rmtree(folder / "build")

    return content_addressed(what, name, inputs, build) / "firmware.elf"


def bridge() -> Path:
    """The program that runs an emulator with its stdin and stdout behind a pseudo-terminal."""
    compiler, source = require("gcc"), repo_root() / "boards" / "common" / "bridge.c"
    what = "building the bridge to emulators"
    flags = ["-std=gnu99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror"]

    def inputs() -> list[str]:
        return [compiler_version(compiler), *flags, source.read_text()]

    def build(folder: Path, log: Path) -> None:
        run_logged([compiler, *flags, "-o", str(folder / "bridge"), str(source)], log, what)

    return content_addressed(what, "bridge", inputs, build) / "bridge"
