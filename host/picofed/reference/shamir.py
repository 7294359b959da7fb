"""Shares of a 32-byte secret (SPEC 11.5): polynomials over GF(2^8), byte by byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from picofed.native_errors import CoreArgumentError


def multiply(a: int, b: int) -> int:
    """a b in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1: the whole product first, then its remainder."""
    product = 0
    for i in range(8):
        if b >> i & 1:
            product ^= a << i
    for i in reversed(range(8, 15)):
        if product >> i & 1:
            product ^= 0x11B << i - 8
    return product


def inverse(a: int) -> int:
    """The b with a b = 1, found by trying."""
    return next(b for b in range(256) if multiply(a, b) == 1)


def shamir_share(secret: bytes, coefficients: Sequence[bytes], x: int) -> bytes:
    """secret + coefficients[0] x + coefficients[1] x^2 + ..."""
    if any(len(part) != 32 for part in (secret, *coefficients)) or not 1 <= x <= 255 or len(coefficients) > 254:
        raise CoreArgumentError("share")
    share = list(secret)
    power = 1
    for coefficient in coefficients:
        power = multiply(power, x)
        share = [byte ^ multiply(part, power) for byte, part in zip(share, coefficient, strict=True)]
    return bytes(share)


def shamir_combine(shares: Mapping[int, bytes]) -> bytes:
    """The polynomial through the shares, at 0 (Lagrange)."""
    if not 1 <= len(shares) <= 255 or not all(1 <= x <= 255 and len(share) == 32 for x, share in shares.items()):
        raise CoreArgumentError("share")
    secret = [0] * 32
    for x, share in shares.items():
        factor = 1
        for other in shares:
            if other != x:
                factor = multiply(factor, multiply(other, inverse(other ^ x)))
        secret = [byte ^ multiply(part, factor) for byte, part in zip(secret, share, strict=True)]
    return bytes(secret)
