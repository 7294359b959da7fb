"""Features of one window of inertial samples (SPEC 8), input activations in Q7, and targets from the window itself."""

from __future__ import annotations

from collections.abc import Sequence

from picofed.native_errors import CoreArgumentError

AXES = 6
FEATURES = 45
SAMPLES_MIN, SAMPLES_MAX = 16, 128
MIRRORED = (0, 4, 5)  # change their sign between the left and the right wrist
PAIRS = tuple((j, i) for i in range(AXES) for j in range(i))


def log2_q4(v: int) -> int:
    """Piecewise-linear log2 with four fraction bits (SPEC 8.3)."""
    v = max(v, 1)
    b = v.bit_length() - 1
    return 16 * b + (v >> (b - 4) if b >= 4 else v << (4 - b)) - 16


def _shift(j: int, i: int, acceleration: int, mixed: int, rotation: int) -> int:
    """The scale of a pair: both accelerations, one of each, both angular rates."""
    return acceleration if i < 3 else rotation if j >= 3 else mixed


def features_imu(samples: Sequence[Sequence[int]]) -> list[int]:
    """samples: n x 6 int16, 16 <= n <= 128."""
    x = [[int(value) for value in row] for row in samples]
    n = len(x)
    if not SAMPLES_MIN <= n <= SAMPLES_MAX or any(len(row) != AXES for row in x):
        raise CoreArgumentError("features")
    total = [sum(row[i] for row in x) for i in range(AXES)]
    fold = -1 if total[0] < 0 else 1
    sign = [fold if i in MIRRORED else 1 for i in range(AXES)]
    z = [[sign[i] * (row[i] - total[i] // n) >> 4 for i in range(AXES)] for row in x]
    energy = [sum(row[i] ** 2 for row in z) for i in range(AXES)]
    out = [sign[i] * total[i] >> 12 for i in range(3)]
    out += [log2_q4(energy[i]) - 304 for i in range(AXES)]
    out += [(energy[i] >> 14) - 64 for i in range(3)]
    out += [max(row[i] for row in z) + min(row[i] for row in z) >> 1 for i in range(3)]
    out += [sum(row[j] * row[i] for row in z) >> _shift(j, i, 15, 13, 14) for j, i in PAIRS]
    out += [
        sum(b[j] * a[i] - a[j] * b[i] for a, b in zip(z, z[2:], strict=False)) >> _shift(j, i, 10, 12, 10)
        for j, i in PAIRS
    ]
    return [max(-127, min(127, value)) for value in out]


def features_blocks(samples: Sequence[Sequence[int]], block: int, seen: int) -> list[int]:
    """samples: n x 6 int16 (SPEC 8.4)."""
    x = [[int(value) for value in row] for row in samples]
    n = len(x)
    if not SAMPLES_MIN <= n <= SAMPLES_MAX or any(len(row) != AXES for row in x):
        raise CoreArgumentError("features")
    if not 1 <= block <= n or n % block or not 1 <= seen <= n:
        raise CoreArgumentError("features")
    fold = -1 if sum(row[0] for row in x[:seen]) < 0 else 1
    out = []
    for start in range(0, n, block):
        for i in range(AXES):
            mean = sum(row[i] for row in x[start : start + block]) // block
            out.append((fold if i in MIRRORED else 1) * mean >> 6)
    return [max(-127, min(127, value)) for value in out]


def targets(values: Sequence[int], from_: Sequence[int] = ()) -> list[int]:
    """Q12 (SPEC 8.5)."""
    return [32 * (value - (from_[k % len(from_)] if from_ else 0)) for k, value in enumerate(values)]
