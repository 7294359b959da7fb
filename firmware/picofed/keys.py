"""Keys that come from keys, and what is tagged with one."""

import picofed_core as core

from .errors import POLICY, PicofedError, check


def derive(key, label, size=32, data=b""):
    """H(size, key, label | data)"""
    out = bytearray(size)
    core.blake2b(out, key, label + data)
    return bytes(out)


def is_weak(public):
    """Whether X25519 with this public key gives 0 whatever the secret (SPEC 10.1): x is 0, 1 or -1, or doubles to 1."""
    x = int.from_bytes(public, "little") & (1 << 255) - 1
    s = x * x - 1
    return x * s * (s * s - 4 * x * (x * x + 486662 * x + 1)) % ((1 << 255) - 19) == 0


def agree(out, secret, public):
    """The raw X25519 secret, into `out`. Refuses a public key with which everybody knows it."""
    check(core.x25519(out, secret, public), "pair")
    if not core.differ(out, bytes(32)):
        raise PicofedError(POLICY, "a public key with which nothing is secret")


def update_head(body, start):
    """What stands for an update in its tag and name (SPEC 6.6): its first bytes, and a digest of the others."""
    head = bytearray(start + 32)
    head[:start] = body[:start]
    core.blake2b(memoryview(head)[start:], b"", body[start:])
    return head
