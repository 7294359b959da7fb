"""The store's SQLite file: opening, transactions, errors in words. WAL; a commit is on the disk when it returns."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from picofed.store_rows import StoreError

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x70666564  # "pfed"
BUSY_MS: Final = 5000

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


# Later than the rest, and nothing to older versions: in a store of any age.
_ADDED: Final = """
CREATE TABLE IF NOT EXISTS cohort (
    number INTEGER PRIMARY KEY, job BLOB NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL, members BLOB NOT NULL,
    survivors BLOB)
"""


class Database:
    """One open file. Safe to share between threads; several processes may open one file."""

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
            db.execute(_ADDED)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(_explain(self.path, error)) from error
        except OSError as error:
            raise StoreError(f"cannot use the store {self.path}: {error.strerror or error}") from error

    @contextmanager
    def _transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing. durable: on the disk before it returns; else a power cut (no kill) may undo the latest ones,
        until the next durable one, which takes them along."""
        with self._lock, self._errors():
            if not durable:
                self._db.execute("PRAGMA synchronous=NORMAL")
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            finally:
                if not durable:
                    self._db.execute("PRAGMA synchronous=FULL")

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock, self._errors(), closing(self._db.execute(query, values)) as cursor:
            return cursor.fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


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
