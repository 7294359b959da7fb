"""Runs of the benchmark that are kept in a file: the same pages, the same runs again, and files of something else."""

from __future__ import annotations

import json
import lzma
import math
from dataclasses import replace
from pathlib import Path

import pytest
from bench_world import PLAIN, SMALL, result
from click.testing import CliRunner
from picofed.bench import document, driver, kept, measure
from picofed.bench.cache import Cache
from picofed.bench.settings import QUICK, SEARCH_SEED, VARIANTS, Run, searched, settings, trial
from picofed.bench.trial import perform
from picofed.cli import cli
from picofed.errors import PicofedError


def test_what_is_kept_in_a_file_makes_the_same_page(tmp_path: Path) -> None:
    """Trials and runs, with curves of any length; what a cache knows already stays."""
    cache, page, path = Cache(None), tmp_path / "page.md", tmp_path / "runs.jsonl.xz"
    for variant in VARIANTS:
        cache.put(Run(SMALL, searched(PLAIN, SMALL), variant, trial(0), SEARCH_SEED), result([0.0], [0.5]))
        mine = result([0.0, 1.0 / 3, 70.0 / 11], [0.1, 100 / 997, 2 / 3]) | {"turns": 1}
        cache.put(Run(SMALL, PLAIN, variant, trial(0), 1), mine)

    def written(cache: Cache) -> str:
        rows = measure.summary(SMALL, settings(SMALL), VARIANTS, cache)
        document.write(page, SMALL, settings(SMALL), VARIANTS, rows, cache)
        return page.read_text()

    before = written(cache)
    assert kept.keep(path, SMALL, settings(SMALL), VARIANTS, cache) == 2 * len(VARIANTS)
    other = Cache(tmp_path / "other.db")
    run = Run(SMALL, PLAIN, VARIANTS[0], trial(0), 1)
    assert kept.take(path, other) == 2 * len(VARIANTS)
    assert driver.run(SMALL, [PLAIN], VARIANTS, other, minutes=0)  # nothing is left to run
    assert written(other) == before
    assert other.get(run) == kept.short(run, cache.get(run) or {}) != cache.get(run)
    other.close()
    other = Cache(tmp_path / "other.db")
    assert other.get(run) is None  # known, and not kept twice
    other.put(run, result([0.0], [0.9]))
    kept.take(path, other)
    assert (other.get(run) or {})["accuracy"] == 0.9
    other.close()
    cache.close()


@pytest.mark.slow
def test_kept_runs_are_done_again(tmp_path: Path) -> None:
    path, scale = tmp_path / "runs.jsonl.xz", replace(QUICK, clients=(10,), epsilons=(math.inf,))
    cache = Cache(None)
    run = Run(scale, searched(PLAIN, scale), VARIANTS[0], trial(0), SEARCH_SEED)
    cache.put(run, perform(run))
    for changed in (False, True):
        if changed:
            cache.put(run, {"accuracy": 0.5})
        kept.keep(path, scale, settings(scale), VARIANTS, cache)
        done = CliRunner().invoke(cli, ["bench", "check", str(path), "--quick", "--json"])
        found = json.loads(done.stdout)["runs"]
        assert [row["same"] for row in found] == [not changed] and found[0]["run"]["rule"] == "fedavg"
        assert done.exit_code == (3 if changed else 0)
    none = CliRunner().invoke(cli, ["bench", "check", str(path)])
    assert isinstance(none.exception, PicofedError) and "no run of such a fleet" in str(none.exception)
    cache.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no xz",
        lzma.compress(b"[]\n"),
        lzma.compress(b'{"id": 3}\n'),
        lzma.compress(b"\xff"),
        lzma.compress(b"{}" * 99)[:-9],
        lzma.compress(b'{"id": "a", "run": {"seed": 11}, "result": {"accuracy": 0.5}}\n'),
        lzma.compress(json.dumps({"id": "a", "run": {"seed": 11}, "result": result([0.0, 1.0], [0.5])}).encode()),
    ],
    ids=["empty", "plain", "list", "no result", "no text", "cut off", "no curve", "uneven curve"],
)
def test_a_file_of_something_else_is_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl.xz"
    path.write_bytes(data)
    done = CliRunner().invoke(cli, ["bench", "ftte", "--quick", "--minutes", "0", "--known", str(path)])
    assert isinstance(done.exception, PicofedError) and str(path) in str(done.exception)
    gone = CliRunner().invoke(cli, ["bench", "ftte", "--quick", "--minutes", "0", "--known", str(tmp_path / "none")])
    assert isinstance(gone.exception, PicofedError) and "cannot read" in str(gone.exception)
