"""What an owner gives a board before it takes part: policy (SPEC 6.7) and provisioning file (SPEC 6.8)."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import cbor2

from picofed import accounting
from picofed.errors import PicofedError
from picofed.native import blake2b, x25519_public
from picofed.owner import Owner
from picofed.peers import LARGEST
from picofed.public_keys import is_weak

VERSION: Final = 2
BOARD_ID: Final = 8
KEY: Final = 32
LINKS: Final = ("open", "authenticated", "encrypted")
WORD: Final = (1 << 32) - 1
LOG2_SIGMA: Final = (6, 25)
CLIP_MAX: Final = (1 << 20) - 1


class ProvisionError(PicofedError):
    """A policy or provisioning that makes no sense."""


@dataclass(frozen=True)
class Policy:
    """What a board will at most do. budget and max_charge (what a torn ledger record costs): units of 2^-24
    mu^2. number: a board takes no policy with a lower one. helper: its X25519 public key, b"" for none. cohort: fewest
    boards among which an update may be seen. link: index into LINKS. honest: boards of each sum that are taken to be
    honest; above 1, boards add only their share of the noise of min_log2_sigma to masked updates.
    """

    board: bytes
    name: str
    budget: int
    max_charge: int
    min_log2_sigma: int = 6
    max_clip: int = (1 << 20) - 1
    max_parameters: int = 20000
    losses: tuple[int, ...] = (0, 1)
    modes: tuple[int, ...] = (0, 1)
    features: tuple[str, ...] = ("imu45", "blocks", "convolution")
    number: int = 1
    helper: bytes = b""  # the helper's public key, where masked jobs are allowed
    cohort: int = 1
    link: int = 0
    honest: int = 1
    peers: int = 0  # fewest boards of a cohort without a helper; 0: none is allowed

    def __post_init__(self) -> None:
        if len(self.board) != BOARD_ID:
            raise ProvisionError("a board id has 8 bytes")
        if not 0 < len(self.name.encode()) <= 32 or not self.name.isprintable():
            raise ProvisionError("a board's name has 1 to 32 bytes, and no control characters")
        if len(self.helper) not in (0, KEY):
            raise ProvisionError("a helper's key has 32 bytes")
        if not 0 <= self.link < len(LINKS):
            raise ProvisionError(f"a link is {', '.join(LINKS)}")

    def check(self) -> None:
        """Raise ProvisionError for what boards refuse (SPEC 6.7). Before a policy is signed, and when one is read; not
        when one is made: an owner must be able to change a policy that an earlier picofed has signed."""
        for name, low, high in (
            ("budget", 1, WORD),
            ("max_charge", 1, self.budget),
            ("min_log2_sigma", *LOG2_SIGMA),
            ("max_clip", 1, CLIP_MAX),
            ("max_parameters", 1, WORD),
            ("number", 0, WORD),
            ("cohort", 1, WORD),
            ("link", 0, len(LINKS) - 1),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ProvisionError(f"a policy's {name} is {low} to {high}, not {value}")
        if self.helper and is_weak(self.helper):
            raise ProvisionError("this helper's key is weak: with it, everybody knows the masks; ask for another one")
        if self.honest != 1 and not (2 <= self.honest <= self.cohort and self.helper):
            raise ProvisionError("honest is at least 1 and at most the cohort; above 1 it needs a helper's key")
        if self.peers and not 3 <= self.peers <= LARGEST:
            raise ProvisionError(f"a cohort without a helper has 3 to {LARGEST} boards, not {self.peers}")
        if self.peers and not self.link:
            raise ProvisionError("cohorts without a helper need a link that is authenticated or encrypted, not open")
        known = [type(self.board) is bytes, type(self.helper) is bytes, type(self.honest) is int]
        known += [type(self.peers) is int, *(type(value) is str for value in self.features)]
        known += [type(value) is int and 0 <= value <= WORD for value in self.losses + self.modes]
        if not all(known):
            raise ProvisionError("a policy has a field of another type than it should have")

    @property
    def data(self) -> bytes:
        """The bytes that the owner signs."""
        return cbor2.dumps(self.item())

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        """The strict inverse of `data`. Raises ProvisionError."""
        try:
            item = cbor2.loads(data)
            version = item.pop("v")
            for name in ("losses", "modes", "features"):
                item[name] = tuple(item[name])
            made = cls(**item)
            good = version == VERSION and made.data == data
            made.check()
        except (cbor2.CBORDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProvisionError("this is no policy that this picofed knows") from error
        if not good:
            raise ProvisionError("this is no policy that this picofed knows")
        return made

    def item(self) -> dict[str, Any]:
        """The map of SPEC 6.7."""
        return {
            "v": VERSION,
            "board": self.board,
            "name": self.name,
            "budget": self.budget,
            "max_charge": self.max_charge,
            "min_log2_sigma": self.min_log2_sigma,
            "max_clip": self.max_clip,
            "max_parameters": self.max_parameters,
            "losses": list(self.losses),
            "modes": list(self.modes),
            "features": list(self.features),
            "number": self.number,
            "helper": self.helper,
            "cohort": self.cohort,
            "link": self.link,
            **({"honest": self.honest} if self.honest > 1 else {}),
            **({"peers": self.peers} if self.peers else {}),
        }


@dataclass(frozen=True, repr=False)
class HostKeys:
    """What a host holds of a board: enough to talk to it and to check its updates, not enough to be the board."""

    policy: Policy
    owner: bytes
    update_key: bytes
    link_key: bytes
    seq: int = 0
    spent: int = 0

    def after(self, seq: int, spent: int) -> HostKeys:
        """See Provision.after."""
        return replace(self, seq=max(self.seq, seq), spent=max(self.spent, spent))


@dataclass(frozen=True, repr=False)
class Provision:
    """A board's policy, keys and first seed; seq and spent: the highest that the owner knows of its
    ledger. owner: public key; signature: the owner's, of the policy.
    """

    policy: Policy
    key: bytes
    secret: bytes
    records_id: bytes
    owner: bytes
    signature: bytes
    seq: int = 0
    spent: int = 0

    def __post_init__(self) -> None:
        if len(self.key) != KEY or len(self.secret) not in (0, KEY) or len(self.records_id) != 8:
            raise ProvisionError("key and secret have 32 bytes, a records id 8")
        if len(self.owner) != KEY or len(self.signature) != 64:
            raise ProvisionError("an owner's key has 32 bytes, a signature 64")

    @classmethod
    def new(cls, policy: Policy, seed: bytes | None = None, owner: Owner | None = None) -> Provision:
        """Fresh keys from the operating system; from `seed` only where nothing is at stake (emulated boards), then the
        owner's key too if none is given. Raises ProvisionError for a policy that boards refuse.
        """
        policy.check()
        if seed is None:
            if owner is None:
                raise ProvisionError("a policy needs an owner who signs it")
            key, secret, ident = (secrets.token_bytes(size) for size in (KEY, KEY, 8))
            return cls(policy, key, secret, ident, owner.public, owner.sign_policy(policy.data))
        owner = owner or emulated_owner(seed)

        return cls(
            policy,
            _emulated(seed, policy.board, b"key", KEY),
            emulated_secret(seed, policy.board),
            _emulated(seed, policy.board, b"records", 8),
            owner.public,
            owner.sign_policy(policy.data),
        )

    def renewed(self, policy: Policy, owner: Owner) -> Provision:
        """The same keys under another policy. Raises ProvisionError for one that boards refuse."""
        policy.check()
        return replace(self, policy=policy, owner=owner.public, signature=owner.sign_policy(policy.data))

    def without_secret(self) -> Provision:
        """What is kept of it: a board's noise rests on its first seed, so nobody else holds that."""
        return replace(self, secret=b"")

    def again(self, policy: Policy, owner: Owner) -> Provision:
        """The same keys and a fresh seed, for a board whose flash was lost."""
        return replace(self.renewed(policy, owner), secret=secrets.token_bytes(KEY))

    def for_host(self) -> HostKeys:
        """What the host may have of it."""
        return HostKeys(self.policy, self.owner, self.update_key, self.link_key, self.seq, self.spent)

    def after(self, seq: int, spent: int) -> Provision:
        """The same keys for a board whose ledger was seen at seq and spent; never lower than known before."""
        return replace(self, seq=max(self.seq, seq), spent=max(self.spent, spent))

    @property
    def ledger_key(self) -> bytes:
        """H(32, board key, "picofed ledger")."""
        return blake2b(b"picofed ledger", 32, self.key)

    @property
    def update_key(self) -> bytes:
        """H(32, board key, "picofed update")."""
        return blake2b(b"picofed update", 32, self.key)

    @property
    def link_key(self) -> bytes:
        """H(32, board key, "picofed link")."""
        return blake2b(b"picofed link", 32, self.key)

    @property
    def public(self) -> bytes:
        """The board's X25519 public key; its secret is H(32, board key, "picofed mask")."""
        return x25519_public(blake2b(b"picofed mask", 32, self.key))

    def file(self) -> bytes:
        """The bytes of `/picofed-data/provision.cbor`."""
        if not self.secret:
            raise ProvisionError("a board's first seed is used once: make a fresh one")
        return cbor2.dumps(
            {
                "v": VERSION,
                "owner": self.owner,
                "policy": self.policy.data,
                "signature": self.signature,
                "key": self.key,
                "secret": self.secret,
                "seq": self.seq,
                "spent": self.spent,
                "records": self.records_id,
            }
        )


def budget(epsilon: float | None, delta: float) -> int | None:
    """Units for an epsilon of a board's whole life at a delta, which must make sense also where no epsilon is asked for
    (None). Raises PicofedError where no release would fit into it, or where a ledger cannot count so far.
    """
    accounting.check_delta(delta)
    if epsilon is None:
        return None
    units = accounting.budget(epsilon, delta)
    if not units:
        raise ProvisionError(f"epsilon {epsilon:g} at delta {delta:g} is a budget of 0: choose a larger one")
    if units == accounting.UNITS_MAX:
        most = accounting.epsilon(accounting.mu_squared_of(units), delta)
        raise ProvisionError(f"epsilon {epsilon:g} is more than a ledger counts: choose one below {most:.0f}")
    return units


def next_number(known: int) -> int:
    """A policy number above every earlier one of this owner, also where the registry was lost: the time, in seconds."""
    return max(known + 1, int(time.time()))


def emulated_secret(seed: bytes, board: bytes) -> bytes:
    """The first seed of an emulated board, 32 bytes: whoever knows the site's seed has it."""
    return _emulated(seed, board, b"secret", KEY)


def _emulated(seed: bytes, board: bytes, what: bytes, size: int) -> bytes:
    return blake2b(b"picofed emulated board" + board + what, size, _site(seed))


@lru_cache(maxsize=8)
def _site(seed: bytes) -> bytes:
    return blake2b(seed, 32)  # the same for each of perhaps 100,000 boards


def emulated_owner(seed: bytes) -> Owner:
    """The owner of emulated boards: whoever knows the seed."""
    return Owner(blake2b(b"picofed emulated owner", 32, _site(seed)))
