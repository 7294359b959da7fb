"""What versions are made of: the updates that wait for the next one, the rule that sums them up, who takes their masks
off, the optimiser that goes on from the current one.

Everything here can be rebuilt from the store. The caller holds the coordinator's lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from picofed.learn.admission import Admission, Admitted
from picofed.learn.aggregators import Buffered
from picofed.learn.cohorts import Cohorts
from picofed.learn.events import Journal
from picofed.learn.job import Job, JobError, Plan
from picofed.learn.unmask import HeaderRefused, Helper, HelperLost, Unmasker, check_plan
from picofed.learn.updates import UpdateError
from picofed.learn.versions import first_version, make_aggregator, make_optimiser, next_version
from picofed.members import CohortError, Members
from picofed.store import PENDING, Store, StoredUpdate, Version


class VersionMaker:
    """The current version of one job, and the next one. clock, wall: as Coordinator's."""

    def __init__(
        self,
        store: Store,
        job: Job,
        plan: Plan,
        admission: Admission,
        journal: Journal,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Raises StoreError, JobError, RuleError."""
        self._store, self._job, self._plan = store, job, plan
        self._admission, self._journal = admission, journal
        self._clock, self._wall = clock, wall
        self._offered: set[int] = set()  # rows that the aggregator holds
        self._optimiser = make_optimiser(plan, job.model)
        store.add_job(job.id, job.name, job.body)
        store.start(job.id, first_version(job, plan, self._optimiser, wall()))
        latest = store.latest(job.id)
        if latest is None or len(latest.master) != 8 * job.model.parameters:
            raise JobError("the stored version does not fit the job's model: choose another --site")
        self.version = latest
        self._optimiser.load(latest.optimiser)
        # A deadline counts from when its version was made, however often the host was started since.
        age = 0.0 if latest.created is None else max(0.0, wall() - latest.created)
        self.since = clock() - age
        self.aggregator = make_aggregator(plan, latest.number, self.since, job)
        check_plan(job, plan)
        self.cohorts: Cohorts | None = None

    def unmask(self, helper: Helper | None, members: Members | None, aggregate: bool) -> None:
        """Who takes masks off, where the job has them; aggregate: False where updates are only collected. Raises
        JobError where somebody is missing."""
        if not self._plan.masked or not isinstance(self.aggregator, Buffered):
            return
        if self._plan.masks == "pairwise":
            if members is None or not aggregate:
                raise JobError("pairwise masks come off while the boards are there: use `picofed run`")
            self.cohorts = Cohorts(self._store, self._job, self._plan, members, self._wall, self.version.number)
            self.aggregator.sum_up = self.cohorts.total
        elif helper is not None:
            self.aggregator.sum_up = Unmasker(self._job, helper).total
        elif aggregate:
            raise JobError("masked updates need a helper: name its URL as `helper` in [server]")

    def offer(self, stored: StoredUpdate, before: int, admitted: Admitted | None = None) -> None:
        """Give a pending update to the aggregator, or set it aside for good. before: the newest version that this
        board's earlier updates were computed on; boards go forward, so that none counts more often than versions.
        admitted: the same update, checked; None: it has to be."""
        if stored.state != PENDING or stored.row in self._offered:
            return
        reason: str | None = f"a second update of this board for version {before} or an older one"
        if stored.version > before:
            try:
                admitted = admitted or self._admission.again(stored.data, self.version.number)
                reason = self.cohorts.accept(admitted.update) if self.cohorts is not None else None
                reason = reason or self.aggregator.offer(admitted.contribution(stored.row))
            except (UpdateError, CohortError) as error:
                reason = str(error)
        if reason is None:
            self._offered.add(stored.row)
        else:
            self._set_aside(stored.row, stored.board, reason)

    def make(self) -> None:
        """The next version, of what the aggregator holds. Raises HelperLost where no masks come off it: `drop` it."""
        try:
            aggregate = self.aggregator.take()
        except HelperLost as lost:
            if not self._leave_out(lost):
                raise
            return
        number, updates = self.version.number + 1, len(aggregate.members)
        text = f"version {number} from {updates} update{'s' * (updates != 1)}"
        try:
            version = next_version(self._job, self._plan, self._optimiser, self.version, aggregate, self._wall())
            self._store.advance(self._job.id, version, aggregate.members, text)
        except BaseException:
            self._optimiser.load(self.version.optimiser)  # as if it had not been tried
            raise
        self._next(version)
        self._journal.show("version", "", text, version=number, updates=updates)

    def drop(self, lost: HelperLost) -> int:
        """No masks for what is in the buffer: drop it, and let boards go on with the next version, which has no members
        and the same weights (they give one update a version). First the version: what is set aside is gone for good.
        Returns how many updates that cost."""
        rows = sorted(self._offered)
        number = self.version.number + 1
        text = f"version {number} of no update: {len(rows)} were dropped, and what they cost stays spent: {lost}"
        version = replace(self.version, number=number, created=self._wall())
        self._store.advance(self._job.id, version, [], text)
        for row in rows:
            self._store.set_aside(row, str(lost))
        self._next(version)
        self._journal.show("version", "", text, version=number, updates=0)
        return len(rows)

    def _next(self, version: Version) -> None:
        self.version = version
        self.since = self._clock()
        self.aggregator.advance(version.number, self.since)
        if self.cohorts is not None:
            self.cohorts.advance(version.number)
        self._offered.clear()

    def _leave_out(self, lost: HelperLost) -> bool:
        """Set aside what the helper refuses of one board: one that makes bad headers must not cost all others their
        updates. False: it is not about one board."""
        if not isinstance(lost, HeaderRefused) or not isinstance(self.aggregator, Buffered):
            return False
        rows = self.aggregator.remove(lost.board)
        for row in rows:
            self._offered.discard(row)
            self._set_aside(row, lost.board, str(lost))
        return bool(rows)

    def _set_aside(self, row: int, board: bytes, reason: str) -> None:
        self._store.set_aside(row, reason)
        self._journal.note("refused", board, f"an update was not used: {reason}")
