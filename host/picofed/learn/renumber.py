"""Hidden units in another order: the same function, so that the units to be trained become neighbours.

Unit j of a hidden layer is row j (with its bias) of the layer before and column j of the layer behind. Moving both
changes no sum but the order of its terms, and the core's sums are integers: the logits stay equal to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from picofed.learn.model import ModelError, layers


def renumber(
    widths: Sequence[int], weights: NDArray[np.float64], orders: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """The parameter vector with unit orders[h][i] of hidden layer h in place i. Raises ModelError."""
    hidden = widths[1:-1]
    if len(orders) != len(hidden) or any(
        sorted(order.tolist()) != list(range(width)) for order, width in zip(orders, hidden, strict=True)
    ):
        raise ModelError("an order must name every unit of its hidden layer once")
    parts = layers(widths, weights)
    moved = []
    for number, (matrix, biases) in enumerate(parts):
        if number < len(orders):
            matrix, biases = matrix[orders[number]], biases[orders[number]]
        if number > 0:
            matrix = matrix[:, orders[number - 1]]
        moved += [matrix.ravel(), biases]
    return np.concatenate(moved)
