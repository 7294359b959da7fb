"""The simulation: events in virtual time, the server's own rules, and clients that are the compiled core.

What happens when follows from the seed alone. An update is a function of client, key and version, so that it does not
matter when, where or beside which others it is computed: workers take all that are under way as soon as one is needed.

A checkpoint is taken right after a version was made, when the aggregator's buffer is empty. Rounds under way then are
kept without what came of them, and are computed again from their keys.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from picofed.learn.aggregators import Contribution
from picofed.learn.errors import measure
from picofed.learn.job import MODES, Job, Plan
from picofed.learn.versions import deployed, first_version, make_aggregator, make_optimiser, next_version
from picofed.native_batch import Batch
from picofed.simulation import state as states
from picofed.simulation.boards import Boards
from picofed.simulation.dataset import Population
from picofed.simulation.fleet import Fleet, chance
from picofed.simulation.keys import Keys, board_id
from picofed.simulation.results import Results
from picofed.simulation.workers import Flight, Workers

WAKE, TRAINED, ARRIVED, LOST = range(4)
_LOSS: Final = 1 << 32  # apart from the draws that decide whether a round is lost


@dataclass(frozen=True)
class Setup:
    """What makes a simulation. releases: that a client's budget allows; 0: no limit. parameter_bytes: 0, or what each
    parameter takes either way in a system that sends all of them as they are: what picofed is compared with."""

    job: Job
    plan: Plan
    training: Population
    held_out: Population
    fleet: Fleet
    seed: int = 1
    releases: int = 0
    evaluate_every: int = 1
    parameter_bytes: int = 0


class Engine:
    """One simulation. `run` goes on from the results' last checkpoint."""

    def __init__(self, setup: Setup, results: Results, workers: int = 1, checkpoint_seconds: float = 1.0) -> None:
        self.setup, self.results = setup, results
        job, fleet, clients = setup.job, setup.fleet, len(setup.training)
        self.workers = Workers(job, setup.training, workers)
        self._judge = Batch(job.model.descriptor, MODES.index(job.mode))
        self._records = np.diff(setup.training.starts).tolist()
        self.boards = Boards(setup, self._records)
        self._limit = fleet.at_once or 1 << 62
        self._checkpoint_seconds = checkpoint_seconds
        self.stopped = ""

        self.optimiser = make_optimiser(setup.plan, job.model)
        self.version = first_version(job, setup.plan, self.optimiser)
        self.keys = Keys(clients, str(setup.seed))
        self.clients = states.Clients(clients)
        self.now = 0.0
        self.heap: list[tuple[float, int, int, int]] = []
        self.order = 0
        order = np.random.Generator(np.random.PCG64([setup.seed, 5])).permutation(clients)
        self.idle: deque[int] = deque(order.tolist() if fleet.at_once else range(clients))
        self.flights: dict[int, Flight] = {}
        self._open: dict[int, Flight] = {}  # those of them that are still to be computed
        self.weights = {0: np.frombuffer(self.version.released, "<i2").astype(np.int16)}
        self._users: Counter[int] = Counter()  # rounds under way by version
        self.totals = states.Totals()
        self.started = self.current = self.contributed = 0  # rounds begun, under way and come in for this version
        self.parked: list[int] = []
        self._rows: list[list[Any]] = []
        self._first_row = 0
        self._made: list[tuple[tuple[Any, ...], bytes]] = []
        kept = results.load()
        if kept is not None:
            states.restore(self, kept)
            for flight in self.flights.values():
                self._users[flight.version] += 1
            lost = {client for _, _, kind, client in self.heap if kind == LOST}
            self._open = {client: flight for client, flight in self.flights.items() if client not in lost}
        else:
            self._record(0, [], 0)
        self.aggregator = make_aggregator(setup.plan, self.version.number, self.now, job)
        self._saved = time.monotonic()

    # ---- the loop

    def run(self, on_version: Callable[[int, float | None], None] | None = None) -> None:
        """Until all versions are made or no client is left. on_version: called with its number and quality."""
        try:
            seen = self.version.number
            if self.results.ended is not None:
                self.stopped = self.results.ended
                return
            self._dispatch()
            while self.version.number < self.setup.plan.rounds:
                due = self.aggregator.due()
                if due is not None and (not self.heap or due < self.heap[0][0]) and self._tick(due):
                    pass
                elif self.heap:
                    when, _, kind, client = heapq.heappop(self.heap)
                    self._handle(kind, client, when)
                    self._tick(when)
                elif not self._tick(self.now):
                    break
                if self.version.number > seen:
                    seen = self.version.number
                    if on_version is not None:
                        on_version(seen, self._made[-1][0][6])
                    if time.monotonic() - self._saved >= self._checkpoint_seconds:
                        self._save()
                if self.version.number < self.setup.plan.rounds:
                    self._dispatch()
            if self.version.number < self.setup.plan.rounds:
                self.stopped = (
                    f"no update can come any more at version {self.version.number}: {self.clients.gone} of "
                    f"{len(self._records)} clients have left, {self.aggregator.held} updates wait"
                )
            self._save(ended=True)
        finally:
            self.workers.close()

    def _push(self, when: float, kind: int, client: int) -> None:
        heapq.heappush(self.heap, (when, self.order, kind, client))
        self.order += 1

    def _handle(self, kind: int, client: int, when: float) -> None:
        self.now = when
        if kind == WAKE:
            self.idle.append(client)
        elif kind == TRAINED:
            self._upload(client)
        elif kind == LOST:
            flight = self._land(client)
            self.totals.lost += 1
            self.started -= flight.version == self.version.number
        else:
            self._arrive(client)

    # ---- clients

    def _dispatch(self) -> None:
        """Begin rounds with idle clients, as many as the fleet lets be under way."""
        idle, clients, releases = self.idle, self.clients, self.setup.releases
        while idle and len(self.flights) < self._limit and self.started < self._limit:
            client = idle.popleft()
            if clients.newest[client] >= self.version.number:
                self.parked.append(client)
            elif releases and clients.releases[client] >= releases:
                clients.leave(client, states.BUDGET)
            elif self.boards.empty(client, clients.joules[client], self.now):
                clients.leave(client, states.BATTERY)
            elif (awake := self.boards.awake_at(client, self.now)) > self.now:
                self._push(awake, WAKE, client)
            else:
                self._begin(client)

    def _begin(self, client: int) -> None:
        profile, work = self.boards.kinds[client], self.boards.work[client]
        down = self.boards.bytes_down(first=not self.clients.releases[client])
        link = down / profile.link_bytes_per_second
        self.clients.releases[client] += 1
        attempt = self.clients.releases[client]
        keys, chain = self.keys.draw(client, self.setup.job.steps)
        trained = self.now + link + work / profile.duty_cycle
        flight = Flight(client, self.version.number, self.now, trained, keys, chain)
        self.flights[client] = flight
        self._users[flight.version] += 1
        self.started += 1
        self.current += 1
        part = 1.0
        if profile.dropout and chance(self.setup.seed, client, attempt) < profile.dropout:
            part = chance(self.setup.seed, client, attempt + _LOSS)
            self._push(self.now + part * (trained - self.now), LOST, client)
        else:
            self._open[client] = flight
            self._push(trained, TRAINED, client)
        self._spend(client, part * (profile.active_watts * work + profile.link_watts * link))
        self.clients.down[client] += down
        self.totals.down += down

    def _spend(self, client: int, joules: float) -> None:
        self.clients.joules[client] += joules
        self.totals.joules += joules

    def _result(self, flight: Flight) -> None:
        """What came of a round; computes those of others on the way, soonest first."""
        if flight.values is None:
            waiting = list(self._open.values())
            if len(waiting) > self.workers.ahead:
                waiting.sort(key=lambda other: other is not flight and other.trained)
                waiting = waiting[: self.workers.ahead]
            self.workers.compute(waiting, self.weights)
            for other in waiting:
                del self._open[other.client]

    def _upload(self, client: int) -> None:
        flight = self.flights[client]
        self._result(flight)
        profile, size = self.boards.kinds[client], self.boards.bytes_up(flight.payload)
        link = size / profile.link_bytes_per_second
        self._spend(client, profile.link_watts * link)
        self.clients.up[client] += size
        self.totals.up += size
        self._push(self.boards.awake_at(client, self.now) + link, ARRIVED, client)

    def _land(self, client: int) -> Flight:
        """A round is over: the client is idle again, its keys are gone."""
        flight = self.flights.pop(client)
        self.keys.commit(client, self.setup.job.steps, flight.chain)
        self.current -= flight.version == self.version.number
        self._users[flight.version] -= 1
        if not self._users[flight.version] and flight.version != self.version.number:
            del self.weights[flight.version], self._users[flight.version]
        self.idle.append(client)
        return flight

    def _arrive(self, client: int) -> None:
        self._result(self.flights[client])  # again, where a checkpoint lies between
        flight = self._land(client)
        assert flight.values is not None
        self.clients.newest[client] = flight.version
        self.clients.updates[client] += 1
        self.contributed += flight.version == self.version.number
        row = self._first_row + len(self._rows)
        size, joules = self.boards.bytes_up(flight.payload), self.clients.joules[client]
        self._rows.append([client, flight.version, flight.began, self.now, size, joules, None, None, None])
        records = self._records[client]
        reason = self.aggregator.offer(Contribution(row, board_id(client), flight.version, records, flight.values))
        if reason is not None:
            self.totals.refused += 1
            self._rows[-1][8] = reason

    # ---- versions

    @property
    def _waiting(self) -> int:
        """Clients from which an update on this version may still come."""
        active = len(self._records) - self.clients.gone
        candidates = active - self.contributed - self.current
        return self.current + min(max(0, self._limit - self.started), max(0, candidates))

    def _tick(self, when: float) -> bool:
        """Make a version if it is time at `when`."""
        if not self.aggregator.held or not self.aggregator.ready(when, self._waiting):
            return False
        self.now = max(self.now, when)
        aggregate = self.aggregator.take()
        self.version = next_version(self.setup.job, self.setup.plan, self.optimiser, self.version, aggregate)
        number = self.version.number
        stale = []
        for row, weight in aggregate.members:
            entry = self._rows[row - self._first_row]
            entry[6], entry[7] = number, weight
            stale.append(number - 1 - entry[1])
        self.aggregator.advance(number, self.now)
        if not self._users[number - 1]:
            del self.weights[number - 1], self._users[number - 1]
        self.weights[number] = np.frombuffer(self.version.released, "<i2").astype(np.int16)
        self.idle.extend(self.parked)
        self.parked = []
        self.started = self.current = self.contributed = 0
        self._record(number, stale, aggregate.records)
        return True

    def _record(self, number: int, stale: list[int], records: int) -> None:
        every, totals = self.setup.evaluate_every, self.totals
        quality = None
        if number == self.setup.plan.rounds or (every and number % every == 0):
            quality = self._quality()
        mean = sum(stale) / len(stale) if stale else 0.0
        row: tuple[Any, ...] = (number, self.now, len(stale), mean, max(stale, default=0), records, quality)
        row += (totals.up, totals.down, totals.joules, totals.refused, totals.lost, self.clients.gone)
        self._made.append((row, self.version.released))

    def _quality(self) -> float:
        """Of the current version, on clients held out: accuracy, or what of squared errors is explained."""
        held_out, weights = self.setup.held_out, deployed(self.version)
        if held_out.targets is not None:
            people = {name: held_out.examples(number) for number, name in enumerate(held_out.names)}
            return measure(self.setup.job, weights, people).explained
        logits = self._judge.logits(weights, held_out.features)
        return float((logits.argmax(axis=1) == held_out.labels).mean())

    def _save(self, ended: bool = False) -> None:
        if ended:
            clients = self.clients.rows(self.setup.training.names)
            self.results.save(None, self._made, self._rows, clients, self.stopped)
        else:
            self.results.save(states.keep(self) if self.results.path else None, self._made, self._rows)
        self._first_row += len(self._rows)
        self._made, self._rows = [], []
        self._saved = time.monotonic()
