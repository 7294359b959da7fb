"""The roster that a helper goes by (SPEC 10.8): signed by the one owner that its log knows, and never an older one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from picofed import roster
from picofed.masking import COHORT_MIN
from picofed.owner import Owner
from picofed.provisioning import Provision, next_number
from picofed.roster import Roster, RosterError, SignedRoster

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS roster (one INTEGER PRIMARY KEY CHECK (one = 1), owner BLOB NOT NULL,
                                   number INTEGER NOT NULL, body BLOB NOT NULL);
"""


def roster_of(boards: Sequence[Provision], minimum: int, number: int = 1) -> Roster:
    """The owner's, from the provisioning of boards. Raises RosterError."""
    helpers = {one.policy.helper for one in boards} - {b""}
    members = {one.policy.board: one.public for one in boards}
    made = Roster(number, members, helpers.pop() if len(helpers) == 1 else b"", minimum)
    _sensible(made)
    return made


def _sensible(made: Roster) -> None:
    if not COHORT_MIN <= made.minimum <= len(made.boards):
        raise RosterError(
            f"a minimum of {made.minimum} for {len(made.boards)} boards: "
            f"take at least {COHORT_MIN}, and no more than there are"
        )


def sign_roster(
    site: Path, file: Path, boards: Sequence[Provision], owner: Owner, minimum: int | None, folder: Path | None = None
) -> Roster:
    """What a helper gets, in `file`. A site that keeps a roster says which boards there are, and its number goes up, so
    that host and helper go by rosters of one sequence; the owner's folder keeps it too. minimum None: as
    before, as who signs anew because a board was lost must not let smaller sums pass. Raises RosterError.
    """
    with roster.signing(folder or site):
        return _sign(site, file, boards, owner, minimum, folder or site)


def _sign(
    site: Path, file: Path, boards: Sequence[Provision], owner: Owner, minimum: int | None, folder: Path
) -> Roster:
    kept = site / roster.FILE
    signed, before = roster.load(kept), roster.load(file)
    known = before.roster.number if before else 0
    if minimum is None:
        own = [one.roster.minimum for one in (signed, before) if one is not None and one.owner == owner.public]
        minimum = next((one for one in own if one), COHORT_MIN)
    if signed is None:
        if strangers := [one.policy.name for one in boards if one.owner != owner.public]:
            raise RosterError(
                f"the owner's key is not the one that {strangers[0]} is bound to: name its folder (--owner)"
            )
        made = roster_of(boards, minimum, next_number(known))
    else:
        if signed.owner != owner.public:
            raise RosterError(f"{kept} is signed with another owner's key: name that one's folder (--owner)")
        made = replace(signed.roster, number=next_number(max(known, signed.roster.number)), minimum=minimum)
        _sensible(made)
        for place in {site, folder}:
            made.save(place / roster.FILE, owner)
    made.save(file, owner)
    return made


def read(path: Path) -> SignedRoster:
    """A roster's file, whoever signed it. Raises RosterError."""
    signed = roster.load(path)
    if signed is None:
        raise RosterError(f"there is no roster {path}: get it from the boards' owner")
    return signed


def take(log: Path, signed: SignedRoster, owner: bytes | None, public: bytes) -> Roster:
    """The roster to go by from now on, remembered in the log. owner: whose rosters are taken, needed only with a log
    that does not know yet; public: this helper's key. Raises RosterError.
    """
    given = signed.roster
    try:
        with closing(sqlite3.connect(log, isolation_level=None, timeout=30.0)) as database:
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(SCHEMA)
            database.execute("BEGIN IMMEDIATE")  # held to the end: of two helpers that start, one is the first
            pinned = database.execute("SELECT owner, number, body FROM roster").fetchone()
            _check(signed, owner, public, pinned)
            row = (1, signed.owner, given.number, given.data)
            database.execute("INSERT OR REPLACE INTO roster VALUES (?, ?, ?, ?)", row)
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise RosterError(f"cannot use the log {log}: {error}") from error
    return given


def _check(signed: SignedRoster, owner: bytes | None, public: bytes, pinned: tuple[bytes, int, bytes] | None) -> None:
    given = signed.roster
    if pinned is None and owner is None:
        raise RosterError("a helper takes rosters of one owner: name that owner's public key with --owner, once")
    if pinned is not None and owner not in (None, pinned[0]):
        raise RosterError(f"this helper belongs to the owner {pinned[0].hex()}: another one needs another --state")
    if signed.owner != (owner if pinned is None else pinned[0]):
        raise RosterError(f"the roster is signed by {signed.owner.hex()}, which is not this helper's owner")
    if given.helper not in (b"", public):
        raise RosterError(f"the roster is for the helper {given.helper.hex()}, and this one is {public.hex()}")
    if not given.minimum:
        raise RosterError("the roster does not say how many boards a sum needs: the owner runs `picofed helper roster`")
    _sensible(given)
    if pinned is not None and (given.number < pinned[1] or (given.number == pinned[1] and given.data != pinned[2])):
        raise RosterError(
            f"roster {given.number} is not newer than {pinned[1]}, which was used: get the owner's newest"
        )
