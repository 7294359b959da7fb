"""Masked payloads of the compiled core (SPEC 10.4), on numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from picofed._native import ffi, lib
from picofed.native_arguments import U32_MAX, exactly, u32, within
from picofed.native_errors import CoreArgumentError, check

Uint32 = npt.NDArray[np.uint32]


def mask_encode(values: npt.ArrayLike, shift: int, bits: int, seed: bytes) -> bytes:
    """Values, rounded to multiples of 2^shift (0..24), as fields of `bits` (8..32) bits under the mask of `seed`.

    values: int32 or uint32 each, at least one; shift + bits <= 32; seed: 32 bytes, for one release only.
    """
    words = within(values, -(2**31), U32_MAX, "values").astype(np.uint32)
    out = ffi.new("uint8_t[]", 4 * words.size or 1)
    status = lib.pf_mask_encode(
        out,
        4 * words.size,
        ffi.from_buffer("uint32_t[]", words),
        words.size,
        u32(shift, "shift"),
        u32(bits, "bits"),
        exactly(seed, 32, "seed"),
    )
    return bytes(ffi.buffer(out, check(status, "mask")))


def mask_unpack(data: bytes, n: int, bits: int) -> Uint32:
    """n packed fields, masks and all: uint32[n]. MalformedError unless data is exactly that."""
    if n < 1:
        raise CoreArgumentError("mask")
    out = np.empty(n, np.uint32)
    buffer = ffi.from_buffer("uint32_t[]", out)
    check(lib.pf_mask_unpack(buffer, n, u32(bits, "bits"), ffi.from_buffer(data), len(data)), "mask")
    return out


def mask_sum(total: Uint32, bits: int, seed: bytes, weight: int = 1) -> None:
    """total += weight * the mask of `seed`, modulo 2^bits, in place."""
    if total.dtype != np.uint32 or not total.flags.c_contiguous:
        raise CoreArgumentError("mask")
    buffer = ffi.from_buffer("uint32_t[]", total)
    status = lib.pf_mask_sum(buffer, total.size, u32(bits, "bits"), exactly(seed, 32, "seed"), u32(weight, "weight"))
    check(status, "mask")


def mask_add(fields: bytes, n: int, bits: int, seed: bytes, minus: bool = False) -> bytes:
    """Packed fields plus (or minus) the mask of `seed`, packed again. Boards do this; hosts for tests."""
    out = bytearray(fields)
    status = lib.pf_mask_add(
        ffi.from_buffer(out), len(out), n, u32(bits, "bits"), exactly(seed, 32, "seed"), int(minus)
    )
    check(status, "mask")
    return bytes(out)


def shamir_share(secret: bytes, coefficients: Sequence[bytes], x: int) -> bytes:
    """The share of a 32-byte secret at point x (1..255); len(coefficients) + 1 shares give it back."""
    out = ffi.new("uint8_t[32]")
    random = b"".join(exactly(coefficient, 32, "coefficient") for coefficient in coefficients)
    threshold = len(coefficients) + 1
    check(lib.pf_shamir_share(out, exactly(secret, 32, "secret"), random, threshold, u32(x, "point")), "share")
    return bytes(ffi.buffer(out))


def shamir_combine(shares: Mapping[int, bytes]) -> bytes:
    """The secret from as many shares as its threshold, by their points."""
    if not all(1 <= x <= 255 for x in shares):
        raise CoreArgumentError("share")
    out = ffi.new("uint8_t[32]")
    values = b"".join(exactly(share, 32, "share") for share in shares.values())
    check(lib.pf_shamir_combine(out, bytes(shares), values, len(shares)), "share")
    return bytes(ffi.buffer(out))
