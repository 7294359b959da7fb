"""Masks without a helper (SPEC 11): members, cohorts and their graph, what two boards have in common."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from picofed import masking, native
from picofed.members import MEMBERS_MAX, MINIMUM, CohortError, Members

LARGEST: Final = 512
DEGREE: Final = 24
SHARE: Final = 32
START: Final = 52  # of the fields in a sealed update's payload
_COHORT: Final = struct.Struct("<BBHII8s16s")
_PAYLOAD: Final = struct.Struct("<32sBBH16s")


def threshold(neighbours: int) -> int:
    """t: answers about a board that its self mask takes."""
    return 2 * neighbours // 3 + 1


@dataclass(frozen=True)
class Cohort:
    """Boards that seal their updates for each other. members: id of the members object; indexes: into it."""

    number: int
    version: int
    job: bytes
    members: bytes
    indexes: tuple[int, ...]

    def __post_init__(self) -> None:
        rising = all(before < after for before, after in pairwise(self.indexes))
        if not MINIMUM <= len(self.indexes) <= LARGEST or not rising or self.indexes[-1] >= MEMBERS_MAX:
            raise CohortError(f"a cohort has {MINIMUM} to {LARGEST} boards, each once and in order")

    @property
    def data(self) -> bytes:
        """The object (SPEC 11.2)."""
        count = len(self.indexes)
        head = _COHORT.pack(1, 0, count, self.number, self.version, self.job, self.members)
        return head + struct.pack(f"<{count}H", *self.indexes)

    @classmethod
    def parse(cls, data: bytes) -> Cohort:
        """The strict inverse of `data`. Raises CohortError."""
        if len(data) < _COHORT.size:
            raise CohortError("the cohort is cut off")
        version, zero, count, number, of, job, members = _COHORT.unpack_from(data)
        if version != 1 or zero or len(data) != _COHORT.size + 2 * count:
            raise CohortError("this is no cohort of version 1")
        return cls(number, of, job, members, struct.unpack_from(f"<{count}H", data, _COHORT.size))

    @cached_property
    def digest(self) -> bytes:
        """C."""
        return native.blake2b(self.data, 32)


class Graph:
    """A cohort of given members: its boards by place, and each one's neighbours."""

    def __init__(self, cohort: Cohort, members: Members) -> None:
        everyone = list(members.boards.items())
        if cohort.indexes[-1] >= len(everyone):
            raise CohortError("the cohort has a board that is no member")
        self.cohort = cohort
        self.boards = [everyone[index][0] for index in cohort.indexes]
        self.keys = [everyone[index][1] for index in cohort.indexes]
        self.neighbours = neighbours(cohort.digest, self.boards)
        self.degree = len(self.neighbours[0])
        self.threshold = threshold(self.degree)

    def place(self, board: bytes) -> int:
        """Of a board. Raises CohortError if it is not in the cohort."""
        if board not in self.boards:
            raise CohortError("the cohort does not have this board")
        return self.boards.index(board)

    def bitmap(self, survivors: Sequence[bytes]) -> bytes:
        """SPEC 11.7."""
        bits = sum(1 << self.place(board) for board in survivors)
        return bits.to_bytes((len(self.boards) + 7) // 8, "little")

    def refusal(self, survivors: Sequence[bytes], minimum: int) -> str:
        """Why boards would not answer for these survivors, or ""."""
        if len(survivors) < max(minimum, MINIMUM):
            return f"{len(survivors)} updates came, {max(minimum, MINIMUM)} are the least"
        alive = {self.place(board) for board in survivors}
        if any(len(alive.intersection(self.neighbours[place])) < self.threshold for place in alive):
            return f"too many boards dropped: each needs {self.threshold} of its {self.degree} neighbours"
        return ""


def neighbours(digest: bytes, boards: Sequence[bytes]) -> list[list[int]]:
    """The places of each board's neighbours, ascending (SPEC 11.3)."""
    count = len(boards)
    if count <= DEGREE + 1:
        return [[other for other in range(count) if other != place] for place in range(count)]
    order = [int.from_bytes(native.blake2b(board, 8, digest), "little") for board in boards]
    if len(set(order)) < count:
        raise CohortError("the cohort has no order: give it another number")
    circle = sorted(range(count), key=lambda place: order[place])
    steps = [step for step in range(-DEGREE // 2, DEGREE // 2 + 1) if step]
    found: list[list[int]] = [[] for _ in boards]
    for at, place in enumerate(circle):
        found[place] = sorted(circle[(at + step) % count] for step in steps)
    return found


@dataclass(frozen=True)
class Sealed:
    """The payload of a sealed update (SPEC 11.6); shares: one for each neighbour, under its pad."""

    digest: bytes
    bits: int
    round_shift: int
    count: int
    check: bytes
    fields: bytes
    shares: tuple[bytes, ...]

    @property
    def payload(self) -> bytes:
        """The bytes."""
        head = _PAYLOAD.pack(self.digest, self.bits, self.round_shift, self.count, self.check)
        return head + self.fields + b"".join(self.shares)

    @classmethod
    def parse(cls, payload: bytes, count: int) -> Sealed:
        """With so many fields. Raises CohortError."""
        if len(payload) < START:
            raise CohortError("a sealed update is too short")
        digest, bits, shift, told, check = _PAYLOAD.unpack_from(payload)
        end = START + (count * bits + 7) // 8
        shares = len(payload) - end
        if not masking.BITS[0] <= bits <= masking.BITS[1] or told != count & 0xFFFF or shares < 0 or shares % SHARE:
            raise CohortError("a sealed update does not fit the model")
        parts = tuple(payload[at : at + SHARE] for at in range(end, len(payload), SHARE))
        return cls(digest, bits, shift, told, check, payload[START:end], parts)


def widths(payload: bytes) -> tuple[int, int]:
    """Bits of a field and round_shift that a sealed payload names; zeros where it is too short for that."""
    if len(payload) < START:
        return 0, 0
    _, bits, shift, _, _ = _PAYLOAD.unpack_from(payload)
    return bits, shift


def pair(shared: bytes, lower: bytes, higher: bytes, digest: bytes) -> bytes:
    """r_ij from the raw X25519 secret. lower, higher: public keys, of the lower and higher index."""
    return native.blake2b(b"picofed peer" + lower + higher + digest, 32, shared)


def mask_seed(key: bytes) -> bytes:
    """m_ij of r_ij."""
    return native.blake2b(b"picofed mask", 32, key)


def pad(key: bytes, board: bytes) -> bytes:
    """What hides this board's share from all but the neighbour that it has r_ij = `key` with."""
    return native.blake2b(b"picofed share" + board, 32, key)


def self_mask(secret: bytes) -> bytes:
    """Seed of the mask that comes from b_i."""
    return native.blake2b(b"picofed mask", 32, secret)


def commitment(secret: bytes) -> bytes:
    """The check of b_i."""
    return native.blake2b(b"picofed check", 16, secret)


def xor(one: bytes, other: bytes) -> bytes:
    """Byte by byte."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


class Peer:
    """What one board does in a cohort, for boards that are simulated: the firmware's peers.py again."""

    def __init__(self, graph: Graph, board: bytes, secret: bytes) -> None:
        self.graph = graph
        self.board = board
        self.own = graph.place(board)
        self.places = graph.neighbours[self.own]
        self.keys = []
        for place in self.places:
            lower, higher = sorted((self.own, place))
            shared = native.x25519(secret, graph.keys[place])
            self.keys.append(pair(shared, graph.keys[lower], graph.keys[higher], graph.cohort.digest))

    def seal(self, fresh: bytes, bits: int, round_shift: int, n: int, masked: bytes) -> Sealed:
        """masked: n fields under the mask of self_mask(b_i). fresh: N."""
        secret = native.blake2b(b"picofed self", 32, fresh)
        fields = masked
        for place, key in zip(self.places, self.keys, strict=True):
            fields = native.mask_add(fields, n, bits, mask_seed(key), place < self.own)
        size = SHARE * (self.graph.threshold - 1)
        stream = native.chacha20(native.blake2b(b"picofed shares", 32, fresh), bytes(12), 0, bytes(size))
        coefficients = [stream[at : at + SHARE] for at in range(0, size, SHARE)]
        shares = [
            xor(native.shamir_share(secret, coefficients, x), pad(key, self.board))
            for x, key in enumerate(self.keys, 1)
        ]
        head = self.graph.cohort.digest, bits, round_shift, n & 0xFFFF, commitment(secret)
        return Sealed(*head, fields, tuple(shares))

    def reveal(self, survivors: bytes) -> bytes:
        """Without the rules of SPEC 11.7, which the board keeps."""
        alive = int.from_bytes(survivors, "little")
        told = [
            pad(key, self.graph.boards[place]) if alive >> place & 1 else mask_seed(key)
            for place, key in zip(self.places, self.keys, strict=True)
        ]
        return b"".join(told)
