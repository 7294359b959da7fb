"""The fixed-point gradient against float64 calculus that shares no code with it.

Bounds. One layer up from the logits: softmax probabilities are within 2^-9 of the exact ones (table interpolation
2^-14 relative, reciprocal below 2^-7.9 relative for 255 classes and below 2^-11 for up to 16, final rounding 2^-13),
so deltas are too. Each backward step multiplies the error by the weights' column sums and adds one rounding, 2^-13.
The hidden activations are truncated to 1/32, which the float model here repeats, so that what is compared is arithmetic
alone; how far the quantised network is from the real one is the last test's business, as a cosine.
"""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pytest
from models import whole
from picofed import native
from picofed.reference import Loss, Model, encode_model
from picofed.reference.training import softmax

Float = npt.NDArray[np.float64]


def unpack(model: Model, weights: npt.NDArray[np.int64]) -> list[tuple[Float, Float]]:
    """Real weights and biases of each layer."""
    out, at = [], 0
    for layer in model.layers:
        size = layer.inputs * layer.outputs
        out.append(
            (
                weights[at : at + size].reshape(layer.outputs, -1) / 2048,
                weights[at + size :][: layer.outputs] / 2048,
            )
        )
        at += layer.parameters
    return out


def forward(parameters: list[tuple[Float, Float]], x: Float, truncate: bool) -> tuple[list[Float], Float]:
    activations = [x]
    for matrix, bias in parameters[:-1]:
        h = np.clip(matrix @ activations[-1] + bias, 0, 127 / 32)
        activations.append(np.floor(h * 32) / 32 if truncate else h)
    matrix, bias = parameters[-1]
    return activations, matrix @ activations[-1] + bias


def loss_of(model: Model, logits: Float, target: npt.ArrayLike) -> float:
    if model.loss is Loss.SOFTMAX:
        return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[int(np.asarray(target))])
    return float(((logits - np.asarray(target) / 4096) ** 2).sum() / 2)


def gradient(
    model: Model, parameters: list[tuple[Float, Float]], x: Float, target: npt.ArrayLike, truncate: bool
) -> tuple[Float, list[Float]]:
    """Flat gradient in the order of SPEC 7.3, and the deltas of each layer."""
    activations, logits = forward(parameters, x, truncate)
    if model.loss is Loss.SOFTMAX:
        delta = np.exp(logits - logits.max())
        delta /= delta.sum()
        delta[int(np.asarray(target))] -= 1
    else:
        delta = logits - np.asarray(target) / 4096
    deltas = [delta]
    for (matrix, _), h in zip(reversed(parameters[1:]), reversed(activations[1:]), strict=True):
        deltas.insert(0, (matrix.T @ deltas[0]) * ((h > 0) & (h < 127 / 32)))
    flat = [part for d, a in zip(deltas, activations, strict=True) for part in (np.outer(d, a).ravel(), d)]
    return np.concatenate(flat), deltas


def fixed_point(
    model: Model, weights: npt.NDArray[np.int64], row: npt.NDArray[np.int64], target: npt.ArrayLike
) -> Float:
    """The core's own gradient of one record, as real numbers."""
    trainer = native.Trainer(encode_model(model))
    trainer.set_weights(weights)
    trainer.begin(None, 0, 0)
    trainer.examples(row[None], np.asarray(target)[None])
    bits = np.concatenate([np.full(layer.parameters, 19 if layer.first else 17) for layer in model.layers])
    return np.asarray(trainer.release() / 2.0**bits)


MODELS = [
    (Loss.SOFTMAX, 20, 10),
    (Loss.SQUARED, 12, 3),
    (Loss.SOFTMAX, 45, 24, 8),
    (Loss.SQUARED, 16, 12, 10, 2),
]


def cases(rng: random.Random, shape: tuple[int, ...], n: int):  # type: ignore[no-untyped-def]
    model = whole(Loss(shape[0]), *shape[1:])
    numbers = np.random.default_rng(rng.randrange(2**32))
    for _ in range(n):
        scale = numbers.choice([300, 700, 1200])
        weights = np.clip(numbers.normal(0, scale, model.parameters), -16384, 16383).astype(np.int64)
        row = numbers.integers(-127, 128, model.inputs)
        target = (
            numbers.integers(model.outputs)
            if model.loss is Loss.SOFTMAX
            else numbers.integers(-8192, 8192, model.outputs)
        )
        yield model, weights, row, target


@pytest.mark.parametrize("shape", MODELS, ids=str)
def test_gradient_is_within_its_bound(shape: tuple[int, ...], rng: random.Random) -> None:
    compared = 0
    for model, weights, row, target in cases(rng, shape, 40):
        parameters = unpack(model, weights)
        wanted, deltas = gradient(model, parameters, row / 128, target, truncate=True)
        if max(np.abs(delta).max() for delta in deltas) > 3.99:  # deltas saturate at 16383 / 4096
            continue
        compared += 1
        got = fixed_point(model, weights, row, target)
        error = 2.0**-9 if model.loss is Loss.SOFTMAX else 2.0**-12
        errors = [error]
        for matrix, _ in reversed(parameters[1:]):
            error = float(np.abs(matrix).sum(0).max()) * error + 2.0**-13
            errors.insert(0, error)
        at = 0
        for layer, bound in zip(model.layers, errors, strict=True):
            # an input activation is at most 1, a hidden one at most 127/32
            limit = bound * (1 if layer.first else 4)
            assert np.abs(got - wanted)[at : at + layer.parameters].max() <= limit
            at += layer.parameters
    assert compared >= 10


@pytest.mark.parametrize("shape", MODELS, ids=str)
def test_float_gradient_is_the_derivative_of_the_loss(shape: tuple[int, ...], rng: random.Random) -> None:
    """Central differences of the real network: the yardstick above is itself right."""
    for model, weights, row, target in cases(rng, shape, 3):
        parameters = unpack(model, weights)
        wanted, _ = gradient(model, parameters, row / 128, target, truncate=False)
        flat = np.concatenate([part.ravel() for pair in parameters for part in pair])
        step = 1e-6
        for index in np.random.default_rng(1).choice(len(flat), 40):
            ends = []
            for sign in (1, -1):
                moved = flat.copy()
                moved[index] += sign * step
                _, logits = forward(unpack(model, moved * 2048), row / 128, truncate=False)
                ends.append(loss_of(model, logits, target))
            assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(wanted[index], abs=1e-5)


@pytest.mark.parametrize("shape", MODELS, ids=str)
def test_gradient_points_where_the_real_one_does(shape: tuple[int, ...], rng: random.Random) -> None:
    cosines = []
    for model, weights, row, target in cases(rng, shape, 30):
        wanted, _ = gradient(model, unpack(model, weights), row / 128, target, truncate=False)
        got = fixed_point(model, weights, row, target)
        if np.linalg.norm(wanted) > 0.1:
            cosines.append(float(got @ wanted / np.linalg.norm(got) / np.linalg.norm(wanted)))
    assert np.median(cosines) > 0.99


def test_softmax_is_close_for_every_number_of_classes(rng: random.Random) -> None:
    for classes in (2, 3, 8, 10, 100, 255):
        for _ in range(50):
            z = [round(rng.gauss(0, rng.choice([0.1, 1, 4])) * 2**18) for _ in range(classes)]
            exact = np.exp(np.array(z) / 2**18 - max(z) / 2**18)
            exact /= exact.sum()
            assert np.abs(np.array(softmax(z, 18)) / 4096 - exact).max() < 2.0**-9
