"""A population that is learnt in a few rounds; and lets the tests of this folder import what they share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed.learn.clients import Examples
from picofed.learn.job import Job, Plan
from picofed.learn.model import Model
from picofed.simulation.api import Setup
from picofed.simulation.dataset import Population
from picofed.simulation.fleet import Fleet
from picofed.simulation.task import make_task

sys.path.insert(0, str(Path(__file__).parent))

INPUTS, CLASSES = 45, 3


def draw_examples(seed: int, sizes: list[int]) -> dict[str, Examples]:
    """Clients of these many records, of classes that can be told apart."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(CLASSES, INPUTS)) * 40
    found = {}
    for number, size in enumerate(sizes):
        labels = generator.integers(0, CLASSES, size)
        features = np.clip(np.rint(centres[labels] + generator.normal(size=(size, INPUTS)) * 30), -127, 127)
        found[f"c{number}"] = Examples(features.astype(np.int8), labels.astype(np.uint8))
    return found


@pytest.fixture
def make_setup() -> Callable[..., Setup]:
    """A Setup by number of clients, settings of Fleet as `fleet`, and settings of Plan."""

    def make(clients: int = 12, rounds: int = 6, fleet: Fleet | None = None, steps: int = 0, **plan: Any) -> Setup:
        settings = Plan(**{"rounds": rounds, "epsilon": 8.0, "aggregator": "fedavg", **plan})
        training = Population.of(draw_examples(5, [20 + 3 * (i % 5) for i in range(clients)]))
        task = make_task("t", Model.dense([INPUTS, CLASSES]), settings, clients=clients, records=26, steps=steps)
        known = {**vars(task), "features": "imu45", "unit": "window", "window": 100, "stride": 100}
        job = Job(**{field.name: known[field.name] for field in fields(Job)})  # one that boards take, too
        held_out = Population.of(draw_examples(6, [150, 150]))
        return Setup(job, settings, training, held_out, fleet or Fleet(), 7, rounds if task.private else 0)

    return make
