"""What a helper keeps beside its log: its secret key, and the roster of boards that the owner gave it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from picofed.errors import PicofedError
from picofed.masking import COHORT_MIN, board_secret
from picofed.native import x25519_public
from picofed.provisioning import Provision

FORMAT: Final = 1


class RosterError(PicofedError):
    """A key or a roster that is missing, damaged or not sensible."""


@dataclass(frozen=True)
class Roster:
    """boards: id to public key; minimum: boards that a sum must at least have."""

    boards: Mapping[bytes, bytes]
    minimum: int

    def __post_init__(self) -> None:
        if not COHORT_MIN <= self.minimum <= len(self.boards):
            raise RosterError(
                f"a minimum of {self.minimum} for {len(self.boards)} boards: "
                f"take at least {COHORT_MIN}, and no more than there are"
            )
        if any(len(ident) != 8 or len(key) != 32 for ident, key in self.boards.items()):
            raise RosterError("a roster names boards by 8 bytes and their public keys by 32")

    @classmethod
    def of(cls, boards: list[Provision], minimum: int) -> Roster:
        """The owner's: from the provisioning of boards."""
        return cls({one.policy.board: x25519_public(board_secret(one.key)) for one in boards}, minimum)

    def text(self) -> str:
        """The file: public keys only."""
        boards = {ident.hex(): key.hex() for ident, key in sorted(self.boards.items())}
        return json.dumps({"format": FORMAT, "minimum": self.minimum, "boards": boards}, indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> Roster:
        """Raises RosterError."""
        try:
            item = json.loads(path.read_text("utf-8"))
            if item["format"] != FORMAT:
                raise RosterError(f"{path} has a format that this picofed does not know: update picofed")
            boards = {bytes.fromhex(ident): bytes.fromhex(key) for ident, key in item["boards"].items()}
            return cls(boards, int(item["minimum"]))
        except OSError as error:
            raise RosterError(f"cannot read the roster {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RosterError(f"{path} is not a roster: let the owner make it again") from error


def secret_key(folder: Path, make: bool) -> bytes:
    """The helper's secret key in its folder; make: if it has none. Raises RosterError."""
    path = folder / "helper.key"
    try:
        if make and not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
        secret = path.read_bytes()
    except FileNotFoundError as error:
        raise RosterError(f"there is no helper's key in {folder}: make one with picofed helper key") from error
    except OSError as error:
        raise RosterError(f"cannot use {path}: {error.strerror or error}") from error
    if len(secret) != 32:
        raise RosterError(f"{path} is damaged: restore a backup")
    if path.stat().st_mode & 0o077:
        raise RosterError(f"{path} may be read by others than its owner: chmod 600 it")
    return secret
