"""Demos of models that learn without labels: emulated boards, then what a simulation and float64 make of the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from picofed.demo import baselines, boards, recipe
from picofed.demo.run import People, Settings, deal, plan_for
from picofed.errors import PicofedError
from picofed.fleet.provision import Registry
from picofed.learn import watch
from picofed.learn.coordinator import Coordinator
from picofed.learn.errors import auc_of, measure
from picofed.learn.evaluate import train_float
from picofed.learn.events import EventSink
from picofed.learn.job import Job, Plan
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.learn.versions import deployed
from picofed.link.meter import Meter
from picofed.report.facts import epsilon_of_ledger, samples_of
from picofed.store import Store, Version

Step = Callable[[str], None]


def run(settings: Settings, step: Step, sink: EventSink) -> dict[str, Any]:
    """Everything; returns the numbers that `picofed demo --model forecast --json` prints."""
    step("reading the recordings")
    people = deal(settings)
    job, plan = plan_for(settings, people)
    boards.build(settings.fleet, step)
    settings.output.mkdir(parents=True, exist_ok=True)
    site = settings.output / "site"
    for name in ("boards.json", "store.db", "store.db-wal", "store.db-shm"):
        (site / name).unlink(missing_ok=True)
    store = Store(site / "store.db")
    try:
        last, meters = _learn(settings, step, sink, people, job, plan, Registry(site / "boards.json"), store)
        spent = max(row.spent for row in store.boards())
        updates = store.updates(job.id, None)
        size = sum(len(update.data) for update in updates) / len(updates)
    finally:
        store.close()
    step("measuring what it is compared with")
    return {
        "model": settings.model,
        "boards": settings.boards,
        "rounds": plan.rounds,
        "parameters": job.model.parameters,
        "epsilon": epsilon_of_ledger(spent, plan.delta, samples_of(job, plan.rounds)),
        "delta": plan.delta,
        "bytes_per_update": size,
        "bytes_per_update_float32": 4 * job.model.parameters,
        "ram_bytes": max(meter.heap_used for meter in meters.values()),
        **_compare(job, plan, people, last),
    }


def _learn(
    settings: Settings,
    step: Step,
    sink: EventSink,
    people: People,
    job: Job,
    plan: Plan,
    registry: Registry,
    store: Store,
) -> tuple[Version, Mapping[str, Meter]]:
    provisions = baselines.provisions(job, plan, list(people.clients), settings.entropy)
    step(f"starting {len(provisions)} emulated boards")
    folder = settings.output / "boards"
    with boards.fleet(folder, settings.fleet, provisions, people.sessions, settings.entropy, registry) as fleet:
        meters = {port: Meter() for port in fleet}
        coordinator = Coordinator(store, job, plan, registry.update_keys(), sink, expected=len(fleet))
        step(f"learning: {plan.rounds} rounds")
        Server(coordinator, boards.openers(fleet, meters, registry)).run()
    if coordinator.version.number < plan.rounds:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in coordinator.left.items())
        raise PicofedError(f"the demo stopped at version {coordinator.version.number}: {reasons}")
    return coordinator.version, meters


def _compare(job: Job, plan: Plan, people: People, last: Version) -> dict[str, Any]:
    """Errors on people never seen: of the boards' model, without privacy, and in float."""
    bare = recipe.nonprivate(job)
    free = simulate(bare, plan, baselines.boards(bare, plan, people.clients, "baseline")).versions[-1]
    floats = train_float(job, plan, list(people.clients.values()))[-1]
    found = measure(job, deployed(last), people.held_out)
    more: dict[str, Any] = {}
    if job.target == "self":
        more = {
            "anomaly": watch.EXERCISES[recipe.ANOMALY],
            "auc": auc_of(job, deployed(last), people.held_out),
            "auc_nonprivate": auc_of(bare, deployed(free), people.held_out),
            "auc_float": auc_of(job, np.asarray(floats, np.float64), people.held_out),
        }
    return {
        **more,
        "examples": found.examples,
        "error_baseline": found.baseline,
        "error": found.error,
        "explained": found.explained,
        "explained_nonprivate": measure(bare, deployed(free), people.held_out).explained,
        "explained_float": measure(job, np.asarray(floats, np.float64), people.held_out).explained,
    }
