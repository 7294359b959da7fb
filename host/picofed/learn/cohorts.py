"""The cohort of the current version in mode P (SPEC 11): who waits for one, whose updates are here, who has answered.

What boards must not hear twice in different words, number and survivors, is in the store before they hear it. All else
comes again: updates are stored, and boards repeat their answers. The caller holds the coordinator's lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from picofed.learn.aggregators import Contribution
from picofed.learn.job import Job, Plan
from picofed.learn.roster import Roster
from picofed.learn.unseal import SumLost, total
from picofed.learn.updates import Update
from picofed.link.transfer import object_id
from picofed.members import MINIMUM, CohortError, Members
from picofed.peers import LARGEST, Cohort, Graph, Sealed
from picofed.store import Store


class Task(Enum):
    """What a board shall do now."""

    WAIT = 0
    SEAL = 1
    REVEAL = 2


class Cohorts:
    """One version's cohort at a time. wall: seconds, from which cohorts get their numbers."""

    def __init__(
        self, store: Store, job: Job, plan: Plan, members: Members, wall: Callable[[], float], version: int
    ) -> None:
        self._store, self._job, self._plan = store, job, plan
        self._wall = wall
        self.members = members
        self.minimum = max(MINIMUM, plan.honest, plan.minimum)
        self.graph: Graph | None = None
        self.survivors: bytes | None = None
        self.advance(version)
        row = store.cohort(job.id, version)
        if row is not None:  # of a run that was broken off
            self._members = row.members
            self.graph = Graph(Cohort.parse(row.body), Members.parse(row.members, None))
            self.survivors = row.survivors

    def advance(self, version: int) -> None:
        """There is a new version: nobody waits yet."""
        self.version = version
        self.graph = None
        self.survivors = None
        self._members = self.members.data
        self._waiting: dict[bytes, int] = {}
        self._out: set[bytes] = set()
        self._updates: dict[bytes, Sealed] = {}
        self._told: dict[bytes, bytes] = {}
        self._since: float | None = None

    # ---- boards

    def wait(self, board: bytes, policy: int) -> None:
        """A board's update waits for a cohort. policy: number of its policy. Raises CohortError."""
        if board not in self.members.boards:
            raise CohortError("it is not on the roster: boards take its key from there only")
        self._waiting[board] = policy

    def give_up(self, board: bytes) -> None:
        """A board does not do what its cohort needs of it."""
        self._out.add(board)

    def task(self, board: bytes) -> Task:
        """What the board shall do now."""
        if self.graph is None or board in self._out or board not in self.graph.boards:
            return Task.WAIT
        if self.survivors is None:
            return Task.WAIT if board in self._updates else Task.SEAL
        return Task.REVEAL if board in self._chosen and board not in self._told else Task.WAIT

    def objects(self) -> tuple[bytes, bytes, bytes]:
        """What a board is brought: the cohort, its members, and the survivors, if that is decided."""
        assert self.graph is not None
        return self.graph.cohort.data, self._members, self.survivors or b""

    def told(self, board: bytes, answer: bytes) -> None:
        """What a board reveals."""
        self._told[board] = answer

    def accept(self, update: Update) -> str | None:
        """Take a sealed update in: None, or why it is not used."""
        if update.version != self.version:
            return None  # the aggregator says how late it is
        sealed = Sealed.parse(update.payload, len(self._job.model.trainable))
        if self.graph is None or sealed.digest != self.graph.cohort.digest or update.board not in self.graph.boards:
            return "it was sealed in another cohort"
        if len(sealed.shares) != self.graph.degree:
            return "it does not have a share for each neighbour"
        if self.survivors is not None and update.board not in self._chosen:
            return "it came after its cohort's sum was opened"
        self._updates[update.board] = sealed
        return None

    @property
    def _chosen(self) -> list[bytes]:
        if self.graph is None or self.survivors is None:
            return []
        bits = int.from_bytes(self.survivors, "little")
        return [board for place, board in enumerate(self.graph.boards) if bits >> place & 1]

    # ---- the round

    def go_on(self, roster: Roster, now: float, since: float) -> tuple[bool, str]:
        """Whether the sum can be had now, and what to say of a cohort that was formed. since: when the version was
        made. Raises SumLost."""
        if self.graph is not None:
            return self._step(roster, now), ""
        owing = roster.owing(self.version)
        everyone = not roster.unseen and all(board in self._waiting for board in owing)
        return False, self._form(owing) if everyone or now >= since + self._plan.deadline else ""

    def stalled(self, roster: Roster) -> str:
        """Why no cohort can be made though boards are here, or ""."""
        owing = roster.owing(self.version)
        if self.graph is not None or roster.unseen or roster.away or not owing:
            return ""
        if len(owing) >= self.minimum or not all(board in self._waiting for board in owing):
            return ""
        return f"{len(owing)} boards are here and no more can come, but a cohort needs {self.minimum}"

    def _form(self, here: Collection[bytes]) -> str:
        """Make a cohort of the boards that wait and are here; says of how many, or "" where they are too few."""
        boards = sorted(board for board in self._waiting if board in here)[:LARGEST]
        if len(boards) < self.minimum:
            return ""
        newest = max(self._store.last_cohort(), *(self._waiting[board] for board in boards))
        everyone = list(self.members.boards)
        indexes = tuple(everyone.index(board) for board in boards)
        number = max(int(self._wall()), newest + 1)
        cohort = Cohort(number, self.version, self._job.id, object_id(self._members), indexes)
        graph = Graph(cohort, self.members)
        self._store.add_cohort(number, self._job.id, self.version, cohort.data, self._members)
        self.graph = graph
        return f"{len(boards)} boards hide their updates from this host, each among {graph.degree} others"

    def _step(self, roster: Roster, now: float) -> bool:
        assert self.graph is not None
        if self._since is None:
            self._since = now
        late = now >= self._since + self._plan.patience
        if self.survivors is None:
            if not late and self._open(self.graph.boards, self._updates, roster):
                return False
            self._decide(self.graph)
            self._since = now
            return False
        if not late and self._open(self._chosen, self._told, roster):
            return False
        self._sum()
        return True

    def _open(self, boards: Sequence[bytes], done: Collection[bytes], roster: Roster) -> bool:
        return any(board not in done and board not in self._out and roster.may_come(board) for board in boards)

    def _decide(self, graph: Graph) -> None:
        arrived = list(self._updates)
        if reason := graph.refusal(arrived, self.minimum):
            raise SumLost(reason)
        survivors = graph.bitmap(arrived)
        self._store.decide_cohort(graph.cohort.number, survivors)
        self.survivors = survivors

    def _sum(self) -> NDArray[np.int64]:
        assert self.graph is not None
        missing = [board for board in self._chosen if board not in self._updates]
        if missing:
            raise SumLost("an update that was to be in the sum is gone")
        return total(self._job, self.graph, self._updates, self._told, self.minimum)

    def total(self, updates: Sequence[Contribution], weights: Sequence[int]) -> NDArray[np.int64]:
        """As learn.sums.sum_updates: of exactly the cohort's updates, all with one weight."""
        if {update.board for update in updates} != set(self._updates) or len(set(weights)) != 1:
            raise SumLost("the sum is of the cohort's updates, each with the same weight")
        return self._sum() * weights[0]


__all__ = ["Cohorts", "SumLost", "Task"]
