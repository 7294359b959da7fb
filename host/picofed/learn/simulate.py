"""The simulator: the live server's coordinator and worker, driving simulated boards in virtual time.

No threads and no clock: every board takes as long as it is said to, and what happens first comes first. With
FedAvg the result does not depend on those times, and equals a live run of boards with the same provisioning
to the bit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from picofed.learn.clients import SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.events import EventSink, no_events
from picofed.learn.job import Job, Plan
from picofed.learn.worker import LeaveError, Worker
from picofed.link.messages import BoardError
from picofed.store import Store, Version


@dataclass
class Simulation:
    """A finished simulation: its coordinator, store and virtual duration in seconds."""

    coordinator: Coordinator
    store: Store
    seconds: float

    @property
    def versions(self) -> list[Version]:
        """All versions, 0 first."""
        numbers = range(self.coordinator.version.number + 1)
        found = (self.store.version(self.coordinator.job.id, number) for number in numbers)
        return [version for version in found if version is not None]


def simulate(
    job: Job,
    plan: Plan,
    boards: Sequence[SimulatedBoard],
    *,
    store: Store | None = None,
    events: EventSink = no_events,
    seconds: Callable[[int, int], float] = lambda board, version: 1.0,
    on_version: Callable[[Version], None] | None = None,
) -> Simulation:
    """Run a job to its end. seconds(board, version): how long that board's round takes. Raises StoreError.

    store: where everything goes; default: memory. on_version is called with each new version, in order.
    """
    now = 0.0
    store = store or Store()
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    coordinator = Coordinator(store, job, plan, keys, events, clock=lambda: now, expected=len(boards))
    workers = [Worker(board, coordinator, "simulated") for board in boards]
    out: set[int] = set()
    seen = coordinator.version.number

    def attempt(number: int, action: Callable[[], object]) -> bool:
        try:
            action()
        except (LeaveError, BoardError) as error:
            out.add(number)
            coordinator.leave(workers[number].ident, str(error))
            return False
        return True

    for number, worker in enumerate(workers):
        attempt(number, worker.join)
    queue: list[tuple[float, int]] = []
    busy: set[int] = set()
    while not coordinator.finished:
        for number, worker in enumerate(workers):
            if number in busy or number in out:
                continue
            version = coordinator.assignment(worker.ident)
            if version is not None and attempt(number, lambda w=worker, v=version: w.start(v)):  # type: ignore[misc]
                busy.add(number)
                heapq.heappush(queue, (now + seconds(number, version.number), number))
        if not queue:
            break
        deadline = coordinator.aggregator.due()
        if deadline is not None and deadline < queue[0][0]:
            now = max(now, deadline)
            coordinator.tick()
        else:
            now, number = heapq.heappop(queue)
            busy.discard(number)
            attempt(number, workers[number].finish)
        while seen < coordinator.version.number:
            seen += 1
            made = store.version(job.id, seen)
            if on_version is not None and made is not None:
                on_version(made)
    return Simulation(coordinator, store, now)
