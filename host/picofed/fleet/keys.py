"""Which keys and which policy a board gets: from the owner's registry, which is written before the board is.

A provisioning file always carries a fresh seed, as no seed may be used twice and nobody knows what became of an earlier
one. What a ledger may not fall below is the highest that the registry or the store has ever seen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from picofed import accounting, provisioning
from picofed.errors import PicofedError
from picofed.fleet.provision import Registered, Registry
from picofed.link.session import LinkKey
from picofed.native import blake2b
from picofed.owner import Owner
from picofed.provisioning import BOARD_ID, Policy, Provision, next_number

EPSILON: Final = 8.0
DELTA: Final = 1e-5
AUTHENTICATED: Final = 1  # index into provisioning.LINKS
MASKED_COHORT: Final = 2  # with a helper: a host that may see one board's update alone needs no masks
SHARE: Final = 10  # releases that a whole budget pays for at the largest charge, if nobody says otherwise


@dataclass(frozen=True)
class Wanted:
    """What the owner asked for; None: what a board has already, else the defaults. Units of 2^-24 mu^2."""

    budget: int | None = None
    max_charge: int | None = None
    name: str | None = None
    helper: bytes | None = None
    peers: int | None = None
    link: int | None = None
    cohort: int | None = None
    honest: int | None = None

    def __post_init__(self) -> None:
        """What no policy may say is told before any board is touched."""
        name, budget = self.name or "board", self.budget or accounting.UNITS_MAX
        charge, helper, peers = self.max_charge or 1, self.helper or b"", self.peers or 0
        Policy(bytes(BOARD_ID), name, budget, charge, helper=helper, link=1, peers=peers).check()


def units(epsilon: float | None, delta: float) -> int | None:
    """The budget for an epsilon at a delta, None for none. Raises PicofedError for what makes no sense."""
    return provisioning.budget(epsilon, delta)


class Keys:
    """Hands out provisioning. Any thread may call. heads: (seq, spent) that the store has seen, by board."""

    def __init__(
        self,
        registry: Registry,
        wanted: Wanted,
        heads: Mapping[bytes, tuple[int, int]],
        owner: Callable[[], Owner],
    ) -> None:
        self._registry = registry
        self._wanted = wanted
        self._heads = dict(heads)
        self._load_owner = owner
        self._owner: Owner | None = None
        self._lock = threading.Lock()

    def known(self, ident: bytes) -> Registered | None:
        """A board as this site knows it."""
        with self._lock:
            return self._registry.get(ident)

    def link_keys(self) -> dict[bytes, LinkKey]:
        """What boards that ask for it are spoken to with: as they want it, for a policy may be on its way."""
        with self._lock:
            return {ident: LinkKey(known.key, 0) for ident, known in self._registry.link_keys().items()}

    def heard(self, ident: bytes, seq: int, spent: int) -> None:
        """A head that a board told, though nobody's keys vouch for it."""
        with self._lock:
            before = self._heads.get(ident, (0, 0))
            self._heads[ident] = (max(before[0], seq), max(before[1], spent))

    def check(self, ident: bytes, kind: str) -> None:
        """Raise PicofedError where what the owner asked for makes no policy for this board."""
        known = self.known(ident)
        self._changed(known.provision.policy if known else self._first(ident, kind))

    def changes(self, ident: bytes) -> bool:
        """Whether the owner asked for another policy than the board's."""
        known = self.known(ident)
        return known is not None and self._changed(known.provision.policy) != known.provision.policy

    def give(self, ident: bytes, kind: str, port: str, new: bool = False) -> Provision:
        """Provisioning with a fresh seed, in the registry (but for the seed, which is for the board alone) before this
        returns. new: forget what keys it had."""
        with self._lock:
            known = self._registry.get(ident)
            policy = self._changed(known.provision.policy if known else self._first(ident, kind))
            policy = replace(policy, number=next_number(known.provision.policy.number if known else 0))
            if self._owner is None:
                self._owner = self._load_owner()
            if known is None or new:
                given = Provision.new(policy, owner=self._owner)
            else:
                given = whole(known).again(policy, self._owner)
            given = given.after(*self._heads.get(ident, (0, 0)))
            self._registry.add(given, port, kind)
            kept = self._registry.get(ident)
            return given if kept is None else replace(whole(kept), secret=given.secret)

    def saw(self, ident: bytes, seq: int, spent: int, port: str, kind: str) -> None:
        """Remember a board's ledger head, where and what it was."""
        with self._lock:
            self._registry.saw(ident, seq, spent, port, kind)

    def _first(self, ident: bytes, kind: str) -> Policy:
        asked = self._wanted.budget
        budget = accounting.budget(EPSILON, DELTA) if asked is None else asked
        taken = {board.provision.policy.name for board in self._registry}
        name = f"{kind[:20]}-{ident[-2:].hex()}"
        if name in taken:
            name = f"{kind[:14]}-{ident.hex()}"
        return Policy(ident, name, budget, max_charge=budget // SHARE, link=AUTHENTICATED)

    def _changed(self, policy: Policy) -> Policy:
        wanted = self._wanted
        budget = policy.budget if wanted.budget is None else wanted.budget
        charge = policy.max_charge
        if wanted.max_charge is not None:
            charge = wanted.max_charge
        elif wanted.budget is not None and wanted.budget != policy.budget:
            charge = budget // SHARE
        if charge > budget:
            raise PicofedError(f"a largest charge of {charge} units is above the budget of {budget}: lower it")
        helper = policy.helper if wanted.helper is None else wanted.helper
        peers = policy.peers if wanted.peers is None else wanted.peers
        cohort, honest = wanted.cohort or policy.cohort, wanted.honest or policy.honest
        if wanted.helper is not None and wanted.cohort is None:
            cohort = max(policy.cohort, MASKED_COHORT)
        link = policy.link if wanted.link is None else wanted.link
        # A board takes jobs with pairwise masks over an authenticated link only (SPEC 11.6).
        if wanted.link is None and peers:
            link = max(link, AUTHENTICATED)
        elif peers and not link:
            raise PicofedError("cohorts without a helper need an authenticated link: leave --link open away")
        return replace(
            policy,
            budget=budget,
            max_charge=charge,
            name=wanted.name or policy.name,
            helper=helper,
            peers=peers,
            link=link,
            cohort=cohort,
            honest=honest,
        )


def whole(known: Registered) -> Provision:
    """All keys of a board. Raises PicofedError where a registry has only a host's."""
    if isinstance(known.provision, Provision):
        return known.provision
    raise PicofedError(f"this site has only a host's keys of {known.provision.policy.name}: use the owner's as --site")


def is_own_ledger(record: bytes, ledger_key: bytes) -> bool:
    """Whether a ledger record was written under this key (SPEC 5.1)."""
    return blake2b(record[:24], 8, ledger_key) == record[24:]
