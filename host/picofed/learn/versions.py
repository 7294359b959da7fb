"""From one version to the next by the rules that a plan names: an aggregate through the server's optimiser, in float64.
Post-processing only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picofed.learn import moments, npy, registry
from picofed.learn.aggregators import Aggregate, Aggregator
from picofed.learn.job import Job, Plan
from picofed.learn.model import WEIGHT_BITS, WEIGHT_MAX, WEIGHT_MIN, Model, quantise
from picofed.learn.optimisers import Optimiser
from picofed.learn.variance import Noise
from picofed.store_rows import Version

LIMITS = (WEIGHT_MIN / 2**WEIGHT_BITS, WEIGHT_MAX / 2**WEIGHT_BITS)


def make_aggregator(plan: Plan, version: int, now: float, job: Job) -> Aggregator:
    """The aggregator that a plan names, with `version` current since `now`. Raises RuleError."""
    return registry.make(plan, version, now, Noise.of(job))


def make_optimiser(plan: Plan, model: Model) -> Optimiser:
    """The optimiser that a plan names, for what is trained of a model. Raises JobError, RuleError."""
    rule = registry.make_optimiser(plan, len(model.trainable))
    if plan.moments:
        known = moments.load(plan.moments, model)
        rule.straighten = moments.Straightener(model, known, plan.moments_power, plan.damping)
    return rule


def start_weights(model: Model, plan: Plan) -> NDArray[np.float64]:
    """Weights of version 0: from the plan's public seed, or the .npy file that `start` names (float64, one for each
    parameter in the order of SPEC 7.2). Raises JobError."""
    if not plan.start:
        return model.initial(plan.seed)
    count = model.parameters
    weights = npy.load(plan.start, "start weights", count, f"{count} floating-point weights, one for each parameter")
    return np.clip(weights, *LIMITS)


def first_version(job: Job, plan: Plan, optimiser: Optimiser, created: float | None = None) -> Version:
    """Version 0: public weights, the same for everyone."""
    weights = start_weights(job.model, plan)
    return Version(0, quantise(weights).tobytes(), weights.astype("<f8").tobytes(), optimiser.state(), created=created)


def next_version(
    job: Job,
    plan: Plan,
    optimiser: Optimiser,
    before: Version,
    aggregate: Aggregate,
    created: float | None = None,
) -> Version:
    """The version that follows `before`; moves the optimiser on, which stands where `before` was made. created: see
    Version."""
    master = np.frombuffer(before.master, "<f8").copy()
    if job.mode == "gradient":
        gradient = aggregate.total * job.model.gradient_units / max(aggregate.records, 1)
    else:
        gradient = -aggregate.total * 2.0**-23 / len(aggregate.members)
    trainable = job.model.trainable
    optimiser.learning_rate = plan.rate(before.number + 1)
    master[trainable] = np.clip(optimiser.step(master[trainable], gradient), *LIMITS)
    number = before.number + 1
    return Version(
        number,
        quantise(master).tobytes(),
        master.astype("<f8").tobytes(),
        optimiser.state(),
        _average(plan, before, number, master),
        created,
    )


def _average(plan: Plan, before: Version, number: int, master: NDArray[np.float64]) -> bytes | None:
    """The mean of the masters from plan.average_from up to this one."""
    count = number - plan.average_from
    if count < 0:
        return None
    if count == 0 or before.average is None:
        return master.astype("<f8").tobytes()
    old = np.frombuffer(before.average, "<f8")
    mean: NDArray[np.float64] = old + (master - old) / (count + 1)
    return mean.astype("<f8").tobytes()


def deployed(version: Version) -> NDArray[np.int16]:
    """The weights to use: the average of the last versions if the plan makes one, else the version itself.
    int16 Q11.
    """
    if version.average is not None:
        return quantise(np.frombuffer(version.average, "<f8"))
    return np.frombuffer(version.released, "<i2").astype(np.int16)


def unrounded(version: Version) -> NDArray[np.float64]:
    """What `deployed` rounds: all weights in float64, for another job to start with."""
    return np.frombuffer(version.master if version.average is None else version.average, "<f8").copy()
