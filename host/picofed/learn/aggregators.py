"""Aggregators: which updates make the next version, and with what weight.

One interface serves the live server and the simulator. An aggregator holds nothing that cannot be rebuilt:
after a restart it is made anew with the current version and is offered the store's pending updates in order
of arrival. A new rule is a subclass of Buffered that overrides `refuse`, `ready` or `weights`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError
from picofed.learn.sums import UNIT, fixed, sum_updates
from picofed.masking import Header


@dataclass(frozen=True)
class Contribution:
    """A verified update on its way into a version. values: int32, one for each trainable parameter; header: of a masked
    one, whose values are still under their mask."""

    row: int  # its row in the store
    board: bytes
    version: int  # that it was computed on
    records: int
    values: NDArray[np.int32]
    header: Header | None = None


@dataclass(frozen=True)
class Aggregate:
    """A weighted sum. total = sum of weight * values (float64); records: of all members, unweighted: what is
    divided by, so that weights below 1 damp (as in FedBuff); members: rows and weights, multiples of 2^-16."""

    total: NDArray[np.float64]
    records: int
    members: list[tuple[int, float]]


SumUp = Callable[[Sequence[Contribution], Sequence[int]], NDArray[np.int64]]


def _plain_sum(updates: Sequence[Contribution], weights: Sequence[int]) -> NDArray[np.int64]:
    return sum_updates([update.values for update in updates], weights)


def _hidden(update: Contribution) -> Contribution:
    """As a rule may see it under a mask: whatever it says of itself, no weight follows from what masks hide."""
    return replace(update, values=np.zeros(0, np.int32))


class Aggregator(ABC):
    """What the coordinator asks of an aggregation rule. Times are seconds of any steady clock, real or virtual: a rule
    never looks at one itself."""

    name: str
    public_weights: bool = False  # known before any update is: what masked sums need

    @abstractmethod
    def offer(self, update: Contribution) -> str | None:
        """Take an update in: None, or the reason why it will never be used."""

    @abstractmethod
    def ready(self, now: float, waiting: int) -> bool:
        """Is it time for the next version? waiting: boards from which an update for this version may still
        come.
        """

    @abstractmethod
    def take(self) -> Aggregate:
        """The weighted sum of what was accepted. The buffer stays until `advance`, so that a failure loses
        nothing.
        """

    @abstractmethod
    def advance(self, version: int, now: float) -> None:
        """A new version is current: the buffer is empty again."""

    @property
    @abstractmethod
    def held(self) -> int:
        """How many updates wait in the buffer."""

    def due(self) -> float | None:
        """When `ready` may become true though nothing arrives; None: never."""
        return None


class Buffered(Aggregator):
    """A buffer of contributions and three questions: whom to refuse, when to fire, what weights."""

    def __init__(self, version: int, now: float) -> None:
        self.version = version
        self.since = now
        self.buffer: list[Contribution] = []
        self._held: set[tuple[bytes, int]] = set()  # board and version of each
        self.sum_up: SumUp = _plain_sum  # another one where updates are masked

    def refuse(self, update: Contribution) -> str | None:
        """The reason why an update will not be used, or None."""
        return None

    def weights(self, updates: Sequence[Contribution]) -> list[float]:
        """A weight, 0 to 1, for each update of the buffer; 1 counts in full."""
        return [1.0] * len(updates)

    def staleness(self, update: Contribution) -> int:
        """Versions between the one the update was computed on and the current one."""
        return self.version - update.version

    def offer(self, update: Contribution) -> str | None:
        """See Aggregator."""
        if update.version > self.version:
            return f"computed on version {update.version}, which does not exist yet"
        if (update.board, update.version) in self._held:
            return f"a second update of this board for version {update.version}"
        reason = self.refuse(update)
        if reason is None:
            self.buffer.append(update)
            self._held.add((update.board, update.version))
        return reason

    def take(self) -> Aggregate:
        """See Aggregator."""
        # In an order of their own and summed exactly, so that the order of arrival leaves no trace.
        updates = sorted(self.buffer, key=lambda update: (update.version, update.board))
        given = self.weights([update if update.header is None else _hidden(update) for update in updates])
        try:
            weights = [fixed(weight) for weight in given]
        except (ValueError, TypeError) as error:
            raise PicofedError(f"aggregator {self.name}: weights: {error}") from error
        if len(weights) != len(updates):
            raise PicofedError(f"aggregator {self.name}: weights gave {len(weights)} for {len(updates)} updates")
        total = self.sum_up(updates, weights) / UNIT
        records = sum(update.records for update in updates)
        members = [(update.row, weight / UNIT) for update, weight in zip(updates, weights, strict=True)]
        return Aggregate(total, records, members)

    def remove(self, board: bytes) -> list[int]:
        """Take a board's updates out again; returns their rows."""
        gone = [update.row for update in self.buffer if update.board == board]
        self.buffer = [update for update in self.buffer if update.board != board]
        return gone

    def advance(self, version: int, now: float) -> None:
        """See Aggregator."""
        self.version = version
        self.since = now
        self.buffer = []
        self._held = set()

    @property
    def held(self) -> int:
        """See Aggregator."""
        return len(self.buffer)


class FedAvg(Buffered):
    """Synchronous (McMahan et al. 2017): every board's update on the current version, once all are in or a
    deadline for stragglers has passed and `minimum` are."""

    name = "fedavg"
    public_weights = True

    def __init__(self, version: int, now: float, *, deadline: float = 600.0, minimum: int = 1) -> None:
        super().__init__(version, now)
        self.deadline = deadline
        self.minimum = minimum

    def refuse(self, update: Contribution) -> str | None:
        """Only the current version counts."""
        late = self.staleness(update)
        return f"late by {late} version{'s' * (late > 1)}" if late else None

    def ready(self, now: float, waiting: int) -> bool:
        """All in, or deadline passed; never fewer than `minimum`."""
        return self.held >= max(1, self.minimum) and (waiting == 0 or now >= self.since + self.deadline)

    def due(self) -> float | None:
        """The deadline, once enough are in."""
        return self.since + self.deadline if self.held >= max(1, self.minimum) else None


class FedBuff(Buffered):
    """Buffered semi-asynchronous (Nguyen et al. 2022): fires at `capacity` updates, weights 1 / (1 +
    staleness)^exponent.

    When no further update can come for this version, or the deadline has passed, a smaller buffer fires too: the
    fleet may have shrunk, or a board may never come to an end.
    """

    name = "fedbuff"
    public_weights = True

    def __init__(
        self,
        version: int,
        now: float,
        *,
        capacity: int = 4,
        exponent: float = 0.5,
        max_staleness: int = 10,
        deadline: float = math.inf,
    ) -> None:
        super().__init__(version, now)
        self.deadline = deadline
        self.capacity = capacity
        self.exponent = exponent
        self.max_staleness = max_staleness

    def refuse(self, update: Contribution) -> str | None:
        """Too old is out."""
        age = self.staleness(update)
        return f"stale by {age} versions, more than {self.max_staleness}" if age > self.max_staleness else None

    def weights(self, updates: Sequence[Contribution]) -> list[float]:
        """1 / (1 + staleness)^exponent."""
        return [(1.0 + self.staleness(update)) ** -self.exponent for update in updates]

    def ready(self, now: float, waiting: int) -> bool:
        """Full, or as full as it can get in time."""
        late = waiting == 0 or now >= self.since + self.deadline
        return self.held >= self.capacity or (self.held > 0 and late)

    def due(self) -> float | None:
        """The deadline, once there is an update."""
        return self.since + self.deadline if self.held else None
