"""Files that are whole or not there, also when the disk is full or the power goes."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOM: Final = 4096  # more than any key or provisioning file
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write(path: Path, data: bytes, private: bool = False) -> None:
    """Put data in the place of the file: at every instant it is the old one or the whole new one. What is no regular
    file (a pipe, a terminal, a device) is written to as it stands: renaming over it would take it away. private: for
    its owner alone. Raises OSError.
    """
    path = path.resolve() if path.is_symlink() else path
    if _is_special(path):
        with open(path, "wb") as file:
            file.write(data)
        return
    with _beside(path, data, private) as beside:
        os.replace(beside, path)
    _sync(path.parent)


def create(path: Path, data: bytes) -> None:
    """Make a file that only its owner may read: whole, or not at all. Raises OSError, FileExistsError where there is
    anything of that name.
    """
    with creating(path) as put:
        put(data)


@contextmanager
def creating(path: Path) -> Iterator[Callable[[bytes], None]]:
    """The same for what is only known once something was done that cannot be undone: that the file can be made is found
    out first, with room for ROOM bytes. To be called with the data, once; if it is not, there is no file.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with _beside(path, bytes(ROOM), private=True) as beside:

        def put(data: bytes) -> None:
            with open(beside, "r+b") as file:
                file.write(data)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(beside, path)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _claim(beside, path)
            _sync(path.parent)

        yield put


def others_may_read(descriptor: int) -> bool:
    """Whether an open file's mode lets anybody but its owner in."""
    return bool(stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077)


def _is_special(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


@contextmanager
def _beside(path: Path, data: bytes, private: bool) -> Iterator[Path]:
    """The data in a file of the same folder, safely on disk. It is gone afterwards, unless it was renamed."""
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield beside
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _claim(beside: Path, path: Path) -> None:
    """Where a file system has no hard links: take the name first, then rename over it."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        os.replace(beside, path)
    except OSError:
        path.unlink()
        raise


def _sync(folder: Path) -> None:
    """The names too; file systems that cannot do that lose a name at worst, not half a file."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
