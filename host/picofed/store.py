"""What the host must not lose, in one SQLite file (WAL, synchronous=FULL).

Two rules hold at every instant, also when the process is killed: an update is in here before the board is
told to drop it, and the updates of a version are marked as used in the very transaction that stores the
version.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from picofed.errors import PicofedError

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x70666564  # "pfed"
BUSY_MS: Final = 5000

PENDING: Final = 0
USED: Final = 1
SET_ASIDE: Final = 2

_SCHEMA: Final = """
CREATE TABLE job (id BLOB PRIMARY KEY, name TEXT NOT NULL, body BLOB NOT NULL, created REAL NOT NULL);
CREATE TABLE version (
    job BLOB NOT NULL REFERENCES job(id), number INTEGER NOT NULL, released BLOB NOT NULL, master BLOB NOT
    NULL, average BLOB, optimiser BLOB NOT NULL, created REAL NOT NULL, PRIMARY KEY (job, number));
CREATE TABLE board (
    id BLOB PRIMARY KEY, name TEXT NOT NULL, port TEXT NOT NULL, update_key BLOB, seq INTEGER NOT NULL DEFAULT
    0, spent INTEGER NOT NULL DEFAULT 0, budget INTEGER NOT NULL DEFAULT 0, seen REAL NOT NULL);
CREATE TABLE part (
    board BLOB NOT NULL, update_id BLOB NOT NULL, total INTEGER NOT NULL, start INTEGER NOT NULL, data BLOB
    NOT NULL, PRIMARY KEY (board, update_id, start));
CREATE TABLE updates (
    id INTEGER PRIMARY KEY AUTOINCREMENT, board BLOB NOT NULL, seq INTEGER NOT NULL, update_id BLOB NOT NULL,
    job BLOB NOT NULL REFERENCES job(id), version INTEGER NOT NULL, object BLOB NOT NULL, received REAL NOT
    NULL, state INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', UNIQUE (board, seq));
CREATE INDEX updates_open ON updates (job, state);
CREATE TABLE member (
    job BLOB NOT NULL, version INTEGER NOT NULL, update_row INTEGER NOT NULL UNIQUE REFERENCES updates(id),
    weight REAL NOT NULL, PRIMARY KEY (job, version, update_row),
    FOREIGN KEY (job, version) REFERENCES version(job, number));
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, board BLOB, text TEXT NOT
    NULL);
"""


class StoreError(PicofedError):
    """The store cannot be used: disk full, locked, damaged, of another version."""


class ConflictError(StoreError):
    """Another process has changed what this one was about to change."""


class ReplayError(StoreError):
    """A board has sent two different updates under one ledger number."""


@dataclass(frozen=True)
class Version:
    """A numbered global model. released: int16 values as the boards get them (SPEC 7.2, little-endian bytes);
    master and average: float64 (little-endian bytes); optimiser: the optimiser's own serialised state."""

    number: int
    released: bytes
    master: bytes
    optimiser: bytes
    average: bytes | None = None


@dataclass(frozen=True)
class StoredUpdate:
    """An update object as it came, with the row that names it here."""

    row: int
    board: bytes
    seq: int
    version: int
    data: bytes
    state: int = PENDING
    reason: str = ""


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
class Event:
    """A line of the host's diary."""

    time: float
    kind: str
    board: bytes | None
    text: str


class Store:
    """The host's durable state. Safe to share between threads; several processes may open one file."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self.path = str(path)
        self._lock = threading.RLock()
        with self._errors():
            if self.path != ":memory:":
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
                # The file holds update keys: nobody else reads it. SQLite gives -wal and -shm the same mode.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
        try:
            with self._errors():
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute("PRAGMA foreign_keys=ON")
            self._migrate()
        except BaseException:
            self._db.close()
            raise

    def _migrate(self) -> None:
        with self._transaction() as db:
            application = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if application == 0 and version == 0 and tables == 0:
                for statement in _SCHEMA.split(";\n"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"PRAGMA application_id={APPLICATION_ID}")
                db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            elif application != APPLICATION_ID:
                raise StoreError(f"{self.path} is a database, but not a picofed store: choose another --site")
            elif version != SCHEMA_VERSION:
                raise StoreError(f"{self.path} has schema version {version}, not {SCHEMA_VERSION}: update picofed")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(_explain(self.path, error)) from error
        except OSError as error:
            raise StoreError(f"cannot use the store {self.path}: {error.strerror or error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock, self._errors(), closing(self._db.execute(query, values)) as cursor:
            return cursor.fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

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
        aside: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Store the next version and use up its updates, all or nothing.

        members: rows and weights; aside: rows that will never be used, each with the reason. Raises
        ConflictError if the version exists, is not the next one, or one of the updates is no longer pending.
        """
        with self._transaction() as db:
            newest = db.execute("SELECT max(number) FROM version WHERE job = ?", (job,)).fetchone()[0]
            if newest != version.number - 1:
                raise ConflictError(f"version {version.number} was made by another picofed meanwhile: start again")
            _insert_version(db, job, version, "")
            for row, weight in members:
                _settle(db, row, USED, "")
                db.execute("INSERT INTO member VALUES (?, ?, ?, ?)", (job, version.number, row, weight))
            for row, reason in aside:
                _settle(db, row, SET_ASIDE, reason)

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
        with self._transaction() as db:
            db.execute("DELETE FROM part WHERE board = ? AND (update_id <> ? OR total <> ?)", (board, update, total))
            db.execute("INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?)", (board, update, total, start, data))

    def clear_parts(self, board: bytes) -> None:
        """Forget a board's pieces."""
        with self._transaction() as db:
            db.execute("DELETE FROM part WHERE board = ?", (board,))

    def accept(
        self, *, board: bytes, seq: int, update_id: bytes, job: bytes, version: int, spent: int, data: bytes
    ) -> StoredUpdate:
        """Make a verified update durable and forget its pieces. The same update again gives the first one's
        row.

        spent: the board's cumulative charge after it. Raises ReplayError if the board has used seq before for
        other bytes.
        """
        with self._transaction() as db:
            found = db.execute(
                "SELECT id, update_id, state, reason FROM updates WHERE board = ? AND seq = ?", (board, seq)
            ).fetchone()
            if found is not None and found[1] != update_id:
                raise ReplayError(f"the board sent two different updates as ledger record {seq}: it is left out")
            if found is None:
                cursor = db.execute(
                    "INSERT INTO updates (board, seq, update_id, job, version, object, received)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (board, seq, update_id, job, version, data, time.time()),
                )
                found = (cursor.lastrowid, update_id, PENDING, "")
            db.execute("DELETE FROM part WHERE board = ?", (board,))
            db.execute("UPDATE board SET seq = max(seq, ?), spent = max(spent, ?) WHERE id = ?", (seq, spent, board))
        return StoredUpdate(found[0], board, seq, version, data, found[2], found[3])

    def updates(self, job: bytes, state: int | None = PENDING) -> list[StoredUpdate]:
        """A job's updates in order of arrival: those in `state`, or all (None)."""
        query = "SELECT id, board, seq, version, object, state, reason FROM updates WHERE job = ?"
        values: list[Any] = [job]
        if state is not None:
            query += " AND state = ?"
            values.append(state)
        return [StoredUpdate(*row) for row in self._rows(query + " ORDER BY id", *values)]

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

    def event(self, kind: str, text: str, board: bytes | None = None) -> None:
        """Write a line into the diary."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO event (time, kind, board, text) VALUES (?, ?, ?, ?)",
                (time.time(), kind, board, text),
            )

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
        """See Parts."""
        self._store.add_part(self._board, update, total, offset, data)

    def clear(self, update: bytes) -> None:
        """See Parts."""
        self._store.clear_parts(self._board)


_VERSION: Final = "number, released, master, optimiser, average"


def _insert_version(db: sqlite3.Connection, job: bytes, version: Version, mode: str) -> None:
    db.execute(
        f"INSERT {mode} INTO version (job, {_VERSION}, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            job,
            version.number,
            version.released,
            version.master,
            version.optimiser,
            version.average,
            time.time(),
        ),
    )


def _settle(db: sqlite3.Connection, row: int, state: int, reason: str) -> None:
    changed = db.execute(
        "UPDATE updates SET state = ?, reason = ? WHERE id = ? AND state = ?", (state, reason, row, PENDING)
    ).rowcount
    if changed != 1:
        raise ConflictError("an update was used by another picofed meanwhile: start again")


def _explain(path: str, error: sqlite3.Error) -> str:
    text = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"the store {path} is in use by another picofed: wait for it to end"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return f"cannot write the store {path}: the disk is full or broken; make room and start again"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"the store {path} is damaged or not a picofed store: restore a backup, or choose another --site"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return f"cannot open the store {path} for writing: check the folder and its permissions"
    return f"the store {path} failed: {text}"
