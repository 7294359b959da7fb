"""One run of the benchmark: a simulation, and what the tables need of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from picofed import accounting
from picofed.bench import fleets, public
from picofed.bench.settings import Run
from picofed.learn import npy
from picofed.learn.job import Plan
from picofed.learn.model import Model, dequantise
from picofed.learn.turns import shares
from picofed.report.facts import epsilon_of_ledger, samples_of
from picofed.simulation import api
from picofed.simulation.task import make_task

FORMAT: Final = 3
FLOAT: Final = 4  # bytes
POINTS: Final = 100  # of a curve
LAST: Final = 5  # of them whose mean is the final accuracy
_APART: Final = 1_000_000  # seeds of turns, so that no noise comes twice
PLAIN_SHIFT: Final = 17  # without noise: rounding of sums over 18 records
_COLUMNS: Final = ("seconds", "accuracy", "bytes_up", "bytes_down", "joules", "total")


@cache
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
    models, start = fleets.trained(run.scale, run.variant, run.setting.private)
    curve: dict[str, list[float]] = {name: [] for name in _COLUMNS}
    sizes: list[int] = []
    charged = versions = refused = samples = 0
    # Boards go on where the turn before has ended; its rounds under way are given up.
    for turn, model in enumerate(models):
        setup, outcome = _turn(run, model, start, turn, len(models))
        table = outcome.versions
        table["total"] = np.cumsum(table["updates"]).tolist()
        rows = [n for n, accuracy in enumerate(table["accuracy"]) if accuracy is not None and (n or not turn)]
        for name in _COLUMNS:
            before = curve[name][-1] if turn and name != "accuracy" else 0
            curve[name] += [before + table[name][n] for n in rows]
        sizes += outcome.updates["bytes"]
        most = max(outcome.clients["releases"])
        if setup.job.private:
            charged += accounting.charge(setup.job.clip, setup.job.log2_sigma, setup.job.steps) * most
            samples += samples_of(setup.job, most)
        versions += table["version"][-1]
        refused += table["refused"][-1]
        start = dequantise(outcome.weights)
    private = run.setting.private
    return {
        "curve": curve,
        "accuracy": float(np.mean(curve["accuracy"][-LAST:])),
        "update_bytes": float(np.mean(sizes)),
        "trainable": max(len(model.trainable) for model in models),
        "turns": len(models),
        "versions": versions,
        "updates": len(sizes),
        "refused": refused,
        "epsilon": epsilon_of_ledger(charged, setup.plan.delta, samples) if private else None,
    }


def _turn(run: Run, model: Model, start: NDArray[np.float64], turn: int, turns: int) -> tuple[api.Setup, api.Outcome]:
    """One of so many turns, each of which has its part of the rounds."""
    with tempfile.TemporaryDirectory(prefix="picofed-bench-") as folder:
        weights, moments = Path(folder) / "start.npy", ""
        npy.save(weights, start)
        if run.variant.moments:
            moments = str(Path(folder) / "moments.npy")
            npy.save(Path(moments), public.moments(run.scale.data, start))
        setup = _setup(run, model, str(weights), moments, turn, turns)
        return setup, api.run(setup, workers=1)


def _setup(run: Run, model: Model, start: str, moments: str, turn: int, turns: int) -> api.Setup:
    setting, variant, hyper = run.setting, run.variant, run.hyper
    training, held_out = fleets.population(run.scale, setting, run.seed)
    clients = len(training)
    rounds = run.scale.rounds[setting.private]
    everything = rounds if setting.private or variant.floats else rounds * run.scale.cheap
    allowed = shares(everything, turns)[turn]
    buffer = {"fedavg": clients, "fedasync": 1}.get(variant.aggregator, max(1, round(hyper.capacity * clients)))
    versions = max(1, allowed * clients // buffer)
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
        moments=moments,
        epsilon=None,
    )
    plan = replace(plan, **dict(variant.fixed))
    # The budget is for so many rounds of a client, however many versions its updates go into.
    budget = replace(plan, rounds=rounds, epsilon=setting.epsilon if setting.private else None)
    job = make_task("benchmark", model, budget, clients=clients, records=len(training.labels) // clients)
    if job.private:
        sigma = job.log2_sigma - hyper.finer
        clip = accounting.plan(setting.epsilon, plan.delta, rounds, sigma, job.steps, len(model.trainable))
        job = replace(job, log2_sigma=sigma, clip=clip, round_shift=sigma - 1)
    shift = 0 if variant.floats else job.round_shift if job.private else PLAIN_SHIFT
    return api.Setup(
        replace(job, round_shift=shift),
        plan,
        training,
        held_out,
        fleets.boards(setting),
        run.seed + _APART * turn,
        allowed,
        max(1, versions * turns // POINTS),
        FLOAT if variant.floats else 0,
    )


def lower_priority() -> None:
    """For worker processes: whoever sits at the machine comes first."""
    os.nice(5)
