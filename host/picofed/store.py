"""What the host must not lose, in one SQLite file.

Two rules hold at every instant, also when the process is killed: an update is in here before the board is
told to drop it, and the updates of a version are marked as used in the very transaction that stores the
version.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Final

from picofed.store_database import Database
from picofed.store_rows import (
    PENDING,
    SET_ASIDE,
    USED,
    BoardRow,
    CohortRow,
    ConflictError,
    Event,
    ReplayError,
    StoredUpdate,
    StoreError,
    Version,
)


class Store(Database):
    """The host's durable state."""

    # ---- jobs and versions

    def add_job(self, ident: bytes, name: str, body: bytes) -> None:
        """Store a job; again is no harm."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO job VALUES (?, ?, ?, ?)", (ident, name, body, time.time()))

    def jobs(self) -> list[tuple[bytes, str, bytes]]:
        """Id, name and CBOR body of every job, oldest first."""
        return [
            (row[0], row[1], row[2]) for row in self._rows("SELECT id, name, body FROM job ORDER BY created, rowid")
        ]

    def start(self, job: bytes, version: Version) -> None:
        """Store version 0 of a job, unless it is there."""
        with self._transaction() as db:
            _insert_version(db, job, version, "OR IGNORE")

    def latest(self, job: bytes) -> Version | None:
        """The newest version of a job."""
        rows = self._rows(f"SELECT {_VERSION} FROM version WHERE job = ? ORDER BY number DESC LIMIT 1", job)
        return Version(*rows[0]) if rows else None

    def version(self, job: bytes, number: int) -> Version | None:
        """One version of a job."""
        rows = self._rows(f"SELECT {_VERSION} FROM version WHERE job = ? AND number = ?", job, number)
        return Version(*rows[0]) if rows else None

    def members(self, job: bytes, number: int) -> list[tuple[bytes, int, float]]:
        """Board, ledger number and weight of each update that made a version."""
        query = """SELECT u.board, u.seq, m.weight FROM member m JOIN updates u ON u.id = m.update_row
                   WHERE m.job = ? AND m.version = ? ORDER BY u.id"""
        return [(row[0], row[1], row[2]) for row in self._rows(query, job, number)]

    def advance(
        self,
        job: bytes,
        version: Version,
        members: Sequence[tuple[int, float]],
        note: str = "",
    ) -> None:
        """Store the next version and use up its updates, all or nothing, with a line for the diary.

        members: rows and weights. Raises ConflictError if the version exists, is not the next one, or one of the
        updates is no longer pending.
        """
        with self._transaction() as db:
            newest = db.execute("SELECT max(number) FROM version WHERE job = ?", (job,)).fetchone()[0]
            if newest != version.number - 1:
                raise ConflictError(f"version {version.number} was made by another picofed meanwhile: start again")
            _insert_version(db, job, version, "")
            for row, weight in members:
                _settle(db, row, USED, "")
                db.execute("INSERT INTO member VALUES (?, ?, ?, ?)", (job, version.number, row, weight))
            if note:
                _insert_event(db, "version", None, note)

    # ---- updates

    def load_parts(self, board: bytes, update: bytes, total: int) -> bytes:
        """The unbroken beginning of an update that is stored in pieces."""
        query = "SELECT start, data FROM part WHERE board = ? AND update_id = ? AND total = ? ORDER BY start"
        data = b""
        for start, piece in self._rows(query, board, update, total):
            if start != len(data):
                break
            data += piece
        return data[:total]

    def add_part(self, board: bytes, update: bytes, total: int, start: int, data: bytes) -> None:
        """Keep a piece. Pieces of a board's other updates are dropped: it holds one update at a time."""
        with self._transaction(durable=False) as db:  # the board still holds what a power cut takes from here
            db.execute("DELETE FROM part WHERE board = ? AND (update_id <> ? OR total <> ?)", (board, update, total))
            db.execute("INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?)", (board, update, total, start, data))

    def clear_parts(self, board: bytes) -> None:
        """Forget a board's pieces."""
        with self._transaction(durable=False) as db:
            db.execute("DELETE FROM part WHERE board = ?", (board,))

    def accept(
        self,
        *,
        board: bytes,
        seq: int,
        update_id: bytes,
        job: bytes,
        version: int,
        spent: int,
        data: bytes,
        received: float | None = None,
    ) -> StoredUpdate:
        """Make a verified update durable and forget its pieces. The same update again gives the first one's
        row.

        spent: the board's cumulative charge after it; received: default: now. Raises ReplayError if the board has
        used seq before for other bytes.
        """
        received = time.time() if received is None else received
        with self._transaction() as db:
            found = db.execute(
                "SELECT id, update_id, state, reason, received FROM updates WHERE board = ? AND seq = ?", (board, seq)
            ).fetchone()
            if found is not None and found[1] != update_id:
                raise ReplayError(f"the board sent two different updates as ledger record {seq}: it is left out")
            if found is None:
                cursor = db.execute(
                    "INSERT INTO updates (board, seq, update_id, job, version, object, received)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (board, seq, update_id, job, version, data, received),
                )
                found = (cursor.lastrowid, update_id, PENDING, "", received)
            db.execute("DELETE FROM part WHERE board = ?", (board,))
            db.execute("UPDATE board SET seq = max(seq, ?), spent = max(spent, ?) WHERE id = ?", (seq, spent, board))
        return StoredUpdate(found[0], board, seq, version, data, found[2], found[3], found[4])

    def updates(self, job: bytes, state: int | None = PENDING) -> list[StoredUpdate]:
        """A job's updates in order of arrival: those in `state`, or all (None)."""
        query = "SELECT id, board, seq, version, object, state, reason, received FROM updates WHERE job = ?"
        values: list[Any] = [job]
        if state is not None:
            query += " AND state = ?"
            values.append(state)
        return [StoredUpdate(*row) for row in self._rows(query + " ORDER BY id", *values)]

    def releases(self) -> list[tuple[bytes, int, float, bytes, bytes]]:
        """Every update of every job that ever came, used or not: board, seq, when, job and the object; by arrival."""
        return self._rows("SELECT board, seq, received, job, object FROM updates ORDER BY id")

    def set_aside(self, row: int, reason: str) -> None:
        """Mark a pending update as one that will never be used."""
        with self._transaction() as db:
            _settle(db, row, SET_ASIDE, reason)

    # ---- boards and events

    def seen(
        self,
        *,
        board: bytes,
        name: str,
        port: str,
        seq: int,
        spent: int,
        budget: int,
        update_key: bytes | None = None,
    ) -> None:
        """Note a board's head. seq and spent only ever rise."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO board VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " name = excluded.name, port = excluded.port, budget = excluded.budget, seen = excluded.seen,"
                " update_key = coalesce(excluded.update_key, update_key),"
                " seq = max(seq, excluded.seq), spent = max(spent, excluded.spent)",
                (board, name, port, update_key, seq, spent, budget, time.time()),
            )

    def boards(self) -> list[BoardRow]:
        """All boards, by name."""
        query = "SELECT id, name, port, update_key, seq, spent, budget, seen FROM board ORDER BY name, id"
        return [BoardRow(*row) for row in self._rows(query)]

    def add_cohort(self, number: int, job: bytes, version: int, body: bytes, members: bytes) -> None:
        """Before any board hears of it: no number comes twice."""
        with self._transaction() as db:
            db.execute("INSERT INTO cohort VALUES (?, ?, ?, ?, ?, NULL)", (number, job, version, body, members))

    def decide_cohort(self, number: int, survivors: bytes) -> None:
        """Before any board is asked: boards answer for one list of survivors only."""
        with self._transaction() as db:
            db.execute("UPDATE cohort SET survivors = ? WHERE number = ?", (survivors, number))

    def cohort(self, job: bytes, version: int) -> CohortRow | None:
        """Of a version: the newest."""
        query = "SELECT number, body, members, survivors FROM cohort WHERE job = ? AND version = ? ORDER BY number DESC"
        rows = self._rows(query, job, version)
        return CohortRow(*rows[0]) if rows else None

    def last_cohort(self) -> int:
        """The highest number of any job's cohort."""
        return int(self._rows("SELECT coalesce(max(number), 0) FROM cohort")[0][0])

    def event(self, kind: str, text: str, board: bytes | None = None) -> None:
        """Write a line into the diary."""
        with self._transaction(durable=False) as db:
            _insert_event(db, kind, board, text)

    def events(self) -> list[Event]:
        """The diary, oldest first."""
        return [Event(*row) for row in self._rows("SELECT time, kind, board, text FROM event ORDER BY id")]


class BoardParts:
    """link.transfer.Parts for one board, kept in the store."""

    def __init__(self, store: Store, board: bytes) -> None:
        self._store = store
        self._board = board

    def load(self, update: bytes, total: int) -> bytes:
        """See Parts."""
        return self._store.load_parts(self._board, update, total)

    def add(self, update: bytes, total: int, offset: int, data: bytes) -> None:
        """See Parts. The last piece is not kept: `Store.accept` takes the whole next."""
        if offset + len(data) < total:
            self._store.add_part(self._board, update, total, offset, data)

    def clear(self, update: bytes) -> None:
        """See Parts."""
        self._store.clear_parts(self._board)


_VERSION: Final = "number, released, master, optimiser, average, created"


def _insert_version(db: sqlite3.Connection, job: bytes, version: Version, mode: str) -> None:
    db.execute(
        f"INSERT {mode} INTO version (job, {_VERSION}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            job,
            version.number,
            version.released,
            version.master,
            version.optimiser,
            version.average,
            time.time() if version.created is None else version.created,
        ),
    )


def _insert_event(db: sqlite3.Connection, kind: str, board: bytes | None, text: str) -> None:
    db.execute("INSERT INTO event (time, kind, board, text) VALUES (?, ?, ?, ?)", (time.time(), kind, board, text))


def _settle(db: sqlite3.Connection, row: int, state: int, reason: str) -> None:
    changed = db.execute(
        "UPDATE updates SET state = ?, reason = ? WHERE id = ? AND state = ?", (state, reason, row, PENDING)
    ).rowcount
    if changed != 1:
        raise ConflictError("an update was used by another picofed meanwhile: start again")


__all__ = [
    "PENDING",
    "SET_ASIDE",
    "USED",
    "BoardParts",
    "BoardRow",
    "ConflictError",
    "Event",
    "ReplayError",
    "Store",
    "StoreError",
    "StoredUpdate",
    "Version",
]
