"""Keys and headers of masked updates (SPEC 10.1, 10.3, 10.4): what board, host and helper have in common."""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from picofed.errors import PicofedError
from picofed.native import blake2b, x25519, x25519_public
from picofed.update_head import MASKED

BITS: Final = (8, 32)
WEIGHT_MAX: Final = 32
PREFIX: Final = 60
MAC: Final = 16
HEADER: Final = PREFIX + 32 + MAC
COHORT_MIN: Final = 2  # a sum of one is no sum
_PREFIX: Final = struct.Struct("<BBBBIIIII8s8s16sBBH")


class MaskError(PicofedError):
    """A masked update, or a request about some, that is not as specified."""


def board_secret(board_key: bytes) -> bytes:
    """sk_i of a board, from its board key."""
    return blake2b(b"picofed mask", 32, board_key)


def board_pair(board_key: bytes, helper: bytes) -> bytes:
    """k_i, on the board. helper: pk_H."""
    secret = board_secret(board_key)
    return _pair(x25519(secret, helper), x25519_public(secret), helper)


def helper_pair(helper_secret: bytes, board: bytes) -> bytes:
    """k_i, at the helper. board: pk_i."""
    return _pair(x25519(helper_secret, board), board, x25519_public(helper_secret))


def _pair(shared: bytes, board: bytes, helper: bytes) -> bytes:
    return blake2b(b"picofed pair" + board + helper, 32, shared)


def seed(pair: bytes, job: bytes, version: int, seq: int, nonce: bytes) -> bytes:
    """Where the mask of one release comes from."""
    return blake2b(b"picofed seed" + job + struct.pack("<II", version, seq) + nonce, 32, pair)


def header_mac(pair: bytes, signed: bytes) -> bytes:
    """MAC of a header's first 92 bytes."""
    return blake2b(signed, MAC, blake2b(b"picofed header", 32, pair))


def refusal(log2_sigma: int, round_shift: int, bits: int, mode: int) -> str:
    """Why SPEC 10.2 refuses such a masked job, or ""."""
    if not BITS[0] <= bits <= BITS[1]:
        return f"mask_bits must be {BITS[0]} to {BITS[1]}"
    if mode != 0:
        return "masks need gradient mode: changes that each board limits by itself do not add up"
    if round_shift > log2_sigma - 2:
        return "under masks releases are rounded to a quarter of sigma or finer: round_shift at most log2_sigma - 2"
    if bits + round_shift > 32:
        return "mask_bits and round_shift may not be more than 32 together"
    return ""


def weights_mix(weights: list[int], log2_sigma: int, round_shift: int) -> bool:
    """Does every board's noise hide the others' under these weights? Proof: docs/proofs, lemma 8."""
    if len(set(weights)) == 1:
        return True
    least = min(weights)
    squares = sum((weight // least) ** 2 for weight in weights)
    return all(weight % least == 0 for weight in weights) and 4 * squares <= 4 ** (log2_sigma - round_shift)


@dataclass(frozen=True)
class Header:
    """The 108 bytes of a masked update that the helper sees."""

    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != HEADER or self.data[0] != MASKED or self.data[3]:
            raise MaskError("a header is not one of a masked update")

    @cached_property
    def _fields(self) -> tuple[int, ...]:
        return _PREFIX.unpack_from(self.data)

    @property
    def seq(self) -> int:
        """Of the board's ledger."""
        return self._fields[4]

    @property
    def version(self) -> int:
        """That the update was computed on."""
        return self._fields[5]

    @property
    def board(self) -> bytes:
        """The board's id."""
        return self.data[32:40]

    @property
    def job(self) -> bytes:
        """The job's id."""
        return self.data[24:32]

    @property
    def mode(self) -> int:
        """0: gradient."""
        return self.data[1]

    @property
    def log2_sigma(self) -> int:
        """Of this board's noise."""
        return self.data[2]

    @property
    def bits(self) -> int:
        """b."""
        return self.data[56]

    @property
    def round_shift(self) -> int:
        """Fields count in units of 2^round_shift."""
        return self.data[57]

    @property
    def count(self) -> int:
        """Number of fields modulo 2^16."""
        return self.data[58] | self.data[59] << 8

    @property
    def common(self) -> tuple[bytes, ...]:
        """What must be the same in all headers of a sum: job, mode and sigma, clipping norm, b and shift, count."""
        return self.data[24:32], self.data[1:3], self.data[16:20], self.data[56:60]

    def fits(self, pair: bytes) -> bool:
        """Did the board that has k_i = `pair` with the helper make it?"""
        return hmac.compare_digest(header_mac(pair, self.data[:-MAC]), self.data[-MAC:])

    def seed(self, pair: bytes) -> bytes:
        """Of its mask."""
        return seed(pair, self.job, self.version, self.seq, self.data[40:56])
