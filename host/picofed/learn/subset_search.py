"""Which fraction of each layer to train: most contribution under a memory limit. Branch and bound, best first.

Contributions are additive: one number for each layer and fraction, one for the biases of the last k layers. Memory is
whatever `size` says of a whole selection (the core's own function); all that is asked of it is that training more of a
layer, or one more layer, never takes less, and that every trained parameter takes at least `parameter_bytes`.

A node has decided the biases and the first layers. It cannot cost less than with all other layers frozen, and cannot
gain more than the linear relaxation of the choices that are left (a fraction of one of them may be taken). Nodes are
opened in the order of that bound, so that the first complete one is the best there is. If `nodes` are opened before,
the best that was found is returned, with the bound that no selection exceeds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Final

FRACTIONS: Final = (0.0, 1 / 8, 1 / 4, 1 / 2, 1.0)
NODES: Final = 20_000
_ALIGNMENT: Final = 7  # bytes that rounding up to words of 8 may hide


@dataclass(frozen=True)
class Selection:
    """fractions: of each layer's channels; biases: of how many trailing layers the biases are trained."""

    fractions: tuple[float, ...]
    biases: int

    @property
    def empty(self) -> bool:
        """Nothing is trained."""
        return self.biases == 0 and not any(self.fractions)


@dataclass(frozen=True)
class Found:
    """The best selection found, what it contributes and takes; bound: what no selection in the limit exceeds."""

    selection: Selection
    gain: float
    memory: int
    bound: float
    nodes: int

    @property
    def optimal(self) -> bool:
        """Nothing better exists, up to rounding of the contributions' sum."""
        return self.bound - self.gain <= 1e-12


def gain_of(selection: Selection, layer_gains: Sequence[Mapping[float, float]], bias_gains: Sequence[float]) -> float:
    """Sum of the contributions."""
    parts = (gains.get(part, 0.0) for gains, part in zip(layer_gains, selection.fractions, strict=True))
    return bias_gains[selection.biases] + sum(parts)


def search(
    layer_gains: Sequence[Mapping[float, float]],
    bias_gains: Sequence[float],
    size: Callable[[Selection], int],
    trainable: Callable[[int, float], int],
    limit: int,
    *,
    parameter_bytes: int = 4,
    nodes: int = NODES,
) -> Found | None:
    """The selection with the largest sum of contributions among those of at most `limit` bytes; None: none fits.

    layer_gains: by layer, from fraction to contribution; bias_gains: for the last 0, 1, ... layers; trainable(layer,
    fraction): parameters of that choice at least, without biases.
    """
    depth = len(layer_gains)
    steps = [
        _hull_steps([(parameter_bytes * trainable(layer, part), gain) for part, gain in gains.items()])
        for layer, gains in enumerate(layer_gains)
    ]
    rest = [sorted((s for part in steps[at:] for s in part), key=lambda s: -s[1] / s[0]) for at in range(depth + 1)]

    def bound(gain: float, taken: int, at: int) -> float:
        room = limit - taken + _ALIGNMENT
        for weight, more in rest[at]:
            if weight >= room:
                return gain + more * max(room, 0) / weight
            gain += more
            room -= weight
        return gain

    order = count()
    heap: list[tuple[float, int, tuple[float, ...], int, float, int]] = []
    for biases, gain in enumerate(bias_gains):
        heapq.heappush(heap, (-bound(gain, 0, 0), next(order), (), biases, gain, 0))
    opened = 0
    best = _greedy(layer_gains, bias_gains, size, limit)
    while heap:
        top, _, decided, biases, gain, taken = heapq.heappop(heap)
        if best is not None and -top <= best.gain:
            return Found(best.selection, best.gain, best.memory, best.gain, opened)
        if opened >= nodes and best is not None:
            return Found(best.selection, best.gain, best.memory, -top, opened)
        if len(decided) == depth:
            best = Found(Selection(decided, biases), gain, taken, gain, opened)
            continue
        opened += 1
        for part in (0.0, *(f for f in layer_gains[len(decided)] if f)):
            child = (*decided, part)
            now = gain + (layer_gains[len(decided)][part] if part else 0.0)
            whole = len(child) == depth
            selection = Selection((*child, *[0.0] * (depth - len(child))), biases if whole else 0)
            if selection.empty:
                if whole:
                    continue
                memory = 0
            else:
                memory = size(selection)
            if memory > limit:
                continue
            if whole and (best is None or now > best.gain):
                best = Found(selection, now, memory, now, opened)
            heapq.heappush(heap, (-bound(now, memory, len(child)), next(order), child, biases, now, memory))
    return None if best is None else Found(best.selection, best.gain, best.memory, best.gain, opened)


def _greedy(
    layer_gains: Sequence[Mapping[float, float]],
    bias_gains: Sequence[float],
    size: Callable[[Selection], int],
    limit: int,
) -> Found | None:
    """Step by step whatever contributes most for its memory: something to return early, and to compare with."""
    best: Found | None = None
    now, taken = Selection(tuple(0.0 for _ in layer_gains), 0), 0
    while True:
        changes = [Selection(now.fractions, biases) for biases in range(len(bias_gains)) if biases != now.biases]
        for layer, gains in enumerate(layer_gains):
            for part in gains:
                if part != now.fractions[layer]:
                    changes.append(Selection((*now.fractions[:layer], part, *now.fractions[layer + 1 :]), now.biases))
        options = []
        before = gain_of(now, layer_gains, bias_gains)
        for change in changes:
            more = gain_of(change, layer_gains, bias_gains) - before
            if not change.empty and (more > 0 or best is None) and (memory := size(change)) <= limit:
                options.append((more / max(1, memory - taken), memory, change))
        if not options:
            return best
        _, taken, now = max(options, key=lambda option: option[0])
        gain = gain_of(now, layer_gains, bias_gains)
        best = Found(now, gain, taken, math.inf, 0)


def _hull_steps(options: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Upper concave hull of (weight, gain) from (0, 0) on, as steps of falling gain for each unit of weight."""
    hull: list[tuple[int, float]] = [(0, 0.0)]
    for weight, gain in sorted(options):
        if gain <= hull[-1][1] or weight <= 0:
            continue
        while len(hull) > 1 and (gain - hull[-1][1]) * (hull[-1][0] - hull[-2][0]) >= (hull[-1][1] - hull[-2][1]) * (
            weight - hull[-1][0]
        ):
            hull.pop()
        if weight == hull[-1][0]:
            hull.pop()
        hull.append((weight, gain))
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(hull)]
