"""All of a model, a part at a time: each part is small enough for the boards, and they take turns.

A turn is a job of its own. It trains one part, and begins with what the turn before it ended with, so that what a board
needs memory for is the largest part, and what it learns in the end is everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from picofed.learn.job import JobError
from picofed.learn.model import Model, ModelError, Rectangle


def parts(widths: Sequence[int], size: Callable[[Model], int], limit: int, loss: str = "softmax") -> list[Model]:
    """The layers from the inputs on, each in as few blocks of rows as `limit` bytes allow, nearly equal ones. size:
    bytes that a board needs to train a model. Raises ModelError where not even one row fits."""
    found: list[Model] = []
    for layer, (columns, rows) in enumerate(pairwise(widths)):
        for blocks in range(1, rows + 1):
            largest = _one(widths, loss, layer, Rectangle(0, -(-rows // blocks), 0, columns))
            if size(largest) > limit:
                continue
            ends = [rows * block // blocks for block in range(blocks + 1)]
            models = [_one(widths, loss, layer, Rectangle(*pair, 0, columns)) for pair in pairwise(ends)]
            if max(map(size, models)) <= limit:
                found += models
                break
        else:
            raise ModelError(f"not even one row of layer {layer} can be trained in {limit} bytes")
    return found


def shares(rounds: int, turns: int) -> list[int]:
    """How many of a job's rounds each turn has, nearly the same number. Raises JobError where one would have none."""
    if rounds < turns:
        raise JobError(
            f"{rounds} rounds are too few for {turns} turns: plan at least one for each, or allow more memory"
        )
    return [rounds * (turn + 1) // turns - rounds * turn // turns for turn in range(turns)]


def _one(widths: Sequence[int], loss: str, layer: int, part: Rectangle) -> Model:
    return Model(tuple(widths), loss, tuple(part if at == layer else None for at in range(len(widths) - 1)))
