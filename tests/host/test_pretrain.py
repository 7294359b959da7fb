"""Frozen layers: weights from the operator's data that boards keep, and a head that they train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed.demo import baselines
from picofed.learn import jobfile
from picofed.learn.clients import Examples
from picofed.learn.evaluate import evaluate
from picofed.learn.job import JobError
from picofed.learn.model import Rectangle, quantise
from picofed.learn.npy import save
from picofed.learn.pretrain import pretrain
from picofed.learn.simulate import simulate
from picofed.learn.versions import deployed


def item(**model: Any) -> dict[str, Any]:
    return {
        "name": "head",
        "model": {"hidden": [12], **model},
        "records": {"window": 100, "labels": 3},
        "privacy": {"epsilon": 8.0, "records": 600, "boards": 3},
        "server": {"rounds": 6, "aggregator": "fedavg", "start": "start.npy"},
    }


def examples(seed: int, turn: float = 0.0) -> Examples:
    """Three clouds, whose centres `turn` moves: what volunteers do is alike, not the same."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(9).integers(-60, 60, (3, 45))
    moved = centres + turn * np.roll(centres, 1, axis=0)
    labels = generator.integers(0, 3, 200)
    features = np.clip(moved[labels] + generator.normal(0, 25, (200, 45)), -127, 127)
    return Examples(features.astype(np.int8), labels.astype(np.uint8))


def test_frozen_is_short_for_layers_that_are_not_trained() -> None:
    short, _ = jobfile.parse(item(hidden=[12, 8], frozen=2))
    long, _ = jobfile.parse(item(hidden=[12, 8], train=[False, False, True]))
    assert short == long and short.model.trained == (None, None, Rectangle(0, 3, 0, 8))
    assert jobfile.parse(item(frozen=0)) == jobfile.parse(item())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frozen": 2}, "must leave one of the 2 layers"),
        ({"frozen": -1}, "must leave one"),
        ({"frozen": True}, "whole number"),
        ({"frozen": 1, "train": [False, True]}, "both frozen and train"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(JobError, match=words):
        jobfile.parse(item(**change))


def test_frozen_layers_need_weights_from_somewhere() -> None:
    without = item(frozen=1)
    del without["server"]["start"]
    with pytest.raises(JobError, match="needs \\[server\\] start"):
        jobfile.parse(without)


def test_boards_train_the_head_on_the_operators_features(tmp_path: Path) -> None:
    """The frozen layer stays to the bit, updates carry the head alone, and the head learns what is new."""
    start = tmp_path / "start.npy"
    given = item(frozen=1)
    given["server"]["start"] = str(start)
    job, plan = jobfile.parse(given)
    weights = pretrain(job, [examples(1)], rounds=40)
    save(start, weights)
    clients = {name: examples(seed, 0.9) for seed, name in enumerate("abc", 2)}
    people = {"d": examples(7, 0.9)}
    run = simulate(job, plan, baselines.boards(job, plan, clients, "frozen"))
    first, last = deployed(run.versions[0]), deployed(run.versions[-1])
    assert (first == quantise(weights)).all()
    frozen = 12 * 46
    assert (last[:frozen] == first[:frozen]).all() and (last[frozen:] != first[frozen:]).any()
    assert len(job.model.trainable) == 3 * 13
    assert evaluate(job, last, people).accuracy > evaluate(job, first, people).accuracy
    # the float yardstick keeps them too
    floats = baselines.train_float(job, plan, list(clients.values()))[-1]
    assert (floats[:frozen] == weights[:frozen]).all()
