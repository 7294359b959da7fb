"""Numbers that README.md takes from the committed cycle table: quoted right, and within what was promised."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cycles(label: str) -> str:
    """The first number of a row of benchmarks/m0_cycles.md."""
    table = (ROOT / "benchmarks" / "m0_cycles.md").read_text()
    row = re.search(rf"^\| {re.escape(label)} \| ([\d.]+) \|", table, re.MULTILINE)
    assert row is not None, label
    return row[1]


def test_readme_quotes_the_cycle_table() -> None:
    readme = (ROOT / "README.md").read_text()
    assert f"takes {int(cycles('MLP 64-32-10')):,} cycles" in readme
    assert f"one of the demo's model {int(cycles('softmax 45-7')):,}" in readme
    assert f"Gaussian noise {float(cycles('pf_noise_fill, a sample')):,.0f}." in readme


def test_cycles_are_within_what_was_promised() -> None:
    assert int(cycles("MLP 64-32-10")) < 30_000
    assert float(cycles("pf_noise_fill, a sample")) < 2_300
