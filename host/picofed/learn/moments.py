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

from picofed.learn.job import JobError
from picofed.learn.model import Model, Rectangle

Matrix = NDArray[np.float64]


def size(model: Model) -> int:
    """How many numbers `pretrain.input_moments` gives."""
    return sum((columns + 1) ** 2 for columns, _ in pairwise(model.widths))


def load(path: Path, model: Model) -> list[Matrix]:
    """A matrix for each layer from the .npy file that `[server] moments` names. Raises JobError."""
    try:
        numbers = np.load(path, allow_pickle=False)
    except OSError as error:
        raise JobError(f"cannot read the moments {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise JobError(f"{path} is not an .npy file of moments") from error
    wanted = (size(model),)
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind != "f" or numbers.shape != wanted:
        raise JobError(f"{path} must hold the {wanted[0]} moments of this model: make them with picofed moments")
    numbers = numbers.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise JobError(f"{path} holds moments that are not finite")
    ends = np.cumsum([(columns + 1) ** 2 for columns, _ in pairwise(model.widths)])[:-1]
    sides = [columns + 1 for columns, _ in pairwise(model.widths)]
    return [part.reshape(side, side) for part, side in zip(np.split(numbers, ends), sides, strict=True)]


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
