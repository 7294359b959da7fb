"""Which selection to take: the best that was measured, not the best that sums of contributions promise.

Contributions of parts overlap, so that their sum saturates, and what is best by it need not be best when it is trained.
Every selection that was trained by itself is a candidate: the parts that the search adds up, and what it finds for
several limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from picofed.learn.model import Model
from picofed.learn.subset import Point, Proxy, Subset, Tick
from picofed.learn.subset_search import Selection

PARTS: Final = (0.4, 0.7)  # of the limit: what the search finds for them is measured too
_ROUNDING: Final = 1e-9  # of sums of contributions


@dataclass(frozen=True)
class Measured:
    """A selection that was trained for real, all of it together. quality: accuracy, or the explained part."""

    selection: Selection
    model: Model
    memory: int
    quality: float


@dataclass(frozen=True)
class Choice:
    """chosen: what to train; found: what the search finds for the limit, by contributions; every: all that was
    measured, by memory; noise: the standard deviation of a difference of two of them, from the noise seeds alone."""

    chosen: Measured
    found: Point
    every: tuple[Measured, ...]
    noise: float


def choose(subset: Subset, proxy: Proxy, limit: int, points: int = 8, tick: Tick = lambda text: None) -> Choice | None:
    """Measure what the search finds for `points` limits from the least memory to the most, for the limit and for parts
    of it, and take the best. None: nothing fits into `limit` bytes."""
    found = subset.best(limit)
    if found is None:
        return None
    limits = [int(each) for each in np.linspace(subset.least, subset.most, points)]
    limits += [int(part * limit) for part in PARTS]
    known = {each.selection: each for each in parts_of(subset)}
    for point in [found, *filter(None, map(subset.best, limits))]:
        selection = point.found.selection
        if selection not in known:
            tick(f"{point.found.memory} bytes")
            quality, _ = proxy.train(point.model, subset.contributions.weights)
            known[selection] = Measured(selection, point.model, point.found.memory, quality)
    noise = math.sqrt(2 * subset.contributions.variance / proxy.repeats)
    every = tuple(sorted(known.values(), key=lambda each: (each.memory, -each.quality)))
    return Choice(best_of(every, limit, noise), found, every, noise)


def parts_of(subset: Subset) -> list[Measured]:
    """What was trained to learn contributions: every part of the model by itself, and everything."""
    given = subset.contributions
    depth = len(given.layers)
    gains = {
        Selection(tuple(part if at == layer else 0.0 for at in range(depth)), 0): gain
        for layer, found in enumerate(given.layers)
        for part, gain in found.items()
        if part
    }
    gains |= {Selection((0.0,) * depth, last): gain for last, gain in enumerate(given.biases) if last}
    gains[Selection((1.0,) * depth, depth)] = given.dense - given.start
    return [Measured(each, subset.trained(each), subset.memory(each), given.start + gains[each]) for each in gains]


def best_of(every: Iterable[Measured], limit: int, noise: float) -> Measured:
    """Of those within the limit that are as good as the best, but for noise, the smallest; of equal size the better."""
    fitting = [each for each in every if each.memory <= limit]
    enough = max(each.quality for each in fitting) - max(noise, _ROUNDING)
    return min((each for each in fitting if each.quality >= enough), key=lambda each: (each.memory, -each.quality))


def front(every: Sequence[Measured]) -> list[Measured]:
    """Those than which nothing that was measured is better and takes no more memory; by memory."""
    found: list[Measured] = []
    for each in sorted(every, key=lambda each: (each.memory, -each.quality)):
        if not found or each.quality > found[-1].quality + _ROUNDING:
            found.append(each)
    return found
