"""Update payloads (SPEC 7.6): rounding to multiples of 2^shift, zigzag, Rice code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from picofed.native_errors import CoreArgumentError, MalformedError

VERSION = 1
SHIFT_MAX = 30
ESCAPE = 24  # a quotient from here on is written as 24 ones and the value itself


def signed32(value: int) -> int:
    """The int32 with these low 32 bits."""
    return (value + 2**31) % 2**32 - 2**31


def quantise(value: int, shift: int) -> int:
    """To the nearest multiple of 2^shift, halves upwards, in units of 2^shift."""
    return (value >> shift) + (value >> (shift - 1) & 1) if shift else value


def zigzag(value: int) -> int:
    """0, -1, 1, -2 ... to 0, 1, 2, 3 ... in 32 bits."""
    return (value << 1 ^ value >> 31) & 0xFFFFFFFF


def code_length(u: int, k: int) -> int:
    """Bits that u takes with parameter k."""
    return (u >> k) + 1 + k if u >> k < ESCAPE else ESCAPE + 32


def _code(u: int, k: int) -> list[int]:
    quotient = u >> k
    if quotient >= ESCAPE:
        return [1] * ESCAPE + [u >> i & 1 for i in range(32)]
    return [1] * quotient + [0] + [u >> i & 1 for i in range(k)]


def update_encode(values: Iterable[int], shift: int) -> bytes:
    """The payload of a release. values: uint32 or int32 each (taken modulo 2^32); shift: 0..30."""
    if not 0 <= shift <= SHIFT_MAX:
        raise CoreArgumentError("update")
    coded = [zigzag(quantise(signed32(int(v)), shift)) for v in values]
    k = min(range(31), key=lambda k: sum(code_length(u, k) for u in coded))
    bits = [bit for u in coded for bit in _code(u, k)]
    bits += [0] * (-len(bits) % 8)
    body = bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))
    return bytes([VERSION, shift, k]) + body


class _Bits:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, n: int) -> int:
        """n bits, the lowest first."""
        value = 0
        for i in range(n):
            if self.at >= 8 * len(self.data):
                raise MalformedError("update")
            value |= (self.data[self.at // 8] >> self.at % 8 & 1) << i
            self.at += 1
        return value


def update_decode(data: bytes, n: int) -> list[int]:
    """n int32 values, already multiplied by 2^shift. MalformedError on anything that update_encode does not write."""
    if len(data) < 3 or data[0] != VERSION or data[1] > SHIFT_MAX or data[2] > 30:
        raise MalformedError("update")
    shift, k = data[1], data[2]
    bits = _Bits(data[3:])
    values: list[int] = []
    for _ in range(n):
        quotient = 0
        while quotient < ESCAPE and bits.take(1):
            quotient += 1
        u = bits.take(32) if quotient == ESCAPE else quotient << k | bits.take(k)
        if u >= 2**32 or (quotient == ESCAPE and u >> k < ESCAPE):  # too large, or there is a shorter code
            raise MalformedError("update")
        q = u >> 1 ^ -(u & 1)
        values.append(max(-(2**31), min(2**31 - 1, q << shift)))
    padding = 8 * len(bits.data) - bits.at
    if padding >= 8 or bits.take(padding):
        raise MalformedError("update")
    return values


def update_length(values: Sequence[int], shift: int) -> int:
    """Bytes that update_encode makes of these values."""
    coded = [zigzag(quantise(signed32(int(v)), shift)) for v in values]
    return 3 + (min(sum(code_length(u, k) for u in coded) for k in range(31)) + 7) // 8
