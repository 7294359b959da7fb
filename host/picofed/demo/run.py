"""The demo from start to end: boards up, rounds, evaluation, report. It shows nothing itself: it calls back."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from picofed import report
from picofed.demo import baselines, boards, recipe
from picofed.errors import PicofedError
from picofed.fleet.provision import Registry
from picofed.learn import data, watch
from picofed.learn.clients import Examples
from picofed.learn.coordinator import Coordinator
from picofed.learn.evaluate import Evaluation, evaluate
from picofed.learn.events import Event, EventSink
from picofed.learn.job import Job, Plan
from picofed.learn.npy import save as save_weights
from picofed.learn.pretrain import points_job, pretrain, pretrain_filters, save_filters
from picofed.learn.server import Server
from picofed.learn.versions import deployed
from picofed.link.meter import Meter
from picofed.report.facts import Traffic, summarise
from picofed.store import Store
from picofed.toolchain.sources import watch_data

Step = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What a user can choose. epsilon: the target for each board; fleet: the kind of each board; seed: of
    their keys and entropy."""

    epsilon: float = 8.0
    fleet: tuple[str, ...] = ("unix",) * 8
    rounds: int = recipe.ROUNDS
    model: str = "softmax"
    aggregator: str = "fedavg"
    seed: int = recipe.SEED
    output: Path = Path("build/demo")
    command: str = "picofed demo"
    curve_seeds: int = baselines.CURVE_SEEDS

    @property
    def boards(self) -> int:
        """How many there are."""
        return len(self.fleet)

    @property
    def start(self) -> str:
        """Where the first weights are, for models that need some."""
        return str(self.output / "start.npy") if self.model in recipe.PRETRAINED else ""

    @property
    def entropy(self) -> str:
        """What the emulated boards' keys and entropy are derived from."""
        return f"picofed demo {self.seed}"


@dataclass(frozen=True)
class People:
    """The recordings as the demo deals them out: clients train, `held_out` never take part; `volunteers` have given
    theirs to the operator, who pretrains on them; `points`: of a convolution, what it is slid over, of all of them."""

    sessions: dict[str, list[Any]]
    clients: dict[str, Examples]
    held_out: dict[str, Examples]
    volunteers: dict[str, Examples]
    points: dict[str, Examples] = field(default_factory=dict)


def deal(settings: Settings) -> People:
    """Load the recordings and split them by person. Raises PicofedError if there are not enough people."""
    everyone = data.sessions_by_person(watch_data())
    strange = settings.model == "autoencoder"
    if strange:
        everyone = {
            name: [replace(session, label=recipe.reorder(session.label)) for session in sessions]
            for name, sessions in everyone.items()
        }
    volunteers = recipe.VOLUNTEERS if settings.start else ()
    wearers = [name for name in everyone if name not in (*recipe.HELD_OUT, *volunteers)]
    if not 1 <= settings.boards <= len(wearers):
        raise PicofedError(
            f"the recordings have {len(wearers)} wearers beside the {2 + len(volunteers)} that are held out or lent: "
            f"choose --boards from 1 to {len(wearers)}, not {settings.boards}"
        )
    chosen = wearers[: settings.boards]
    points = {}
    if settings.model == "convolution":
        points = _filters(settings, {name: everyone[name] for name in (*chosen, *recipe.HELD_OUT, *volunteers)})
    job, _ = recipe.make(settings.model, settings.epsilon, settings.rounds, 1, 1, start=settings.start)
    return People(
        {name: everyone[name] for name in chosen},
        {name: data.from_sessions(everyone[name], job) for name in chosen},
        {name: data.from_sessions(everyone[name], job, every=strange) for name in recipe.HELD_OUT},
        {name: data.from_sessions(everyone[name], job) for name in volunteers},
        points,
    )


def _filters(settings: Settings, sessions: Mapping[str, list[Any]]) -> dict[str, Examples]:
    """Train filters on the volunteers' recordings, and the head's first weights; returns everyone's points."""
    job, _ = recipe.make(settings.model, settings.epsilon, settings.rounds, 1, 1, start=settings.start, blank=True)
    raw = points_job(job)
    points = {name: data.from_sessions(parts, raw) for name, parts in sessions.items()}
    filters, head = pretrain_filters(job, [points[name] for name in recipe.VOLUNTEERS])
    settings.output.mkdir(parents=True, exist_ok=True)
    save_filters(settings.output / "filters.bin", filters)
    save_weights(Path(settings.start), head)
    return points


def plan_for(settings: Settings, people: People) -> tuple[Job, Plan]:
    """The job and plan for these boards."""
    records = sum(len(examples.labels) for examples in people.clients.values())
    return recipe.make(
        settings.model,
        settings.epsilon,
        settings.rounds,
        records,
        len(people.clients),
        settings.aggregator,
        start=settings.start,
    )


class _Evaluating:
    """An EventSink that adds the accuracy on people never seen to each version's line."""

    def __init__(self, sink: EventSink, store: Store, job: Job, evaluate_weights: Callable[[Any], Evaluation]) -> None:
        self._sink, self._store, self._job, self._evaluate = sink, store, job, evaluate_weights

    def __call__(self, event: Event) -> None:
        if event.kind == "version":
            version = self._store.version(self._job.id, event.data["version"])
            if version is not None:
                accuracy = self._evaluate(deployed(version)).accuracy
                text = f"{event.text}: accuracy {accuracy:.3f} on people never seen"
                event = Event(event.kind, event.board, text, {**event.data, "accuracy": accuracy})
        self._sink(event)


def run(settings: Settings, step: Step, sink: EventSink) -> dict[str, Any]:
    """Everything: returns the summary, which is also in summary.json and drawn in report.html below settings.output."""
    step("reading the recordings" + (", learning filters from volunteers'" if settings.model == "convolution" else ""))
    people = deal(settings)
    job, plan = plan_for(settings, people)
    boards.build(settings.fleet, step)

    output = settings.output
    output.mkdir(parents=True, exist_ok=True)
    if settings.model == "frozen":
        step("training the frozen layers on the volunteers' recordings")
        save_weights(Path(settings.start), pretrain(job, list(people.volunteers.values())))
    site = output / "site"
    _forget(site)
    registry = Registry(site / "boards.json")
    store = Store(site / "store.db")
    try:
        return _run(settings, step, sink, people, job, plan, registry, store)
    finally:
        store.close()


def _run(
    settings: Settings,
    step: Step,
    sink: EventSink,
    people: People,
    job: Job,
    plan: Plan,
    registry: Registry,
    store: Store,
) -> dict[str, Any]:
    def measure(weights: Any) -> Evaluation:
        return evaluate(job, weights, people.held_out)

    provisions = baselines.provisions(job, plan, list(people.clients), settings.entropy)
    step(f"starting {len(provisions)} emulated boards")
    folder = settings.output / "boards"
    with boards.fleet(folder, settings.fleet, provisions, people.sessions, settings.entropy, registry) as fleet:
        meters = {port: Meter() for port in fleet}
        coordinator = Coordinator(
            store,
            job,
            plan,
            registry.update_keys(),
            _Evaluating(sink, store, job, measure),
            expected=len(fleet),
        )
        step(f"learning: {plan.rounds} rounds")
        Server(coordinator, boards.openers(fleet, meters, registry)).run()
    if coordinator.version.number < plan.rounds:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in coordinator.left.items())
        raise PicofedError(f"the demo stopped at version {coordinator.version.number}: {reasons}")

    step("measuring what it is compared with")
    compared = baselines.measure(job, plan, people.clients, people.held_out)
    points = (
        baselines.curve(settings.model, plan, people.clients, people.held_out, settings.curve_seeds)
        if settings.curve_seeds
        else []
    )
    summary = summarise(
        store,
        job,
        plan,
        command=settings.command,
        evaluate=measure,
        labels=watch.EXERCISES,
        held_out=tuple(people.held_out),
        traffic=_traffic(meters.values()),
        states=coordinator.left,
        notes=_notes(settings, compared),
    )
    summary["seed"] = settings.seed
    _compare(summary, compared, points)
    if people.points:
        found = baselines.network(job, people.points, list(people.clients), list(people.held_out))
        summary["accuracy_float_network"] = found
        summary["notes"].append(
            f"The same network in float, its filters trained on these wearers' raw windows too, reaches {found:.3f}."
        )
    step("writing the report")
    write(summary, settings.output)
    return summary


def _traffic(meters: Any) -> dict[bytes, Traffic]:
    return {
        meter.info.board: Traffic(meter.up, meter.down, meter.update_bytes, meter.heap_used)
        for meter in meters
        if meter.info is not None
    }


def _compare(summary: dict[str, Any], compared: baselines.Baselines, points: Sequence[baselines.Point]) -> None:
    for version, accuracy in zip(summary["versions"], compared.nonprivate, strict=True):
        version["accuracy_nonprivate"] = accuracy
    summary["accuracy_nonprivate"] = compared.nonprivate[-1]
    summary["accuracy_float"] = compared.floats[-1]
    summary["accuracy_float_converged"] = compared.float_converged
    summary["accuracy_majority"] = compared.majority
    summary["curve"] = [
        {
            "epsilon": None if math.isinf(point.epsilon) else point.epsilon,
            "accuracy": point.accuracy,
            "accuracy_sd": point.deviation,
        }
        for point in points
    ]


def _notes(settings: Settings, compared: baselines.Baselines) -> list[str]:
    wide = "unix" in settings.fleet
    return [
        "The boards are emulated: MicroPython processes with our firmware, a serial line and a flash of their own. "
        f"Their randomness comes from the seed {settings.seed}, so that the run can be repeated to the bit; "
        "real boards use their own entropy.",
        "The runs without privacy, in float and at other epsilons are simulated on the same compiled core; they are no "
        "releases of any board.",
        f"Float run on to {baselines.FLOAT_ROUNDS} rounds reaches {compared.float_converged:.3f} on these people.",
        *(["Memory is that of a 64-bit MicroPython, whose objects are twice as large as on a microcontroller."] * wide),
    ]


def write(summary: Mapping[str, Any], output: Path) -> None:
    """summary.json and report.html, each whole or not at all."""
    checked = report.validate(summary)
    beside = output / "summary.json.new"
    beside.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(beside, output / "summary.json")
    report.write(checked, output / "report.html")


def _forget(site: Path) -> None:
    """An earlier demo's store and keys: this run's boards are new ones."""
    for name in ("boards.json", "store.db", "store.db-wal", "store.db-shm"):
        (site / name).unlink(missing_ok=True)
