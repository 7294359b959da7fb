"""The members of cohorts without a helper (SPEC 11.1): a roster's boards, in a form whose signature boards check."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from picofed import native
from picofed.errors import PicofedError
from picofed.owner import Owner
from picofed.public_keys import is_weak

MINIMUM: Final = 3  # boards of a cohort
MEMBERS_MAX: Final = 1024
_MEMBERS: Final = struct.Struct("<BBHI")


class CohortError(PicofedError):
    """Members, a cohort or a sealed update that is not as specified."""


@dataclass(frozen=True)
class Members:
    """Boards by id, in order, with their public keys; signature: the owner's."""

    number: int
    boards: Mapping[bytes, bytes]
    signature: bytes

    @classmethod
    def of(cls, number: int, boards: Mapping[bytes, bytes], signature: bytes = bytes(64)) -> Members:
        """In order. Raises CohortError where there are too few or too many."""
        if not MINIMUM <= len(boards) <= MEMBERS_MAX:
            raise CohortError(f"cohorts without a helper are of rosters with {MINIMUM} to {MEMBERS_MAX} boards")
        return cls(number, {ident: boards[ident] for ident in sorted(boards)}, signature)

    @classmethod
    def sign(cls, number: int, boards: Mapping[bytes, bytes], owner: Owner) -> Members:
        """Of a roster's number and boards."""
        return cls.of(number, boards, owner.sign_members(cls.of(number, boards).signed))

    @property
    def _head(self) -> bytes:
        return _MEMBERS.pack(1, 0, len(self.boards), self.number)

    @property
    def signed(self) -> bytes:
        """What the owner signs, behind its label."""
        chain = bytes(32)
        for ident, key in self.boards.items():
            chain = native.blake2b(ident + key, 32, chain)
        return self._head + chain

    @property
    def data(self) -> bytes:
        """The object (SPEC 11.1)."""
        return self._head + b"".join(ident + key for ident, key in self.boards.items()) + self.signature

    @classmethod
    def parse(cls, data: bytes, owner: bytes | None) -> Members:
        """The strict inverse of `data`. Raises CohortError, also if this owner did not sign it (None: anyone)."""
        if len(data) < _MEMBERS.size:
            raise CohortError("members are cut off")
        version, zero, count, number = _MEMBERS.unpack_from(data)
        whole = len(data) == _MEMBERS.size + 40 * count + 64
        if version != 1 or zero or not MINIMUM <= count <= MEMBERS_MAX or not whole:
            raise CohortError("this is no members object of version 1")
        entries = [data[at : at + 40] for at in range(_MEMBERS.size, len(data) - 64, 40)]
        idents = [entry[:8] for entry in entries]
        if any(before >= after for before, after in pairwise(idents)):
            raise CohortError("members are not in order")
        made = cls(number, {entry[:8]: entry[8:] for entry in entries}, data[-64:])
        if any(is_weak(key) for key in made.boards.values()):
            raise CohortError("a member's key is weak")
        if owner is not None and not made.genuine(owner):
            raise CohortError("the members are not signed by this owner")
        return made

    def genuine(self, owner: bytes) -> bool:
        """Whether this owner signed them."""
        return native.eddsa_check(self.signature, owner, b"picofed members" + self.signed)
