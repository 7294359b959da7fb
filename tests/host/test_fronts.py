"""Records from windows: what enters them, what does not, and jobs that learn without labels."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed import native, records
from picofed.cli.simulate import make_boards
from picofed.demo import baselines
from picofed.errors import PicofedError
from picofed.learn import data, errors, fronts, jobfile
from picofed.learn.clients import Examples
from picofed.learn.errors import measure
from picofed.learn.evaluate import train_float
from picofed.learn.job import Job, JobError
from picofed.learn.simulate import simulate
from picofed.learn.versions import deployed
from picofed.report.simulation import page
from picofed.simulation.api import prepare, run
from picofed.simulation.dataset import DatasetError


def item(**settings: Any) -> dict[str, Any]:
    return {
        "name": "next",
        "records": {"window": 40, "features": "blocks", "block": 5, "target": "next", "horizon": 2, **settings},
        "privacy": {"epsilon": 8.0, "records": 300, "boards": 3},
        "server": {"rounds": 8, "learning_rate": 0.2, "aggregator": "fedavg"},
    }


def swings(seed: int, sessions: int = 12) -> list[records.Session]:
    """Movements of one frequency and any phase: their future follows from their past. Every other has no label."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(sessions):
        time = np.arange(400)[:, None] / 12 + generator.uniform(0, 6.28) + np.arange(6)
        samples = np.sin(time) * 4000 + generator.normal(0, 300, (400, 6))
        found.append(records.Session(np.rint(samples).astype(np.int16), 255 if number % 2 else number % 3))
    return found


def test_a_job_file_says_what_is_foretold() -> None:
    job, _ = jobfile.parse(item())
    assert job.model.widths == (36, 12) and job.model.loss == "squared" and job.labels == 0
    assert Job.parse(job.body) == job
    plain = {"name": "plain", "records": {"window": 40, "labels": 3}, "privacy": item()["privacy"]}
    assert b"target" not in jobfile.parse(plain)[0].body  # jobs of before keep their bytes, and so their ids


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"block": 7}, "whole number of blocks"),
        ({"block": 0}, "whole number of blocks"),
        ({"horizon": 0}, "needs at least 1"),
        ({"horizon": 8}, "leaves none of the 8 blocks"),
        ({"target": "label", "labels": 3}, "belongs to target"),
        ({"target": "former"}, "not known"),
        ({"features": "imu45", "block": 0}, "imu45 has no blocks"),
        ({"window": 130, "block": 10}, "16 to 128"),
        ({"stride": 39}, "overlap"),
    ],
)
def test_what_cannot_be_is_refused_with_its_setting(change: dict[str, Any], words: str) -> None:
    with pytest.raises(JobError, match=words):
        jobfile.parse(item(**change))


def test_a_sample_enters_the_record_of_its_window_and_no_other() -> None:
    """Also a sample that is a target: the neighbour whose past it follows does not know it."""
    job, _ = jobfile.parse(item())
    samples = swings(1)[0].samples.copy()

    def made(changed: np.ndarray[Any, Any]) -> Examples:
        return data.from_sessions([records.Session(changed, 0)], job)

    before = made(samples)
    assert before.targets is not None and len(before.targets) == 10
    for at in range(0, 400, 7):
        other = samples.copy()
        other[at] = 20000
        after = made(other)
        assert after.targets is not None
        moved = (after.features != before.features).any(axis=1) | (after.targets != before.targets).any(axis=1)
        assert np.flatnonzero(moved).tolist() in ([at // 40], [])
        assert moved.any() or at % 40 >= 40 - 10
    hidden = samples.copy()
    hidden[30:40] = -20000  # what is to be foretold: nothing of it may show in the inputs
    assert (made(hidden).features == before.features).all()
    assert (made(hidden).targets != before.targets)[0].all()  # type: ignore[operator, index, union-attr]


@pytest.mark.parametrize("clip", [1, 1000, 200_000])
def test_no_record_moves_a_release_by_more_than_the_clipping_norm(clip: int) -> None:
    job, _ = jobfile.parse(item())
    job = replace(job, clip=clip, log2_sigma=6, round_shift=0)
    samples = (np.random.default_rng(2).integers(0, 2, (400, 6)) * 65535 - 32768).astype(np.int16)
    examples = data.from_sessions([records.Session(samples, 0)], job)
    assert examples.targets is not None
    trainer = native.Trainer(job.model.descriptor)
    trainer.set_weights(np.random.default_rng(3).integers(-16384, 16383, job.model.parameters))
    trainer.begin(bytes(32), 6, clip)
    trainer.fill()
    noise = native.discrete_gaussian(bytes(32), 6, job.model.parameters).astype(np.int64)
    reached = 0.0
    for row, target in zip(examples.features, examples.targets, strict=True):
        trainer.begin(bytes(32), 6, clip)
        trainer.fill()
        trainer.examples(row[None], target[None])
        part = trainer.release().astype(np.int64) - noise
        norm = math.sqrt(sum(int(v) ** 2 for v in part))
        assert norm <= clip
        reached = max(reached, norm / clip)
    assert reached > 0.9 or clip < 200_000  # small norms round to nothing


def test_movement_is_foretold_as_well_as_in_float() -> None:
    """Labelled or not, all windows are learnt from; the fixed-point run without noise is the float run."""
    job, plan = jobfile.parse(item())
    clients = {name: data.from_sessions(swings(seed), job) for seed, name in enumerate("abc")}
    people = {"d": data.from_sessions(swings(9), job)}
    assert [len(examples.labels) for examples in clients.values()] == [120] * 3
    assert [len(data.from_sessions(swings(9), replace(job, labels=2)).labels)] == [40]
    private = simulate(job, plan, baselines.boards(job, plan, clients, "next")).versions[-1]
    bare = replace(job, clip=0, log2_sigma=0, round_shift=0)
    free = simulate(bare, plan, baselines.boards(bare, plan, clients, "next")).versions[-1]
    floats = measure(job, train_float(job, plan, list(clients.values()))[-1], people)
    assert floats.explained > 0.6
    assert abs(measure(job, deployed(free), people).explained - floats.explained) < 0.02
    assert measure(job, deployed(private), people).explained > floats.explained - 0.15


def test_windows_from_a_data_file(tmp_path: Path) -> None:
    job, _ = jobfile.parse(item())
    windows = np.stack([session.samples[:40] for session in swings(4)])
    np.savez(tmp_path / "data.npz", windows=windows)
    found = data.load(tmp_path / "data.npz", job)["all"]
    features, targets = fronts.records(job, list(windows))
    assert (found.features == features).all() and targets is not None and (found.targets == targets).all()
    np.savez(tmp_path / "wrong.npz", features=features, labels=np.zeros(12, int))
    with pytest.raises(DatasetError, match="needs `windows`"):
        data.load(tmp_path / "wrong.npz", job)


def test_what_is_unlike_the_rest_has_a_higher_score() -> None:
    """Axes that follow each other in another order, which no client knows: by fixed point as by float."""
    given = item(block=5, target="self", horizon=0, labels=2)
    given["model"] = {"hidden": [8]}
    given["server"] |= {"rounds": 40, "learning_rate": 0.2}
    job, plan = jobfile.parse(given)
    usual = [replace(session, label=0) for session in swings(1)]
    clients = {name: data.from_sessions([replace(s, label=0) for s in swings(k)], job) for k, name in enumerate("abc")}
    strange = [records.Session(session.samples[:, [3, 0, 5, 2, 1, 4]], 2) for session in swings(5)]
    people = {"d": data.from_sessions(usual + strange, job, every=True)}
    assert len(people["d"].labels) == 240 and len(data.from_sessions(usual + strange, job).labels) == 120
    last = simulate(job, plan, baselines.boards(job, plan, clients, "self")).versions[-1]
    floats = train_float(job, plan, list(clients.values()))[-1]
    assert errors.auc_of(job, floats, people) > 0.8
    assert errors.auc_of(job, deployed(last), people) > 0.75


def test_auc_counts_pairs() -> None:
    generator = np.random.default_rng(4)
    usual, strange = generator.integers(0, 9, 50).tolist(), generator.integers(3, 12, 40).tolist()
    pairs = [(a < b) + (a == b) / 2 for a in usual for b in strange]
    assert math.isclose(errors.auc(usual, strange), sum(pairs) / len(pairs))


@pytest.mark.parametrize("target", [{}, {"target": "self", "horizon": 0}], ids=["forecast", "auto-encoder"])
def test_fleets_in_virtual_time_learn_and_measure_the_same(target: dict[str, Any], tmp_path: Path) -> None:
    job, plan = jobfile.parse(item(**target))
    clients = {name: data.from_sessions(swings(seed), job) for seed, name in enumerate("abcd")}
    setup = prepare(clients, job=job, plan=plan, hold_out=["d"], seed=3)
    found = run(setup, workers=2, results=tmp_path / "r.db").versions
    people = {"d": clients.pop("d")}
    live = simulate(job, plan, make_boards(job, plan, clients, "3")).versions
    assert found["explained"] == [measure(job, deployed(version), people).explained for version in live]
    assert "accuracy" not in found and found["explained"][-1] > 0.5
    assert "explained by seconds" in page("t", found)
    assert run(setup, results=tmp_path / "r.db").versions == found  # what it kept
    plain = replace(people["d"], targets=None)
    for given in ({**clients, "d": plain}, {"a": plain, "d": plain}):
        with pytest.raises(PicofedError, match=r"have targets|does not hold what target"):
            prepare(given, job=job, plan=plan, hold_out=["d"])
    nothing = Examples(*(part[:0] for part in (people["d"].features, people["d"].labels, people["d"].wanted)))
    with pytest.raises(PicofedError, match="held out have no record"):
        prepare({**clients, "d": nothing}, job=job, plan=plan, hold_out=["d"])
