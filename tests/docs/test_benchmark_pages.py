"""The benchmark's pages are what the kept runs give, and the kept runs are what the simulator gives."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from picofed.bench import kept
from picofed.bench.cache import Cache
from picofed.bench.settings import FULL, VARIANTS, settings
from picofed.cli import cli

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
RUNS = ROOT / "benchmarks" / "ftte.jsonl.xz"


@pytest.fixture(scope="module")
def cache() -> Iterator[Cache]:
    found = Cache(None)
    kept.take(RUNS, found)
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ftte", "parts"])
def test_page_and_pictures_are_made_of_the_kept_runs(name: str, tmp_path: Path) -> None:
    page = tmp_path / f"benchmark-{name}.md"
    shutil.copy(DOCS / page.name, page)
    command = ["bench", name, "--minutes", "0", "--known", str(RUNS), "--document", str(page), "--json"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    for made in tmp_path.iterdir():
        assert made.read_text("utf-8") == (DOCS / made.name).read_text("utf-8"), made.name
    pictures = {path.name for path in DOCS.glob("benchmark-ftte-*.svg")} if name == "ftte" else set()
    assert {path.name for path in tmp_path.iterdir()} == {page.name} | pictures


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["fedavg", "fedasync", "fedbuff", "ftte"])
@pytest.mark.parametrize("epsilon", [math.inf, 2.0])
def test_kept_runs_come_out_again(rule: str, epsilon: float, cache: Cache) -> None:
    """One of each rule, of the smallest fleet, which takes seconds; picofed bench check takes any."""
    chosen = [one for one in settings(FULL) if one.clients == min(FULL.clients) and one.epsilon == epsilon]
    variants = [variant for variant in VARIANTS if variant.name == rule]
    run, result = next(
        (run, result)
        for run, result in kept.known(FULL, chosen, variants, cache)
        if run.seed == FULL.seeds[-1] and run.setting.split == FULL.splits[-1]
    )
    assert kept.again(run, result)
