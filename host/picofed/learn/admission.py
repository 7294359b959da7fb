"""What an update must be before a host keeps it: a board's own, of a job it knows, made as that job says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picofed.learn.aggregators import Contribution
from picofed.learn.job import MODES, Job, Plan
from picofed.learn.updates import Update, UpdateError, longest
from picofed.peers import widths
from picofed.store import Store


@dataclass(frozen=True)
class Admitted:
    """An update that was checked. values: as Update.values says."""

    update: Update
    values: NDArray[np.int32]

    def contribution(self, row: int) -> Contribution:
        """For an aggregator. row: of the store."""
        update = self.update
        header = update.header if update.masked and not update.sealed else None
        return Contribution(row, update.board, update.version, update.records, self.values, header)


class Admission:
    """The checks of a host that works on one job and may get updates of its earlier ones. update_keys: board id to
    update key."""

    def __init__(self, store: Store, job: Job, plan: Plan, update_keys: Mapping[bytes, bytes]) -> None:
        self._store, self._job, self._plan = store, job, plan
        self._keys = dict(update_keys)
        self._jobs: dict[bytes, Job] = {}

    def key(self, board: bytes) -> bytes | None:
        """The update key of a board, if its owner has given it to this host."""
        return self._keys.get(board)

    @property
    def longest(self) -> int:
        """Bytes of the longest update that a board may hold, of any job that this host knows."""
        self._known(b"")
        return max(longest(len(job.model.trainable)) for job in self._jobs.values())

    def admit(self, board: bytes, data: bytes, newest: int) -> Admitted:
        """What `board` sent. newest: the latest version of this host's job. Raises UpdateError."""
        key = self._keys.get(board)
        if key is None:
            raise UpdateError("this host does not hold the board's update key: ask its owner for it")
        update = Update.parse(data, key)
        if update.board != board:
            raise UpdateError("the update names another board")
        job = self._known(update.job)
        if job is None:
            raise UpdateError("the update belongs to a job that this host does not know")
        if update.job != self._job.id:
            latest = self._store.latest(update.job)
            newest = latest.number if latest else 0
        return self._checked(update, job, newest)

    def again(self, data: bytes, newest: int) -> Admitted:
        """An update of this host's job that was admitted once and stored: what it has to fit may have changed. Raises
        UpdateError."""
        return self._checked(Update.parse(data, None), self._job, newest)

    def _known(self, ident: bytes) -> Job | None:
        """A job of this host by its id."""
        if ident not in self._jobs:
            self._jobs |= {known: Job.parse(body) for known, _, body in self._store.jobs() if known not in self._jobs}
        return self._jobs.get(ident)

    def _checked(self, update: Update, job: Job, newest: int) -> Admitted:
        if update.mode != MODES.index(job.mode):
            raise UpdateError("the update was made in another mode than the job's")
        if (update.log2_sigma, update.clip_norm, update.steps) != (job.log2_sigma, job.clip, job.steps):
            raise UpdateError("the update was not clipped and noised as the job says")
        if update.sealed:
            masks = widths(update.payload)
        else:
            masks = (update.header.bits, update.header.round_shift) if update.masked else (0, job.round_shift)
        if masks != (job.mask_bits, job.round_shift) or update.sealed != bool(job.masks):
            raise UpdateError("the update is not masked as the job says")
        if update.version > newest:
            raise UpdateError("the update was computed on a version that does not exist")
        if not 1 <= update.records <= self._plan.max_records:
            raise UpdateError(f"the update claims {update.records} records, not 1 to max_records")
        return Admitted(update, update.values(job.model))
