"""Numbers that documents take from the committed tables: quoted right, and within what was promised."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cycles(label: str, column: int = 0) -> str:
    """A number of a row of benchmarks/m0_cycles.md, the first unless told; -1: the last."""
    table = (ROOT / "benchmarks" / "m0_cycles.md").read_text()
    row = re.search(rf"^\| {re.escape(label)} \| ([\d.]+(?: B)?(?: \| [\d.]+(?: B)?)*)", table, re.MULTILINE)
    assert row is not None, label
    return row[1].split(" | ")[column].removesuffix(" B")


def on_pico(label: str) -> int:
    """What the emulated Pico with our UF2 needs, by benchmarks/boards.md."""
    table = (ROOT / "benchmarks" / "boards.md").read_text()
    row = re.search(rf"^\| {re.escape(label)} \| ([\d,]+) \|", table, re.MULTILINE)
    assert row is not None, label
    return int(row[1].replace(",", ""))


def millions(label: str, column: int) -> str:
    return f"{int(cycles(label, column)) / 1e6:.2f}"


def test_readme_quotes_the_cycle_table() -> None:
    readme = (ROOT / "README.md").read_text()
    assert f"takes {int(cycles('MLP 64-32-10')):,} cycles" in readme
    assert f"one of the demo's model {int(cycles('softmax 45-7')):,}" in readme
    assert f"Gaussian noise {float(cycles('pf_noise_fill, a sample')):,.0f}." in readme
    assert f"takes {millions('round: MLP 64-32-10', -1)} million with that MLP" in readme
    assert f"{millions('round: softmax 45-7', -1)} million with the demo's model" in readme
    assert f"{millions('round: softmax 45-7', 2)} million are the motion features" in readme


def test_design_quotes_the_cycle_table() -> None:
    mean, per_product = float(cycles("MLP 64-32-10")), float(cycles("MLP 64-32-10", 1))
    found = re.search(r"([\d,]+) for the ([\d,]+) products of an MLP 64-32-10", (ROOT / "DESIGN.md").read_text())
    assert found is not None
    floor, products = (int(number.replace(",", "")) for number in found.groups())
    assert floor == 3 * products
    assert abs(mean / products - per_product) < 0.01


def test_design_quotes_what_frozen_weights_in_flash_save() -> None:
    _, ram, image, batch, single = (int(cycles("frozen: output layer", column)) for column in range(5))
    saved = f"{image:,} bytes train the output layer on a Cortex-M0+ instead of {ram:,}, in {single:,} cycles"
    assert f"{saved} an example instead of {batch:,} " in (ROOT / "DESIGN.md").read_text()


def test_cycles_are_within_what_was_promised() -> None:
    assert int(cycles("MLP 64-32-10")) < 27_500
    assert int(cycles("native module: MLP 64-32-10")) < 27_500
    # issue 4: at most 15 % of the 19,872 bytes in which float32 trains all of it
    assert int(cycles("frozen: output layer", 2)) <= 2_980
    assert float(cycles("pf_noise_fill, a sample")) < 1_350
    assert float(cycles("native module: pf_noise_fill, a sample")) < 1_350
    assert int(cycles("round: MLP 64-32-10", -1)) < 9_000_000
    assert int(cycles("pf_features_imu, a window of 100 samples")) < 45_000


def test_readme_and_design_quote_the_counts_on_boards() -> None:
    readme, design = (ROOT / "README.md").read_text(), (ROOT / "DESIGN.md").read_text()
    assert f"{on_pico('MLP 64-32-10: an example'):,} cycles an example" in readme
    whole = on_pico("motion: the whole round")
    arithmetic = on_pico("features imu45, a window of 100 samples") + on_pico("softmax 45-7: an example")
    reading = on_pico("motion: 200 records") - 200 * arithmetic
    assert f"{whole / 1e6:.1f} million ({whole / 125e6:.2f} s) a whole round, the first with its records" in readme
    assert f"{100 * reading / whole:.0f} % of it" in readme
    mlp = on_pico("blocks: the whole round")
    features = 200 * on_pico("features blocks, a window of 100 samples")
    reading = on_pico("blocks: 200 records") - features - 200 * on_pico("MLP 64-32-10: an example")
    others = on_pico("blocks: weights from flash") + on_pico("blocks: charge and update")
    assert f"an MLP 60-32-10 takes {mlp / 1e6:.1f} million ({mlp / 125e6:.2f} s), which misses the 9 million" in readme
    assert f"{features / 1e6:.1f} million of features, at least {reading / 1e6:.1f} million to read" in readme
    assert f"{others / 1e6:.1f} million for weights, ledger and update" in readme
    shared = on_pico("masked: key shared with the helper, once")
    assert f"{shared / 1e6:.1f} million ({shared / 125e6:.2f} s), once" in readme
    behind = on_pico("masked: charge and update")
    assert f"with 10,043 parameters {behind / 1e6:.1f} million ({behind / 125e6:.2f} s)" in readme
    hashed, mask = on_pico("BLAKE2b of 10,043 masked fields"), on_pico("mask of 10,043 parameters")
    assert f"{mask / 1e6:.1f} million cycles" in design
    assert f"hash of the masked fields {hashed / 1e6:.1f} million" in design


def test_counts_on_boards_are_within_what_was_promised() -> None:
    assert on_pico("a noise sample") < 2_000
    assert on_pico("MLP 64-32-10: noise and 200 examples") < 9_000_000
    assert on_pico("motion: the whole round") < 19_000_000  # the first of its record store
    # 9 million are wanted, which README.md and the document say is missed
    assert on_pico("blocks: the whole round") < 15_800_000
    document = (ROOT / "benchmarks" / "boards.md").read_text()
    whole = f"{on_pico('blocks: the whole round'):,}"
    assert f"| a whole round, MLP 60-32-10, as shipped | {whole} | - | 9,000,000 |" in document
    assert on_pico("masked: key shared with the helper, once") < 0.3 * 125e6
    sizes = (ROOT / "benchmarks" / "sizes.md").read_text()
    code = re.search(r"^\| both, with functions for MicroPython \| (\d+) \|", sizes, re.MULTILINE)
    assert code is not None and int(code[1]) < 20_000


def test_readme_quotes_the_benchmark() -> None:
    readme, page = (ROOT / "README.md").read_text(), (ROOT / "docs" / "benchmark-ftte.md").read_text()
    for epsilon, quote, soon in (
        ("inf", "{} less memory on boards and {} less payload without privacy", "{} less time without privacy"),
        ("8", "{} and {} less at epsilon 8", "{} less at epsilon 8; not every"),
    ):
        row = re.search(rf"^\| 500 clients, 90% stragglers, iid, epsilon {epsilon} \|(.*)$", page, re.MULTILINE)
        assert row is not None
        cells = [cell.strip() for cell in row[1].split("|")]
        memory, payload = (re.fullmatch(r"([\d.]+)%: met", cell) for cell in cells[2:4])
        mean = re.fullmatch(r"([\d.]+)%", cells[4])
        assert memory is not None and payload is not None and mean is not None
        assert quote.format(f"{memory[1]} %", f"{payload[1]} %") in readme
        assert soon.format(f"{mean[1]} %") in readme
    # "ends above FedAvg's and FedBuff's", "at least 85 % less time in all four settings"
    parts = page.split("\n## 500 clients")[1:]
    assert len(parts) == 4
    for part in parts:
        ends = {
            rule: float(re.search(rf"^\| {re.escape(rule)} \| 5 \| ([\d.]+)", part, re.MULTILINE)[1])  # type: ignore[index]
            for rule in ("FTTE-style", "FedAvg, float32, waits for all", "FedBuff")
        }
        mine, base, buffered = ends.values()
        assert mine > base and mine > buffered
    targets = page.partition("\n## Targets\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| 500 clients, 90% stragglers, (?:iid|dirichlet:0.1), .*$", targets, re.MULTILINE)
    assert len(rows) == 4
    assert all(float(row.split("|")[6].strip(" %")) >= 85 and row.count("**missed**") <= 1 for row in rows)
