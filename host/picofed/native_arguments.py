"""Checks of arguments on their way into the compiled core, which trusts its caller's types and lengths."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from picofed.native_errors import CoreArgumentError, CoreRangeError

U32_MAX = 2**32 - 1


def u32(value: int, what: str) -> int:
    """value, if it fits an unsigned 32-bit integer. Raises CoreArgumentError."""
    if not 0 <= value <= U32_MAX:
        raise CoreArgumentError(what)
    return int(value)


def exactly(data: bytes, n: int, what: str) -> bytes:
    """data, if it has n bytes. Raises CoreArgumentError."""
    if len(data) != n:
        raise CoreArgumentError(f"{what} of {len(data)} bytes instead of {n}")
    return bytes(data)


def within(values: npt.ArrayLike, low: int, high: int, what: str) -> npt.NDArray[np.int64]:
    """values as int64, if all are whole numbers from low to high. Raises CoreRangeError."""
    array = np.asarray(values)
    if array.size and (array.dtype.kind not in "iu" or int(array.min()) < low or int(array.max()) > high):
        raise CoreRangeError(f"{what} must be whole numbers from {low} to {high}")
    return array.astype(np.int64)
