"""What an owner does: give boards keys and policies, change a policy, keep the roster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cbor2

from picofed import roster
from picofed.errors import PicofedError
from picofed.fleet.provision import Registered, Registry
from picofed.native import blake2b
from picofed.owner import Owner
from picofed.provisioning import BOARD_ID, Policy, Provision, next_number
from picofed.roster import Roster
from picofed.store import Store


def board_id(chip: str) -> bytes:
    """A board's id from its chip's number in hex (SPEC 6.7)."""
    try:
        number = bytes.fromhex(chip)
    except ValueError:
        number = b""
    if not number:
        raise PicofedError(f"{chip!r} is no chip number: give it in hex, as machine.unique_id().hex() prints it")
    return blake2b(number, BOARD_ID) if len(number) > BOARD_ID else number.ljust(BOARD_ID, b"\0")


@dataclass(frozen=True)
class Member:
    """A board of this owner. admitted: the roster has it."""

    policy: Policy
    spent: int
    port: str
    admitted: bool


class Ownership:
    """An owner's folder: signing key, board keys, roster; and the site that gets what a host may have."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self.site = site
        self._read()

    def _read(self) -> None:
        self.registry = Registry(self.folder / "boards.json")
        signed = roster.load(self.folder / roster.FILE)
        self.roster = signed.roster if signed else Roster(0, {})

    @contextmanager
    def _signing(self) -> Iterator[None]:
        """What another process signed meanwhile is read first: neither a policy's nor a roster's number comes twice."""
        with roster.signing(self.folder):
            self._read()
            yield

    @staticmethod
    def key_file(folder: Path) -> Path:
        """Where the signing key is."""
        return folder / "owner.key"

    def members(self) -> list[Member]:
        """Every board that was ever provisioned."""
        return [
            Member(given.provision.policy, given.provision.spent, given.port, self._admitted(given))
            for given in self.registry
        ]

    def _admitted(self, given: Registered) -> bool:
        return given.provision.policy.board in self.roster.boards

    def find(self, name: str) -> Registered:
        """A board by its name or id. Raises PicofedError."""
        found = [given for given in self.registry if name in _names(given)]
        if len(found) != 1:
            raise PicofedError(
                f"{'several boards are' if found else 'no board is'} called {name!r}: see `provision show`"
            )
        return found[0]

    def provision(self, owner: Owner, policy: Policy, changes: Mapping[str, Any], port: str) -> Provision:
        """Keys for a new board with this policy. One that is known keeps its keys, and its policy but for `changes`; it
        gets a fresh seed, and the highest ledger head that this owner and the site's store know.
        """
        with self._signing():
            return self._provision(owner, policy, changes, port)

    def _provision(self, owner: Owner, policy: Policy, changes: Mapping[str, Any], port: str) -> Provision:
        known, boards = self.registry.get(policy.board), self._boards(owner)
        if known is None:
            made = Provision.new(replace(policy, number=next_number(0)), owner=owner)
        else:
            old = known.provision
            assert isinstance(old, Provision)
            number = next_number(old.policy.number)
            policy = replace(old.policy, name=policy.name, number=number, **changes)
            made = old.again(policy, owner)
        made = made.after(*self._head(policy.board))
        self._keep(made, port)
        if self.site.resolve() != self.folder.resolve():  # one folder for both keeps the owner's keys
            Registry(self.site / "boards.json").add(made.for_host(), port)
        self._admit(owner, {**boards, policy.board: made.public}, policy.helper or self.roster.helper)
        return made

    def renew(self, owner: Owner, known: Registered, **changes: Any) -> bytes:
        """A signed policy file with these changes and the next number. The site learns of it when the board has it."""
        with self._signing():
            newest = self.registry.get(known.provision.policy.board) or known
            old = newest.provision
            assert isinstance(old, Provision)
            made = old.renewed(replace(old.policy, number=next_number(old.policy.number), **changes), owner)
            self._keep(made, newest.port)
            # Without a roster every board takes part: a change of one board's policy is no reason to begin one.
            if self.roster.number and made.policy.helper not in (b"", self.roster.helper):
                self._admit(owner, self.roster.boards, made.policy.helper)
        return cbor2.dumps({"policy": made.policy.data, "signature": made.signature})

    def revoke(self, owner: Owner, known: Registered) -> None:
        """Take a board off the roster."""
        gone = known.provision.policy.board
        with self._signing():
            boards = self._boards(owner)
            if gone not in boards:
                raise PicofedError(f"{known.provision.policy.name} is not on the roster")
            left = {ident: key for ident, key in boards.items() if ident != gone}
            self._admit(owner, left, self.roster.helper)

    def admit(self, owner: Owner, members: Mapping[bytes, bytes]) -> None:
        """Put boards, by id and public key, on the roster."""
        with self._signing():
            self._admit(owner, {**self._boards(owner), **members}, self.roster.helper)

    def _boards(self, owner: Owner) -> dict[bytes, bytes]:
        """Whom the next roster has, if nothing else is asked: those of the last one. Where there never was one, every
        board took part, and goes on to. Raises PicofedError."""
        if self.roster.number:
            return dict(self.roster.boards)
        if (self.site / roster.FILE).exists():  # it may have revoked boards that `boards.json` still has
            raise PicofedError(f"{self.folder} has lost its roster, but {self.site} has one: copy it back")
        given = (known.provision for known in self.registry)
        owned = (one for one in given if isinstance(one, Provision) and one.owner == owner.public)
        return {one.policy.board: one.public for one in owned}

    def _keep(self, made: Provision, port: str) -> None:
        self.registry.add(made.without_secret(), port)

    def _admit(self, owner: Owner, members: Mapping[bytes, bytes], helper: bytes) -> None:
        self.roster = Roster(self.roster.number + 1, members, helper, self.roster.minimum)
        for folder in (self.folder, self.site):
            self.roster.save(folder / roster.FILE, owner)

    def _head(self, board: bytes) -> tuple[int, int]:
        """What the site knows of a board's ledger."""
        heads = [(0, 0)]
        if (seen := Registry(self.site / "boards.json").get(board)) is not None:
            heads.append((seen.provision.seq, seen.provision.spent))
        if (self.site / "store.db").exists():
            store = Store(self.site / "store.db")
            try:
                heads += [(row.seq, row.spent) for row in store.boards() if row.id == board]
            finally:
                store.close()
        return max(seq for seq, _ in heads), max(spent for _, spent in heads)


def _names(given: Registered) -> tuple[str, str]:
    return given.provision.policy.name, given.provision.policy.board.hex()


def read_policy(path: Path) -> tuple[Policy, bytes]:
    """Policy and signature of a file that `renew` made. The board checks the signature."""
    try:
        item = cbor2.loads(path.read_bytes())
        return Policy.parse(roster.binary(item["policy"])), roster.binary(item["signature"])
    except OSError as error:
        raise PicofedError(f"cannot read {path}: {error.strerror or error}") from error
    except (cbor2.CBORDecodeError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise PicofedError(f"{path} is no signed policy: make one with `picofed provision policy`") from error
