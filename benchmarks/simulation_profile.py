"""Where the time of client updates goes: call by call as it was, in batches as it is, and in a whole simulation.

python benchmarks/simulation_profile.py        print the tables that simulation.py puts into simulation.md

Seconds are processor time of all threads. A stage's are its own, without those of stages that it calls.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import simulation
from picofed.native import Trainer, update_decode
from picofed.native_batch import Batch, Round
from picofed.simulation import engine as engines
from picofed.simulation.engine import Engine
from picofed.simulation.keys import Keys
from picofed.simulation.results import Results
from picofed.simulation.workers import Workers

SIZES = (10000, 100000)
CLIENTS, REPEATS = 500, 5


class Stages:
    """Processor seconds by stage, exclusive."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = time.process_time()

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """This stage until the end of the block."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now

    def collector(self, phase: str, _: dict[str, int]) -> None:
        """For gc.callbacks: Python's collector of cycles is a stage too."""
        self._turn()
        if phase == "start":
            self._open.append("collector of cycles")
        else:
            self._open.pop()

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, as a stage."""

        def wrapped(*arguments: Any, **options: Any) -> Any:
            with self.within(name):
                return function(*arguments, **options)

        return wrapped


def call_by_call() -> dict[str, float]:
    """Microseconds of an update, by call of one trainer; the least of several runs each."""
    data = simulation.population(CLIENTS)
    settings = Round(18, 1 << 18, round_shift=17)
    keys = np.random.default_rng(2).integers(0, 256, (CLIENTS, 32), dtype=np.uint8)
    weights = np.zeros(simulation.MODEL.parameters, np.int16)
    trainer = Trainer(simulation.MODEL.descriptor)
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        stages = Stages()
        for client in range(CLIENTS):
            with stages.within("weights in, one by one"):
                trainer.set_weights(weights)
            with stages.within("noise"):
                trainer.begin(keys[client].tobytes(), settings.log2_sigma, settings.clip_norm)
                trainer.fill()
            with stages.within("30 records"):
                examples = data.examples(client)
                trainer.examples(examples.features, examples.labels)
            with stages.within("encode and decode the update"):
                update_decode(trainer.encode(settings.round_shift), trainer.trainable)
        for name, used in stages.seconds.items():
            best[name] = min(best.get(name, used), used)
    return {name: 1e6 * used / CLIENTS for name, used in best.items()}


def in_batches() -> float:
    """Microseconds of an update, many in a call."""
    data = simulation.population(CLIENTS)
    keys = np.random.default_rng(2).integers(0, 256, (CLIENTS, 32), dtype=np.uint8)
    weights = np.zeros((1, simulation.MODEL.parameters), np.int16)
    table = np.zeros((CLIENTS, 3), np.uint32)
    table[:, 1], table[:, 2] = data.starts[:-1], simulation.RECORDS
    batch, settings = Batch(simulation.MODEL.descriptor), Round(18, 1 << 18, round_shift=17)
    run = lambda: batch.run(settings, table, weights, data.features, data.labels, keys)  # noqa: E731
    return 1e6 * simulation.seconds(run, REPEATS) / CLIENTS


def whole(clients: int) -> dict[str, float]:
    """Microseconds of an update by stage, in a simulation in which everyone takes part twice."""
    setup = simulation.growth_setup(clients)
    stages = Stages()
    kept = Results(None, {}, all_weights=False)
    engine = Engine(setup, kept, 1)
    places: list[tuple[Any, str, str]] = [
        (Workers, "compute", "clients, in the core"),
        (Keys, "_boot", "a client's first key"),
        (Keys, "draw", "other keys"),
        (Keys, "commit", "other keys"),
        (engine.aggregator, "offer", "aggregator"),
        (engine.aggregator, "take", "aggregator"),
        (engines, "next_version", "versions, accuracy"),
        (Engine, "_record", "versions, accuracy"),
        (Results, "save", "tables of results"),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in places]
    for place, name, stage in places:
        setattr(place, name, stages.wrap(stage, getattr(place, name)))
    gc.callbacks.append(stages.collector)
    try:
        with stages.within("events"):
            engine.run()
    finally:
        gc.callbacks.remove(stages.collector)
        for place, name, function in before:
            setattr(place, name, function)
    updates = len(kept.columns("update")["client"])
    kept.close()
    return {name: 1e6 * used / updates for name, used in stages.seconds.items()}


def tables() -> str:
    """Markdown: an update before and after batches, and simulations of two sizes."""
    old, new = call_by_call(), in_batches()
    lines = ["| before: one trainer, call by call | microseconds an update |", "|---|---|"]
    lines += [f"| {name} | {value:.0f} |" for name, value in old.items()]
    lines += [f"| all of it | {sum(old.values()):.0f} |", f"| now: many clients in a call | {new:.0f} |", ""]
    found = {clients: whole(clients) for clients in SIZES}
    lines += ["| microseconds an update | " + " | ".join(f"{clients:,} clients" for clients in SIZES) + " |"]
    lines += ["|---|" + "---|" * len(SIZES)]
    for name in sorted(found[SIZES[0]], key=lambda name: -found[SIZES[0]][name]):
        lines.append(f"| {name} | " + " | ".join(f"{found[size].get(name, 0.0):.1f}" for size in SIZES) + " |")
    lines.append("| all of it | " + " | ".join(f"{sum(found[size].values()):.0f}" for size in SIZES) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables())
