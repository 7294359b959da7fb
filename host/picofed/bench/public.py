"""What the operator holds: digits of others, altered as boards may see them, and what is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.learn.clients import Examples
from picofed.learn.job import Plan
from picofed.learn.model import Model
from picofed.learn.pretrain import input_moments, pretrain
from picofed.simulation import dataset
from picofed.simulation.dataset import Pool
from picofed.simulation.task import make_task

WIDTHS: Final = (64, 128, 10)


@dataclass(frozen=True)
class Public:
    """What the operator does with the public digits. copies: of them, each altered in another way, that the first
    weights are made of; proxies: clients that a subset is chosen with, a quarter of them to measure on."""

    copies: int
    start: Plan
    proxies: int
    plan: Plan


_START: Final = Plan(rounds=600, optimiser="adam", learning_rate=0.02, decay=1.0)
_PROXY: Final = Plan(rounds=60, learning_rate=0.5, momentum=0.9, decay=1.0)
EFFORT: Final = {
    "mnist:8": Public(8, _START, 90, _PROXY),
    "digits": Public(1, replace(_START, rounds=40), 24, replace(_PROXY, rounds=15)),  # for tests
}

# How far an altered digit may be from the public one: those fill their image, most of what a camera sees does not.
SMALLER: Final = (1.0, 1.6)  # times
ASPECT: Final = 0.15  # natural logarithm, either way
TURN: Final = 0.25  # radians, either way
SHEAR: Final = 0.25
SHIFT: Final = 0.7  # pixels, either way
FAINTER: Final = (0.6, 1.0)


@lru_cache(maxsize=4)
def public(data: str) -> Pool:
    """What the operator holds: 8 x 8 digits of others, scikit-learn's for MNIST, as many of MNIST's for those."""
    if data.startswith("mnist"):
        return dataset.digits()
    pool, few = dataset.mnist(8), np.random.Generator(np.random.PCG64(9)).permutation(10000)[:1797]
    return Pool(pool.features[few], pool.labels[few])


@lru_cache(maxsize=4)
def pretrained(data: str) -> NDArray[np.float64]:
    """The first weights, of every rule: the public digits have taught them."""
    pools = [altered(public(data), seed) for seed in range(1, 1 + EFFORT[data].copies)]
    job = make_task("start", Model.dense(WIDTHS), Plan(epsilon=None), clients=1, records=len(pools[0].labels))
    return pretrain(job, [Examples(pool.features, pool.labels) for pool in pools], plan=EFFORT[data].start)


def moments(data: str, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second moments of the layers' inputs on the public digits, altered as they are nowhere else."""
    pools = [altered(public(data), 101 + number) for number in range(2)]
    return input_moments(Model.dense(WIDTHS), weights, [Examples(pool.features, pool.labels) for pool in pools])


def altered(pool: Pool, seed: int) -> Pool:
    """The same digits as a board may see them: smaller, turned, sheared, off the middle, fainter. Between pixels it is
    interpolated linearly; around the image it is dark."""
    draw = np.random.Generator(np.random.PCG64([seed, 8]))
    count, side = len(pool.labels), math.isqrt(pool.features.shape[1])
    turn, shear = draw.uniform(-TURN, TURN, count), draw.uniform(-SHEAR, SHEAR, count)
    scale, aspect = draw.uniform(*SMALLER, count), np.exp(draw.uniform(-ASPECT, ASPECT, count))
    shift = draw.uniform(-SHIFT, SHIFT, (count, 2, 1))
    cosine, sine = np.cos(turn), np.sin(turn)
    rows = np.stack([cosine * aspect, (cosine * shear - sine) / aspect], axis=1)
    columns = np.stack([sine * aspect, (sine * shear + cosine) / aspect], axis=1)
    back = scale[:, None, None] * np.stack([rows, columns], axis=1)  # from the new image into the old
    middle = (side - 1) / 2
    places = np.indices((side, side)).reshape(2, -1) - middle
    # One dark pixel around, which is also where everything farther out is taken from.
    found = np.clip(back @ (places - shift) + middle + 1, 0, side + 1 - 1e-6)
    corner = found.astype(np.int64)
    part = found - corner
    framed = np.pad(pool.features.reshape(-1, side, side).astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    image = np.arange(count)[:, None]
    value = np.zeros((count, side * side))
    for down in (0, 1):
        for right in (0, 1):
            near = np.abs(1 - down - part[:, 0]) * np.abs(1 - right - part[:, 1])
            value += near * framed[image, corner[:, 0] + down, corner[:, 1] + right]
    faint = value * draw.uniform(*FAINTER, (count, 1))
    return Pool(np.rint(faint).astype(np.int8), pool.labels)


def transposed(pool: Pool) -> Pool:
    """The same digits with rows and columns exchanged."""
    side = math.isqrt(pool.features.shape[1])
    images = pool.features.reshape(-1, side, side).transpose(0, 2, 1)
    return Pool(np.ascontiguousarray(images).reshape(len(images), -1), pool.labels)
