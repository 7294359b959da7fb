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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as reason:
        raise error(f"cannot write {path}: {reason.strerror or reason}") from reason
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
