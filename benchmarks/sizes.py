"""Sizes of the native module for each architecture:

    python benchmarks/sizes.py [--check] [--arch ARCH]... [--no-heap | --heap KIND...]

Writes benchmarks/sizes.md; --check compares instead. text and bss are what the .mpy carries and what it reserves; the
heap is what an emulated board holds more of once the module, or the whole firmware, is imported (MicroPython's
collector is conservative, so a few hundred bytes vary: rounded up to whole kB, and one kB apart is no difference). An
architecture whose compiler is not here keeps the committed line, or is left out.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from picofed.errors import PicofedError
from picofed.fleet.emulation import BACKENDS, emulated
from picofed.fleet.provision import board_files
from picofed.fleet.repl import Repl
from picofed.link.stream import SerialStream
from picofed.toolchain import build
from picofed.toolchain.products import ARCHITECTURES

TABLE: Final = Path(__file__).with_name("sizes.md")
HEAD: Final = """# Sizes of the native module

Written by `python benchmarks/sizes.py`; `--check` compares. Bytes. Text and constants: what the .mpy file loads; bss:
what it reserves besides.

| architecture | .mpy file | text and constants | bss |
|---|---|---|---|
"""
PARTS: Final = """
## Cryptography and masks in the module for armv6m

Of the object that the module is linked from, by source of each function; the last row with its functions for
MicroPython, into which the compiler puts what is called once. The runtime library's 64-bit arithmetic is not counted.

| part | bytes |
|---|---|
"""
HEAPS: Final = """
## Heap of boards, kB of 1024

What a freshly started emulated board holds more of after `import picofed_core`, and after the whole firmware's modules,
both from files on its flash; rp2040js: from its UF2, which has both in flash.

| board | module | firmware with it |
|---|---|---|
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
_CRYPTOGRAPHY: Final = ("monocypher.c", "crypto.c")
_BINDINGS: Final = ("core_blake2b", "core_chacha20", "core_x25519", "core_eddsa_check", "core_differ")
_MASK: Final = "core_trainer_mask"
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


def module_row(arch: str) -> str:
    """Raises PicofedError where the module cannot be built here."""
    module = build.natmod(arch).read_bytes()
    found = sections(module)
    return f"| {arch} | {len(module)} | {found.text} | {found.bss} |"


def _functions(file: Path) -> dict[str, tuple[str, int]]:
    """Functions and constants of an ARM object with debug information: source file and bytes."""
    command = ["arm-none-eabi-nm", "--print-size", "--line-numbers", str(file)]
    found = {}
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        symbol, _, place = line.partition("\t")
        words = symbol.split()
        if len(words) == 4:
            found[words[3]] = (Path(place.rpartition(":")[0]).name, int(words[1], 16))
    return found


def part_rows() -> list[str]:
    """Where the code comes from."""
    functions = _functions(build.natmod_object("armv6m"))
    cryptography = sum(size for source, size in functions.values() if source in _CRYPTOGRAPHY)
    mask = functions[_MASK][1] + sum(size for source, size in functions.values() if source == "mask.c")
    bindings = sum(functions[name][1] for name in _BINDINGS)
    return [
        f"| cryptography: Monocypher, crypto.c | {cryptography} |",
        f"| masks: mask.c, trainer_mask | {mask} |",
        f"| both, with functions for MicroPython | {cryptography + mask + bindings} |",
    ]


def heap_row(kind: str) -> str:
    """What module and firmware take of a board's heap."""
    built_in = kind == "rp2040js"
    options: dict[str, Any] = {"firmware": "plain"} if kind == "rp2040js_plain" else {}
    board = emulated("rp2040js" if built_in or options else kind, **options)
    board.open()
    files = {} if built_in else board_files(build.natmod(board.natmod_arch), None)
    board.install({path: data for path, data in files.items() if path != "/main.py"})
    with board:
        stream = SerialStream(str(board.port))
        try:
            repl = Repl(stream, 60.0)
            repl.enter()
            values = [-(-int(value) // 1024) for value in repl.value(_MEASURE)]
        finally:
            stream.close()
    return f"| {kind} | {values[0]} | {values[1]} |"


def committed() -> dict[str, str]:
    """Rows by their first cell."""
    text = TABLE.read_text() if TABLE.exists() else ""
    return {row.split("|")[1].strip(): row for row in re.findall(r"^\| [^|]+ \| \d.*$", text, re.MULTILINE)}


def differs(old: str | None, new: str, slack: int) -> bool:
    """Whether a number of the rows is more than `slack` apart."""
    if old is None:
        return True
    numbers = [[int(cell) for cell in row.strip("|").split("|")[1:]] for row in (old, new)]
    return any(abs(one - other) > slack for one, other in zip(*numbers, strict=True))


def main() -> int:
    """Exit status 1 where the committed table differs."""
    kinds = [*BACKENDS, "rp2040js_plain"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed table, write nothing")
    heap = parser.add_mutually_exclusive_group()
    heap.add_argument("--no-heap", action="store_true", help="start no boards: keep the committed rows of the heap")
    heap.add_argument("--heap", action="append", choices=kinds, help="measure the heap of these boards only")
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES, help="only these")
    chosen = parser.parse_args()
    old = committed()
    modules = {arch: old.get(arch) for arch in ARCHITECTURES}
    heaps = {kind: old.get(kind) for kind in kinds}
    status = 0
    for arch in chosen.arch or ARCHITECTURES:
        try:
            modules[arch] = module_row(arch)
        except PicofedError as error:
            print(f"{arch}: not measured: {error}", file=sys.stderr)
            status = 1
    parts = part_rows()
    if not chosen.no_heap:
        heaps |= {kind: heap_row(kind) for kind in chosen.heap or kinds}
    if chosen.check:
        new = [row for row in (*modules.values(), *parts) if row]
        stale = [row for row in new if differs(old.get(row.split("|")[1].strip()), row, 0)]
        stale += [row for kind, row in heaps.items() if row and differs(old.get(kind), row, 1)]
        for row in stale:
            print(f"{row} is not what benchmarks/sizes.md has", file=sys.stderr)
        return 1 if stale else status
    rows = ["\n".join(row for row in group.values() if row) + "\n" for group in (modules, heaps)]
    TABLE.write_text(HEAD + rows[0] + PARTS + "\n".join(parts) + "\n" + HEAPS + rows[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
