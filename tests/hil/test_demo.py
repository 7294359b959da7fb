"""The demo as its user runs it: on emulated boards, whole, with the numbers that README.md quotes."""

from __future__ import annotations

import json
import re
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commandline import program
from picofed import report
from picofed.demo import baselines, recipe
from picofed.demo.run import Settings, deal, plan_for
from picofed.learn.simulate import simulate
from picofed.toolchain.layout import repo_root

pytestmark = pytest.mark.slow

picofed = partial(program, timeout=600)
MIXED = "rpi_pico=2,qemu_m3=2,qemu_rv32=2,unix=2"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which `picofed demo` ran with its defaults."""
    folder = tmp_path_factory.mktemp("demo")
    result = picofed("demo", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "accuracy on people never seen" in result.stdout
    assert "Traceback" not in result.stderr
    return folder


@pytest.fixture(scope="module")
def summary(demo: Path) -> dict[str, Any]:
    item: dict[str, Any] = json.loads((demo / "build/demo/summary.json").read_text())
    report.validate(item)
    return item


def test_summary_has_what_scripts_need(summary: dict[str, Any]) -> None:
    wanted = (
        "boards rounds accuracy accuracy_nonprivate accuracy_float accuracy_majority epsilon delta bytes_per_update "
        "bytes_per_update_float32 ram_bytes"
    )
    assert set(wanted.split()) <= set(summary)
    assert (summary["boards"], summary["rounds"], summary["delta"]) == (8, 20, 1e-5)
    assert summary["epsilon"] == max(board["epsilon_spent"] for board in summary["board_list"]) <= 8
    assert sum(map(sum, summary["confusion"]["counts"])) == 557  # windows of the two who took no part


def test_privacy_costs_no_more_than_promised(summary: dict[str, Any]) -> None:
    """On people never seen, means over seeds: epsilon 8 within 3 points of no privacy, epsilon 1 within 8."""
    accuracy = {point["epsilon"]: point["accuracy"] for point in summary["curve"]}
    free = summary["accuracy_nonprivate"]
    assert accuracy[None] == free
    assert abs(free - summary["accuracy_float"]) <= 0.01
    assert free >= 0.80
    assert accuracy[8.0] >= free - 0.03
    assert accuracy[1.0] >= free - 0.08
    assert summary["accuracy"] >= free - 0.03


def test_updates_are_small_and_fit_a_small_board(summary: dict[str, Any]) -> None:
    assert summary["bytes_per_update"] <= 0.2 * summary["bytes_per_update_float32"]
    assert summary["ram_bytes"] <= 200_000


@pytest.mark.parametrize("fleet", [None, MIXED])
def test_boards_and_simulator_send_the_same_bytes(fleet: str | None, demo: Path, tmp_path: Path) -> None:
    """Whatever the boards are: a mixed fleet sends what the all-unix one sends."""
    settings = Settings()
    people = deal(settings)
    job, plan = plan_for(settings, people)
    run = simulate(job, plan, baselines.boards(job, plan, people.clients, settings.entropy))
    simulated = {(update.board, update.seq): update.data for update in run.store.updates(job.id, None)}
    if fleet is not None:
        result = picofed("demo", "--no-curve", "--fleet", fleet, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        demo = tmp_path
    with sqlite3.connect(demo / "build/demo/site/store.db") as database:
        sent = {(board, seq): data for board, seq, data in database.execute("SELECT board, seq, object FROM updates")}
        versions = dict(database.execute("SELECT number, released FROM version"))
    assert len(sent) == 8 * 20
    assert sent == simulated
    assert versions == {version.number: version.released for version in run.versions}


def test_report_is_one_page_that_loads_nothing(demo: Path) -> None:
    page = (demo / "build/demo/report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", page)


def test_readme_quotes_this_run(summary: dict[str, Any]) -> None:
    readme = (repo_root() / "README.md").read_text()
    saved = 1 - summary["bytes_per_update"] / summary["bytes_per_update_float32"]
    curve = " | ".join(
        f"{point['accuracy']:.3f}" + (f" ± {point['accuracy_sd']:.3f}" if point["accuracy_sd"] is not None else "")
        for point in summary["curve"]
    )
    for row in (
        f"for each board | {summary['accuracy']:.3f} |",
        f"in fixed point / in float | {summary['accuracy_nonprivate']:.3f} / {summary['accuracy_float']:.3f} |",
        f"most frequent exercise | {summary['accuracy_majority']:.3f} |",
        f"| accuracy | {curve} |",
        f"(seed {recipe.SEED};",
    ):
        assert row in readme, row
    # The ids of requests are random, and so is whether one of their bytes needs an escape.
    quoted = re.search(r"as float32 \| (\d+); 1,288 \(([\d.]+) % saved\)", readme)
    assert quoted is not None
    assert abs(int(quoted[1]) - summary["bytes_per_update"]) <= 2
    assert abs(float(quoted[2]) / 100 - saved) <= 0.002
    # What a conservative collector finds in use differs by a few kilobytes from run to run.
    heap = re.search(r"\| under (\d+) kB, of which training ([\d.]+) kB \|", readme)
    assert heap is not None
    assert summary["ram_bytes"] < 1000 * int(heap[1]) <= 1.2 * summary["ram_bytes"]
    assert float(heap[2]) == round(min(summary["ram"].values()) / 1000, 1)


def test_readme_quotes_the_cross_validation() -> None:
    readme = (repo_root() / "README.md").read_text()
    result = picofed("demo", "--cross-validate", "--json", cwd=repo_root())
    assert result.returncode == 0, result.stderr
    means = json.loads(result.stdout)
    assert len(means["folds"]) == 10
    quoted = (
        f"{means['accuracy']:.3f} at epsilon 8, {means['accuracy_nonprivate']:.3f} without privacy, "
        f"{means['accuracy_float']:.3f} in float, {means['accuracy_majority']:.3f} by majority"
    )
    assert quoted in readme, quoted


@pytest.mark.parametrize("options", [("--aggregator", "fedbuff"), ("--model", "mlp")])
def test_other_ways_to_learn(options: tuple[str, str], tmp_path: Path) -> None:
    """FedBuff takes updates as they come; an MLP is deeper. Both learn far more than the majority baseline knows."""
    result = picofed("demo", *options, "--no-curve", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["rounds"] == 20
    assert summary["accuracy"] >= 0.7
    assert summary["epsilon"] <= 8


def test_a_head_on_filters_from_volunteers(tmp_path: Path) -> None:
    """Two wearers and four rounds are enough to see that boards learn from raw windows, and what they are held to."""
    options = ("--model", "convolution", "--boards", "2", "--rounds", "4")
    result = picofed("demo", *options, "--no-curve", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["held_out"] == ["person-0", "person-1"] and summary["epsilon"] <= 8
    assert summary["accuracy"] > summary["accuracy_majority"] + 0.2
    assert summary["accuracy_float_network"] > summary["accuracy_majority"] + 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--boards", "9"), "choose --boards from 1 to 8"),
        (("--boards", "3", "--fleet", "unix=3"), "--fleet"),
        (("--fleet", "unix=many"), "KIND=N"),
        (("--fleet", "abacus=2"), "abacus"),
        (("--epsilon", "0"), "0"),
        (("--rounds", "100000000"), "rounds"),
        (("--output", "/dev/null/demo"), "/dev/null/demo"),
        (("--model", "transformer"), "transformer"),
    ],
)
def test_mistakes_are_one_line_and_status_2(options: tuple[str, str], words: str, tmp_path: Path) -> None:
    result = picofed("demo", "--no-curve", *options, cwd=tmp_path)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("picofed: ")]
    assert len(lines) == 1 and words in lines[0], result.stderr
    assert "Traceback" not in result.stderr
