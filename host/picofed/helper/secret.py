"""The helper's secret key, in its folder beside its log."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from picofed import files
from picofed.errors import PicofedError


class SecretError(PicofedError):
    """A key that is missing, damaged or not kept well."""


def secret_key(folder: Path, make: bool) -> bytes:
    """The helper's secret key in its folder; make: if it has none. Raises SecretError."""
    path = folder / "helper.key"
    try:
        if make and not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # another process was first: its key is the key
                files.create(path, secrets.token_bytes(32))
        secret = path.read_bytes()
    except FileNotFoundError as error:
        raise SecretError(f"there is no helper's key in {folder}: make one with picofed helper key") from error
    except OSError as error:
        raise SecretError(f"cannot use {path}: {error.strerror or error}") from error
    if len(secret) != 32:
        raise SecretError(f"{path} is damaged: restore a backup")
    if path.stat().st_mode & 0o077:
        raise SecretError(f"{path} may be read by others than its owner: chmod 600 it")
    return secret
