"""python -m picofed.toolchain: build or fetch one thing, where that is needed, and print where it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from picofed.errors import PicofedError
from picofed.toolchain import build, qemu, rp2, sources, xtensa


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for every other mistake."""
        self.exit(2, f"{self.prog}: {message} (try --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m picofed.toolchain", description="Build or fetch something and print its path.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    natmod = commands.add_parser("natmod", help="the native module for MicroPython, picofed_core.mpy")
    natmod.add_argument(
        "--arch", default="x64", choices=list(build.NATMOD_COMPILERS), help="architecture (default: %(default)s)"
    )
    commands.add_parser("unix-board", help="the emulated board's program")
    commands.add_parser("xtensa-board", help="the emulated windowed-Xtensa board's program")
    commands.add_parser("xtensa-gcc", help="folder with the compiler for the ESP32, xtensa-esp32-elf-gcc")
    firmware = commands.add_parser("rp2-firmware", help="the Raspberry Pi Pico's firmware: a folder with firmware.uf2")
    firmware.add_argument("--plain", action="store_true", help="MicroPython alone, without picofed in it")
    firmware = commands.add_parser("qemu", help="MicroPython for a QEMU machine, firmware.elf")
    firmware.add_argument("board", choices=list(qemu.QEMU_COMPILERS), help="the board's folder in boards/")
    commands.add_parser("mpy-cross", help="MicroPython's cross-compiler")
    commands.add_parser("sources", help="sources of MicroPython and Monocypher, the watch recordings: a path a line")
    return parser


def _paths(chosen: argparse.Namespace) -> list[Path]:
    match chosen.command:
        case "natmod":
            return [build.natmod(chosen.arch)]
        case "qemu":
            return [qemu.qemu_firmware(chosen.board)]
        case "unix-board":
            return [build.unix_board()]
        case "xtensa-board":
            return [xtensa.board()]
        case "xtensa-gcc":
            return [xtensa.front() / "bin"]
        case "rp2-firmware":
            return [rp2.rp2_firmware("plain" if chosen.plain else "picofed")]
        case "mpy-cross":
            return [build.mpy_cross()]
        case _:
            source = sources.micropython_source(lambda line: print(line, file=sys.stderr))
            return [source, sources.monocypher_source(), sources.watch_data()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 after one line on stderr. arguments: sys.argv's if None."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        for path in _paths(chosen):
            print(path)
    except PicofedError as error:
        print(f"{parser.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{parser.prog}: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
