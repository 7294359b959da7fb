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
PROCESSORS = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m33")
PARTS = (
    "fixed",
    "clip",
    "model",
    "kernels_c",
    "kernels_thumb",
    "frozen",
    "weights",
    "elements",
    "single",
    "example",
    "trainer",
    "features",
    "blocks",
    "convolution",
    "noise",
    "noise_exp",
    "crypto",
    "crc32",
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
        loaded = [s for s in sections if s["sh_flags"] & 2 and s["sh_type"] in ("SHT_PROGBITS", "SHT_NOBITS")]
        if any(s["sh_size"] for s in loaded if s["sh_flags"] & 1):
            raise ValueError(f"{file.name} has data that can be written")
        return sum(s["sh_size"] for s in loaded)


LINK = (COMPILER, "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib", "-Wl,--gc-sections", "-T", str(HERE / "link.ld"))


def build_crypto(folder: Path, monocypher: Path, own_product: bool = True) -> Path:
    """The primitives for size, as a native module has them, with the compiler's runtime library; own_product: but for
    its product of 64-bit integers."""
    folder.mkdir(parents=True, exist_ok=True)
    elf = folder / "crypto.elf"
    flags = ["-std=c99", "-Os", "-ffreestanding", "-ffunction-sections", "-fno-tree-loop-distribute-patterns"]
    flags += ["-DBLAKE2_NO_UNROLLING", *(f"-I{path}" for path in (*INCLUDES, monocypher))]
    entry = ["-Wl,--no-gc-sections", "-Wl,-e,bench_x25519"]
    own = [SOURCES / f"{name}.c" for name in ("crypto", "mask", "shamir", "lmul")]
    flags += ["-DPF_OWN_LMUL"] if own_product else []
    sources = [HERE / "crypto.c", *own, monocypher / "monocypher.c"]
    subprocess.run([*LINK, *flags, *(str(source) for source in sources), *entry, "-lgcc", "-o", str(elf)], check=True)
    return elf


def unit_sizes(folder: Path, monocypher: Path) -> dict[str, int]:
    """Bytes of code and constants of the whole core, compiled for size as a native module is, by processor."""
    folder.mkdir(parents=True, exist_ok=True)
    flags = ["-mthumb", "-std=c99", "-Os", "-fpic", "-ffreestanding", "-fno-tree-loop-distribute-patterns"]
    flags += ["-DBLAKE2_NO_UNROLLING", *(f"-I{path}" for path in (*INCLUDES, monocypher))]
    sizes = {}
    for cpu in PROCESSORS:
        target = folder / f"unit-{cpu}.o"
        command = [COMPILER, f"-mcpu={cpu}", *flags, "-c", str(SOURCES / "unit.c"), "-o", str(target)]
        subprocess.run(command, check=True)
        sizes[cpu] = text_size(target)
    return sizes


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
    subprocess.run([*LINK, *objects, "-o", str(elf)], check=True)
    version = subprocess.run([COMPILER, "-dumpversion"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return Build(elf, text, f"{COMPILER} {version} {optimise}")
