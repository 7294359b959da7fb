"""Health tests and conditioning of raw entropy (SPEC 4.1; NIST SP 800-90B, 4.4.1 and 4.4.2)."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from math import comb

from picofed.native_errors import CoreArgumentError, EntropyError
from picofed.reference.crypto import blake2b

RAW_MIN = 1024  # bytes
REPETITION = 201  # 1 + ceil(20 / 0.1)
WINDOW = 1024  # bits
BLOCK = 32  # bytes
SAMPLE = 8192  # bits
PATTERN = 512  # bits


@lru_cache(maxsize=1)
def proportion_cutoff() -> int:
    """1 + critbinom(1024, 2^-0.1, 1 - 2^-20): critbinom is the least k with P(Binomial <= k) >= 1 - 2^-20."""
    with localcontext() as context:
        context.prec = 400
        p = (Decimal(2).ln() * Decimal("-0.1")).exp()
        goal = 1 - Decimal(2) ** -20
        cumulative = Decimal(0)
        for k in range(WINDOW + 1):
            cumulative += comb(WINDOW, k) * p**k * (1 - p) ** (WINDOW - k)
            if cumulative >= goal:
                return 1 + k
    raise ArithmeticError("the binomial distribution does not sum to one")


@lru_cache(maxsize=1)
def bias_cutoff() -> int:
    """The least c with P(Binomial(8192, 11/16) >= c) <= 2^-20, exactly."""
    tail, cutoff = 0, SAMPLE + 1
    while True:
        tail += comb(SAMPLE, cutoff - 1) * 11 ** (cutoff - 1) * 5 ** (SAMPLE - cutoff + 1)
        if tail << 20 > 16**SAMPLE:
            return cutoff
        cutoff -= 1


def entropy_condition(raw: bytes) -> bytes:
    """32 conditioned bytes of at least 1024 raw ones; EntropyError if a health test fails."""
    if len(raw) < RAW_MIN:
        raise CoreArgumentError("entropy")
    blocks = [raw[start : start + BLOCK] for start in range(0, len(raw) - BLOCK + 1, BLOCK)]
    if any(block == after for block, after in pairwise(blocks)):
        raise EntropyError("entropy")
    bits = [byte >> i & 1 for byte in raw for i in range(8)]
    run = 0
    for i, bit in enumerate(bits):
        run = run + 1 if i and bit == bits[i - 1] else 1
        if run >= REPETITION:
            raise EntropyError("entropy")
    for start in range(0, len(bits) - WINDOW + 1, WINDOW):
        window = bits[start : start + WINDOW]
        if window.count(window[0]) >= proportion_cutoff():
            raise EntropyError("entropy")
    for start in range(0, len(bits) - SAMPLE + 1, SAMPLE):
        sample = bits[start : start + SAMPLE]
        if max(sum(sample), SAMPLE - sum(sample)) >= bias_cutoff():
            raise EntropyError("entropy")
        whole = raw[start // 8 : (start + SAMPLE) // 8]
        if whole.find(whole[: PATTERN // 8], 1) >= 0:
            raise EntropyError("entropy")
    return blake2b(raw, 32)
