"""Keys that come from keys."""

import picofed_core as core


def derive(key, label, size=32, data=b""):
    """H(size, key, label | data)"""
    out = bytearray(size)
    core.blake2b(out, key, label + data)
    return bytes(out)
