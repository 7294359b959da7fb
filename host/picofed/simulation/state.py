"""What a simulation remembers of its clients, and how it is kept in a checkpoint and taken up again."""

from __future__ import annotations

from collections import deque
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from picofed.simulation.results import State
from picofed.simulation.workers import Flight
from picofed.store import Version

if TYPE_CHECKING:
    from picofed.simulation.engine import Engine

BUDGET: Final = 1
BATTERY: Final = 2
REASONS: Final = {0: "", BUDGET: "its privacy budget is used up", BATTERY: "its battery is empty"}
_KEPT: Final = {
    **dict.fromkeys(("newest", "updates", "releases"), np.int32),
    **dict.fromkeys(("up", "down"), np.int64),
    "joules": np.float64,
    "left": np.int8,
}


class Clients:
    """A list for each thing: events touch one client at a time, for which a list takes a quarter of the time;
    100,000 clients are 20 MB."""

    def __init__(self, clients: int) -> None:
        self.newest = [-1] * clients  # version that the newest update was computed on
        self.updates = [0] * clients
        self.releases = [0] * clients  # charged, lost ones too
        self.up = [0] * clients
        self.down = [0] * clients
        self.joules = [0.0] * clients
        self.left = [0] * clients
        self.gone = 0

    def leave(self, client: int, reason: int) -> None:
        """The client takes no further part."""
        self.left[client] = reason
        self.gone += 1

    def rows(self, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """For the results' table of clients."""
        columns = (self.updates, self.releases, self.up, self.down, self.joules)
        reasons = [REASONS[code] for code in self.left]
        return list(zip(range(len(names)), names, *columns, reasons, strict=True))


@dataclass
class Totals:
    """Of all clients so far."""

    up: int = 0
    down: int = 0
    joules: float = 0.0
    refused: int = 0
    lost: int = 0


def keep(engine: Engine) -> State:
    """Everything that the rest of the simulation depends on. To be called right after a version was made."""
    version = engine.version
    flights = list(engine.flights.values())
    state: State = {f"client_{name}": np.array(getattr(engine.clients, name), kind) for name, kind in _KEPT.items()}
    state["chain"], state["used"] = engine.keys.keep()
    state |= {
        "heap": np.array(engine.heap, np.float64).reshape(-1, 4),  # whole numbers below 2^53 are exact
        "idle": np.array(engine.idle, np.int64),
        "flights": np.array([(f.client, f.version, f.began, f.trained) for f in flights], np.float64).reshape(-1, 4),
        "totals": np.array(astuple(engine.totals), np.float64),
        "now": np.array([engine.now, engine.order, engine._first_row + len(engine._rows)], np.float64),
        "number": np.array([version.number]),
        "released": np.frombuffer(version.released, np.uint8),
        "master": np.frombuffer(version.master, np.uint8),
        "optimiser": np.frombuffer(version.optimiser, np.uint8),
        "average": np.frombuffer(version.average or b"", np.uint8),
        "weight_versions": np.array(sorted(engine.weights), np.int64),
        "weights": np.stack([engine.weights[number] for number in sorted(engine.weights)]),
    }
    return state


def restore(engine: Engine, state: State) -> None:
    """Put an engine that has just been made where `keep` was called."""
    for name in _KEPT:
        setattr(engine.clients, name, state[f"client_{name}"].tolist())
    engine.clients.gone = sum(reason != 0 for reason in engine.clients.left)
    engine.keys.restore(state["chain"], state["used"])
    engine.heap = [(float(when), int(order), int(kind), int(client)) for when, order, kind, client in state["heap"]]
    engine.idle = deque(state["idle"].tolist())
    up, down, joules, refused, lost = state["totals"].tolist()
    engine.totals = Totals(int(up), int(down), joules, int(refused), int(lost))
    now, order, row = state["now"].tolist()
    engine.now, engine.order, engine._first_row = now, int(order), int(row)
    average = state["average"].tobytes() or None
    blobs = [state[name].tobytes() for name in ("released", "master", "optimiser")]
    engine.version = Version(int(state["number"][0]), blobs[0], blobs[1], blobs[2], average)
    engine.optimiser.load(engine.version.optimiser)
    engine.weights = dict(zip(state["weight_versions"].tolist(), state["weights"], strict=True))
    for client, version, began, trained in state["flights"].tolist():
        keys, chain = engine.keys.draw(int(client), engine.setup.job.steps)
        engine.flights[int(client)] = Flight(int(client), int(version), began, trained, keys, chain)
