"""The benchmark of aggregation rules: its fleets, its numbers, its cache, and a small run of all of it."""

import contextlib
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bench_world import FEW, PLAIN, SMALL, result
from click.testing import CliRunner
from picofed.bench import document, driver, figure, fleets, measure, parts, public
from picofed.bench.cache import Cache, CacheError
from picofed.bench.settings import FULL, QUICK, SEARCH_SEED, VARIANTS, Run, Setting, searched, searches, settings, trial
from picofed.bench.trial import identity, perform
from picofed.cli import cli
from picofed.errors import PicofedError
from picofed.learn.evaluate import forward
from picofed.learn.model import Model, quantise
from picofed.simulation.api import prepare, run
from picofed.simulation.dataset import Pool
from scipy import stats


def test_intervals_are_students() -> None:
    assert pytest.approx([stats.t.ppf(0.975, n + 1) for n in range(9)], abs=5e-4) == measure.STUDENT
    middle, half = measure.interval([1.0, 2.0, 4.0])
    low, high = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1.0, 2.0, 4.0]))
    assert (middle - (half or 0), middle + (half or 0)) == pytest.approx((low, high), rel=1e-3)
    assert measure.interval([3.0]) == (3.0, None)


def test_ratios_are_of_the_time_to_what_fedavg_ends_with() -> None:
    base = {1: result([0, 100, 200], [0.1, 0.5, 0.9]), 2: result([0, 100, 200], [0.1, 0.8, 0.8])}
    mine = {1: result([0, 10, 50], [0.1, 0.89, 0.95], 5), 2: result([0, 10, 50], [0.1, 0.2, 0.8], 5)}
    item = measure.compare(mine, base)
    assert item is not None
    assert item["time_to_target"] == 50 and item["time_to_target_ratio"] == pytest.approx((50 / 200 + 50 / 100) / 2)
    assert item["time_to_near_ratio"] == pytest.approx((10 / 200 + 50 / 100) / 2)
    assert item["payload_ratio"] == item["memory_ratio"] == 0.05
    worse = mine | {2: result([0, 10, 50], [0.1, 0.2, 0.79])}
    item = measure.compare(worse, base)
    assert item is not None
    assert item["time_to_target_ratio"] is None and item["target_reached"] == 1 and item["near_reached"] == 2
    assert measure.compare({3: mine[1]}, base) is None


def test_mean_curves_are_the_mean_at_every_time() -> None:
    base = {1: result([0, 100, 200], [0.1, 0.5, 0.9]), 2: result([0, 100, 200], [0.1, 0.8, 0.8])}
    mine = {1: result([0, 10, 50], [0.1, 0.7, 0.9]), 2: result([0, 20, 60], [0.1, 0.7, 0.84])}
    item = measure.compare(mine, base)  # 0.85 is the goal; at 60 seconds the mean is 0.87
    assert item is not None
    assert item["mean_time_to_target"] == 60 and item["mean_time_to_target_ratio"] == pytest.approx(60 / 200)
    less = measure.compare(mine | {2: result([0, 20], [0.1, 0.79])}, base)
    assert less is not None and less["mean_time_to_target_ratio"] is None


def test_what_ends_flat_reaches_its_own_end() -> None:
    levels = [n / 990 for n in range(900, 990)]
    assert any(float(np.mean([level] * 5)) > level for level in levels)
    for level in levels:
        run = result([0, 1, 2, 3, 4, 5], [0.1] + [level] * 5)
        assert measure.reach(run, float(np.mean([level] * 5))) == 1
        assert measure.reach(run, level + 0.0005) is None


def test_verdicts_are_the_targets() -> None:
    row = {
        "time_to_target_ratio": {"ftte": 0.15},
        "memory_ratio": {"ftte": 0.16},
        "payload_ratio": {"ftte": 0.05},
        "accuracy": {"ftte": 0.8, "fedbuff": 0.8},
    }
    met = {"time_to_target_ratio": True, "memory_ratio": False, "payload_ratio": True, "accuracy": True}
    assert measure.verdicts(row) == met
    assert not measure.verdicts(row | {"time_to_target_ratio": {"ftte": None}})["time_to_target_ratio"]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_stragglers_are_the_share_asked_for_and_slow_in_both(share: float) -> None:
    kinds = fleets.boards(Setting(100, share, "iid", 8.0)).profiles
    slow = [kind for kind in kinds if kind.straggler_factor >= fleets.SLOWER]
    assert len(slow) == round(share * len(kinds))
    fast = [kind for kind in kinds if kind not in slow]
    assert max(kind.link_bytes_per_second for kind in slow) < min(kind.link_bytes_per_second for kind in fast)
    assert all(
        kind.cycles_per_noise_sample == 0 for kind in fleets.boards(Setting(100, share, "iid", math.inf)).profiles
    )


@pytest.mark.parametrize("split", ["iid", "dirichlet:0.1"])
def test_clients_are_held_out_whole_and_the_same_whatever_the_fleet(split: str) -> None:
    few, held = fleets.population(QUICK, Setting(10, 0.9, split, 8.0), 1)
    more, again = fleets.population(QUICK, Setting(20, 0.9, split, 8.0), 1)
    assert (len(few), len(more), len(held)) == (10, 20, QUICK.held_out)
    assert held.names == again.names and np.array_equal(held.features, again.features)
    assert not set(more.names) & set(held.names)
    with pytest.raises(PicofedError, match="has records for"):
        fleets.population(QUICK, Setting(500, 0.9, split, 8.0), 1)


def test_memory_of_floats_is_the_documented_formula() -> None:
    parameters = Model.dense((64, 128, 10)).parameters
    assert fleets.float_bytes(False) == 4 * (2 * parameters + 64 + 128 + 10 + 128 + 10)
    assert fleets.float_bytes(True) - fleets.float_bytes(False) == 4 * parameters


def test_the_search_is_the_same_for_all_and_on_a_seed_of_its_own() -> None:
    runs = list(searches(FULL, settings(FULL), VARIANTS))
    by_name = {v.name: [(run.setting, run.hyper) for run in runs if run.variant == v] for v in VARIANTS}
    assert len({json.dumps(found, default=str) for found in by_name.values()}) == 1
    assert not {run.seed for run in runs} & set(FULL.seeds)
    assert settings(FULL)[: len(FULL.headline)] == [one for one in settings(FULL) if one in FULL.headline]


def test_six_trials_try_everything() -> None:
    for six in ([trial(n) for n in range(6)], [trial(n) for n in range(6, 12)]):
        assert {hyper.capacity for hyper in six} == {0.5, 0.9} and {hyper.decay for hyper in six} == {0.5, 1.0}
        assert {hyper.finer for hyper in six} == {1, 2, 3}
        for name, low, high in (("adam", 0.02, 0.2), ("sgd", 0.1, 2.0)):
            mine = [hyper for hyper in six if hyper.optimiser == name]
            assert {hyper.momentum for hyper in mine} == {0.0, 0.5, 0.9}
            thirds = [3 * math.log(hyper.rate / low) / math.log(high / low) for hyper in mine]
            assert sorted(int(third) for third in thirds) == [0, 1, 2]


def test_proxies_are_what_the_first_weights_do_not_know() -> None:
    pool = public.public("mnist:8")
    assert np.array_equal(public.transposed(public.transposed(pool)).features, pool.features)
    image, turned = pool.features[5].reshape(8, 8), public.transposed(pool).features[5].reshape(8, 8)
    assert np.array_equal(image.T, turned) and not np.array_equal(image, turned)


def test_altered_digits_are_moved_by_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = public.public("mnist:8")
    other = public.altered(pool, 1)
    assert np.array_equal(other.labels, pool.labels) and other.features.min() >= 0
    assert not np.array_equal(other.features, public.altered(pool, 2).features)
    assert other.features.sum() < 0.6 * pool.features.sum()  # smaller and fainter
    still = {"SMALLER": (1.0, 1.0), "ASPECT": 0.0, "TURN": 0.0, "SHEAR": 0.0, "SHIFT": 0.0, "FAINTER": (1.0, 1.0)}
    for name, value in still.items():
        monkeypatch.setattr(public, name, value)
    assert np.array_equal(public.altered(pool, 1).features, pool.features)
    few = Pool(pool.features[:9], pool.labels[:9])
    turned = few
    monkeypatch.setattr(np, "cos", lambda angle: 0 * angle)
    monkeypatch.setattr(np, "sin", lambda angle: 0 * angle + 1)
    for _ in range(4):
        turned = public.altered(turned, 1)  # a quarter turn each
    assert np.array_equal(turned.features, few.features)
    quarter = public.altered(few, 1).features.reshape(-1, 8, 8)
    assert np.array_equal(quarter, np.rot90(few.features.reshape(-1, 8, 8), 1, (1, 2))) or np.array_equal(
        quarter, np.rot90(few.features.reshape(-1, 8, 8), -1, (1, 2))
    )


@pytest.mark.slow
def test_subset_fits_and_is_better_than_none() -> None:
    model, start = fleets.chosen_subset(QUICK, False)
    assert fleets.bytes_of(model, False, False) <= QUICK.memory * fleets.float_bytes(False)
    assert 0 < len(model.trainable) < model.parameters / 4
    whole = fleets.bytes_of(Model.dense(public.WIDTHS), False, False)
    assert whole > 2 * fleets.bytes_of(model, False, False)
    pool = public.altered(public.public(QUICK.data), 99)  # in no set that the weights were made of
    outputs = forward(public.WIDTHS, start, pool.features / 128)[-1]
    assert (outputs.argmax(axis=1) == pool.labels).mean() > 0.35


def test_turns_are_all_of_the_model_in_the_memory_of_a_subset() -> None:
    turns = fleets.turns(FULL, False)
    where = np.sort(np.concatenate([model.trainable for model in turns]))
    assert np.array_equal(where, np.arange(Model.dense(public.WIDTHS).parameters))
    limit = FULL.memory * fleets.float_bytes(False)
    assert limit / 2 < max(fleets.bytes_of(model, False, False) for model in turns) <= limit


@pytest.mark.slow
def test_a_run_in_turns_is_one_curve_and_one_budget() -> None:
    scale = replace(SMALL, rounds=(6, 6))
    by_name = {variant.name: variant for variant in VARIANTS}
    whole = perform(Run(scale, PLAIN, by_name["ftte"], trial(0), 1))
    single = perform(Run(scale, PLAIN, by_name["no-turns"], trial(0), 1))
    assert whole["turns"] == len(fleets.turns(scale, False)) and single["turns"] == 1
    assert whole["trainable"] < Model.dense(public.WIDTHS).parameters / 4
    for name in ("seconds", "joules", "bytes_up", "bytes_down", "total"):
        values = whole["curve"][name]
        assert values[0] == 0 and all(a <= b for a, b in pairwise(values))
    assert 0.5 < whole["updates"] / single["updates"] < 1.2  # the same rounds, less what a turn's end interrupts
    private = replace(PLAIN, epsilon=8.0)
    results = [perform(Run(scale, private, by_name[name], trial(0), 1)) for name in ("ftte", "no-turns")]
    assert results[0] == results[1] and results[0]["epsilon"] <= 8  # with privacy there is one turn


def test_results_are_known_by_all_that_they_depend_on() -> None:
    run = Run(QUICK, PLAIN, FEW[2], trial(0), 1)
    others = [
        replace(run, seed=2),
        replace(run, hyper=trial(1)),
        replace(run, variant=FEW[1]),
        replace(run, setting=replace(PLAIN, epsilon=8.0)),
        replace(run, scale=replace(QUICK, memory=0.1)),
    ]
    assert len({identity(one) for one in [run, *others]}) == 1 + len(others)
    assert identity(replace(run, scale=replace(QUICK, seeds=(1,)))) == identity(run)


def test_a_file_that_is_no_cache_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bench.db").write_text("this is not a database, and long enough to be seen to be none" * 20)
    with pytest.raises(CacheError, match="choose another file"):
        Cache(tmp_path / "bench.db")


@pytest.mark.slow
def test_floats_are_charged_for_and_codes_are_not() -> None:
    by_name = {variant.name: perform(Run(SMALL, PLAIN, variant, trial(0), 1)) for variant in VARIANTS[:3]}
    parameters = Model.dense(public.WIDTHS).parameters
    floats, coded = by_name["fedavg"], by_name["fedavg-coded"]
    assert floats["update_bytes"] == 40 + 4 * parameters + 16
    assert floats["curve"]["bytes_down"][-1] == 3 * 10 * (16 + 4 * parameters)
    assert coded["update_bytes"] < floats["update_bytes"] / 4
    assert coded["curve"]["seconds"][-1] < floats["curve"]["seconds"][-1]
    assert coded["updates"] == SMALL.cheap * floats["updates"]  # more rounds, and still less energy
    assert coded["curve"]["joules"][-1] < floats["curve"]["joules"][-1]
    assert fleets.memory(SMALL, VARIANTS[0], False) == fleets.float_bytes(False)
    turns, subset = (fleets.memory(QUICK, variant, private) for variant in FEW[2:] for private in (False, True))
    assert 0 < subset != turns <= QUICK.memory * fleets.float_bytes(False)


@pytest.mark.slow
def test_what_was_stopped_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    def through(cache: Cache, minutes: float | None = None) -> bool:
        return driver.run(SMALL, [PLAIN], FEW, cache, minutes=minutes)

    path = tmp_path / "bench.db"
    cache = Cache(path)
    assert not through(cache, 0)
    cache.close()
    runs = [Run(SMALL, PLAIN, variant, trial(0), 1) for variant in FEW]
    alone = {run.variant.name: perform(run) for run in runs}
    cache = Cache(path)
    assert through(cache)
    assert {run.variant.name: cache.get(run) for run in runs} == json.loads(json.dumps(alone))
    cache.close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT COUNT(*) FROM run").fetchone() == (6,)
        database.execute("UPDATE run SET result = json_set(result, '$.accuracy', 0.5)")
    cache = Cache(path)
    assert through(cache)  # nothing is run again: the changed results stay
    assert [found["accuracy"] for run in runs if (found := cache.get(run))] == [0.5] * 3
    rows = measure.summary(SMALL, [PLAIN], FEW, cache)
    page = tmp_path / "page.md"
    page.write_text(f"Words by hand.\n\n{document.MARK}\nold tables\n")
    document.write(page, SMALL, settings(SMALL), FEW, rows, cache)
    text = page.read_text()
    assert text.startswith("Words by hand.") and "old tables" not in text and "FTTE-style" in text
    ET.parse(next(tmp_path.glob("*.svg")))
    cache.close()


@pytest.mark.slow
def test_quick_prints_json() -> None:
    done = CliRunner().invoke(cli, ["bench", "ftte", "--quick", "--clients", "10", "--seeds", "1", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["complete"] and {row["epsilon"] for row in found["settings"]} == {None, 8.0}
    for row in found["settings"]:
        for name in ("time_to_target_ratio", "memory_ratio", "payload_ratio", "accuracy"):
            assert set(row[name]) == {variant.name for variant in VARIANTS}
            assert row[name]["fedavg"] == (row["target"] if name == "accuracy" else 1.0)
        assert row["payload_ratio"]["ftte"] < row["payload_ratio"]["no-subset"] < 0.2
        assert row["memory_ratio"]["ftte"] < row["memory_ratio"]["no-subset"]
        assert all(item["epsilon"] == row["epsilon"] or item["epsilon"] <= 8 for item in row["aggregators"].values())


def running() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process that has not ended."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(folder.name)] = int(parent), (folder / "cmdline").read_text()
    return found


def workers_of(process: int) -> list[int]:
    """Processes that a pool has started for another."""
    return [pid for pid, (parent, command) in running().items() if parent == process and "spawn_main" in command]


def waited(holds: Callable[[], object]) -> object:
    """What becomes true sooner or later; two minutes are for a machine that is busy with something else."""
    until = time.monotonic() + 120
    while not (found := holds()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_workers_end_with_the_process_that_started_them(how: signal.Signals) -> None:
    """They hold its output open too: whoever reads it would wait as long as they live."""
    command = [
        Path(sys.executable).with_name("picofed"),
        "bench",
        "ftte",
        "--quick",
        "--clients",
        "20",
        "--workers",
        "2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found: list[int] = []
    try:
        assert waited(lambda: len(workers_of(process.pid)) == 2 or process.poll() is not None)
        found = workers_of(process.pid)
        assert len(found) == 2, process.communicate()[0]
        process.send_signal(how)
        process.communicate(timeout=120)
        assert process.returncode == -how
        assert waited(lambda: not running().keys() & set(found))
        found = []
    finally:
        process.kill()
        for worker in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def test_a_page_that_cannot_be_written_is_known_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*words: object, **options: object) -> bool:
        raise AssertionError("it has run")

    monkeypatch.setattr(driver, "run", never)
    (tmp_path / "picture.md").write_bytes(bytes([0x89, 0xFF, 0xFE]))
    for page, words in (("no/such/page.md", "no such folder"), ("picture.md", "no page of text")):
        done = CliRunner().invoke(cli, ["bench", "ftte", "--quick", "--document", str(tmp_path / page)])
        assert isinstance(done.exception, PicofedError) and words in str(done.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.md"]


def test_runs_are_listed_no_further_than_time_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred thousand trials a rule, after the time: one is looked at. They are those of the search."""
    scale = replace(SMALL, trials=4)
    wanted = [Run(scale, searched(PLAIN, scale), rule, trial(n), SEARCH_SEED) for rule in FEW for n in range(4)]
    assert list(searches(scale, [PLAIN], FEW)) == wanted
    asked = 0
    real = Cache.get

    def counted(self: Cache, run: Run) -> object:
        nonlocal asked
        asked += 1
        return real(self, run)

    monkeypatch.setattr(Cache, "get", counted)
    many, cache = replace(SMALL, trials=100_000), Cache(None)
    assert not driver.run(many, [PLAIN], FEW, cache, minutes=0)
    assert measure.summary(many, [PLAIN], FEW, cache) == []
    assert asked < 20
    cache.close()


@pytest.mark.parametrize("words", [["--clients", "7"], ["--seeds", "9"], ["--epsilon", "3"]])
def test_what_the_grid_does_not_have_is_one_line(words: list[str]) -> None:
    done = CliRunner().invoke(cli, ["bench", "ftte", *words])
    assert isinstance(done.exception, PicofedError) and "grid" in str(done.exception)


def test_picture_is_well_formed() -> None:
    curves = {name: [(0.0, 0.1), (10.0, 0.5), (1000.0, 0.9)] for name in figure.LINES}
    root = ET.fromstring(figure.picture("<title> & more", curves, dict.fromkeys(curves, "words"), 0.8))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_simulations_start_from_the_weights_that_a_plan_names(tmp_path: Path) -> None:
    weights = np.linspace(-1, 1, Model.dense((64, 10)).parameters)
    np.save(tmp_path / "start.npy", weights)
    setup = prepare("digits", clients=4, epsilon=None, rounds=1, learning_rate=1e-9, start=str(tmp_path / "start.npy"))
    assert run(setup, workers=1).weights == quantise(weights).tobytes()


def test_what_a_part_is_worth() -> None:
    """The mean of differences seed by seed, with its interval; seeds that only one of the two has do not count."""
    cache = Cache(None)
    two = replace(SMALL, seeds=(1, 2, 3), stragglers=(0.9, 0.6))
    ends = {"ftte": (0.9, 0.8, 0.1), "no-age": (0.85, 0.81), "no-subset": (0.7,)}
    for variant in parts.variants(private=False):
        cache.put(Run(two, searched(PLAIN, two), variant, trial(0), SEARCH_SEED), result([0.0], [0.5]))
        for seed, accuracy in enumerate(ends.get(variant.name, ()), start=1):
            cache.put(Run(two, PLAIN, variant, trial(0), seed), result([0.0], [accuracy]))
    rows = parts.summary(two, settings(two), cache)
    assert [row["setting"] for row in rows] == [PLAIN.key] and rows[0]["accuracy"] == pytest.approx(60)
    found = rows[0]["parts"]
    assert set(found) == {"no-age", "no-subset"} and (rows[0]["seeds"], found["no-age"]["seeds"]) == (1, 2)
    middle, half = measure.interval([5.0, -1.0])
    assert (found["no-age"]["points"], found["no-age"]["half"]) == pytest.approx((middle, half))
    assert found["no-subset"] == {"seeds": 1, "points": pytest.approx(20), "half": None}
    line = parts.table(rows)[-1]
    assert line == f"| {PLAIN.key} | 1 | 60.0 | +2.0 ± {half:.1f} | - | - | - | +20.0 |"
    sure = {"points": -3.0, "half": 1.0, "seeds": 2}
    other = {**rows[0], "setting": "another", "parts": {"no-age": sure}}
    assert parts.means([*rows, other])[-1] == "| 10 | inf | 2 | -0.5 (0 up, 1 down) | - | - | - | +20.0 |"


@pytest.mark.slow
def test_parts_run_and_have_a_page(tmp_path: Path) -> None:
    page, path = tmp_path / "parts.md", tmp_path / "bench.db"
    page.write_text(f"Words by hand.\n\n{document.MARK}\nold tables\n")
    command = ["bench", "parts", "--quick", "--clients", "10", "--seeds", "1", "--trials", "1", "--results", str(path)]
    done = CliRunner().invoke(cli, [*command, "--document", str(page), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["complete"] and [set(row["parts"]) for row in found["settings"]] == [
        {"no-age", "no-variance", "no-moments", "no-turns", "no-subset"},
        {"no-age", "no-variance", "no-moments", "no-subset"},
    ]
    scale, by_name = replace(QUICK, trials=1), {variant.name: variant for variant in VARIANTS}
    cache = Cache(path)
    ends = {}
    for name in ("ftte", "no-subset"):
        ran = cache.get(Run(scale, PLAIN, by_name[name], trial(0), FULL.seeds[0]))
        assert ran is not None
        ends[name] = 100 * ran["accuracy"]
    cache.close()
    row = next(row for row in found["settings"] if row["epsilon"] is None)
    assert row["parts"]["no-subset"]["points"] == pytest.approx(ends["ftte"] - ends["no-subset"])
    text = page.read_text()
    assert text.startswith("Words by hand.") and "old tables" not in text and PLAIN.key in text
    assert "2 of 4 settings of the grid." in text
