"""picofed.simulate: a fleet from a few words, in a notebook or from the command line."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from picofed.errors import PicofedError
from picofed.learn.clients import Examples
from picofed.learn.errors import quality_name
from picofed.learn.job import Job, Plan
from picofed.learn.model import Model
from picofed.native import Trainer
from picofed.simulation import dataset, defaults, partition
from picofed.simulation.dataset import Pool, Population
from picofed.simulation.engine import Engine, Setup
from picofed.simulation.fleet import Fleet
from picofed.simulation.profile import DeviceProfile
from picofed.simulation.results import Results
from picofed.simulation.task import make_task

EPSILON = 8.0  # of fleets for which nobody says it
CLIENTS = 50
BUILT_IN = ("digits", "mnist", "mnist:14", "mnist:8", "mnist:7")
Progress = Callable[[int, float | None], None]


@dataclass(frozen=True)
class Outcome:
    """A simulation's end. versions, updates, clients: tables by column; weights: of the last version, as boards get
    them (int16 Q11, little-endian); stopped: why it ended before its last version, or ""; memory: bytes of a client's
    trainer."""

    versions: dict[str, list[Any]]
    updates: dict[str, list[Any]]
    clients: dict[str, list[Any]]
    weights: bytes
    stopped: str
    memory: int


def pool_of(data: str | Path | Pool) -> Pool:
    """A built-in data set by name, or a file. Raises DatasetError."""
    if isinstance(data, Pool):
        return data
    if data == "digits":
        return dataset.digits()
    if str(data) in BUILT_IN:
        return dataset.mnist(int(str(data).partition(":")[2] or 28))
    return dataset.read(Path(data))


def run(
    setup: Setup,
    *,
    workers: int | None = None,
    results: Path | None = None,
    on_version: Progress | None = None,
    checkpoint_seconds: float = 1.0,
) -> Outcome:
    """Run a simulation, from the last checkpoint in `results` if there is one. Raises PicofedError."""
    if workers is not None:
        _count("workers", workers, 1)
    quality = quality_name(setup.job)
    # without a file nobody could read all versions' weights
    kept = Results(results, settings_of(setup), all_weights=results is not None, quality=quality)
    try:
        engine = Engine(setup, kept, workers or os.cpu_count() or 1, checkpoint_seconds)
        engine.run(on_version)
        mode = 1 if setup.job.mode == "local" else 0
        return Outcome(
            kept.columns(),
            kept.columns("update"),
            kept.columns("client"),
            kept.weights()[-1],
            engine.stopped,
            Trainer(setup.job.model.descriptor, mode).size,
        )
    finally:
        kept.close()


def settings_of(setup: Setup) -> dict[str, Any]:
    """What two simulations have in common if and only if they are the same."""
    data = hashlib.sha256()
    for population in (setup.training, setup.held_out):
        for array in (population.features, population.labels, population.starts, population.targets):
            data.update(b"" if array is None else array.tobytes())
    return {
        "job": setup.job.body.hex(),
        "plan": json.loads(json.dumps(asdict(setup.plan))),
        "fleet": asdict(setup.fleet),
        "seed": setup.seed,
        "releases": setup.releases,
        "evaluate_every": setup.evaluate_every,
        "parameter_bytes": setup.parameter_bytes,
        "data": data.hexdigest(),
    }


def prepare(
    data: str | Path | Pool | Mapping[str, Examples] = "digits",
    *,
    clients: int | None = None,
    split: str | None = None,
    hold_out: float | str | Sequence[str] = 0.2,
    hidden: Sequence[int] = (),
    epsilon: float | None = EPSILON,
    steps: int = 0,
    fleet: Fleet | None = None,
    seed: int = 1,
    evaluate_every: int = 1,
    job: Job | None = None,
    plan: Plan | None = None,
    unsaid: Collection[str] = (),
    **settings: Any,
) -> Setup:
    """What `simulate` runs. clients, split: for data that is dealt out: if neither is said, the data's own clients, if
    it says whose each example is, else 50 clients with equal shares of all (iid). unsaid: settings of a plan that is
    given which may follow from the fleet's size, as those do that nobody says where neither a plan nor a job is given
    (simulation.defaults). Raises PicofedError."""
    if isinstance(data, Mapping) and (clients is not None or split is not None):
        raise PicofedError("clients and split are for data that is dealt out: this data comes by client")
    if split == "given" and clients is not None:
        raise PicofedError("with split given the data says how many clients there are: leave clients out")
    if job is not None and (hidden or steps):
        raise PicofedError("hidden and steps are for fleets without a job: it says them")
    if plan is not None and (settings or epsilon != EPSILON):
        raise PicofedError(f"{next(iter(settings), 'epsilon')} belongs into the plan that is given")
    count = CLIENTS if clients is None else clients
    for name, number, least in (("clients", count, 1), ("seed", seed, 0), ("steps", steps, 0)):
        _count(name, number, least)
    _count("evaluate_every", evaluate_every, 0)
    if not isinstance(hidden, list | tuple):
        raise PicofedError(f"hidden is a list of widths, such as [32], not {hidden!r}")
    hold_out = _checked(hold_out)
    if plan is None:
        plan = _plan({"epsilon": epsilon, **settings})
        unsaid = set(unsaid) if job is not None else defaults.SETTINGS - settings.keys()
    if isinstance(data, Mapping):
        population = Population.of(data)
    else:
        share = 0.0 if not isinstance(hold_out, float) else hold_out
        pool = pool_of(data)
        if split is None:
            split = "iid" if pool.owners is None or clients is not None else "given"
        population = partition.deal(pool, split, count + (round(share * count / (1 - share)) or 1), seed)
    training, held_out = _hold_out(population, hold_out, seed)
    plan = defaults.sized(plan, len(training), unsaid)
    if job is None:
        widths = [training.features.shape[1], *hidden, max(2, int(population.labels.max()) + 1)]
        records = max(1, len(training.labels) // len(training))
        job = make_task("simulation", Model.dense(widths), plan, clients=len(training), records=records, steps=steps)
    if training.features.shape[1] != job.model.widths[0]:
        raise PicofedError(
            f"the data has {training.features.shape[1]} features, the model {job.model.widths[0]} inputs"
        )
    for part, whose in ((training, "that train"), (held_out, "held out")):
        if not len(part.labels):
            raise PicofedError(f"the clients {whose} have no record that the job can use")
        if (part.targets is None) != (job.target == "label"):
            raise PicofedError(f"the data does not hold what target {job.target!r} of the job learns")
    releases = plan.rounds if job.private else 0
    return Setup(job, plan, training, held_out, fleet or Fleet(), seed, releases, evaluate_every)


def _count(name: str, number: object, least: int) -> None:
    if type(number) is not int or number < least:
        raise PicofedError(f"{name} must be a whole number from {least} on, not {number!r}")


def _checked(hold_out: object) -> float | list[str]:
    """A share, or clients by name."""
    if isinstance(hold_out, str):
        return [hold_out]
    if isinstance(hold_out, int | float) and 0 < hold_out < 1:
        return float(hold_out)
    if isinstance(hold_out, Sequence) and all(isinstance(name, str) for name in hold_out):
        return list(hold_out)
    raise PicofedError(f"hold_out is a share between 0 and 1, or names of clients, not {hold_out!r}")


def _plan(settings: Mapping[str, Any]) -> Plan:
    known = [field.name for field in fields(Plan)]
    unknown = [name for name in settings if name not in known]
    if unknown:
        own = [name for name in inspect.signature(prepare).parameters if name not in ("data", "settings")]
        raise PicofedError(f"there is no setting {unknown[0]!r}: there are {', '.join(sorted({*own, *known}))}")
    try:
        return Plan(**settings)
    except TypeError as error:  # a text where a number should be
        raise PicofedError(f"a setting is of the wrong type: {error}") from error


def _hold_out(population: Population, hold_out: float | Sequence[str], seed: int) -> tuple[Population, Population]:
    if isinstance(hold_out, float):
        return partition.split(population, hold_out, seed)
    unknown = [name for name in hold_out if name not in population.names]
    if unknown:
        raise PicofedError(f"there is no client {unknown[0]!r} to hold out")
    held = [i for i, name in enumerate(population.names) if name in hold_out]
    rest = [i for i, name in enumerate(population.names) if name not in hold_out]
    if not held or not rest:
        raise PicofedError("hold out at least one client, and leave at least one")
    return partition.choose(population, rest), partition.choose(population, held)


def simulate(
    data: str | Path | Pool | Mapping[str, Examples] = "digits",
    *,
    workers: int | None = None,
    results: Path | str | None = None,
    on_version: Progress | None = None,
    **settings: Any,
) -> Any:
    """Simulate a fleet; returns a row for each version, 0 first.

    A pandas.DataFrame if pandas is installed (pip install 'picofed[simulation]'), else a dict of columns: either is
    indexed by the same names (docs/simulation.md). results: a file to keep everything in, and to go on from after an
    interruption; workers: threads, by default one for each processor: they do not change the result. Everything else is
    a setting of `prepare` or of picofed.learn.job.Plan. Raises PicofedError.
    """
    setup = prepare(data, **settings)
    outcome = run(setup, workers=workers, results=Path(results) if results else None, on_version=on_version)
    return frame(outcome.versions)


def frame(columns: dict[str, list[Any]]) -> Any:
    """A table as a pandas.DataFrame, or as it is where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        return columns
    return pandas.DataFrame(columns)


__all__ = ["DeviceProfile", "Fleet", "Outcome", "Setup", "prepare", "run", "simulate"]
