"""Masked payloads (SPEC 10.4): fields of b bits, hidden by a keystream."""

from __future__ import annotations

from collections.abc import Iterable

from picofed.native_errors import CoreArgumentError, MalformedError
from picofed.reference.codec import quantise, signed32
from picofed.reference.crypto import chacha20


def _length(n: int, bits: int) -> int:
    if not 8 <= bits <= 32 or not 1 <= n < 2**25:
        raise CoreArgumentError("mask")
    return -(-n * bits // 8)


def _fields(data: bytes, n: int, bits: int) -> list[int]:
    run = int.from_bytes(data, "little")
    return [run >> k * bits & (1 << bits) - 1 for k in range(n)]


def masks(seed: bytes, n: int, bits: int) -> list[int]:
    """mask_0 .. mask_(n - 1)."""
    return _fields(chacha20(seed, bytes(12), 0, bytes(_length(n, bits))), n, bits)


def mask_encode(values: Iterable[int], shift: int, bits: int, seed: bytes) -> bytes:
    """Packed (q + mask) mod 2^bits of each value."""
    rounded = [quantise(signed32(value), shift) for value in values]
    size = _length(len(rounded), bits)
    if len(seed) != 32 or not 0 <= shift <= 32 - bits:
        raise CoreArgumentError("mask")
    run = 0
    for k, (q, mask) in enumerate(zip(rounded, masks(seed, len(rounded), bits), strict=True)):
        run |= (q + mask) % 2**bits << k * bits
    return run.to_bytes(size, "little")


def mask_unpack(data: bytes, n: int, bits: int) -> list[int]:
    """The packed fields, masks and all."""
    if len(data) != _length(n, bits) or int.from_bytes(data, "little") >> n * bits:
        raise MalformedError("mask")
    return _fields(data, n, bits)


def mask_add(fields: bytes, n: int, bits: int, seed: bytes, minus: bool = False) -> bytes:
    """Packed fields, each plus (or minus) its mask modulo 2^bits."""
    run = 0
    for k, (field, mask) in enumerate(zip(mask_unpack(fields, n, bits), masks(seed, n, bits), strict=True)):
        run |= (field + (-mask if minus else mask)) % 2**bits << k * bits
    return run.to_bytes(_length(n, bits), "little")
