"""The weighted sum of updates: the one loop of the server that touches every value of every update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.native_batch import sum_vectors

UNIT: Final = 1 << 16  # a weight of 1
UPDATES_MAX: Final = 1 << 15
_BLOCK: Final = 32


def sum_updates(values: Sequence[NDArray[np.int32]], weights: Sequence[int]) -> NDArray[np.int64]:
    """sum over i of weights[i] * values[i], exactly: the order leaves no trace, and any other loop gives the same bits.

    weights: 0 to UNIT, in units of 1 / UNIT; values: int32, all of one length; at most UPDATES_MAX of them.
    |value * weight| <= 2^31 * 2^16 = 2^47, times 2^15 updates <= 2^62: fits int64.
    """
    if len(values) > UPDATES_MAX or not all(0 <= weight <= UNIT for weight in weights):
        raise ValueError("too many updates, or a weight outside 0 to 1")
    total = np.zeros(values[0].shape if values else 0, np.int64)
    if all(weight == UNIT for weight in weights):
        return sum_vectors(values, len(total)) * UNIT
    scaled, partial = np.empty(len(total)), np.empty(len(total))
    for start in range(0, len(values), _BLOCK):
        partial[:] = 0
        # At most 32 terms of 2^47 make 2^52: every partial sum is a whole number that float64 holds.
        for one, weight in zip(values[start : start + _BLOCK], weights[start : start + _BLOCK], strict=True):
            np.multiply(one, float(weight), out=scaled)
            partial += scaled
        total += partial.astype(np.int64)
    return total


def fixed(weight: float) -> int:
    """A weight in units of 1 / UNIT: rounded to the nearest, but never to nothing. Raises ValueError outside 0 to 1."""
    if not 0 <= weight <= 1:
        raise ValueError(f"a weight of {weight} is outside 0 to 1")
    return max(round(weight * UNIT), 1) if weight else 0
