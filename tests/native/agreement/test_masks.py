"""Masked payloads of the reference and of the compiled core."""

from __future__ import annotations

import random

import numpy as np
import pytest
from picofed import native, reference
from picofed.native_errors import CoreArgumentError, MalformedError


@pytest.mark.parametrize("bits", range(8, 33))
def test_masks_agree(bits: int, rng: random.Random) -> None:
    for _ in range(6):
        n, seed, shift = rng.randint(1, 90), rng.randbytes(32), rng.randint(0, 32 - bits)
        values = [rng.choice([rng.randrange(-(2**31), 2**31), 2**31 - 1, -(2**31), -1]) for _ in range(n)]
        data = native.mask_encode(values, shift, bits, seed)
        assert data == reference.mask_encode(values, shift, bits, seed)
        assert native.mask_unpack(data, n, bits).tolist() == reference.mask_unpack(data, n, bits)
        total = np.zeros(n, np.uint32)
        native.mask_sum(total, bits, seed, 4)
        assert total.tolist() == [4 * mask % 2**bits for mask in reference.masks(seed, n, bits)]
        other, minus = rng.randbytes(32), rng.random() < 0.5
        assert native.mask_add(data, n, bits, other, minus) == reference.mask_add(data, n, bits, other, minus)


def test_shares_agree(rng: random.Random) -> None:
    for threshold in (1, 2, 3, 5, 17, 40):
        secret, coefficients = rng.randbytes(32), [rng.randbytes(32) for _ in range(threshold - 1)]
        points = rng.sample(range(1, 256), threshold)
        shares = {x: native.shamir_share(secret, coefficients, x) for x in points}
        assert shares == {x: reference.shamir_share(secret, coefficients, x) for x in points}
        assert native.shamir_combine(shares) == reference.shamir_combine(shares) == secret
        if threshold > 1:
            del shares[points[0]]
            assert native.shamir_combine(shares) == reference.shamir_combine(shares) != secret


@pytest.mark.parametrize("core", [native, reference], ids=["native", "reference"])
def test_shares_are_refused_alike(core: object) -> None:
    share, combine = core.shamir_share, core.shamir_combine  # type: ignore[attr-defined]
    for secret, coefficients, x in (
        (bytes(31), [], 1),
        (bytes(32), [bytes(31)], 1),
        (bytes(32), [], 0),
        (bytes(32), [], 256),
        (bytes(32), [bytes(32)] * 255, 1),
    ):
        with pytest.raises(CoreArgumentError):
            share(secret, coefficients, x)
    for shares in ({}, {0: bytes(32)}, {256: bytes(32)}, {1: bytes(33)}):
        with pytest.raises(CoreArgumentError):
            combine(shares)


@pytest.mark.parametrize("core", [native, reference], ids=["native", "reference"])
def test_masks_are_refused_alike(core: object) -> None:
    encode, unpack = core.mask_encode, core.mask_unpack  # type: ignore[attr-defined]
    for values, shift, bits, size in (
        ([1], 0, 7, 32),
        ([1], 0, 33, 32),
        ([1], 13, 20, 32),
        ([], 0, 20, 32),
        ([1], 0, 20, 31),
    ):
        with pytest.raises(CoreArgumentError):
            encode(values, shift, bits, bytes(size))
    data = encode([1, 2, 3], 0, 20, bytes(32))
    for wrong in (data[:-1], data + b"\0", data[:-1] + bytes([data[-1] | 0x10])):
        with pytest.raises(MalformedError):
            unpack(wrong, 3, 20)
