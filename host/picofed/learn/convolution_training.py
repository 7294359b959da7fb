"""Convolutions trained in float64 on data that the operator holds, then rounded to what a job carries (SPEC 8.6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from picofed.learn.clients import Examples
from picofed.learn.convolution import CHANNELS, RIGHT_MAX, Layer, Shape
from picofed.learn.evaluate import forward, gradients
from picofed.learn.model import Model
from picofed.learn.optimisers import Adam

BATCH: Final = 64
RATE: Final = 0.01
TURN: Final = 0.2  # standard deviations of `worn`: radians about each axis, and of the size
SCALE: Final = 0.15
CAP: Final = 127 / 128  # of an activation in Q7
Floats = NDArray[np.float64]


def windows(points: Sequence[Examples]) -> tuple[Floats, NDArray[np.uint8]]:
    """Windows [n, steps, 6] as a network takes them, and their labels, of records that are blocks."""
    inputs = np.concatenate([each.features for each in points]).astype(np.float64) / 128
    return inputs.reshape(len(inputs), -1, CHANNELS), np.concatenate([each.labels for each in points])


def worn(points: Floats, generator: np.random.Generator) -> Floats:
    """The same movements [n, steps, 6] with the sensor a little askew, and a little larger or smaller: what differs
    from one wearer to the next."""
    n = len(points)
    turn = generator.normal(0.0, TURN, (n, 3))
    cross = np.zeros((n, 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        cross[:, i, j], cross[:, j, i] = -turn[:, k], turn[:, k]
    angle = np.linalg.norm(turn, axis=1)[:, None, None]
    matrix = np.eye(3) + np.sinc(angle / np.pi) * cross + np.sinc(angle / 2 / np.pi) ** 2 / 2 * (cross @ cross)
    matrix *= generator.normal(1.0, SCALE, (n, 1, 1))
    moved: Floats = (points.reshape(n, -1, 3) @ matrix).reshape(points.shape)
    return moved


class Network:
    """Convolutions and the dense model behind them. weights: one vector, the convolutions first: of each layer the
    filters [filters, width x channels], then the biases."""

    def __init__(self, shapes: Sequence[Shape], model: Model, seed: int = 0) -> None:
        self.shapes, self.model = tuple(shapes), model
        generator = np.random.Generator(np.random.PCG64(seed))
        parts: list[Floats] = []
        channels = CHANNELS
        for shape in self.shapes:
            columns = shape.width * channels
            parts += [generator.normal(0.0, math.sqrt(2.0 / columns), shape.filters * columns), np.zeros(shape.filters)]
            channels = shape.filters
        self.size = sum(part.size for part in parts)
        self.weights: Floats = np.concatenate([*parts, model.initial(seed)])

    def layers(self) -> list[tuple[Floats, Floats]]:
        """Views of each layer's filters [filters, width x channels] and biases."""
        found = []
        at, channels = 0, CHANNELS
        for shape in self.shapes:
            end = at + shape.filters * shape.width * channels
            found.append((self.weights[at:end].reshape(shape.filters, -1), self.weights[end : end + shape.filters]))
            at, channels = end + shape.filters, shape.filters
        return found

    def features(self, points: Floats) -> Floats:
        """What the convolutions make of windows [n, steps, channels]: [n, inputs of the model]."""
        return self._forward(points)[-1][0].reshape(len(points), -1)

    def logits(self, points: Floats) -> Floats:
        """What the whole network makes of windows [n, steps, channels]: [n, classes]."""
        return forward(self.model.widths, self.weights[self.size :], self.features(points))[-1]

    def _forward(self, points: Floats) -> list[tuple[Floats, Any, Any]]:
        """For each layer (its input, patches, places of the largest), last the outputs."""
        trail: list[tuple[Floats, Any, Any]] = []
        for shape, (filters, bias) in zip(self.shapes, self.layers(), strict=True):
            n, steps = points.shape[:2]
            rows = shape.rows(steps)
            patches = sliding_window_view(points, shape.width, axis=1)[:, :: shape.stride][:, : rows * shape.pool]
            patches = patches.transpose(0, 1, 3, 2).reshape(n, rows * shape.pool, -1)
            z = (patches @ filters.T).reshape(n, rows, shape.pool, -1)
            largest = z.argmax(axis=2)[:, :, None]
            trail.append((points, patches, largest))
            points = np.clip(np.take_along_axis(z, largest, 2)[:, :, 0] + bias, 0, CAP)
        return [*trail, (points, None, None)]

    def gradient(self, points: Floats, labels: NDArray[Any]) -> Floats:
        """Of the mean cross-entropy, in the order of `weights`."""
        trail = self._forward(points)
        head, delta = gradients(
            self.model.widths, self.weights[self.size :], trail[-1][0].reshape(len(points), -1), labels
        )
        parts = [head]
        for number in range(len(self.shapes) - 1, -1, -1):
            shape, (filters, _) = self.shapes[number], self.layers()[number]
            before, patches, largest = trail[number]
            out = trail[number + 1][0]
            delta = delta.reshape(out.shape) * ((out > 0) & (out < CAP))
            n, rows, count = delta.shape
            places = np.zeros((n, rows, shape.pool, count))
            np.put_along_axis(places, largest, delta[:, :, None], 2)
            spread: Floats = places.reshape(n, rows * shape.pool, count)
            # a product for each window: BLAS shares larger ones among threads, which takes longer here
            each = spread.transpose(0, 2, 1) @ patches
            parts = [each.sum(axis=0).ravel(), spread.sum(axis=(0, 1)), *parts]
            if number:
                delta = np.zeros(before.shape)
                back = (spread @ filters).reshape(n, rows * shape.pool, shape.width, -1)
                reach = shape.stride * (rows * shape.pool - 1) + 1
                for k in range(shape.width):
                    delta[:, k : k + reach : shape.stride] += back[:, :, k]
        return np.concatenate(parts)

    def train(self, points: Floats, labels: NDArray[Any], epochs: int, seed: int = 0) -> None:
        """Adam on shuffled batches; the rate falls to zero along a cosine."""
        generator = np.random.Generator(np.random.PCG64([seed, 1]))
        optimiser = Adam(len(self.weights), RATE, tau=1e-8)
        for epoch in range(epochs):
            optimiser.learning_rate = RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2
            order = generator.permutation(len(labels))
            for at in range(0, len(order), BATCH):
                part = order[at : at + BATCH]
                seen = worn(points[part], generator)
                self.weights = optimiser.step(self.weights, self.gradient(seen, labels[part]))

    def quantised(self) -> list[Layer]:
        """The convolutions in int8, each layer with the finest unit that holds its largest weight."""
        made = []
        channels = CHANNELS
        for shape, (filters, bias) in zip(self.shapes, self.layers(), strict=True):
            largest = max(float(np.abs(filters).max()), float(np.abs(bias).max()), 2.0**-RIGHT_MAX)
            right = min(RIGHT_MAX, max(0, math.floor(math.log2(127 / largest))))
            whole = [np.clip(np.rint(part * 2**right), -127, 127).astype(np.int8) for part in (filters, bias)]
            made.append(Layer(shape, whole[0].reshape(shape.filters, shape.width, channels), whole[1], right))
            channels = shape.filters
        return made
