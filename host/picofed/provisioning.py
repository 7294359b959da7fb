"""What an owner gives a board before it takes part: policy (SPEC 6.7) and provisioning file (SPEC 6.8)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

import cbor2

from picofed.errors import PicofedError
from picofed.native import blake2b

VERSION: Final = 1
BOARD_ID: Final = 8
KEY: Final = 32


class ProvisionError(PicofedError):
    """A policy or provisioning that makes no sense."""


@dataclass(frozen=True)
class Policy:
    """What a board will at most do. budget and max_charge (what a torn ledger record costs): units of 2^-24
    mu^2.
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
    features: tuple[str, ...] = ("imu45",)

    def __post_init__(self) -> None:
        if len(self.board) != BOARD_ID:
            raise ProvisionError("a board id has 8 bytes")
        if not 0 < len(self.name.encode()) <= 32 or not self.name.isprintable():
            raise ProvisionError("a board's name has 1 to 32 bytes, and no control characters")
        if not 0 <= self.max_charge <= self.budget < 1 << 32:
            raise ProvisionError("a budget is below 2^32 units, and the largest charge is not above it")

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
        }


@dataclass(frozen=True, repr=False)
class Provision:
    """A board's policy, keys and first seed; seq and spent: the highest that the owner knows of its
    ledger.
    """

    policy: Policy
    key: bytes
    secret: bytes
    records_id: bytes
    seq: int = 0
    spent: int = 0

    def __post_init__(self) -> None:
        if len(self.key) != KEY or len(self.secret) != KEY or len(self.records_id) != 8:
            raise ProvisionError("key and secret have 32 bytes, a records id 8")

    @classmethod
    def new(cls, policy: Policy, seed: bytes | None = None) -> Provision:
        """Fresh keys from the operating system; from `seed` only where nothing is at stake (emulated
        boards).
        """
        if seed is None:
            return cls(policy, secrets.token_bytes(KEY), secrets.token_bytes(KEY), secrets.token_bytes(8))

        def derive(what: bytes, size: int) -> bytes:
            return blake2b(b"picofed emulated board" + policy.board + what, size, blake2b(seed, 32))

        return cls(policy, derive(b"key", KEY), derive(b"secret", KEY), derive(b"records", 8))

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

    def file(self) -> bytes:
        """The bytes of `/picofed-data/provision.cbor`."""
        return cbor2.dumps(
            {
                "v": VERSION,
                "policy": self.policy.item(),
                "key": self.key,
                "secret": self.secret,
                "seq": self.seq,
                "spent": self.spent,
                "records": self.records_id,
            }
        )
