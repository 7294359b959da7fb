"""Cache entries: folders that are either absent or whole, whoever dies while making them.

An entry is made in a temporary folder under a file lock, stamped, and renamed into place. The stamp is
written last and records how many files and bytes the entry has, so a truncated or partly deleted entry is
seen and made again.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_STAMP = ".complete"


def cache_dir() -> Path:
    """PICOFED_CACHE, else $XDG_CACHE_HOME/picofed, else ~/.cache/picofed (created)."""
    named = os.environ.get("PICOFED_CACHE")
    if named:
        path = Path(named)
    else:
        base = os.environ.get("XDG_CACHE_HOME")
        path = (Path(base) if base else Path.home() / ".cache") / "picofed"
    path = path.absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def log_path(name: str) -> Path:
    """Where the log of making `name` is kept."""
    logs = cache_dir() / "logs"
    logs.mkdir(exist_ok=True)
    return logs / f"{name}.log"


def _summary(folder: Path) -> str:
    files = size = 0
    for base, _, names in os.walk(folder):
        for name in names:
            if name == _STAMP and Path(base) == folder:
                continue
            files += 1
            size += os.lstat(os.path.join(base, name)).st_size
    return f"{files} files, {size} bytes\n"


def is_whole(folder: Path) -> bool:
    """True where `folder` has a stamp that agrees with what the folder holds."""
    try:
        return (folder / _STAMP).read_text() == _summary(folder)
    except OSError:
        return False


@contextmanager
def _locked(name: str) -> Iterator[None]:
    locks = cache_dir() / "locks"
    locks.mkdir(exist_ok=True)
    with (locks / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(name: str, make: Callable[[Path], None]) -> Path:
    """Folder of cache entry `name`; where it is absent or not whole, `make(folder)` fills it.

    Two processes that ask at once: one makes, the other waits. Where `make` raises, nothing is left behind.
    """
    final = cache_dir() / name
    if is_whole(final):
        return final
    with _locked(name):
        if is_whole(final):
            return final
        shutil.rmtree(final, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".making-{name}-", dir=cache_dir()))
        try:
            filled = work / "entry"
            filled.mkdir()
            make(filled)
            (filled / _STAMP).write_text(_summary(filled))
            filled.rename(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return final
