"""Convolutions in front of a job's model (SPEC 8.6): what a job file says of them, and the bytes that a job carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError

CHANNELS: Final = 6  # of what the first layer is slid over
LAYERS_MAX: Final = 4
FILTERS_MAX: Final = 64
COLUMNS_MAX: Final = 1023  # width x channels
RIGHT_MAX: Final = 15
BYTES_MAX: Final = 1536  # of all layers: with them a job stays within the 2048 bytes that boards take
_HEAD: Final = 5


class ConvolutionError(PicofedError):
    """Convolutions that cannot be."""


@dataclass(frozen=True)
class Shape:
    """One layer: `filters` filters over `width` steps, every `stride` steps; of `pool` neighbouring outputs the largest
    is kept."""

    filters: int
    width: int
    stride: int = 1
    pool: int = 1

    def rows(self, steps: int) -> int:
        """How many outputs each filter gives. Raises ConvolutionError."""
        for name, value, high in (
            ("filters", self.filters, FILTERS_MAX),
            ("width", self.width, steps),
            ("stride", self.stride, 255),
        ):
            if not 1 <= value <= high:
                raise ConvolutionError(f"{name} of a convolution over {steps} steps must be 1 to {high}, not {value}")
        places = (steps - self.width) // self.stride + 1
        if not 1 <= self.pool <= places:
            raise ConvolutionError(
                f"pool of a convolution with {places} outputs must be 1 to {places}, not {self.pool}"
            )
        return places // self.pool


@dataclass(frozen=True, eq=False)
class Layer:
    """weights: int8 [filters, width, channels]; bias: int8 [filters]; both in units of 2^-right."""

    shape: Shape
    weights: NDArray[np.int8]
    bias: NDArray[np.int8]
    right: int

    @cached_property
    def data(self) -> bytes:
        """The bytes of SPEC 8.6."""
        shape = self.shape
        rows = np.concatenate([self.weights.reshape(shape.filters, -1), self.bias[:, None]], axis=1)
        return bytes([shape.width, shape.stride, shape.filters, shape.pool, self.right]) + rows.tobytes()


def shapes_of(entries: Any) -> tuple[Shape, ...]:
    """What `convolution` of a job file says. Raises ConvolutionError."""
    known = [field.name for field in fields(Shape)]
    if not isinstance(entries, list) or not 1 <= len(entries) <= LAYERS_MAX:
        raise ConvolutionError(
            f"convolution is a list of 1 to {LAYERS_MAX} layers, such as [{{ filters = 8, width = 5 }}]"
        )
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not {"filters", "width"} <= set(entry) <= set(known):
            raise ConvolutionError(f"a layer of convolution has filters and width, and knows {', '.join(known)}")
        if not all(type(value) is int for value in entry.values()):
            raise ConvolutionError("a layer of convolution has whole numbers")
        found.append(Shape(**entry))
    return tuple(found)


def outputs(shapes: Sequence[Shape], steps: int) -> int:
    """How many activations the layers make of so many steps. Raises ConvolutionError."""
    channels, size = CHANNELS, 0
    for shape in shapes:
        if shape.width * channels > COLUMNS_MAX:
            raise ConvolutionError(f"a filter has {shape.width * channels} weights, at most {COLUMNS_MAX} are possible")
        size += _HEAD + shape.filters * (shape.width * channels + 1)
        steps, channels = shape.rows(steps), shape.filters
    if size > BYTES_MAX:
        raise ConvolutionError(f"these convolutions have {size} bytes, a job carries at most {BYTES_MAX}")
    return steps * channels


def blank(shapes: Sequence[Shape]) -> bytes:
    """Filters of zeros, which say nothing but the shapes."""
    data, channels = b"", CHANNELS
    for shape in shapes:
        weights = np.zeros((shape.filters, shape.width, channels), np.int8)
        data += Layer(shape, weights, np.zeros(shape.filters, np.int8), 0).data
        channels = shape.filters
    return data


def parse(data: bytes) -> list[Layer]:
    """The layers of a job's `filters`. Raises ConvolutionError."""
    layers: list[Layer] = []
    channels = CHANNELS
    while data:
        if len(data) < _HEAD or len(layers) == LAYERS_MAX:
            raise ConvolutionError("these are no filters of a convolution")
        width, stride, filters, pool, right = data[:_HEAD]
        end = _HEAD + filters * (width * channels + 1)
        if right > RIGHT_MAX or not filters or not width or len(data) < end:
            raise ConvolutionError("these are no filters of a convolution")
        rows = np.frombuffer(data[_HEAD:end], np.int8).reshape(filters, -1)
        weights = rows[:, :-1].reshape(filters, width, channels)
        layers.append(Layer(Shape(filters, width, stride, pool), weights, rows[:, -1], right))
        data, channels = data[end:], filters
    if not layers:
        raise ConvolutionError("a convolution needs filters")
    return layers


def load(path: Path, shapes: Sequence[Shape]) -> bytes:
    """The file that `filters` of a job file names. Raises ConvolutionError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConvolutionError(
            f"cannot read the filters {path}: {error.strerror or error} (picofed pretrain makes them)"
        ) from error
    if [layer.shape for layer in parse(data)] != list(shapes):
        raise ConvolutionError(f"{path} holds other convolutions than the job file says: run picofed pretrain again")
    return data
