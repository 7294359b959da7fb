"""One run of the benchmark: a simulation, and what the tables need of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from picofed import accounting
from picofed.bench import fleets
from picofed.bench.settings import Run
from picofed.learn.job import Plan
from picofed.learn.model import Model
from picofed.report.facts import epsilon_of_ledger, samples_of
from picofed.simulation import api
from picofed.simulation.task import make_task

FORMAT: Final = 2
FLOAT: Final = 4  # bytes
POINTS: Final = 100  # of a curve
LAST: Final = 5  # of them whose mean is the final accuracy
PLAIN_SHIFT: Final = 17  # without noise: rounding of sums over 18 records
_COLUMNS: Final = ("seconds", "accuracy", "bytes_up", "bytes_down", "joules", "total")


def identity(run: Run) -> str:
    """The same for two runs if and only if they give the same result."""
    scale = asdict(run.scale)
    kept = {name: scale[name] for name in ("data", "rounds", "cheap", "held_out", "memory")}
    words = asdict(run.variant)
    words.pop("words")
    item = [FORMAT, kept, asdict(run.setting), words, asdict(run.hyper), run.seed]
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()


def perform(run: Run) -> dict[str, Any]:
    """Simulate. Raises PicofedError."""
    subset, start = fleets.chosen_subset(run.scale, run.setting.private)
    with tempfile.TemporaryDirectory(prefix="picofed-bench-") as folder:
        weights = Path(folder) / "start.npy"
        np.save(weights, start)
        setup = _setup(run, subset if run.variant.subset else Model.dense(fleets.WIDTHS), str(weights))
        outcome = api.run(setup, workers=1)
    versions, updates = outcome.versions, outcome.updates
    versions["total"] = np.cumsum(versions["updates"]).tolist()
    rows = [n for n, accuracy in enumerate(versions["accuracy"]) if accuracy is not None]
    curve = {name: [versions[name][n] for n in rows] for name in _COLUMNS}
    job = setup.job
    epsilon = None
    if job.private:
        most = max(outcome.clients["releases"])
        epsilon = epsilon_of_ledger(
            accounting.charge(job.clip, job.log2_sigma, job.steps) * most, setup.plan.delta, samples_of(job, most)
        )
    return {
        "curve": curve,
        "accuracy": float(np.mean(curve["accuracy"][-LAST:])),
        "update_bytes": float(np.mean(updates["bytes"])),
        "memory": fleets.bytes_of(job.model, job.private, run.variant.floats),
        "trainable": len(job.model.trainable),
        "versions": versions["version"][-1],
        "updates": len(updates["bytes"]),
        "refused": versions["refused"][-1],
        "epsilon": epsilon,
        "releases": max(outcome.clients["releases"]),
    }


def _setup(run: Run, model: Model, start: str) -> api.Setup:
    setting, variant, hyper = run.setting, run.variant, run.hyper
    training, held_out = fleets.population(run.scale, setting, run.seed)
    clients = len(training)
    rounds = run.scale.rounds[setting.private]
    allowed = rounds if setting.private or variant.floats else rounds * run.scale.cheap
    buffer = {"fedavg": clients, "fedasync": 1}.get(variant.aggregator, max(1, round(hyper.capacity * clients)))
    versions = allowed * clients // buffer
    if variant.deadline:
        buffer = max(1, round((1 - setting.stragglers) * clients))
        versions = 2 * rounds  # those in time make half of them; when their rounds are used up come the others
    both_ways = 2 * FLOAT * model.parameters
    plan = Plan(
        rounds=versions,
        aggregator=variant.aggregator,
        capacity=buffer,
        deadline=hyper.deadline * fleets.fastest_seconds(both_ways) if variant.deadline else 1e12,
        staleness_exponent=hyper.exponent,
        max_staleness=math.ceil(hyper.patience * clients / buffer),
        optimiser=hyper.optimiser,
        learning_rate=hyper.rate * math.sqrt(buffer / clients),
        momentum=hyper.momentum,
        beta1=hyper.momentum,
        average=hyper.average,
        decay=hyper.decay,
        start=start,
        epsilon=None,
    )
    plan = replace(plan, **dict(variant.fixed))
    # The budget is for so many rounds of a client, however many versions its updates go into.
    budget = replace(plan, rounds=rounds, epsilon=setting.epsilon if setting.private else None)
    job = make_task("benchmark", model, budget, clients=clients, records=len(training.labels) // clients)
    shift = 0 if variant.floats else job.round_shift if job.private else PLAIN_SHIFT
    return api.Setup(
        replace(job, round_shift=shift),
        plan,
        training,
        held_out,
        fleets.boards(setting),
        run.seed,
        allowed,
        max(1, versions // POINTS),
        FLOAT if variant.floats else 0,
    )


def lower_priority() -> None:
    """For worker processes: whoever sits at the machine comes first."""
    os.nice(5)
