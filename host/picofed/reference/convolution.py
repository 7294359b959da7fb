"""One layer of convolution over time (SPEC 8.6)."""

from __future__ import annotations

from collections.abc import Sequence

from picofed.native_errors import CoreArgumentError


def convolution(values: Sequence[int], channels: int, layer: bytes) -> list[int]:
    """values: steps x channels activations; layer: its bytes. rows x filters activations."""
    a = [int(value) for value in values]
    if not 1 <= channels <= 64 or len(layer) < 5 or not 1 <= len(a) // channels <= 128 or len(a) % channels:
        raise CoreArgumentError("convolution")
    steps = len(a) // channels
    width, stride, filters, pool, right = layer[:5]
    if not 1 <= width <= steps or width * channels > 1023 or not 1 <= filters <= 64 or not stride or not pool:
        raise CoreArgumentError("convolution")
    places = (steps - width) // stride + 1
    if pool > places or right > 15 or len(layer) != 5 + filters * (width * channels + 1):
        raise CoreArgumentError("convolution")
    numbers = [byte - 256 if byte > 127 else byte for byte in layer[5:]]
    w = [numbers[at : at + width * channels + 1] for at in range(0, len(numbers), width * channels + 1)]

    def z(t: int, j: int) -> int:
        start = t * stride * channels
        return sum(w[j][i] * a[start + i] for i in range(width * channels)) + 128 * w[j][-1]

    return [
        max(0, min(127, max(z(t, j) for t in range(row * pool, (row + 1) * pool)) >> right))
        for row in range(places // pool)
        for j in range(filters)
    ]
