"""The document made of the columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import masked_fleet
from picofed.toolchain.build import compiler_version

from counts import jobs
from counts.measure import KINDS

Column = Mapping[str, int | None]
_BENCHMARKS: Final = Path(__file__).parents[1]
_HERTZ: Final = 125_000_000
_TWENTY: Final = _HERTZ // 50  # milliseconds
_PICO: Final = "rp2040js"
_HEAD: Final = """# What picofed costs on boards

Written by `python benchmarks/on_boards.py`; `--check` compares (2 % apart, or 50,000 in a part of a round, is the same:
MicroPython's collector may run at another moment). Counted on emulated boards, by a small program that calls the
installed firmware and core as the firmware does, from MicroPython: what a call costs is part of every number.

- rp2040js: cycles of a Raspberry Pi Pico that runs our UF2, core and firmware in flash. The emulator counts as a
  Cortex-M0+ does, without misses of the flash cache, interrupts' entries, or waits for flash that is written.
- rp2040js_plain: the same with MicroPython alone in flash; native module and firmware are files and live in RAM.
- qemu_m3, qemu_rv32: instructions, not cycles, with native module and firmware as files; the flash itself costs none.
"""
_ROUNDS: Final = f"""
## Rounds of the firmware

{jobs.RECORDS} records of {jobs.WINDOW} samples each, in the record store on flash. motion: softmax 45-7 on motion
features, the demo's model; blocks: MLP 60-32-10 on averages over 10 samples; masked: softmax 120-83 on averages over 5,
{jobs.LARGE.parameters:,} parameters, masked fields of {jobs.MASKED.mask_bits} bits, which a job file gives a fleet of
{masked_fleet.TEXT}. "200 records" is reading, features and training;
"charge and update" is what comes behind: ledger, rounding or masks, tag and name of the update. pairwise: the same, in
a cohort of {jobs.NEIGHBOURS + 1} boards; an agreement and a mask for each neighbour. The wait of 1 ms before a ledger
record is written is left out, and so is the transfer to the host.
"""
_MEMORY: Final = """
## Memory in bytes

Heap before the job: firmware and, where it is in RAM, native module, after the start. Heap at most: the largest that
was in use or not yet collected behind any step of a round, with a collection before each. C stack: words of it that a
round overwrote, by a pattern written before. The measuring program's own heap is taken off.
"""


def _table(columns: Mapping[str, Column], what: str, labels: list[str], unit: bool = True) -> list[str]:
    kinds = [f"{kind}, {KINDS[kind].unit}" if unit else kind for kind in KINDS]
    lines = [f"| {what} | " + " | ".join(kinds) + " |", "|---" * (1 + len(KINDS)) + "|"]
    for label in labels:
        cells = [columns[kind].get(label) for kind in KINDS]
        lines.append(f"| {label} | " + " | ".join("-" if cell is None else f"{cell:,}" for cell in cells) + " |")
    return lines


def _of(document: str, row: str) -> str:
    """The last number of a row of another document."""
    text = (_BENCHMARKS / document).read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(row)} \|.*?([\d.]+) \|$", text, re.MULTILINE)
    return found[1] if found else "-"


def _targets(pico: Column) -> list[str]:
    """The Pico's numbers beside the cycle model and what was wanted."""

    def model(row: str) -> str:
        value = _of("m0_cycles.md", row)
        return value if value == "-" else f"{float(value):,.0f}"

    def row(what: str, value: int | None, modelled: str, wanted: str) -> str:
        return f"| {what} | {'-' if value is None else f'{value:,}'} | {modelled} | {wanted} |"

    mlp = "MLP 64-32-10"
    part = pico.get("masked: charge and update")
    code = int(_of("sizes.md", "both, with functions for MicroPython").replace("-", "0"))
    return [
        "| Pico, our UF2 | here | m0_cycles.md | target |",
        "|---|---|---|---|",
        row(f"an example, {mlp}", pico.get(f"{mlp}: an example"), model(f"native module: {mlp}"), "15,000"),
        row("a noise sample's", pico.get("a noise sample"), model("native module: pf_noise_fill, a sample"), "2,000"),
        row(
            f"noise, 200 examples, {mlp}",
            pico.get(f"{mlp}: noise and 200 examples"),
            model(f"round: {mlp}"),
            "-",
        ),
        row("a whole round, MLP 60-32-10, as shipped", pico.get("blocks: the whole round"), "-", "9,000,000"),
        row(
            "motion features of a window",
            pico.get("features imu45, a window of 100 samples"),
            model("pf_features_imu, a window of 100 samples"),
            "-",
        ),
        row("X25519", pico.get("X25519, a shared secret"), model("X25519, a shared secret"), "-"),
        row("enrolment", pico.get("masked: key shared with the helper, once"), "-", f"{3 * _HERTZ // 10:,} (0.3 s)"),
        row("a masked round beyond training", part, "-", f"{_TWENTY:,} (20 ms)"),
        row("code of cryptography and masks, bytes (sizes.md)", code or None, "-", "20,000"),
    ]


def _reasons(pico: Column, plain: Column) -> list[str]:
    """Why the numbers are not the model's, with the numbers that show it."""

    def n(column: Column, label: str) -> int:
        return column.get(label) or 0

    def share(part: int, whole: int) -> str:
        return f"{100 * part / max(1, whole):.0f} %"

    whole, seen = n(pico, "motion: the whole round"), n(pico, "motion: 200 records")
    features = jobs.RECORDS * n(pico, "features imu45, a window of 100 samples")
    examples = jobs.RECORDS * n(pico, "softmax 45-7: an example")
    reading, handed = seen - features - examples, n(pico, "motion: going through the record store")
    blocks_seen = n(pico, "blocks: 200 records")
    blocks_features = jobs.RECORDS * n(pico, "features blocks, a window of 100 samples")
    blocks_examples = jobs.RECORDS * n(pico, "MLP 64-32-10: an example")
    fields = f"{jobs.LARGE.parameters:,} masked fields"
    hashed, drawn = n(pico, f"BLAKE2b of {fields}"), n(pico, f"mask of {jobs.LARGE.parameters:,} parameters")
    stream = n(pico, "ChaCha20, 1,024 bytes") * (jobs.MASKED.mask_bits * jobs.LARGE.parameters + 7) // 8 // 1024
    behind = n(pico, "masked: charge and update")
    wide, charge = "X25519, a shared secret", "motion: charge and update"
    texts = [
        f"A call from MicroPython with the checks of its arguments is shared by the {jobs.BATCH} examples of a batch,"
        " or by 256 samples of noise; the model calls C directly. That is the few per cent between the two columns.",
        "Features: the model's are compiled for speed (-O2), on boards all of the core is compiled for size.",
        f"X25519 takes {n(pico, wide):,} cycles in the UF2 and {n(plain, wide):,} as a native module: the Pico's SDK"
        " has a product of 64-bit integers in assembly, a native module one in C (lmul.c), as the model.",
        f"A round of the firmware is more than arithmetic. Of the {whole:,} cycles of the demo's round, {features:,}"
        f" are features, {examples:,} training, and {reading:,} ({share(reading, whole)}), the rest of its 200 records,"
        " reading: a file of LittleFS, windows out of slots. Going through the record store, a row above,"
        f" is windows(): it hands each window to MicroPython, which a round does not, and takes {handed:,}."
        " This is the first round of its record store, which also writes down, in two copies, what a record is.",
        f"Nor is a round of the MLP {n(pico, 'blocks: the whole round'):,} cycles of arithmetic, and so it misses its"
        f" target: {n(pico, 'blocks: noise'):,} are noise and {blocks_seen:,} its 200 records, of which features take"
        f" {blocks_features:,} and examples at most {blocks_examples:,} (those of the MLP 64-32-10), so that reading"
        f" takes at least {blocks_seen - blocks_features - blocks_examples:,}; weights from flash, charge and"
        " update are the rest.",
        f"Where the core is built in, ledger and seeds have flash of their own. On the plain board they are a file, and"
        f" a charge makes LittleFS write most of it anew: {n(plain, charge):,} cycles behind training, not"
        f" {n(pico, charge):,}.",
        f"A masked round hashes its {fields} once, for {hashed:,} cycles, and draws the mask for {drawn:,}, of which"
        f" {stream:,} are ChaCha20's: hash and keystream alone, as Monocypher has them in C, are"
        f" {share(hashed + stream, _TWENTY)} of the 20 ms. Hash and mask are {share(hashed + drawn, behind)} of what"
        " comes behind training; the rest is the ledger's flash, MicroPython and wiping.",
    ]
    return [line for text in texts for line in textwrap.wrap("- " + text, 120, subsequent_indent="  ")]


def document(columns: Mapping[str, Column]) -> str:
    """Markdown. columns: by kind of board, each with the same labels."""
    labels = list(dict.fromkeys(label for column in columns.values() for label in column))
    memory = [label for label in labels if "heap" in label or "stack" in label]
    rounds = [
        label
        for label in labels
        if label.startswith(("motion:", "blocks:", "masked:", "pairwise:")) and label not in memory
    ]
    core = [label for label in labels if label not in memory and label not in rounds]
    compilers = [compiler_version(name) for name in ("arm-none-eabi-gcc", "riscv64-unknown-elf-gcc")]
    lines = [_HEAD, "Compilers: " + "; ".join(compilers) + ".", "", "## Calls of the core", ""]
    lines += _table(columns, "call", core)
    lines += [_ROUNDS, *_table(columns, "part", rounds)]
    lines += [_MEMORY, *_table(columns, "where", memory, unit=False)]
    lines += ["", "## Beside the cycle model, and what was wanted", "", *_targets(columns[_PICO])]
    lines += ["", *_reasons(columns[_PICO], columns["rp2040js_plain"])]
    return "\n".join(lines) + "\n"
