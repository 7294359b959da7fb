"""Sizes of the native module for each architecture: python benchmarks/sizes.py [--check] [--arch ARCH]...

Writes benchmarks/sizes.md; --check compares instead. text and bss are what the .mpy carries and what it reserves; "heap
after import" is what a board of that architecture holds more of once the module, or the whole firmware, is imported
(an emulated board, where there is one; MicroPython's collector is conservative, so a few hundred bytes vary: rounded up
to whole kB). An architecture whose compiler is not here keeps the committed line, or is left out.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from picofed.errors import PicofedError
from picofed.fleet.emulation import BACKENDS, EmulatedBoard
from picofed.fleet.payload import MODULE
from picofed.fleet.repl import Repl
from picofed.link.stream import SerialStream
from picofed.toolchain import build
from picofed.toolchain.mip import firmware_files
from picofed.toolchain.products import ARCHITECTURES

TABLE = Path(__file__).with_name("sizes.md")
HEAD = """# Sizes of the native module

Written by `python benchmarks/sizes.py`; `--check` compares. Bytes. Text and constants: what the .mpy file loads; bss:
what it reserves besides. Heap: what a freshly started emulated board of that architecture holds more of after
`import picofed_core`, and after the whole firmware's modules (in kB of 1024, rounded up, compiled on the board).

| architecture | .mpy file | text and constants | bss | heap: module | heap: firmware | board |
|---|---|---|---|---|---|---|
"""
_MEASURE = """
import gc
gc.collect()
before=gc.mem_alloc()
import picofed_core
gc.collect()
core=gc.mem_alloc()
import picofed.main
from picofed.platform import unload
unload('provision','selftest')
gc.collect()
print((core-before,gc.mem_alloc()-before))
"""


_RODATA, _BSS = 0x20, 0x40  # MP_SCOPE_FLAG_VIPER... of MicroPython's py/runtime0.h


@dataclass(frozen=True)
class Sections:
    """What a native .mpy file holds."""

    text: int
    bss: int


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length unsigned integer of the .mpy format: 7 bits a byte, most significant first."""
    value = 0
    while True:
        byte = data[at]
        value, at = value << 7 | byte & 0x7F, at + 1
        if not byte & 0x80:
            return value, at


def sections(data: bytes) -> Sections:
    """Text (with constants) and bss of a .mpy file that is one native function (MicroPython's tools/mpy-tool.py)."""
    at = 4
    if data[2] & 0x40:  # architecture flags
        _, at = _number(data, at)
    names, at = _number(data, at)
    objects, at = _number(data, at)
    for _ in range(names):
        length, at = _number(data, at)
        if not length & 1:
            at += (length >> 1) + 1
    if objects:
        raise PicofedError("a native module with constant objects: sizes.py does not know these")
    kind, at = _number(data, at)
    text = kind >> 3
    at += text
    scope, at = _number(data, at)
    rodata = bss = 0
    if scope & _RODATA:
        rodata, at = _number(data, at)
    if scope & _BSS:
        bss, at = _number(data, at)
    return Sections(text + rodata, bss)


def measure(board: type[EmulatedBoard], module: bytes) -> tuple[int, int]:
    """Heap of the module, and of the firmware with it."""
    files = {f"/lib/{name}": data for name, data in firmware_files().items()}
    made = board()
    made.open()
    made.install({MODULE: module, **files})
    with made:
        stream = SerialStream(str(made.port))
        try:
            repl = Repl(stream)
            repl.enter()
            core, firmware = repl.value(_MEASURE)
        finally:
            stream.close()
    return int(core), int(firmware)


def board_for(arch: str) -> type[EmulatedBoard] | None:
    """An emulated board that loads modules of this architecture; one with the module built in says nothing of it."""
    fitting = [board for board in BACKENDS.values() if board.natmod_arch == arch and board.name != "rp2040js"]
    return fitting[0] if fitting else None


def line(arch: str) -> str:
    """A row of the table. Raises PicofedError where the module cannot be built here."""
    module = build.natmod(arch).read_bytes()
    found = sections(module)
    board = board_for(arch)
    heap = ["-", "-"]
    if board is not None:
        heap = [f"{-(-value // 1024)} kB" for value in measure(board, module)]
    return (
        f"| {arch} | {len(module)} | {found.text} | {found.bss} | {heap[0]} | {heap[1]} |"
        f" {board.name if board else 'none'} |"
    )


def committed() -> dict[str, str]:
    """Rows by architecture."""
    text = TABLE.read_text() if TABLE.exists() else ""
    return {row.split("|")[1].strip(): row for row in re.findall(r"^\| [a-z]\w* \| \d.*$", text, re.MULTILINE)}


def main() -> int:
    """Exit status 1 where the committed table differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed table, write nothing")
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES, help="only these")
    chosen = parser.parse_args()
    old = committed()
    rows = dict(old)
    for arch in chosen.arch or ARCHITECTURES:
        try:
            rows[arch] = line(arch)
        except PicofedError as error:
            print(f"{arch}: not measured: {error}", file=sys.stderr)
            if chosen.check and arch in old:
                return 1
            continue
        print(rows[arch])
    if chosen.check:
        different = [arch for arch, row in rows.items() if old.get(arch) != row]
        for arch in different:
            print(f"{arch}: benchmarks/sizes.md has: {old.get(arch, 'nothing')}", file=sys.stderr)
        return 1 if different else 0
    TABLE.write_text(HEAD + "\n".join(rows[arch] for arch in ARCHITECTURES if arch in rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
