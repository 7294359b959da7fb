"""The roster (SPEC 6.10): which boards take part, by their public keys, signed by their owner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cbor2

from picofed import files, native
from picofed.errors import PicofedError
from picofed.locking import alone
from picofed.members import MEMBERS_MAX, MINIMUM, Members
from picofed.owner import Owner
from picofed.public_keys import is_weak

VERSION: Final = 1
SIZE_MAX: Final = 1 << 20
FILE: Final = "roster.cbor"


class RosterError(PicofedError):
    """A roster that cannot be read, or that the owner did not sign."""


def binary(item: object) -> bytes:
    """A byte string of a CBOR item. Raises TypeError: bytes() of a number would be that many zeros, all of memory."""
    if type(item) is not bytes:
        raise TypeError("not a byte string")
    return item


@dataclass(frozen=True)
class Roster:
    """boards: id to X25519 public key; helper: the helper's, b"" for none; number: a later roster has a higher one;
    minimum: boards that a helper's sum must at least have, 0 where no helper goes by this roster.
    """

    number: int
    boards: Mapping[bytes, bytes]
    helper: bytes = b""
    minimum: int = 0

    @property
    def data(self) -> bytes:
        """The bytes that the owner signs."""
        members = [[ident, self.boards[ident]] for ident in sorted(self.boards)]
        item = {"v": VERSION, "number": self.number, "helper": self.helper, "boards": members}
        return cbor2.dumps(item | ({"minimum": self.minimum} if self.minimum else {}))

    @classmethod
    def parse(cls, data: bytes) -> Roster:
        """The strict inverse of `data`. Raises RosterError."""
        try:
            item = cbor2.loads(data)
            boards = {binary(ident): binary(key) for ident, key in item["boards"]}
            made = cls(int(item["number"]), boards, binary(item["helper"]), int(item.get("minimum", 0)))
            sizes = {(len(ident), len(key)) for ident, key in boards.items()} | {(8, 32)}
            good = sizes == {(8, 32)} and len(made.helper) in (0, 32) and made.data == data
            good = good and 0 <= made.number < 1 << 32 and (made.minimum == 0 or made.minimum >= 2)
        except (cbor2.CBORDecodeError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise RosterError("the roster is damaged: get it again from the owner") from error
        if not good:
            raise RosterError("the roster is damaged: get it again from the owner")
        for ident, key in boards.items():
            if is_weak(key):
                raise RosterError(f"the roster has a weak key of board {ident.hex()}: give that board keys again")
        if made.helper and is_weak(made.helper):
            raise RosterError("the roster has a weak key of the helper: get another one from who runs it")
        return made

    def save(self, path: Path, owner: Owner) -> None:
        """Sign it, and put it in the place of the file, at once."""
        item: dict[str, Any] = {
            "v": VERSION,
            "owner": owner.public,
            "roster": self.data,
            "signature": owner.sign_roster(self.data),
        }
        if MINIMUM <= len(self.boards) <= MEMBERS_MAX:
            item["members"] = Members.sign(self.number, self.boards, owner).signature
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, cbor2.dumps(item))
        except OSError as error:
            raise RosterError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def signing(folder: Path) -> Iterator[None]:
    """Held from reading a roster in an owner's folder until the next one is signed: no number is signed twice."""
    with alone(folder / FILE, RosterError):
        yield


@dataclass(frozen=True)
class SignedRoster:
    """A roster whose signature was checked, and who signed it."""

    roster: Roster
    owner: bytes
    members: Members | None = None  # the same boards for cohorts without a helper

    def admits(self, board: bytes, owner: bytes) -> bool:
        """Whether this owner's board takes part."""
        return owner == self.owner and board in self.roster.boards


def load(path: Path) -> SignedRoster | None:
    """The roster in a file; None if there is no file. Raises RosterError."""
    with contextlib.suppress(FileNotFoundError):
        try:
            with open(path, "rb") as file:
                read = file.read(SIZE_MAX)
            item = cbor2.loads(read)
            owner, data, signature = (binary(item[name]) for name in ("owner", "roster", "signature"))
            known = set(item) <= {"v", "owner", "roster", "signature", "members"} and cbor2.dumps(item) == read
            genuine = item["v"] == VERSION and known and native.eddsa_check(signature, owner, b"picofed roster" + data)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RosterError(f"cannot read {path}: {error.strerror or error}") from error
        except (cbor2.CBORDecodeError, ValueError, KeyError, TypeError, OverflowError, PicofedError) as error:
            raise RosterError(f"{path} is damaged: get it again from the owner") from error
        if not genuine:
            raise RosterError(f"{path} is not signed by the owner that it names: get it again from the owner")
        parsed = Roster.parse(data)
        members = None
        if "members" in item:
            given = item["members"]
            fits = isinstance(given, bytes) and len(given) == 64 and MINIMUM <= len(parsed.boards) <= MEMBERS_MAX
            members = Members.of(parsed.number, parsed.boards, given) if fits else None
            if members is None or not members.genuine(owner):
                raise RosterError(f"the members in {path} are not signed by the owner: get it again from the owner")
        return SignedRoster(parsed, owner, members)
    return None
