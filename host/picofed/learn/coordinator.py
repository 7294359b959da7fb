"""The coordinator: who may have a round and on which version, when the next version is made, and why learning stops.

It knows neither threads nor screens: the live server and the simulator call the same methods. Everything it
holds can be rebuilt from the store, so that a process that is killed goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from picofed import update_head
from picofed.learn.admission import Admission
from picofed.learn.aggregators import Aggregator
from picofed.learn.cohorts import Cohorts, SumLost
from picofed.learn.events import EventSink, Journal, no_events
from picofed.learn.job import Job, Plan
from picofed.learn.roster import Roster
from picofed.learn.unmask import Helper, HelperLost
from picofed.learn.updates import Update
from picofed.learn.version_maker import VersionMaker
from picofed.link.messages import Info
from picofed.members import Members
from picofed.store import Store, Version


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
        wall: Callable[[], float] | None = None,
        helper: Helper | None = None,
        members: Members | None = None,
    ) -> None:
        """update_keys: board id to update key. aggregate: False to collect only. expected: boards that will
        join or be reported absent; no version is made before all of them have. helper: takes the masks off, where
        the job has them; members: who hides among whom, where no helper does. Raises StoreError, JobError.

        clock: seconds, steady, for deadlines; wall: seconds that go on while no process runs, for what the store
        keeps. Default: the machine's two; with a clock of one's own (virtual time), that one.
        """
        self.store, self.job, self.plan = store, job, plan
        self.changed = threading.Condition(threading.RLock())
        self._clock = clock
        self._wall = wall or (time.time if clock is time.monotonic else clock)
        self._aggregate = aggregate
        self._least, self._least_why = plan.honest, "honest"
        self.stopped = False
        self.failure: BaseException | None = None
        self._roster = Roster(expected)
        self._journal = Journal(store, events, self._roster.name)
        self._admission = Admission(store, job, plan, update_keys)
        self._maker = VersionMaker(store, job, plan, self._admission, self._journal, self._clock, self._wall)
        self._maker.unmask(helper, members, aggregate)
        for stored in store.updates(job.id, None):
            self._maker.offer(stored, self._roster.contribute(stored.board, stored.version))

    @property
    def version(self) -> Version:
        """The current version."""
        return self._maker.version

    @property
    def aggregator(self) -> Aggregator:
        """The rule of the plan, with the updates that wait for the next version."""
        return self._maker.aggregator

    @property
    def cohorts(self) -> Cohorts | None:
        """Who hides among whom; None where boards do not hide among each other."""
        return self._maker.cohorts

    # ---- boards

    def key(self, board: bytes) -> bytes | None:
        """The update key of a board, if its owner has given it to this host."""
        return self._admission.key(board)

    @property
    def longest_update(self) -> int:
        """Bytes of the longest update that a board may hold, of any job that this host knows."""
        return self._admission.longest

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
                update_key=self.key(info.board),
            )
            again = self._roster.join(info.board, info.name, port)
            self._journal.note(
                "joined",
                info.board,
                "is back" if again else "joined",
                spent=info.spent,
                budget=info.budget,
                heap=info.heap,
                machine=info.machine,
            )
            self.changed.notify_all()

    def absent(self, port: str, reason: str) -> None:
        """An expected board cannot be reached; it may join later."""
        with self.changed:
            if self._roster.unreached(port, reason):
                self.store.event("left", f"{port}: {reason}")
                self._journal.show("left", port, reason)
            self.tick()

    def leave(self, board: bytes, reason: str, away: bool = False) -> None:
        """A board takes no further part; away: until it is back, which `join` says."""
        with self.changed:
            self._roster.leave(board, reason, away)
            self._journal.note("left", board, f"away: {reason}" if away else reason)
            self.tick()

    def name(self, board: bytes) -> str:
        """What people call the board."""
        return self._roster.name(board)

    def contributed(self, board: bytes) -> int:
        """The newest version that an update of the board was computed on; -1: none."""
        return self._roster.contributed(board)

    @property
    def active(self) -> int:
        """Boards that take part."""
        return self._roster.active

    @property
    def away(self) -> int:
        """Boards that may come back by themselves."""
        return self._roster.away

    @property
    def deserted(self) -> bool:
        """Nobody is here, and nobody has yet to say whether it is."""
        return self.active == 0 and self._roster.unseen == 0

    @property
    def left(self) -> dict[str, str]:
        """Names of the boards that left, and why."""
        return self._roster.left

    @property
    def complete(self) -> bool:
        """All versions are made."""
        return self.version.number >= self.plan.rounds

    @property
    def finished(self) -> bool:
        """All versions are made (or, when only collecting, all updates are here), or this run was stopped."""
        if self.stopped or self.complete:
            return True
        return not self._aggregate and len(self._roster) > 0 and self._waiting == 0

    @property
    def _waiting(self) -> int:
        """Boards from which an update for the current version may still come."""
        return self._roster.waiting(self.version.number)

    def assignment(self, board: bytes) -> Version | None:
        """The version that a board shall work on now; None: wait for the next one."""
        with self.changed:
            if self.finished or self._roster.contributed(board) >= self.version.number or self._short:
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
        admitted = self._admission.admit(board, data, self.version.number)
        update = admitted.update
        with self.changed:
            stored = self.store.accept(
                board=board,
                seq=update.seq,
                update_id=update_head.name(data),
                job=update.job,
                version=update.version,
                spent=update.cumulative,
                data=data,
                received=self._wall(),
            )
            if update.job != self.job.id:
                return update
            before = self._roster.contribute(board, update.version)
            self._journal.show(
                "update",
                board,
                f"update on version {update.version}, {len(data)} bytes",
                version=update.version,
                bytes=len(data),
                seq=update.seq,
                spent=update.cumulative,
                records=update.records,
            )
            self._maker.offer(stored, before, admitted)
            self.tick()
        return update

    # ---- versions

    def need(self, least: int, why: str) -> None:
        """Masked sums need more updates than the plan's honest boards. why: what says so."""
        if least > self._least:
            self._least, self._least_why = least, why

    @property
    def _cohort(self) -> int:
        """Updates that a version must at least have."""
        return self._least if self.plan.masked else 1

    @property
    def _short(self) -> bool:
        """Whether a sum under a helper's masks would lack boards even if all that are here contributed: none of them
        shall be charged for it."""
        if not self.plan.masked or self.cohorts is not None or not self._aggregate:
            return False
        return self.aggregator.held + len(self._roster.owing(self.version.number)) < self._cohort

    def _ready(self, waiting: int) -> bool:
        return self.aggregator.held >= self._cohort and self.aggregator.ready(self._clock(), waiting)

    def tick(self) -> None:
        """Make the next version if it is time."""
        with self.changed:
            if self.cohorts is not None:
                self._go_on(self.cohorts)
            else:
                self._make_versions()
            self.changed.notify_all()

    def _make_versions(self) -> None:
        while self._aggregate and not self.finished and self.aggregator.held and self._ready(self._waiting):
            self._advance()

    def _go_on(self, cohorts: Cohorts) -> None:
        """What tick() does where boards hide among each other."""
        if self.finished:
            return
        try:
            whole, formed = cohorts.go_on(self._roster, self._clock(), self._maker.since)
            if formed:
                self._journal.show("cohort", "", formed)
            if whole:
                self._advance()
        except SumLost as lost:
            self._lose(lost)

    @property
    def stalled(self) -> str:
        """Why no version can be made though boards are left, or "": too few of them for the plan's minimum."""
        with self.changed:
            if self.cohorts is not None:
                return "" if self.finished else self.cohorts.stalled(self._roster)
            if self.finished or not self._aggregate or not len(self._roster) or self.away or self._roster.unseen:
                return ""
            if self._short and self.active:
                here = len(self._roster.owing(self.version.number))
                return (
                    f"{self.aggregator.held} updates are here and {here} more can come, "
                    f"but a masked sum needs {self._cohort} ({self._least_why})"
                )
            if self._waiting:
                return ""
            held, now = self.aggregator.held, self._clock()
            if (held and self._ready(0)) or self.active == 0:
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
            before = self.version.number
            while self.version.number == before < self.plan.rounds and self.aggregator.held >= self._cohort:
                self._advance()
            if self.failure is not None:
                raise self.failure
            return self.version.number > before

    def _advance(self) -> None:
        try:
            self._maker.make()
        except HelperLost as lost:
            self._lose(lost)
        self.changed.notify_all()

    def _lose(self, lost: HelperLost) -> None:
        dropped = self._maker.drop(lost)
        if self.cohorts is None:
            self.stop(HelperLost(f"{lost}: {dropped} updates were dropped, and what they cost stays spent"))
        if self.complete:
            text = f"all {self.plan.rounds} versions are made"
            self._journal.show("finished", "", text, version=self.version.number)

    # ---- events

    def show(self, kind: str, board: bytes, text: str, **data: Any) -> None:
        """An event that is not worth a line in the diary."""
        with self.changed:
            self._journal.show(kind, board, text, **data)

    def note(self, kind: str, board: bytes, text: str) -> None:
        """An event that the diary keeps."""
        with self.changed:
            self._journal.note(kind, board, text)
