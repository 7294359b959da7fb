"""Seed store, boot and ratchet of the noise keys (SPEC 4.2 to 4.4)."""

from __future__ import annotations

from picofed.flash import Flash
from picofed.native_errors import BlankStoreError, CoreArgumentError, CoreFlashError, CorruptStoreError
from picofed.reference.crypto import blake2b

SLOT = 64
MAGIC = b"PFS1"
BLANK = b"\xff" * SLOT
SPENT = bytes(SLOT)
CONTEXT_MAX = 64


def encode_slot(boot: int, secret: bytes) -> bytes:
    """64 bytes of the seed store."""
    body = MAGIC + boot.to_bytes(4, "little") + secret + bytes(8)
    return body + blake2b(body, 16, secret)


def _boot_number(slot: bytes) -> int | None:
    """The boot number of a valid slot."""
    if slot[:4] != MAGIC or blake2b(slot[:48], 16, slot[8:40]) != slot[48:]:
        return None
    return int.from_bytes(slot[4:8], "little")


def _program(flash: Flash, offset: int, data: bytes) -> None:
    flash.program(offset, data)
    back = bytearray(len(data))
    flash.read(offset, back)
    if back != data:
        raise CoreFlashError("seed store")


def _slots(flash: Flash) -> list[bytes]:
    image = bytearray(2 * flash.block_size)
    flash.read(0, image)
    return [bytes(image[at : at + SLOT]) for at in range(0, len(image), SLOT)]


def _room(flash: Flash, slots: list[bytes], current: int) -> int:
    """The next blank slot behind the current one in its block; else the start of the other block, erased."""
    per_block = flash.block_size // SLOT
    block = current // per_block
    for at in range(current + 1, (block + 1) * per_block):
        if slots[at] == BLANK:
            return at
    flash.erase((1 - block) * flash.block_size)
    return (1 - block) * per_block


def _destroy(flash: Flash, keep: int) -> None:
    """Overwrite all slots but one that may hold a secret, half-written ones too (those without read-back)."""
    for at, slot in enumerate(_slots(flash)):
        if at == keep or slot in (BLANK, SPENT):
            continue
        if _boot_number(slot) is None:
            flash.program(at * SLOT, SPENT)
        else:
            _program(flash, at * SLOT, SPENT)


class Ratchet:
    """The noise keys of one boot."""

    def __init__(self, flash: Flash, entropy: bytes, context: bytes) -> None:
        """Boot (SPEC 4.3). entropy: 32 conditioned bytes; context: board id and clock, 16 bytes on a board."""
        if len(entropy) != 32 or len(context) > CONTEXT_MAX:
            raise CoreArgumentError("ratchet")
        slots = _slots(flash)
        if all(slot == BLANK for slot in slots):
            raise BlankStoreError("seed store")
        valid = [(number, at) for at, slot in enumerate(slots) if (number := _boot_number(slot)) is not None]
        boot, current = max(valid, default=(2**32 - 1, 0))
        if boot == 2**32 - 1:
            raise CorruptStoreError("seed store")
        secret = slots[current][8:40]
        x = blake2b(b"picofed boot" + boot.to_bytes(4, "little") + entropy + context, 64, secret)
        self._chain, self.boot = x[:32], boot + 1
        place = _room(flash, slots, current)
        _program(flash, place * SLOT, encode_slot(boot + 1, x[32:]))
        _destroy(flash, place)

    @staticmethod
    def provision(flash: Flash, secret: bytes) -> None:
        """Erase the region and write the first secret, boot 0."""
        if len(secret) != 32:
            raise CoreArgumentError("seed store")
        for block in (0, 1):
            flash.erase(block * flash.block_size)
        _program(flash, 0, encode_slot(0, secret))

    def next(self, seq: int) -> bytes:
        """The next noise key; seq: its number within this boot, from 0."""
        key = blake2b(b"noise" + seq.to_bytes(4, "little"), 32, self._chain)
        self._chain = blake2b(b"ratchet", 32, self._chain)
        return key
