"""What the store hands out: its rows, and what goes wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from picofed.errors import PicofedError

PENDING: Final = 0
USED: Final = 1
SET_ASIDE: Final = 2


class StoreError(PicofedError):
    """The store cannot be used: disk full, locked, damaged, of another version."""


class ConflictError(StoreError):
    """Another process has changed what this one was about to change."""


class ReplayError(StoreError):
    """A board has sent two different updates under one ledger number."""


@dataclass(frozen=True)
class Version:
    """A numbered global model. released: int16 values as the boards get them (SPEC 7.2, little-endian bytes);
    master and average: float64 (little-endian bytes); optimiser: the optimiser's own serialised state; created: by
    the clock of whoever made it, for deadlines and reports."""

    number: int
    released: bytes
    master: bytes
    optimiser: bytes
    average: bytes | None = None
    created: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class StoredUpdate:
    """An update object as it came, with the row that names it here. received: by the clock of whoever took it."""

    row: int
    board: bytes
    seq: int
    version: int
    data: bytes
    state: int = PENDING
    reason: str = ""
    received: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class BoardRow:
    """What the host knows of a board; seq and spent are the highest values ever seen (units of 2^-24
    mu^2).
    """

    id: bytes
    name: str
    port: str
    update_key: bytes | None
    seq: int
    spent: int
    budget: int
    seen: float


@dataclass(frozen=True)
class CohortRow:
    """The cohort of a version (SPEC 11): its object, its members' object, and whose updates are in the sum, if that is
    decided."""

    number: int
    body: bytes
    members: bytes
    survivors: bytes | None


@dataclass(frozen=True)
class Event:
    """A line of the host's diary."""

    time: float
    kind: str
    board: bytes | None
    text: str
