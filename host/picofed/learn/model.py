"""Model descriptors (SPEC 7.1) and the order of parameters (SPEC 7.2, 7.3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError

VERSION: Final = 1
LOSSES: Final = ("softmax", "squared")
LAYERS_MAX: Final = 8
WIDTH_MAX: Final = 1023
WEIGHT_BITS: Final = 11  # weights are int16 Q11
WEIGHT_MIN: Final = -16384
WEIGHT_MAX: Final = 16383
_HEAD: Final = struct.Struct("<BBBB")
_LAYER: Final = struct.Struct("<HHHHBB")


class ModelError(PicofedError):
    """A model that the core does not know or that is too large."""


@dataclass(frozen=True)
class Rectangle:
    """The trained part of a layer's matrix: rows (outputs) and columns (inputs), half-open, and its rows'
    biases.
    """

    row_begin: int
    row_end: int
    column_begin: int
    column_end: int
    bias: bool = True


@dataclass(frozen=True)
class Model:
    """A fully connected network: widths (inputs, hidden..., outputs), loss by name, and what is trained of
    each layer (None: frozen). No hidden layer: softmax or linear regression."""

    widths: tuple[int, ...]
    loss: str
    trained: tuple[Rectangle | None, ...]

    def __post_init__(self) -> None:
        layers = len(self.widths) - 1
        if not 1 <= layers <= LAYERS_MAX:
            raise ModelError(f"a model has 1 to {LAYERS_MAX} layers, not {layers}")
        if not all(1 <= width <= WIDTH_MAX for width in self.widths):
            raise ModelError(f"every layer has 1 to {WIDTH_MAX} inputs and outputs")
        if self.loss not in LOSSES:
            raise ModelError(f"the loss is one of {', '.join(LOSSES)}, not {self.loss!r}")
        if self.loss == "softmax" and not 2 <= self.widths[-1] <= 255:
            raise ModelError("a softmax model has 2 to 255 classes")
        if len(self.trained) != layers or all(part is None for part in self.trained):
            raise ModelError("say for each layer what is trained of it; at least one layer is trained")
        for number, part in enumerate(self.trained):
            if part is None:
                continue
            rows, columns = self.widths[number + 1], self.widths[number]
            if not (
                0 <= part.row_begin < part.row_end <= rows and 0 <= part.column_begin <= part.column_end <= columns
            ):
                raise ModelError(
                    f"the trained rectangle of layer {number} does not lie in its {rows} x {columns} matrix"
                )
            if part.column_begin == part.column_end and not (part.bias and part.column_end == 0):
                raise ModelError(f"no weight is trained of layer {number}: leave it out, or biases with columns 0 to 0")

    @classmethod
    def dense(cls, widths: Sequence[int], loss: str = "softmax") -> Model:
        """A model of which everything is trained."""
        parts = tuple(Rectangle(0, rows, 0, columns) for columns, rows in pairwise(widths))
        return cls(tuple(widths), loss, parts)

    @classmethod
    def parse(cls, data: bytes) -> Model:
        """Read a descriptor. Raises ModelError."""
        if len(data) < 4 or data[0] != VERSION or data[1] >= len(LOSSES) or data[3]:
            raise ModelError("this is not a model descriptor of version 1")
        layers = data[2]
        if not 1 <= layers <= LAYERS_MAX or len(data) != 4 + 2 * (layers + 1) + _LAYER.size * layers:
            raise ModelError("the model descriptor has the wrong length")
        widths = struct.unpack_from(f"<{layers + 1}H", data, 4)
        parts: list[Rectangle | None] = []
        for number in range(layers):
            top, bottom, left, right, bias, zero = fields = _LAYER.unpack_from(
                data, 4 + 2 * (layers + 1) + _LAYER.size * number
            )
            if bias > 1 or zero:
                raise ModelError("the model descriptor is malformed")
            parts.append(Rectangle(top, bottom, left, right, bool(bias)) if any(fields) else None)
        return cls(widths, LOSSES[data[1]], tuple(parts))

    @cached_property
    def descriptor(self) -> bytes:
        """The bytes of SPEC 7.1."""
        layers = len(self.trained)
        data = _HEAD.pack(VERSION, LOSSES.index(self.loss), layers, 0) + struct.pack(f"<{layers + 1}H", *self.widths)
        for part in self.trained:
            if part is None:
                data += bytes(_LAYER.size)
            else:
                data += _LAYER.pack(part.row_begin, part.row_end, part.column_begin, part.column_end, part.bias, 0)
        return data

    @cached_property
    def parameters(self) -> int:
        """How many parameters there are."""
        return sum((columns + 1) * rows for columns, rows in pairwise(self.widths))

    @cached_property
    def trainable(self) -> NDArray[np.int64]:
        """Where each trainable parameter (order of SPEC 7.3) lies in the parameter vector (SPEC 7.2)."""
        indices: list[NDArray[np.int64]] = []
        start = 0
        for number, part in enumerate(self.trained):
            columns, rows = self.widths[number], self.widths[number + 1]
            if part is not None:
                matrix = start + np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
                block = matrix[part.row_begin : part.row_end, part.column_begin : part.column_end]
                indices.append(block.ravel())
                if part.bias:
                    indices.append(start + rows * columns + np.arange(part.row_begin, part.row_end, dtype=np.int64))
            start += rows * (columns + 1)
        return np.concatenate(indices)

    @cached_property
    def gradient_units(self) -> NDArray[np.float64]:
        """What 1 in an accumulator is worth, for each trainable parameter: 2^-19 in the first layer, else
        2^-17.
        """
        units: list[NDArray[np.float64]] = []
        for number, part in enumerate(self.trained):
            if part is not None:
                rows, columns = part.row_end - part.row_begin, part.column_end - part.column_begin
                units.append(np.full(rows * (columns + part.bias), 2.0**-19 if number == 0 else 2.0**-17))
        return np.concatenate(units)

    def initial(self, seed: int = 0) -> NDArray[np.float64]:
        """First weights: zeros for a single layer; else He-normal matrices and zero biases from a public
        seed.
        """
        weights = np.zeros(self.parameters)
        if len(self.trained) == 1:
            return weights
        generator = np.random.Generator(np.random.PCG64(seed))
        start = 0
        for columns, rows in pairwise(self.widths):
            weights[start : start + rows * columns] = generator.normal(0.0, np.sqrt(2.0 / columns), rows * columns)
            start += rows * (columns + 1)
        return np.clip(weights, WEIGHT_MIN / 2**WEIGHT_BITS, WEIGHT_MAX / 2**WEIGHT_BITS)


def quantise(weights: NDArray[np.float64]) -> NDArray[np.int16]:
    """Weights as boards get them: int16 Q11, rounded to nearest (ties to even), limited to the core's
    range.
    """
    rounded: NDArray[np.int16] = np.clip(np.rint(weights * 2**WEIGHT_BITS), WEIGHT_MIN, WEIGHT_MAX).astype("<i2")
    return rounded


def dequantise(weights: bytes) -> NDArray[np.float64]:
    """What weights are worth that boards got (int16 Q11, little-endian)."""
    return np.frombuffer(weights, "<i2") / 2.0**WEIGHT_BITS


def layers(
    widths: Sequence[int], weights: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Matrix (outputs x inputs) and biases of each layer, as views of a parameter vector (SPEC 7.2)."""
    parts = []
    start = 0
    for columns, rows in pairwise(widths):
        matrix = weights[start : start + rows * columns].reshape(rows, columns)
        start += rows * columns
        parts.append((matrix, weights[start : start + rows]))
        start += rows
    return parts
