"""What one record changes in a release, exactly: released with it, less released without it, both under one noise key.

The Dirac canaries tell in from out through the noise, but a record of theirs has one delta and one input of one layer.
Here records go through a whole model, all trained layers at once with their deltas, inputs and biases, in the company
of others, under weights that a hostile host might choose. No noise is in the way: clipping that lets through a
thousandth too much shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.learn.model import WEIGHT_BITS, WEIGHT_MAX, WEIGHT_MIN, Model, Rectangle
from picofed.privacy.canaries import Seeds, Setting

RECORDS: Final = 11  # of a round: a whole batch of the core, and a part of one
ROUNDS: Final = 24  # of each model, each under weights of its own
_TARGET_MAX: Final = 2**15 - 1

# Where no job says which: everything trained, through either loss; and parts of layers, with biases and without, above
# a frozen layer.
MODELS: Final = (
    Model.dense((45, 16, 7)),
    Model.dense((20, 12, 9, 5), "squared"),
    Model(
        (24, 12, 10, 6),
        "squared",
        (None, Rectangle(2, 9, 3, 12, bias=False), Rectangle(1, 6, 0, 8)),
    ),
)


@dataclass(frozen=True)
class Neighbours:
    """What was found. records: each of them left out of a release once; largest: the most that one of them changed, of
    the clipping norm (Euclidean); layers: models' widths, and how many of their trained layers the records moved."""

    records: int
    largest: float
    models: tuple[tuple[tuple[int, ...], int, int], ...]
    findings: tuple[str, ...]


def measure(models: Sequence[Model], setting: Setting, seed: int | None) -> Neighbours:
    """Through these models, on the compiled core."""
    seeds = Seeds(seed)
    return judge(
        [(model, _changes(model, setting, seeds, number)) for number, model in enumerate(models)], setting.clip_norm
    )


def judge(changes: Iterable[tuple[Model, Iterable[NDArray[np.float64]]]], clip_norm: int) -> Neighbours:
    """changes: models, and what each record that was left out had changed in a release of one, exactly."""
    found: list[tuple[tuple[int, ...], int, int]] = []
    findings: list[str] = []
    largest, count = 0.0, 0
    for model, changed in changes:
        ends = _ends(model)
        moved = np.zeros(len(ends), np.bool_)
        worst = 0.0
        for change in changed:
            squares = [_square(change[begin:end]) for begin, end in pairwise([0, *ends])]
            moved |= np.array(squares) > 0
            # whole numbers below 2^53 add exactly, so that a norm of exactly C is no finding
            worst = max(worst, math.fsum(squares) / clip_norm**2)
            count += 1
        found.append((model.widths, int(moved.sum()), len(moved)))
        largest = max(largest, math.sqrt(worst))
        name = "-".join(map(str, model.widths))
        if not worst:
            findings.append(f"no record changes a release of the model {name}: this audit measured nothing")
        if worst > 1:
            findings.append(
                f"a record changes a release of the model {name} by {math.sqrt(worst):.6g} of the clipping norm: "
                "mu is that many times what is claimed"
            )
    return Neighbours(count, largest, tuple(found), tuple(findings))


def _square(change: NDArray[np.float64]) -> float:
    return float(change @ change)


def _ends(model: Model) -> list[int]:
    """Where each trained layer's parameters end, in the order of SPEC 7.3."""
    sizes = [
        (part.row_end - part.row_begin) * (part.column_end - part.column_begin + part.bias)
        for part in model.trained
        if part is not None
    ]
    return [int(end) for end in np.cumsum(sizes)]


def _changes(model: Model, setting: Setting, seeds: Seeds, number: int) -> Iterator[NDArray[np.float64]]:
    """What each record changes, of all rounds; where layers are frozen, also as a board that keeps them in its flash
    computes it."""
    frozen = len(model.trainable) < model.parameters
    for turn in range(ROUNDS):
        place = (number * ROUNDS + turn) * 2
        generator = np.random.default_rng(list(seeds.bytes(place, "neighbours")))
        key = seeds.bytes(place + 1, "neighbours")
        weights = hostile_weights(model, generator, turn)
        image = native.frozen_image(model.descriptor, weights) if frozen and turn % 2 else None
        trainer = native.Trainer(model.descriptor, image=image)
        if image is None:
            trainer.set_weights(weights)
        else:
            trainer.set_subset(weights[model.trainable])
        features, targets = _records(model, generator)
        whole = _release(trainer, setting, key, features, targets)
        for one in range(RECORDS):
            without = np.delete(features, one, axis=0), np.delete(targets, one, axis=0)
            yield difference(whole, _release(trainer, setting, key, *without))


def difference(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Modulo 2^32, as the accumulators are."""
    return (one - other).view(np.int32).astype(np.float64)


def _release(
    trainer: native.Trainer,
    setting: Setting,
    key: bytes,
    features: NDArray[np.int8],
    targets: NDArray[np.int64],
) -> NDArray[np.uint32]:
    trainer.begin(key, setting.log2_sigma, setting.clip_norm)
    trainer.fill()
    trainer.examples(features, targets)
    return trainer.release().view(np.uint32)


def hostile_weights(model: Model, generator: np.random.Generator, turn: int) -> NDArray[np.int64]:
    """As after training, with each layer some powers of two larger or smaller, so that now one layer has the larger
    share in a record's norm and now another; every fourth time anything that the format allows."""
    parts: list[NDArray[np.float64]] = []
    for columns, rows in pairwise(model.widths):
        size = rows * (columns + 1)
        if turn % 4 == 3:
            parts.append(generator.integers(WEIGHT_MIN, WEIGHT_MAX + 1, size).astype(np.float64))
        else:
            scale = math.sqrt(2.0 / columns) * 2.0 ** (WEIGHT_BITS + generator.uniform(-4, 3))
            parts.append(generator.normal(0.0, scale, size))
    return np.clip(np.rint(np.concatenate(parts)), WEIGHT_MIN, WEIGHT_MAX).astype(np.int64)


def _records(model: Model, generator: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Ordinary ones, the largest, one input alone, and none: then only biases are moved."""
    features = generator.integers(-127, 128, (RECORDS, model.widths[0])).astype(np.int8)
    features[0] = 0
    features[1] = np.where(features[1] < 0, -127, 127)
    features[2, 1:] = 0
    features[3] //= 16
    if model.loss == "softmax":
        return features, generator.integers(0, model.widths[-1], RECORDS)
    targets = generator.integers(-_TARGET_MAX - 1, _TARGET_MAX + 1, (RECORDS, model.widths[-1]))
    targets[4:8] //= 64
    return features, targets
