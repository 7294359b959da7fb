"""The privacy ledger (SPEC 5): records, charges, writing, opening after any accident."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from picofed.flash import Flash
from picofed.native_errors import (
    BlankStoreError,
    BudgetExceededError,
    CoreArgumentError,
    CoreFlashError,
    CoreStateError,
    CorruptStoreError,
)
from picofed.reference.crypto import blake2b

RECORD = 32
VERSION = 1
BLANK = b"\xff" * RECORD
U32_MAX = 2**32 - 1


class Kind(IntEnum):
    """PF_LEDGER_*."""

    GENESIS = 1
    RELEASE = 2
    CARRY = 3
    TORN = 4


def charge(clip_norm: int, log2_sigma: int, steps: int = 1) -> int:
    """ceil(C^2 2^24 / (4^log2_sigma - 3)) * steps, units of 2^-24 mu^2 (SPEC 5.2).

    The lemma behind it is in picofed.accounting. CoreArgumentError if refused.
    """
    if not (0 < clip_norm < 2**20 and 6 <= log2_sigma <= 25 and 1 <= steps <= 4095):
        raise CoreArgumentError("charge")
    total = -(-(clip_norm * clip_norm << 24) // ((1 << 2 * log2_sigma) - 3)) * steps
    if total >= U32_MAX:
        raise CoreArgumentError("charge")
    return total


@dataclass(frozen=True)
class Record:
    """One ledger record, without its tag."""

    kind: Kind
    generation: int
    seq: int
    charge: int
    cumulative: int
    log2_sigma: int = 0
    clip_norm: int = 0
    steps: int = 0
    job: int = 0

    def encode(self, key: bytes) -> bytes:
        """32 bytes with the tag under the ledger key."""
        body = bytes([VERSION << 4 | self.kind, self.log2_sigma]) + self.generation.to_bytes(2, "little")
        last = self.clip_norm | self.steps << 20
        for word in (self.seq, self.charge, self.cumulative, last, self.job):
            body += word.to_bytes(4, "little")
        return body + blake2b(body, 8, key)


def parse_record(data: bytes) -> Record:
    """The fields of 32 bytes, tag not checked. CoreArgumentError for an unknown version or kind."""
    if len(data) != RECORD or data[0] >> 4 != VERSION or data[0] & 15 not in (1, 2, 3, 4):
        raise CoreArgumentError("ledger record")
    seq, charged, cumulative, last, job = (int.from_bytes(data[i : i + 4], "little") for i in range(4, 24, 4))
    return Record(
        Kind(data[0] & 15),
        int.from_bytes(data[2:4], "little"),
        seq,
        charged,
        cumulative,
        data[1],
        last & 0xFFFFF,
        last >> 20,
        job,
    )


def _valid(data: bytes, key: bytes) -> Record | None:
    if blake2b(data[:24], 8, key) != data[24:]:
        return None
    try:
        return parse_record(data)
    except CoreArgumentError:
        return None


def _slots(flash: Flash, block: int) -> list[bytes]:
    buffer = bytearray(flash.block_size)
    flash.read(block * flash.block_size, buffer)
    return [bytes(buffer[at : at + RECORD]) for at in range(0, flash.block_size, RECORD)]


def _program(flash: Flash, offset: int, data: bytes) -> None:
    flash.program(offset, data)
    back = bytearray(len(data))
    flash.read(offset, back)
    if back != data:
        raise CoreFlashError("ledger")


class Ledger:
    """An open ledger. Everything it says is also in flash."""

    def __init__(self, flash: Flash, key: bytes, max_charge: int) -> None:
        """Open (SPEC 5.4): find the newest record, charge a torn tail at max_charge each."""
        if len(key) != 32:
            raise CoreArgumentError("ledger")
        self._flash, self._key, self._open = flash, bytes(key), False
        blocks = [_slots(flash, block) for block in (0, 1)]
        if all(slot == BLANK for block in blocks for slot in block):
            raise BlankStoreError("ledger")
        found = [
            (record.generation, record.seq, block, at)
            for block, slots in enumerate(blocks)
            for at, slot in enumerate(slots)
            if (record := _valid(slot, self._key)) is not None
        ]
        if not found:
            raise CorruptStoreError("ledger")
        _, _, block, _ = max(found)
        _, at = max((seq, at) for _, seq, where, at in found if where == block)
        newest = _valid(blocks[block][at], self._key)
        assert newest is not None
        self.seq, self.cumulative, self.generation = newest.seq, newest.cumulative, newest.generation
        used = [i for i, slot in enumerate(blocks[block]) if slot != BLANK]
        self.offset = block * flash.block_size + RECORD * (max(used) + 1)
        torn = sum(1 for i in used if i > at)
        self._block = block
        self._max_charge = max_charge
        self._open = True
        if torn:
            self._append(Record(Kind.TORN, 0, 0, min(torn * max_charge, U32_MAX), 0))

    @staticmethod
    def provision(flash: Flash, key: bytes, seq: int = 0, cumulative: int = 0) -> None:
        """Erase both blocks and write the genesis record (SPEC 5.5)."""
        if len(key) != 32 or not 0 <= seq <= U32_MAX or not 0 <= cumulative <= U32_MAX:
            raise CoreArgumentError("ledger")
        for block in (0, 1):
            flash.erase(block * flash.block_size)
        _program(flash, 0, Record(Kind.GENESIS, 1, seq, 0, cumulative).encode(key))

    def _write(self, record: Record) -> None:
        record = replace(
            record,
            generation=self.generation,
            seq=min(self.seq + 1, U32_MAX),
            cumulative=min(self.cumulative + record.charge, U32_MAX),
        )
        self._open = False  # until the record is known to be there
        _program(self._flash, self.offset, record.encode(self._key))
        self.seq, self.cumulative = record.seq, record.cumulative
        self.offset += RECORD
        self._open = True

    def _append(self, record: Record) -> None:
        if self.offset == (self._block + 1) * self._flash.block_size:
            self._open = False
            self._block = 1 - self._block
            self._flash.erase(self._block * self._flash.block_size)
            self.offset = self._block * self._flash.block_size
            self.generation = min(self.generation + 1, 2**16 - 1)
            if record.kind is not Kind.TORN:
                self._write(Record(Kind.CARRY, 0, 0, 0, 0))
        self._write(record)

    def charge(self, clip_norm: int, log2_sigma: int, steps: int, job: int, budget: int) -> int:
        """Charge a release (SPEC 5.3) and return the new cumulative. job: first 4 bytes of its id as uint32."""
        if not self._open:
            raise CoreStateError("ledger")
        units = charge(clip_norm, log2_sigma, steps)
        after = self.cumulative + units
        # Above max_charge a torn record would be charged too little; a saturated number says nothing.
        if units > self._max_charge or after > budget or after >= U32_MAX or self.seq >= U32_MAX - 1:
            raise BudgetExceededError("ledger")
        self._append(Record(Kind.RELEASE, 0, 0, units, 0, log2_sigma, clip_norm, steps, job))
        return self.cumulative
