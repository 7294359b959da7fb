"""Masks (SPEC 10): what a board shares with its helper, and what makes an update unreadable until it is summed.

Loaded by the first masked job only."""

import struct

import picofed_core as core
from micropython import const

from .errors import check
from .keys import agree, update_head

_START = const(60)  # header, nonce, widths
_MAC = const(16)


def pair(secret, helper):
    """k_i, from the board's X25519 secret and the helper's public key."""
    shared, own, out = bytearray(32), bytearray(32), bytearray(32)
    check(core.x25519(own, secret, None), "mask")
    agree(shared, secret, helper)
    core.blake2b(out, shared, b"picofed pair" + own + helper)
    core.trainer_wipe(shared)
    return out


def seal(body, trainer, pair, nonce, version, seq):
    """Write nonce, widths, masked fields and the helper's MAC behind the header that stands in `body`; returns the
    update's head. nonce: a fresh key of the ratchet, of which the start is used; it is wiped."""
    job = trainer.job
    struct.pack_into("<16sBBH", body, 40, nonce[:16], job.mask_bits, job.round_shift, trainer.trainable & 0xFFFF)
    key, mac = bytearray(32), body[-_MAC:]
    core.blake2b(key, pair, b"picofed seed" + job.id + struct.pack("<II", version, seq) + nonce[:16])
    check(core.trainer_mask(trainer.mem, job.round_shift, job.mask_bits, key, body[_START:-_MAC]), "mask")
    head = update_head(body[:-_MAC], _START)
    core.blake2b(key, pair, b"picofed header")
    core.blake2b(mac, key, head)
    core.trainer_wipe(key)
    core.trainer_wipe(nonce)
    return head + mac
