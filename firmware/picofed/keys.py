"""Keys that come from keys, and what is tagged with one."""

import picofed_core as core


def derive(key, label, size=32, data=b""):
    """H(size, key, label | data)"""
    out = bytearray(size)
    core.blake2b(out, key, label + data)
    return bytes(out)


def update_head(body, start):
    """What stands for an update in its tag and name (SPEC 6.6): its first bytes, and a digest of the others."""
    head = bytearray(start + 32)
    head[:start] = body[:start]
    core.blake2b(memoryview(head)[start:], b"", body[start:])
    return head
