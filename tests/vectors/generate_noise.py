"""Writes noise.json: PF-DG1 (SPEC 3) from its definition, with mpmath and a ChaCha20 of its own.

    python tests/vectors/generate_noise.py

The acceptance threshold is computed with 400 bits, the table from its formula; nothing of the core is used.
The file holds the table, thresholds, samples with the number of keystream words they took, and the cutoffs of
the entropy tests (SPEC 4.1).
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from math import comb
from pathlib import Path

from mpmath import mp, mpf

mp.prec = 400
MASK = 0xFFFFFFFF


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & MASK


def _quarter(state: list[int], a: int, b: int, c: int, d: int) -> None:
    for target, source, mixed, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[target] = (state[target] + state[source]) & MASK
        state[mixed] = _rotate(state[mixed] ^ state[target], bits)


def keystream(key: bytes) -> Iterator[int]:
    """ChaCha20 (RFC 8439) words under `key`, nonce 0, from block 0."""
    counter = 0
    while True:
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter, 0, 0, 0]
        state = list(start)
        for _ in range(10):
            for column in range(4):
                _quarter(state, column, column + 4, column + 8, column + 12)
            for column in range(4):
                _quarter(state, column, (column + 1) % 4 + 4, (column + 2) % 4 + 8, (column + 3) % 4 + 12)
        yield from ((a + b) & MASK for a, b in zip(state, start, strict=True))
        counter += 1


def table() -> list[int]:
    """CDT: round(2^64 (W_0 + ... + W_i) / (W_0 + ... + W_79)), W_k = exp(-k^2/8), where below 2^64."""
    weights = [mp.exp(-mpf(k * k) / 8) for k in range(80)]
    total, partial, entries = mp.fsum(weights), mpf(0), []
    for weight in weights:
        partial += weight
        entry = int(mp.floor(mpf(2) ** 64 * partial / total + mpf(1) / 2))
        if entry < 1 << 64:
            entries.append(entry)
    return entries


def threshold(z: int, y: int, m: int) -> int:
    """T(z, y) = floor(2^64 exp(-y (y + 2^(m+1) z) / 2^(2m+3)))."""
    return int(mp.floor(mpf(2) ** 64 * mp.exp(-mpf(y * (y + (z << (m + 1)))) / mpf(2) ** (2 * m + 3))))


def samples(key: bytes, m: int, count: int, cdt: list[int]) -> tuple[list[int], int]:
    """`count` samples for sigma = 2^(m+1), and how many words they took."""
    words, used = keystream(key), 0
    result: list[int] = []
    while len(result) < count:
        r_high, r_low, w, t_high, t_low = (next(words) for _ in range(5))
        used += 5
        z = sum(entry <= (r_high << 32 | r_low) for entry in cdt)
        sign, y = w & 1, w >> (32 - m)
        if z == 0 and y == 0 and sign:
            continue
        if t_high << 32 | t_low < threshold(z, y, m):
            magnitude = (z << m) + y
            result.append(-magnitude if sign else magnitude)
    return result, used


def proportion_cutoff(window: int = 1024, entropy: str = "0.1", false_alarm_bits: int = 20) -> int:
    """1 + critbinom(window, 2^-entropy, 1 - 2^-false_alarm_bits)."""
    p, total = mpf(2) ** -mpf(entropy), mpf(0)
    for k in range(window + 1):
        total += comb(window, k) * p**k * (1 - p) ** (window - k)
        if total >= 1 - mpf(2) ** -false_alarm_bits:
            return 1 + k
    raise AssertionError("a distribution sums to 1")


def bias_cutoff(sample: int = 8192, false_alarm_bits: int = 20) -> int:
    """The least c with P(Binomial(sample, 11/16) >= c) <= 2^-false_alarm_bits, upwards from the other end."""
    below = mpf(0)
    for c in range(sample + 1):
        if 1 - below <= mpf(2) ** -false_alarm_bits:
            return c
        below += comb(sample, c) * (mpf(11) / 16) ** c * (mpf(5) / 16) ** (sample - c)
    raise AssertionError("a distribution sums to 1")


def main() -> None:
    cdt = table()
    draw = random.Random(1)
    keys = [bytes(range(32)), bytes(32), bytes(draw.randrange(256) for _ in range(32))]
    streams = []
    for number, key in enumerate(keys):
        for m in range(25) if number == 2 else (0, 5, 13, 16, 24):
            values, used = samples(key, m, 64, cdt)
            streams.append({"key": key.hex(), "m": m, "words": used, "samples": values})
    arguments = {(z, y, m) for z in (0, 1, 9, 18) for m in (1, 5, 24) for y in (1, (1 << m) - 1)}
    arguments |= {(0, y, 24) for y in range(1, 40)}  # the arguments nearest to an integer: exp(-y^2 / 2^51)
    while len(arguments) < 600:
        m = draw.randint(1, 24)
        arguments.add((draw.randint(0, 18), draw.randrange(1, 1 << m), m))
    table_text = json.dumps([f"{entry:016x}" for entry in cdt])
    thresholds = [json.dumps([z, y, m, f"{threshold(z, y, m):016x}"]) for z, y, m in sorted(arguments)]
    cutoffs = {
        "repetition_cutoff": 1 + 20 * 10,
        "proportion_cutoff": proportion_cutoff(),
        "bias_cutoff": bias_cutoff(),
    }
    parts = [
        f'"cdt": {table_text}',
        '"thresholds": [\n' + ",\n".join(thresholds) + "\n]",
        '"samples": [\n' + ",\n".join(map(json.dumps, streams)) + "\n]",
        f'"entropy": {json.dumps(cutoffs)}',
    ]
    Path(__file__).with_name("noise.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
