"""PF-DG1, the discrete Gaussian of SPEC 3, with exact thresholds.

decimal's exp is correctly rounded (General Decimal Arithmetic), so a result at 140 digits that is not within 10^-100 of
an integer has the right floor; that is checked for every value.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Context, Decimal
from functools import lru_cache

from picofed.native_errors import CoreArgumentError
from picofed.reference.crypto import chacha20_words

_CONTEXT = Context(prec=140)
_MARGIN = Decimal(10) ** -100
TERMS = 80  # W_0 .. W_79


def _floor(value: Decimal) -> int:
    low = int((value - _MARGIN).to_integral_value(ROUND_FLOOR))
    high = int((value + _MARGIN).to_integral_value(ROUND_FLOOR))
    if low != high:
        raise ArithmeticError("140 digits do not decide a threshold")
    return low


@lru_cache(maxsize=1)
def cdt() -> tuple[int, ...]:
    """The cumulative table: floor(2^64 (W_0 + ... + W_i) / (W_0 + ... + W_79) + 1/2), the values below 2^64."""
    weights = [_CONTEXT.exp(_CONTEXT.divide(Decimal(-k * k), Decimal(8))) for k in range(TERMS)]
    total = Decimal(0)
    for weight in weights:
        total = _CONTEXT.add(total, weight)
    table: list[int] = []
    cumulative = Decimal(0)
    for weight in weights:
        cumulative = _CONTEXT.add(cumulative, weight)
        scaled = _CONTEXT.divide(_CONTEXT.multiply(cumulative, Decimal(2**64)), total)
        value = _floor(_CONTEXT.add(scaled, Decimal("0.5")))
        if value >= 2**64:
            break
        table.append(value)
    return tuple(table)


@lru_cache(maxsize=65536)
def threshold(z: int, y: int, m: int) -> int:
    """T(z, y) = floor(2^64 exp(-y (y + 2^(m+1) z) / 2^(2m+3))); 2^64 if y = 0."""
    if y == 0:
        return 2**64
    exponent = _CONTEXT.divide(Decimal(-y * (y + (z << (m + 1)))), Decimal(1 << (2 * m + 3)))  # exact: 2m+3 <= 51
    return _floor(_CONTEXT.multiply(Decimal(2**64), _CONTEXT.exp(exponent)))


class Noise:
    """A stream of samples under one key, sigma = 2^log2_sigma, 1 <= log2_sigma <= 25. words: keystream words used."""

    def __init__(self, key: bytes, log2_sigma: int) -> None:
        if len(key) != 32 or not 1 <= log2_sigma <= 25:
            raise CoreArgumentError("noise")
        self._key = bytes(key)
        self._m = log2_sigma - 1
        self._block: list[int] = []
        self.words = 0

    def _word(self) -> int:
        if self.words % 16 == 0:
            self._block = chacha20_words(self._key, bytes(12), self.words // 16)
        self.words += 1
        return self._block[(self.words - 1) % 16]

    def sample(self) -> int:
        """One sample: trials of five words each until one is accepted."""
        m = self._m
        while True:
            r = self._word() << 32
            r |= self._word()
            w = self._word()
            t = self._word() << 32
            t |= self._word()
            z = sum(bound <= r for bound in cdt())
            s = w & 1
            y = w >> (32 - m) if m else 0
            if z == 0 and y == 0 and s == 1:
                continue
            if t < threshold(z, y, m):
                x = (z << m) + y
                return -x if s else x


def discrete_gaussian(key: bytes, log2_sigma: int, n: int) -> list[int]:
    """n samples of the discrete Gaussian with sigma = 2^log2_sigma under a 32-byte key (int32 each)."""
    noise = Noise(key, log2_sigma)
    return [noise.sample() for _ in range(n)]
