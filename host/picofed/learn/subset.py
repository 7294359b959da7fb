"""Which parameters boards should train: measured contributions, the core's own memory, the best that fits.

The search space and the additive objective follow MCUNetV3's contribution analysis (Lin et al. 2022): for every layer
alone, how much better does the model get if a fraction of its channels is trained; for the last k layers, if their
biases are. Here it is measured with the very arithmetic of the boards, on data that the operator holds, with the job's
own clipping and noise: more parameters also mean more noise.

Channels of a layer are its outputs (rows), of the last layer its inputs (columns); which hidden units come first is
decided by how far their weights move when all of the model is trained, and `renumber` makes them neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, variance

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.learn.clients import Examples
from picofed.learn.errors import explained
from picofed.learn.job import MODES, Job, Plan
from picofed.learn.model import Model, Rectangle, layers, quantise
from picofed.learn.renumber import renumber
from picofed.learn.subset_search import FRACTIONS, Found, Selection, search
from picofed.learn.versions import LIMITS, make_optimiser

Weights = NDArray[np.float64]
Tick = Callable[[str], None]
_LAST = 3  # versions over which a quality is averaged


@dataclass(frozen=True)
class Proxy:
    """What the operator holds: clients to train on as boards would, people to measure on, and how to train. Quality is
    the accuracy of classes, and of squared errors the explained part.

    clip, log2_sigma: as in Job, 0 and 0: without privacy; repeats: noise seeds that are averaged.
    """

    clients: Mapping[str, Examples]
    people: Mapping[str, Examples]
    plan: Plan
    clip: int = 0
    log2_sigma: int = 0
    repeats: int = 1

    @classmethod
    def of(cls, job: Job, plan: Plan, clients: Mapping[str, Examples], people: Mapping[str, Examples]) -> Proxy:
        """With the job's clipping and noise; three noise seeds."""
        return cls(clients, people, plan, job.clip, job.log2_sigma, 3 if job.private else 1)

    def quality(self, model: Model, trainer: native.Trainer) -> float:
        """Share of the people's examples that a trainer's weights get right; of squared errors the explained part."""
        features = np.concatenate([examples.features for examples in self.people.values()])
        wanted = np.concatenate([examples.wanted for examples in self.people.values()])
        if trainer.loss is native.Loss.SOFTMAX:
            return float((trainer.logits(features).argmax(axis=1) == wanted).mean())
        return explained(model, trainer, features, wanted)

    def train(self, model: Model, start: Weights) -> tuple[float, Weights]:
        """Quality after the plan's rounds (mean of the last versions and of the noise seeds), and weights of the last
        run. FedAvg over the clients, one full-batch release each."""
        found, weights = self.train_each(model, start)
        return mean(found), weights

    def train_each(self, model: Model, start: Weights) -> tuple[list[float], Weights]:
        """The same, but the quality with each noise seed."""
        found = []
        weights = start
        for seed in range(self.repeats):
            qualities, weights = self._run(model, start, seed)
            found.append(mean(qualities[-_LAST:]))
        return found, weights

    def _run(self, model: Model, start: Weights, seed: int) -> tuple[list[float], Weights]:
        trainer = native.Trainer(model.descriptor)
        trainer.set_weights(quantise(start))
        trainable, units = model.trainable, model.gradient_units
        optimiser = make_optimiser(self.plan, model)
        weights = start.copy()
        records = sum(len(examples.labels) for examples in self.clients.values())
        qualities = []
        for number in range(self.plan.rounds):
            total = np.zeros(len(trainable), np.int64)
            for name, examples in self.clients.items():
                key = native.blake2b(f"subset {seed} {number} {name}".encode(), 32)  # known noise: nothing is released
                trainer.begin(key if self.log2_sigma else None, self.log2_sigma, self.clip)
                trainer.fill()
                trainer.examples(examples.features, examples.wanted)
                total += trainer.release()
            optimiser.learning_rate = self.plan.rate(number + 1)
            weights[trainable] = np.clip(optimiser.step(weights[trainable], total * units / max(records, 1)), *LIMITS)
            trainer.set_subset(quantise(weights)[trainable])
            if number >= self.plan.rounds - _LAST:
                qualities.append(self.quality(model, trainer))
        return qualities, weights


@dataclass(frozen=True)
class Contributions:
    """What the search adds up. start: quality of the untrained model; dense: with everything trained; layers: by layer
    and fraction, biases: of the last 0, 1, ... layers: quality gained over `start`; weights: the model renumbered."""

    start: float
    dense: float
    layers: tuple[Mapping[float, float], ...]
    biases: tuple[float, ...]
    weights: Weights
    columns_from: int = 0  # of a model without hidden layers: where the inputs begin that moved most
    variance: float = 0.0  # of a quality between noise seeds, the mean of all that was trained; 0: no noise


@dataclass(frozen=True)
class Point:
    """What the search finds. expected: quality by adding contributions, which overlap: a promise, no measurement."""

    found: Found
    model: Model
    expected: float


@dataclass
class Subset:
    """Contributions of a model's parts, and selections under a limit."""

    model: Model
    contributions: Contributions
    mode: int = 0
    _sizes: dict[Selection, int] = field(default_factory=dict)
    frozen: int = 0  # bytes of flash that every board has for an image of frozen weights (SPEC 12)

    @classmethod
    def measure(
        cls,
        model: Model,
        start: Weights,
        proxy: Proxy,
        mode: str = "gradient",
        tick: Tick = lambda text: None,
        frozen: int = 0,
    ) -> Subset:
        """Train every part of the model by itself. tick: told what is next."""
        dense = Model.dense(model.widths, model.loss)
        probe = native.Trainer(dense.descriptor)
        probe.set_weights(quantise(start))
        before = proxy.quality(dense, probe)
        tick("all of the model")
        each, moved = proxy.train_each(dense, start)
        after, spread = mean(each), [_variance(each)]
        orders = rank(model.widths, moved - start)
        weights = renumber(model.widths, start, orders)
        window = _window(model, moved - start)
        made = cls(model, Contributions(before, after, (), (), weights, window), MODES.index(mode), frozen=frozen)
        depth = len(model.widths) - 1
        gains: list[dict[float, float]] = []

        def gain(selection: Selection) -> float:
            each, _ = proxy.train_each(made.trained(selection), weights)
            spread.append(_variance(each))
            return mean(each) - before

        for layer in range(depth):
            gains.append({0.0: 0.0})
            for part in FRACTIONS[1:]:
                tick(f"layer {layer}, {part:g} of its channels")
                chosen = tuple(part if at == layer else 0.0 for at in range(depth))
                gains[-1][part] = gain(Selection(chosen, 0))
        biases = [0.0]
        for last in range(1, depth + 1):
            tick(f"biases of the last {last} layers")
            biases.append(gain(Selection((0.0,) * depth, last)))
        made.contributions = replace(
            made.contributions, layers=tuple(gains), biases=tuple(biases), variance=mean(spread)
        )
        return made

    def trained(self, selection: Selection) -> Model:
        """The model that trains a selection."""
        depth = len(self.model.widths) - 1
        return Model(
            self.model.widths,
            self.model.loss,
            tuple(self._rectangle(layer, part, layer >= depth - selection.biases) for layer, part in
                  enumerate(selection.fractions)),
        )  # fmt: skip

    def _rectangle(self, layer: int, part: float, bias: bool) -> Rectangle | None:
        columns, rows = self.model.widths[layer], self.model.widths[layer + 1]
        if part == 0:
            return Rectangle(0, rows, 0, 0, True) if bias else None
        if layer < len(self.model.widths) - 2:
            return Rectangle(0, math.ceil(rows * part), 0, columns, bias)
        count = math.ceil(columns * part)
        first = min(self.contributions.columns_from, columns - count) if layer == 0 else 0
        return Rectangle(0, rows, first, first + count, bias)

    def memory(self, selection: Selection) -> int:
        """Bytes of the core's trainer for a selection."""
        if selection not in self._sizes:
            self._sizes[selection] = memory_of(self.trained(selection), self.mode, self.frozen)
        return self._sizes[selection]

    def _trainable(self, layer: int, part: float) -> int:
        rectangle = self._rectangle(layer, part, False)
        if rectangle is None:
            return 0
        return (rectangle.row_end - rectangle.row_begin) * (rectangle.column_end - rectangle.column_begin)

    def best(self, limit: int, **options: int) -> Point | None:
        """The selection with the largest sum of contributions that fits into `limit` bytes; None: nothing does."""
        given = self.contributions
        bytes_each = 4 if self.mode == 0 else 10  # an accumulator; in local mode a change and a start beside it
        found = search(
            given.layers,
            given.biases,
            self.memory,
            self._trainable,
            limit,
            parameter_bytes=bytes_each,
            **options,
        )
        if found is None:
            return None
        return Point(found, self.trained(found.selection), min(1.0, max(0.0, given.start + found.gain)))

    @property
    def least(self) -> int:
        """Bytes of the smallest selection that trains anything."""
        depth = len(self.model.widths) - 1
        single = [
            Selection(tuple(part if at == layer else 0.0 for at in range(depth)), 0)
            for layer in range(depth)
            for part in FRACTIONS[1:]
        ]
        return min(map(self.memory, [*single, Selection((0.0,) * depth, 1)]))

    @property
    def most(self) -> int:
        """Bytes of training everything."""
        depth = len(self.model.widths) - 1
        return self.memory(Selection((1.0,) * depth, depth))


def rank(widths: Sequence[int], moved: Weights) -> list[NDArray[np.int64]]:
    """For each hidden layer, its units by how far their weights, in and out, have moved; the farthest first."""
    parts = layers(widths, moved)
    orders = []
    for number in range(len(parts) - 1):
        matrix, biases = parts[number]
        energy = (matrix**2).sum(axis=1) + biases**2 + (parts[number + 1][0] ** 2).sum(axis=0)
        orders.append(np.argsort(-energy, kind="stable").astype(np.int64))
    return orders


def _variance(each: Sequence[float]) -> float:
    return variance(each) if len(each) > 1 else 0.0


def _window(model: Model, moved: Weights) -> int:
    """Inputs cannot be renumbered: where the eighth of neighbouring inputs begins whose weights moved farthest, in a
    model without hidden layers."""
    if len(model.widths) != 2:
        return 0
    energy = (layers(model.widths, moved)[0][0] ** 2).sum(axis=0)
    length = math.ceil(len(energy) / 8)
    sums = np.convolve(energy, np.ones(length), "valid")
    return int(sums.argmax())


def memory_of(model: Model, mode: int, room: int) -> int:
    """Bytes of the core's trainer for a model, out of reach where the core does not take it. room: of flash for frozen
    weights; whether boards read them from there is decided as firmware/picofed/train.py does it."""
    in_flash = len(model.trainable) < model.parameters and native.frozen_size(model.descriptor) <= room
    return native.trainer_size(model.descriptor, mode, in_flash) or 1 << 62
