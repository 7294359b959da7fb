"""The coordinator: which version each board works on, what becomes of its update, when the next version is
made.

It knows neither threads nor screens: the live server and the simulator call the same methods. Everything it
holds can be rebuilt from the store, so that a process that is killed goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picofed.learn import registry
from picofed.learn.aggregators import Aggregator, Contribution
from picofed.learn.job import MODES, Job, JobError, Plan
from picofed.learn.model import WEIGHT_BITS, WEIGHT_MAX, WEIGHT_MIN, quantise
from picofed.learn.optimisers import Adam, Optimiser, Sgd, Yogi
from picofed.learn.updates import Update, UpdateError, longest
from picofed.learn.variance import Noise
from picofed.link.messages import Info
from picofed.link.transfer import object_id
from picofed.store import PENDING, ReplayError, Store, StoredUpdate, Version


@dataclass(frozen=True)
class Event:
    """Something to show: kind is one of joined, left, lost, training, update, refused, version, finished.

    board: its name, or "" for the whole; data: numbers that go with the kind (all plain Python values).
    """

    kind: str
    board: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


EventSink = Callable[[Event], None]


def no_events(event: Event) -> None:
    """An EventSink that shows nothing."""


def make_aggregator(plan: Plan, version: int, now: float, job: Job) -> Aggregator:
    """The aggregator that a plan names. Raises RuleError."""
    return registry.make(plan, version, now, Noise.of(job))


def make_optimiser(plan: Plan, size: int) -> Optimiser:
    """The optimiser that a plan names."""
    if plan.optimiser == Sgd.name:
        return Sgd(size, plan.learning_rate, plan.momentum, plan.nesterov)
    rule = Yogi if plan.optimiser == Yogi.name else Adam
    return rule(size, plan.learning_rate, plan.beta1, plan.beta2, plan.tau)


@dataclass
class _Member:
    name: str
    contributed: int = -1  # newest version that an update of this board was computed on
    left: str = ""


class Coordinator:
    """One job on one store. Thread-safe; `changed` is notified whenever there may be something new to do."""

    def __init__(
        self,
        store: Store,
        job: Job,
        plan: Plan,
        update_keys: Mapping[bytes, bytes],
        events: EventSink = no_events,
        clock: Callable[[], float] = time.monotonic,
        aggregate: bool = True,
        expected: int = 0,
    ) -> None:
        """update_keys: board id to update key. aggregate: False to collect only. expected: boards that will
        join or be reported absent; no version is made before all of them have. Raises StoreError,
        JobError."""
        self.store, self.job, self.plan = store, job, plan
        self.changed = threading.Condition(threading.RLock())
        self._keys = dict(update_keys)
        self._events = events
        self._clock = clock
        self._aggregate = aggregate
        self._expected = expected
        self._absent: dict[str, str] = {}
        self._members: dict[bytes, _Member] = {}
        self._units = job.model.gradient_units
        self._offered: set[int] = set()  # rows that the aggregator holds
        self.stopped = False
        self.failure: BaseException | None = None

        weights = job.model.initial(plan.seed)
        optimiser = make_optimiser(plan, len(job.model.trainable))
        store.add_job(job.id, job.name, job.body)
        store.start(
            job.id,
            Version(0, quantise(weights).tobytes(), weights.astype("<f8").tobytes(), optimiser.state()),
        )
        latest = store.latest(job.id)
        if latest is None or len(latest.master) != 8 * job.model.parameters:
            raise JobError("the stored version does not fit the job's model: choose another --site")
        self.version = latest
        self.optimiser = optimiser
        self.optimiser.load(latest.optimiser)
        self.aggregator = make_aggregator(plan, latest.number, clock(), job)
        self._contributed: dict[bytes, int] = {}
        for stored in store.updates(job.id, None):
            newest = self._contributed.get(stored.board, -1)
            self._contributed[stored.board] = max(newest, stored.version)
            if stored.state == PENDING:
                self._offer(stored, newest)

    # ---- boards

    def key(self, board: bytes) -> bytes | None:
        """The update key of a board, if its owner has given it to this host."""
        return self._keys.get(board)

    @property
    def longest_update(self) -> int:
        """Bytes of the longest update that a board may hold, of any job that this host knows."""
        jobs = [Job.parse(body) for _, _, body in self.store.jobs()]
        return max(longest(len(job.model.trainable)) for job in jobs)

    def fallen_back(self, info: Info) -> str:
        """What to say of a board whose ledger shows less than this host has seen of it (SPEC 5.4), or ""."""
        known = next((row for row in self.store.boards() if row.id == info.board), None)
        if known is None or (info.seq >= known.seq and info.spent >= known.spent):
            return ""
        return (
            f"its ledger shows {info.spent} units in {info.seq} records, but this host has seen {known.spent} in "
            f"{known.seq}: its owner has to provision it again with those"
        )

    def join(self, info: Info, port: str) -> None:
        """A board is there, perhaps again."""
        with self.changed:
            self.store.seen(
                board=info.board,
                name=info.name,
                port=port,
                seq=info.seq,
                spent=info.spent,
                budget=info.budget,
                update_key=self._keys.get(info.board),
            )
            member = self._members.get(info.board)
            if member is None:
                member = _Member(info.name, self._contributed.get(info.board, -1))
                self._members[info.board] = member
            fresh = not member.left
            member.left = ""
            self._show(
                "joined",
                member.name,
                "joined" if fresh else "is back",
                spent=info.spent,
                budget=info.budget,
                heap=info.heap,
                machine=info.machine,
            )
            self.changed.notify_all()

    def absent(self, port: str, reason: str) -> None:
        """An expected board cannot be reached at all."""
        with self.changed:
            self._absent[port] = reason
            self.store.event("left", f"{port}: {reason}")
            self._show("left", port, reason)
            self.tick()

    def leave(self, board: bytes, reason: str) -> None:
        """A board takes no further part."""
        with self.changed:
            member = self._members[board]
            member.left = reason
            self._note("left", board, reason)
            self.tick()

    def name(self, board: bytes) -> str:
        """What people call the board."""
        member = self._members.get(board)
        return member.name if member else board.hex()

    def contributed(self, board: bytes) -> int:
        """The newest version that an update of the board was computed on; -1: none."""
        return self._contributed.get(board, -1)

    @property
    def active(self) -> int:
        """Boards that take part."""
        return sum(not member.left for member in self._members.values())

    @property
    def left(self) -> dict[str, str]:
        """Names of the boards that left, and why."""
        gone = {member.name: member.left for member in self._members.values() if member.left}
        return gone | self._absent

    @property
    def finished(self) -> bool:
        """All versions are made (or, when only collecting, all updates are here), or this run was stopped."""
        if self.stopped or self.version.number >= self.plan.rounds:
            return True
        return not self._aggregate and bool(self._members) and self._waiting == 0

    @property
    def _waiting(self) -> int:
        """Boards from which an update for the current version may still come."""
        unseen = max(0, self._expected - len(self._members) - len(self._absent))
        return unseen + sum(not m.left and m.contributed < self.version.number for m in self._members.values())

    def assignment(self, board: bytes) -> Version | None:
        """The version that a board shall work on now; None: wait for the next one."""
        with self.changed:
            if self.finished or self._members[board].contributed >= self.version.number:
                return None
            return self.version

    def stop(self, failure: BaseException | None = None) -> None:
        """End the run; failure: why, if something broke."""
        with self.changed:
            self.stopped = True
            if failure is not None and self.failure is None:
                self.failure = failure
            self.changed.notify_all()

    # ---- updates

    def deliver(self, board: bytes, data: bytes) -> Update:
        """Check an update, make it durable, and perhaps make the next version. On return the board may drop
        it.

        Raises UpdateError or ReplayError for an update that is worth nothing; nothing is changed then.
        """
        key = self._keys.get(board)
        if key is None:
            raise UpdateError("this host does not hold the board's update key: ask its owner for it")
        update = Update.parse(data, key)
        if update.board != board:
            raise UpdateError("the update names another board")
        body = next((body for ident, _, body in self.store.jobs() if ident == update.job), None)
        if body is None:
            raise UpdateError("the update belongs to a job that this host does not know")
        if update.job == self.job.id:
            self._check(update, self.job, self.version.number)
        else:
            latest = self.store.latest(update.job)
            self._check(update, Job.parse(body), latest.number if latest else 0)
        with self.changed:
            stored = self.store.accept(
                board=board,
                seq=update.seq,
                update_id=object_id(data),
                job=update.job,
                version=update.version,
                spent=update.cumulative,
                data=data,
            )
            if update.job != self.job.id:
                return update
            before = self._contributed.get(board, -1)
            newest = max(before, update.version)
            self._contributed[board] = newest
            if board in self._members:
                self._members[board].contributed = newest
            self._show(
                "update",
                self.name(board),
                f"update on version {update.version}, {len(data)} bytes",
                version=update.version,
                bytes=len(data),
                seq=update.seq,
                spent=update.cumulative,
                records=update.records,
            )
            if stored.state == PENDING and stored.row not in self._offered:
                self._offer(stored, before)
            self.tick()
        return update

    def _check(self, update: Update, job: Job, newest: int) -> None:
        if update.mode != MODES.index(job.mode):
            raise UpdateError("the update was made in another mode than the job's")
        if (update.log2_sigma, update.clip_norm, update.steps) != (job.log2_sigma, job.clip, job.steps):
            raise UpdateError("the update was not clipped and noised as the job says")
        if update.version > newest:
            raise UpdateError("the update was computed on a version that does not exist")
        if not 1 <= update.records <= self.plan.max_records:
            raise UpdateError(f"the update claims {update.records} records, not 1 to max_records")
        update.values(job.model)

    def _offer(self, stored: StoredUpdate, before: int) -> None:
        """Give a pending update to the aggregator, or set it aside for good. before: the newest version that this
        board's earlier updates were computed on; boards go forward, so that none counts more often than versions."""
        reason: str | None = f"a second update of this board for version {before} or an older one"
        if stored.version > before:
            reason = self._try(stored)
        if reason is None:
            self._offered.add(stored.row)
        else:
            self.store.set_aside(stored.row, reason)
            self._note("refused", stored.board, f"an update was not used: {reason}")

    def _try(self, stored: StoredUpdate) -> str | None:
        """Offer an update to the aggregator; the reason if it does not count."""
        update = Update.parse(stored.data, None)
        try:
            self._check(update, self.job, self.version.number)
            values = update.values(self.job.model)
        except UpdateError as error:
            return str(error)
        return self.aggregator.offer(Contribution(stored.row, stored.board, stored.version, update.records, values))

    # ---- versions

    def tick(self) -> None:
        """Make the next version if it is time."""
        with self.changed:
            while (
                self._aggregate
                and not self.finished
                and self.aggregator.held
                and self.aggregator.ready(self._clock(), self._waiting)
            ):
                self._advance()
            self.changed.notify_all()

    @property
    def stalled(self) -> str:
        """Why no version can be made though boards are left, or "": too few of them for the plan's minimum."""
        with self.changed:
            if self.finished or not self._aggregate or self._waiting or not self._members:
                return ""
            held, now = self.aggregator.held, self._clock()
            if (held and self.aggregator.ready(now, 0)) or self.active == 0:
                return ""
            due = self.aggregator.due()
            if due is not None and due > now:
                return ""
            return f"{held} updates are here and no more can come, but a version needs {self.plan.minimum} (minimum)"

    def flush(self) -> bool:
        """Make the next version of whatever is there, without waiting for anyone. False: there was
        nothing.
        """
        with self.changed:
            if not self.aggregator.held or self.version.number >= self.plan.rounds:
                return False
            self._advance()
            return True

    def _advance(self) -> None:
        aggregate = self.aggregator.take()
        model = self.job.model
        master = np.frombuffer(self.version.master, "<f8").copy()
        if self.job.mode == "gradient":
            gradient = aggregate.total * self._units / max(aggregate.records, 1)
        else:
            gradient = -aggregate.total * 2.0**-23 / len(aggregate.members)
        moved = self.optimiser.step(master[model.trainable], gradient)
        limits = (WEIGHT_MIN / 2**WEIGHT_BITS, WEIGHT_MAX / 2**WEIGHT_BITS)
        master[model.trainable] = np.clip(moved, *limits)
        number = self.version.number + 1
        version = Version(
            number,
            quantise(master).tobytes(),
            master.astype("<f8").tobytes(),
            self.optimiser.state(),
            self._average(number, master),
        )
        try:
            self.store.advance(self.job.id, version, aggregate.members)
        except BaseException:
            self.optimiser.load(self.version.optimiser)  # as if it had not been tried
            raise
        self.version = version
        self.aggregator.advance(number, self._clock())
        self._offered.clear()
        updates = len(aggregate.members)
        self._note(
            "version",
            None,
            f"version {number} from {updates} update{'s' * (updates != 1)}",
            version=number,
            updates=updates,
        )
        if self.finished:
            self._show("finished", "", f"all {self.plan.rounds} versions are made", version=number)

    def _average(self, number: int, master: NDArray[np.float64]) -> bytes | None:
        """The mean of the masters from plan.average_from up to this one."""
        count = number - self.plan.average_from
        if count < 0:
            return None
        if count == 0 or self.version.average is None:
            return master.astype("<f8").tobytes()
        before = np.frombuffer(self.version.average, "<f8")
        mean: NDArray[np.float64] = before + (master - before) / (count + 1)
        return mean.astype("<f8").tobytes()

    # ---- events

    def _show(self, kind: str, board: str, text: str, **data: Any) -> None:
        self._events(Event(kind, board, text, data))

    def show(self, kind: str, board: bytes, text: str, **data: Any) -> None:
        """An event that is not worth a line in the diary."""
        with self.changed:
            self._show(kind, self.name(board), text, **data)

    def _note(self, kind: str, board: bytes | None, text: str, **data: Any) -> None:
        self.store.event(kind, text, board)
        self._show(kind, self.name(board) if board else "", text, **data)

    def note(self, kind: str, board: bytes | None, text: str) -> None:
        """An event that the diary keeps."""
        with self.changed:
            self._note(kind, board, text)


def deployed(version: Version) -> NDArray[np.int16]:
    """The weights to use: the average of the last versions if the plan makes one, else the version itself.
    int16 Q11.
    """
    if version.average is not None:
        return quantise(np.frombuffer(version.average, "<f8"))
    return np.frombuffer(version.released, "<i2").astype(np.int16)


__all__ = [
    "Coordinator",
    "Event",
    "EventSink",
    "ReplayError",
    "deployed",
    "make_aggregator",
    "make_optimiser",
    "no_events",
]
