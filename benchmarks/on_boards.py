"""What picofed costs on emulated boards: python benchmarks/on_boards.py [--check] [--board KIND]... [--part PART]

Writes benchmarks/boards.md; --check compares instead. Counted on the board itself, by a small program that calls the
installed firmware and core over the REPL. A kind that is not measured keeps its committed column.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from counts import jobs
from counts.document import document
from counts.measure import KINDS, Counter
from picofed.errors import PicofedError

TABLE: Final = Path(__file__).with_name("boards.md")
TOLERANCE: Final = 0.02
"""Between two runs: the collector of MicroPython is conservative, so that it now and then runs at another moment."""
SLACK: Final = 50_000
"""The same for parts of a round: where objects come to lie on the heap, and how long a free place is looked for."""

Column = dict[str, int | None]


def core_rows(board: Counter) -> Column:
    """Single calls of the core."""
    rows: Column = {}
    for model in jobs.MODELS:
        accumulators, noise, examples = board.example(model)
        rows[f"{model}: an example"] = round(examples / jobs.RECORDS)
        rows[f"{model}: noise and {jobs.RECORDS} examples"] = noise + examples
        rows["a noise sample"] = round(noise / accumulators)
    calls = board.calls()
    return rows | {label: calls[name] for label, name in CALLS.items()}


CALLS: Final = {
    "features imu45, a window of 100 samples": "imu45",
    "features blocks, a window of 100 samples": "blocks",
    "X25519, a shared secret": "x25519",
    "signature of a policy": "policy",
    "BLAKE2b, keyed, 1,024 bytes": "blake2b",
    "ChaCha20, 1,024 bytes": "chacha20",
    "frame around 960 bytes": "encode",
    f"mask of {jobs.LARGE.parameters:,} parameters": "mask",
    f"BLAKE2b of {jobs.LARGE.parameters:,} masked fields": "digest",
    f"mask in a pair, {jobs.LARGE.parameters:,} parameters": "pair",
}
PARTS: Final = {
    "start of the firmware": "start",
    "key shared with the helper, once": "pair",
    "weights from flash": "load",
    "noise": "noise",
    "200 records": "training",
    "charge and update": "finish",
}
COHORT: Final = {
    "members checked, own key": "members",
    "agreement, a neighbour": "agreement",
    f"charge and update, {jobs.NEIGHBOURS} neighbours": "seal",
    "answer to a list of survivors": "reveal",
}
_ROUND: Final = tuple(f"{job}: " for job in (*jobs.JOBS, jobs.PAIRWISE.name))
MEMORY: Final = {"heap before the job": "idle", "heap at most": "most", "C stack": "stack"}


def firmware_rows(board: Counter) -> Column:
    """Whole rounds."""
    rows: Column = {"motion: going through the record store": board.reading("motion")}
    whole = None
    for job in jobs.JOBS:
        found = board.round(job)
        for label, name in PARTS.items():
            if name != "pair" or jobs.JOBS[job].mask_bits:
                rows[f"{job}: {label}"] = found.get(name)
        parts = [found[name] for name in ("load", "noise", "training", "finish")] if found else []
        rows[f"{job}: the whole round"] = sum(parts) or None
        memory = board.memory(job)
        rows |= {f"{job}: {label}": memory.get(name) for label, name in MEMORY.items()}
        whole = memory.get("whole", whole)
    return rows | {"all of the heap": whole} | cohort_rows(board)


def cohort_rows(board: Counter) -> Column:
    """What a cohort costs one of its boards, behind training."""
    found = board.cohort()
    return {f"{jobs.PAIRWISE.name}: {label}": found.get(name) for label, name in COHORT.items()}


def measure(kind: str, part: str = "all") -> Column:
    """Rows of a kind of board: all, or a part of PARTLY."""
    with Counter(kind) as board:
        if part != "all":
            return PARTLY[part](board)
        return core_rows(board) | firmware_rows(board)


PARTLY: Final = {"core": core_rows, "firmware": firmware_rows, "cohort": cohort_rows}


def committed() -> dict[str, Column]:
    """The document's numbers, by kind."""
    columns: dict[str, Column] = {kind: {} for kind in KINDS}
    for line in TABLE.read_text(encoding="utf-8").splitlines() if TABLE.exists() else []:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 1 + len(KINDS) and all(re.fullmatch(r"[\d,]+|-", cell) for cell in cells[1:]):
            for kind, cell in zip(KINDS, cells[1:], strict=True):
                columns[kind][cells[0]] = None if cell == "-" else int(cell.replace(",", ""))
    return columns


def differences(old: Column, new: Column) -> list[str]:
    """What is not as committed, one line each."""
    found = []
    for label, value in new.items():
        before = old.get(label)
        slack = SLACK if label.startswith(_ROUND) and label.rpartition(": ")[2] not in MEMORY else 0
        allowed = max(slack, TOLERANCE * (before or 0))
        if (before is None) != (value is None) or abs((before or 0) - (value or 0)) > allowed:
            found.append(f"{label}: {value}, the table has {before}")
    return found


def main() -> int:
    """Exit status 1 where the committed document differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed document, write nothing")
    parser.add_argument("--board", action="append", choices=KINDS, help="only these kinds")
    parser.add_argument("--part", choices=PARTLY, default="all", help="only these rows")
    chosen = parser.parse_args()
    columns = committed()
    status = 0
    for kind in chosen.board or KINDS:
        print(f"{kind}: measuring", flush=True)
        try:
            found = measure(kind, chosen.part)
        except PicofedError as error:
            print(f"{kind}: not measured: {error}", file=sys.stderr)
            return 2
        for line in differences(columns[kind], found) if chosen.check else ():
            print(f"{kind}: {line}", file=sys.stderr)
            status = 1
        columns[kind] = found if chosen.part == "all" else columns[kind] | found
    if not chosen.check:
        TABLE.write_text(document(columns), encoding="utf-8")
        print(f"wrote {TABLE.name}")
    return status


if __name__ == "__main__":
    sys.exit(main())
