"""Models that several of these tests train."""

from __future__ import annotations

from picofed.reference import Layer, Loss, Model


def whole(loss: Loss, *widths: int) -> Model:
    """Fully connected layers of these widths, all of them trained."""
    return Model(
        loss,
        tuple(
            Layer(widths[i], widths[i + 1], range(widths[i + 1]), range(widths[i]), True, i == 0)
            for i in range(len(widths) - 1)
        ),
    )
