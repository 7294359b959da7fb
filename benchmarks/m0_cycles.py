"""Cycles, memory and code size of the core on a Cortex-M0+ model; rewrites m0_cycles.md.

python benchmarks/m0_cycles.py            build, run, write benchmarks/m0_cycles.md
python benchmarks/m0_cycles.py --check    build, run, compare with the committed table: exit 1 if a number got worse

The numbers are deterministic for one compiler version, which the table names. Monocypher's source is taken from
MONOCYPHER_DIR, or from the package registry through picofed's tool chain.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from m0 import build as m0_build
from m0 import workload
from m0.cortex_m0 import CortexM0

HERE = Path(__file__).resolve().parent
TABLE = HERE / "m0_cycles.md"
SHOWN = 0.01
"""Functions below this share of a training example are left out of its table."""

PREAMBLE = """# Cycles on the Cortex-M0+

Written by `python benchmarks/m0_cycles.py`; `--check` compares. A cycle model over unicorn (benchmarks/m0/cortex_m0.py:
costs of the Cortex-M0+ manual, one-cycle multiplier) with code and data in SRAM without wait states, as a native module
runs on the RP2040. Not silicon: no interrupts, no bus contention. Less is better throughout.
"""


def monocypher() -> Path:
    named = os.environ.get("MONOCYPHER_DIR")
    if named:
        return Path(named)
    from picofed.toolchain import sources

    return sources.monocypher_source()


def training_tables(machine: CortexM0) -> list[str]:
    window = workload.measure_features(machine)
    rounds = [
        "",
        f"## A whole round of {workload.RECORDS} records",
        "",
        f"Every accumulator's noise, then {workload.RECORDS} records, {workload.BATCH} a call. The demo's model learns",
        f"from motion: each record is a window of {workload.WINDOW} samples, and its features are computed too.",
        "",
        "| round | noise | examples | features | total |",
        "|---|---|---|---|---|",
    ]
    lines = [
        f"## Training, cycles an example (mean of {workload.EXAMPLES} in one call)",
        "",
        "Forward, softmax, backward, exact clipping, accumulating. Logits: forward alone. Noise fill: a whole round's.",
        "",
        "| model | example | per product | logits | noise fill | memory, gradient | memory, local | stack |",
        "|---|---|---|---|---|---|---|---|",
    ]
    details: list[str] = []
    for name, model in workload.MODELS.items():
        result = workload.measure_training(machine, model)
        mean = result.example.cycles / workload.EXAMPLES
        lines.append(
            f"| {name} | {mean:.0f} | {mean / model.products:.2f} | {result.forward} | {result.fill} "
            f"| {result.sizes[0]} B | {result.sizes[1]} B | {result.example.stack} B |"
        )
        whole = workload.measure_round(machine, window if model.widths[0] == workload.FEATURES else 0)
        rounds.append(f"| round: {name} | {whole.noise} | {whole.examples} | {whole.features} | {whole.total} |")
        details += ["", f"### {name}, by function", "", "| function | cycles an example |", "|---|---|"]
        parts = sorted(result.example.by_function.items(), key=lambda part: (-part[1], part[0]))
        for function, cycles in parts:
            if cycles >= SHOWN * result.example.cycles:
                details.append(f"| {name}: {function} | {cycles / workload.EXAMPLES:.0f} |")
    return lines + rounds + details


def frozen_table(machine: CortexM0) -> list[str]:
    """The same records, with all weights in the trainer's memory and with the frozen ones beside it."""
    lines = [
        "",
        "## Frozen weights in an image (SPEC 12), of MLP 64-32-10",
        "",
        "Memory is the trainer's, in gradient mode. With an image it has the trained weights alone, and one example at",
        "a time. The image is in SRAM here; from flash, add what its cache misses.",
        "",
        "| trained | parameters | memory | memory, image | example | example, image |",
        "|---|---|---|---|---|---|",
    ]
    for name, model in workload.SUBSETS.items():
        whole, image = (workload.measure_training(machine, model, frozen) for frozen in (False, True))
        cycles = [result.example.cycles / workload.EXAMPLES for result in (whole, image)]
        lines.append(
            f"| frozen: {name} | {model.trainable} | {whole.sizes[0]} B | {image.sizes[0]} B "
            f"| {cycles[0]:.0f} | {cycles[1]:.0f} |"
        )
    return lines


def native_module(folder: Path, source: Path) -> list[str]:
    """Training compiled as MicroPython's native modules are: for size, all in one unit."""
    machine = CortexM0(m0_build.build(folder, source, "-Os", one_unit=True).elf)
    lines = [
        "",
        "## Built as a native module (-Os, one unit), cycles an example",
        "",
        "| model | example |",
        "|---|---|",
    ]
    for name, model in workload.MODELS.items():
        cycles = workload.measure_training(machine, model).example.cycles / workload.EXAMPLES
        lines.append(f"| native module: {name} | {cycles:.0f} |")
    lines.append(f"| native module: pf_noise_fill, a sample | {workload.measure_noise(machine):.1f} |")
    return lines


def table(folder: Path) -> str:
    source = monocypher()
    built = m0_build.build(folder / "parts", source)
    machine = CortexM0(built.elf)
    lines = [PREAMBLE, f"Compiler: {built.compiler}", "", *training_tables(machine), *frozen_table(machine)]
    lines += [*native_module(folder / "unit", source), "", "## Other functions", ""]
    lines += ["| function | cycles |", "|---|---|"]
    lines.append(f"| pf_noise_fill, a sample | {workload.measure_noise(machine):.1f} |")
    lines.append(f"| pf_clip, 42 deltas | {workload.measure_clip(machine)} |")
    lines.append(f"| pf_features_imu, a window of {workload.WINDOW} samples | {workload.measure_features(machine)} |")
    lines.append(f"| pf_features_blocks, a window of {workload.WINDOW} samples | {workload.measure_blocks(machine)} |")
    for steps, channels, layer in workload.CONVOLUTIONS:
        cycles = workload.measure_convolution(machine, steps, channels, layer)
        name = f"{workload.products(steps, channels, layer)} products"
        lines.append(f"| pf_convolution, {layer[2]} filters, {name} | {cycles} |")
    lines += ["", "## Primitives (Monocypher, -Os)", "", "| primitive | cycles |", "|---|---|"]
    crypto = workload.measure_crypto(CortexM0(m0_build.build_crypto(folder / "crypto", source)))
    lines += [f"| {name} | {cycles:.{0 if cycles >= 1000 else 1}f} |" for name, cycles in crypto.items()]
    lines += ["", "## Code size", "", "| file | text, bytes |", "|---|---|"]
    lines += [f"| {name}.c | {size} |" for name, size in built.text.items()]
    lines.append(f"| all of these | {sum(built.text.values())} |")
    lines += ["", "The whole core with Monocypher as one unit, -Os, nothing left out; it has no data and no bss:", ""]
    lines += ["| processor | text, bytes |", "|---|---|"]
    lines += [f"| core: {cpu} | {size} |" for cpu, size in m0_build.unit_sizes(folder / "unit", source).items()]
    return "\n".join(lines) + "\n"


def numbers(text: str) -> dict[str, list[float]]:
    """The numbers of every table row, by the row's first cell."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        values = [re.fullmatch(r"([0-9.]+)( B)?", cell) for cell in cells[1:]]
        if line.startswith("|") and values and all(values):
            found[cells[0]] = [float(value[1]) for value in values if value]
    return found


def compare(committed: str, measured: str) -> list[str]:
    """What got worse, one line each."""
    compilers = [re.findall(r"^Compiler: (.*)$", text, re.MULTILINE) for text in (committed, measured)]
    if compilers[0] != compilers[1]:
        return [
            f"measured with {compilers[1]}, the table with {compilers[0]}: run benchmarks/m0_cycles.py to rewrite it"
        ]
    old, new = numbers(committed), numbers(measured)
    worse = [f"{name}: not in the table; run benchmarks/m0_cycles.py to rewrite it" for name in new if name not in old]
    for name, values in new.items():
        for before, after in zip(old.get(name, []), values, strict=False):
            if after > before:
                worse.append(f"{name}: {after:g}, was {before:g}")
    return worse


def main() -> int:
    parser = argparse.ArgumentParser(description="Cycles of the core on a Cortex-M0+ model.")
    parser.add_argument("--check", action="store_true", help="compare with the committed table, exit 1 if worse")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory(prefix="picofed-m0-") as folder:
        try:
            measured = table(Path(folder))
        except FileNotFoundError:
            print(f"m0_cycles: {m0_build.COMPILER} not found: install gcc-arm-none-eabi", file=sys.stderr)
            return 2
        except subprocess.CalledProcessError as error:
            print(f"m0_cycles: the build failed ({error.cmd[-1]}): see the compiler's message above", file=sys.stderr)
            return 2
    if not check:
        TABLE.write_text(measured, encoding="utf-8")
        print(f"wrote {TABLE.name}")
        return 0
    if not TABLE.exists():
        print(f"m0_cycles: {TABLE} is missing: run benchmarks/m0_cycles.py", file=sys.stderr)
        return 2
    worse = compare(TABLE.read_text(encoding="utf-8"), measured)
    for line in worse:
        print(f"worse: {line}")
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
