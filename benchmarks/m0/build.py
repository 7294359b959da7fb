"""Builds the core for the Cortex-M0+ with arm-none-eabi-gcc, without any library: what is missing fails the link."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[1] / "native"
SOURCES = NATIVE / "src"
INCLUDES = (NATIVE / "include", SOURCES)
COMPILER = "arm-none-eabi-gcc"
PARTS = (
    "fixed",
    "clip",
    "model",
    "kernels_c",
    "kernels_thumb",
    "weights",
    "elements",
    "example",
    "trainer",
    "features",
    "noise",
    "noise_exp",
    "crypto",
)


@dataclass(frozen=True, slots=True)
class Build:
    elf: Path
    text: dict[str, int]
    """Bytes of code and constants by source file."""
    compiler: str


def text_size(file: Path) -> int:
    with file.open("rb") as stream:
        open_elf: Any = ELFFile
        sections = open_elf(stream).iter_sections()
        return sum(s["sh_size"] for s in sections if s["sh_flags"] & 2 and s["sh_type"] == "SHT_PROGBITS")


def build(folder: Path, monocypher: Path, optimise: str = "-O2", one_unit: bool = False) -> Build:
    """Compile the core and bench.c into folder/bench.elf; one_unit: as a native module is compiled, all at once.

    FileNotFoundError: no compiler; CalledProcessError: it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flags = ["-mcpu=cortex-m0plus", "-mthumb", "-std=c99", optimise, "-fpic", "-ffreestanding", "-ffunction-sections"]
    flags += ["-fno-tree-loop-distribute-patterns", "-DBLAKE2_NO_UNROLLING"]
    flags += [f"-I{path}" for path in (*INCLUDES, monocypher)]
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wconversion"]
    jobs = [(SOURCES / f"{name}.c", warnings) for name in PARTS]
    jobs += [(HERE / "bench.c", warnings), (monocypher / "monocypher.c", [])]
    if one_unit:
        jobs = [(HERE / "bench.c", ["-include", str(SOURCES / "unit.c"), "-fwhole-program"])]
    objects = []
    text = {}
    for source, extra in jobs:
        target = folder / f"{source.stem}.o"
        subprocess.run([COMPILER, *flags, *extra, "-c", str(source), "-o", str(target)], check=True)
        objects.append(str(target))
        if extra and source.stem != "bench":
            text[source.stem] = text_size(target)
    elf = folder / "bench.elf"
    link = [COMPILER, "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib", "-Wl,--gc-sections", "-T", str(HERE / "link.ld")]
    subprocess.run([*link, *objects, "-o", str(elf)], check=True)
    version = subprocess.run([COMPILER, "-dumpversion"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return Build(elf, text, f"{COMPILER} {version} {optimise}")
