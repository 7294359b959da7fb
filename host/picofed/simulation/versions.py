"""From one version to the next, as the live coordinator goes (tests hold the two to each other bit by bit)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picofed.learn.aggregators import Aggregate
from picofed.learn.job import Job, Plan
from picofed.learn.model import WEIGHT_BITS, WEIGHT_MAX, WEIGHT_MIN, quantise
from picofed.learn.optimisers import Optimiser
from picofed.learn.versions import start_weights
from picofed.store import Version


def first_version(job: Job, plan: Plan, optimiser: Optimiser) -> Version:
    """Version 0: public weights."""
    weights = start_weights(job.model, plan)
    return Version(0, quantise(weights).tobytes(), weights.astype("<f8").tobytes(), optimiser.state())


def next_version(job: Job, plan: Plan, optimiser: Optimiser, before: Version, aggregate: Aggregate) -> Version:
    """The version after `before`; moves the optimiser on."""
    model = job.model
    master = np.frombuffer(before.master, "<f8").copy()
    if job.mode == "gradient":
        gradient = aggregate.total * model.gradient_units / max(aggregate.records, 1)
    else:
        gradient = -aggregate.total * 2.0**-23 / len(aggregate.members)
    optimiser.learning_rate = plan.rate(before.number + 1)
    moved = optimiser.step(master[model.trainable], gradient)
    master[model.trainable] = np.clip(moved, WEIGHT_MIN / 2**WEIGHT_BITS, WEIGHT_MAX / 2**WEIGHT_BITS)
    number = before.number + 1
    average = _average(plan, before, number, master)
    return Version(number, quantise(master).tobytes(), master.astype("<f8").tobytes(), optimiser.state(), average)


def _average(plan: Plan, before: Version, number: int, master: NDArray[np.float64]) -> bytes | None:
    count = number - plan.average_from
    if count < 0:
        return None
    if count == 0 or before.average is None:
        return master.astype("<f8").tobytes()
    old: NDArray[np.float64] = np.frombuffer(before.average, "<f8")
    mean: NDArray[np.float64] = old + (master - old) / (count + 1)
    return mean.astype("<f8").tobytes()
