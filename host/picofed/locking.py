"""One process at a time: whoever reads a file, changes it and writes it back."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from picofed.errors import PicofedError


@contextmanager
def alone(path: Path, error: type[PicofedError]) -> Iterator[None]:
    """Waits for others that hold the same path. A lock file stays beside it: removing it would let two in. Raises
    `error` where it cannot be made.
    """
    lock = _open(path, error)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def only_one(path: Path, error: type[PicofedError], taken: str) -> Iterator[None]:
    """The same for what takes hours: waits for nobody, and raises `error` with the words `taken` where another holds
    the path. A process that is killed holds nothing.
    """
    lock = _open(path, error)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise error(taken) from None
        yield
    finally:
        os.close(lock)


def _open(path: Path, error: type[PicofedError]) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as reason:
        raise error(f"cannot write {path}: {reason.strerror or reason}") from reason
