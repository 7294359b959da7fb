"""X25519 public keys that keep nothing secret."""

from __future__ import annotations

from typing import Final

_P: Final = (1 << 255) - 19


def is_weak(public: bytes) -> bool:
    """Whether the shared secret is 0 whoever's it is (RFC 7748, section 6.1): a point of order 1, 2, 4 or 8.

    Those are x = 0, 1 and -1, and what doubles to x = 1: (x^2 - 1)^2 = 4 x (x^2 + 486662 x + 1). A board says the same
    (firmware/picofed/keys.py).
    """
    x = int.from_bytes(public, "little") & ((1 << 255) - 1)
    s = x * x - 1
    return x * s * (s * s - 4 * x * (x * x + 486662 * x + 1)) % _P == 0
