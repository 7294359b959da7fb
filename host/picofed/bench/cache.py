"""Results of the benchmark's runs in one SQLite file, so that a grid that takes hours can be gone on with."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from picofed.bench.settings import Run
from picofed.bench.trial import identity
from picofed.errors import PicofedError

_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS run (id TEXT PRIMARY KEY, what TEXT NOT NULL, result TEXT NOT NULL)"


class CacheError(PicofedError):
    """A results file that cannot be used."""


class Cache:
    """Results by run. One writer at a time; a result is whole or not there."""

    def __init__(self, path: Path | None) -> None:
        """path: None: in memory. Raises CacheError."""
        self._path = path
        try:
            self._db = sqlite3.connect(":memory:" if path is None else str(path), timeout=10.0)
            with self._db:
                self._db.execute(_SCHEMA)
            self._known: dict[str, dict[str, Any]] = {
                key: json.loads(text) for key, text in self._db.execute("SELECT id, result FROM run")
            }
        except (sqlite3.Error, ValueError) as error:
            raise CacheError(f"{path} cannot be used for results ({error}): choose another file") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, run: Run) -> dict[str, Any] | None:
        """What `trial.perform` gave for a run; None: it has not run yet."""
        return self._known.get(identity(run))

    def learn(self, key: str, result: dict[str, Any]) -> None:
        """Know a result by the identity of its run, without keeping it, unless one is known already."""
        self._known.setdefault(key, result)

    def put(self, run: Run, result: dict[str, Any]) -> None:
        """Keep a result. Raises CacheError."""
        key, text = identity(run), json.dumps(result)
        try:
            with self._db:
                self._db.execute(
                    "INSERT OR REPLACE INTO run VALUES (?, ?, ?)", (key, json.dumps(asdict(run), default=str), text)
                )
        except sqlite3.Error as error:
            raise CacheError(f"cannot write results to {self._path}: {error}") from error
        self._known[key] = json.loads(text)
