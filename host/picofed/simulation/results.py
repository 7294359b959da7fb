"""Results and checkpoint of a simulation in one SQLite file: what is in it is whole, whoever is killed when."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError

FORMAT: Final = 1
VERSION_COLUMNS: Final = (
    "version",
    "seconds",
    "updates",
    "staleness_mean",
    "staleness_max",
    "records",
    "accuracy",
    "bytes_up",
    "bytes_down",
    "joules",
    "refused",
    "lost",
    "left",
)
UPDATE_COLUMNS: Final = (
    "client",
    "version",
    "began",
    "arrived",
    "bytes",
    "joules",
    "made",
    "weight",
    "reason",
)
_QUALITY: Final = VERSION_COLUMNS.index("accuracy")
_SCHEMA: Final = f"""
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE version ({{versions}}, weights BLOB);
CREATE TABLE "update" ({", ".join(UPDATE_COLUMNS)});
CREATE TABLE client (number INTEGER PRIMARY KEY, name, updates, releases, bytes_up, bytes_down, joules, left);
CREATE TABLE checkpoint (one INTEGER PRIMARY KEY CHECK (one = 1), state BLOB NOT NULL);
"""

State = dict[str, NDArray[Any]]


class ResultsError(PicofedError):
    """A results file that cannot be used."""


class Results:
    """One file, or memory (path None). One writer at a time."""

    def __init__(
        self, path: Path | None, settings: Mapping[str, Any], *, all_weights: bool = True, quality: str = "accuracy"
    ) -> None:
        """Opens or makes the file. settings: what makes the simulation the same; all_weights: of every version, not
        only of the newest; quality: what versions are judged by. Raises ResultsError."""
        self.path, self._all_weights = path, all_weights
        text = json.dumps(settings, sort_keys=True)
        try:
            self._db = sqlite3.connect(":memory:" if path is None else str(path), timeout=1.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                    columns = [*VERSION_COLUMNS[:_QUALITY], quality, *VERSION_COLUMNS[_QUALITY + 1 :]]
                    for statement in _SCHEMA.format(versions=", ".join(columns)).split(";"):
                        self._db.execute(statement)
                    pairs = [("format", str(FORMAT)), ("settings", text)]
                    self._db.executemany("INSERT INTO setting VALUES (?, ?)", pairs)
            known = dict(self._db.execute("SELECT name, value FROM setting").fetchall())
        except sqlite3.Error as error:
            raise ResultsError(f"{path} cannot be used for results ({error}): choose another file") from error
        self.ended: str | None = known.get("ended")
        if known.get("format") != str(FORMAT) or known.get("settings") != text:
            self._db.close()
            raise ResultsError(f"{path} holds the results of other settings: choose another file, or remove it")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def load(self) -> State | None:
        """The state at the last checkpoint; None: there is none yet."""
        row = self._db.execute("SELECT state FROM checkpoint").fetchone()
        if row is None:
            return None
        with np.load(io.BytesIO(row[0]), allow_pickle=False) as file:
            return {name: file[name] for name in file}

    def save(
        self,
        state: State | None,
        versions: Iterable[tuple[Sequence[Any], bytes]],
        updates: Iterable[Sequence[Any]],
        clients: Iterable[Sequence[Any]] = (),
        ended: str | None = None,
    ) -> None:
        """Everything since the last call, and where to go on, in one transaction. ended: it is over, and why it went no
        further, or "". Raises ResultsError."""
        try:
            with self._db:
                marks = ", ".join("?" * (len(VERSION_COLUMNS) + 1))
                rows = [(*row, weights) for row, weights in versions]
                if rows and not self._all_weights:
                    self._db.execute("UPDATE version SET weights = x'' WHERE weights <> x''")
                    rows[:-1] = [(*row[:-1], b"") for row in rows[:-1]]
                self._db.executemany(f"INSERT INTO version VALUES ({marks})", rows)
                marks = ", ".join("?" * len(UPDATE_COLUMNS))
                self._db.executemany(f'INSERT INTO "update" VALUES ({marks})', updates)
                self._db.executemany("INSERT OR REPLACE INTO client VALUES (?, ?, ?, ?, ?, ?, ?, ?)", clients)
                if ended is not None:
                    self._db.execute("DELETE FROM checkpoint")
                    self._db.execute("INSERT INTO setting VALUES ('ended', ?)", (ended,))
                    self.ended = ended
                if state is not None:
                    blob = io.BytesIO()
                    np.savez(blob, **state)  # type: ignore[arg-type]
                    self._db.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", (blob.getvalue(),))
        except sqlite3.Error as error:
            raise ResultsError(f"cannot write results to {self.path}: {error}") from error

    def columns(self, table: str = "version") -> dict[str, list[Any]]:
        """A table (version, update or client) by column, without weights."""
        names = [row[1] for row in self._db.execute(f'PRAGMA table_info("{table}")') if row[1] != "weights"]
        quoted = ", ".join(f'"{name}"' for name in names)
        cursor = self._db.execute(f'SELECT {quoted} FROM "{table}" ORDER BY rowid')
        columns: list[list[Any]] = [[] for _ in names]
        while rows := cursor.fetchmany(1000):
            for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                column += values
        return dict(zip(names, columns, strict=True))

    def weights(self) -> list[bytes]:
        """The released weights of each version, 0 first, int16 little-endian."""
        return [row[0] for row in self._db.execute("SELECT weights FROM version ORDER BY rowid")]
