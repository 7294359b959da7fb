"""Public curvature: what a layer's inputs look like on the operator's own data straightens the aggregate.

A layer's mean gradient is an outer product of deltas and inputs, so that it is long along what all inputs share and
short along what tells them apart. Here it is multiplied by (A / max + damping)^-power, A being the second moments of
the layer's inputs, with a 1 for the bias, on data of the operator's and the first weights. With power 1 that is the
input's factor of K-FAC (Martens & Grosse 2015), taken once and from public data: nothing that a board released is used
to make it, so that what it does to an aggregate is post-processing, and costs boards nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picofed.learn import npy
from picofed.learn.model import Model, Rectangle

Matrix = NDArray[np.float64]


def load(path: Path | str, model: Model) -> list[Matrix]:
    """A matrix for each layer from the .npy file that `[server] moments` names. Raises JobError."""
    sides = [columns + 1 for columns, _ in pairwise(model.widths)]
    ends = np.cumsum([side * side for side in sides])
    wanted = f"the {ends[-1]} moments of this model: make them with picofed moments"
    numbers = npy.load(path, "moments", int(ends[-1]), wanted)
    return [part.reshape(side, side) for part, side in zip(np.split(numbers, ends[:-1]), sides, strict=True)]


class Straightener:
    """Multiplies what is trained of each layer by its matrix; linear, and the same for every aggregate."""

    def __init__(self, model: Model, moments: Sequence[Matrix], power: float, damping: float) -> None:
        """moments: as `load` gives them; power: 0 changes nothing; damping: above 0, in units of a layer's largest
        eigenvalue."""
        self._parts: list[tuple[Rectangle, Matrix]] = [
            (part, _root(_trained(matrix, part), power, damping))
            for part, matrix in zip(model.trained, moments, strict=True)
            if part is not None
        ]
        self._power = power

    def __call__(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """gradient, result: float64, one for each trainable parameter in the order of SPEC 7.3."""
        if self._power == 0:  # to the bit, which a product of eigenvectors is not
            return gradient
        found, at = [], 0
        for part, matrix in self._parts:
            rows, columns = part.row_end - part.row_begin, part.column_end - part.column_begin
            block = gradient[at : at + rows * columns].reshape(rows, columns)
            at += rows * columns
            if part.bias:
                block = np.hstack([block, gradient[at : at + rows, None]])
                at += rows
            moved = block @ matrix
            found.append(moved[:, :columns].ravel())
            if part.bias:
                found.append(moved[:, columns])
        return np.concatenate(found)


def _trained(matrix: Matrix, part: Rectangle) -> Matrix:
    """Rows and columns of the inputs that a rectangle's weights are for."""
    kept = [*range(part.column_begin, part.column_end), *([len(matrix) - 1] if part.bias else [])]
    return matrix[np.ix_(kept, kept)]


def _root(matrix: Matrix, power: float, damping: float) -> Matrix:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    values = np.maximum(values, 0.0) / max(values.max(), 1e-12)
    return np.asarray((vectors * (values + damping) ** -power) @ vectors.T)
