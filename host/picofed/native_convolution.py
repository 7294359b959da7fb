"""One layer of convolution by the compiled core (SPEC 8.6)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from picofed._native import ffi, lib
from picofed.native_arguments import u32, within
from picofed.native_errors import CoreArgumentError, check


def convolution(values: npt.ArrayLike, channels: int, layer: bytes) -> npt.NDArray[np.int8]:
    """rows x filters activations of steps x channels ones; layer: its bytes."""
    given = np.ascontiguousarray(within(values, -128, 127, "values").astype(np.int8)).ravel()
    steps = given.size // max(1, u32(channels, "channels"))
    if steps * channels != given.size:
        raise CoreArgumentError("convolution")
    data = bytes(layer)
    inputs = ffi.from_buffer("int8_t[]", given) if given.size else ffi.NULL
    count = check(lib.pf_convolution(ffi.NULL, 0, ffi.NULL, steps, channels, data, len(data)), "convolution")
    out = np.empty(count, np.int8)
    pointer = ffi.from_buffer("int8_t[]", out)
    check(lib.pf_convolution(pointer, count, inputs, steps, channels, data, len(data)), "convolution")
    return out
