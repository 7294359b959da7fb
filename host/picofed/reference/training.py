"""Forward, loss, backward, clipping and accumulation of one record, exactly (SPEC 2), and the trainer around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import Enum, IntEnum
from functools import lru_cache
from math import isqrt

from picofed.native_errors import CoreArgumentError, CoreRangeError, CoreStateError
from picofed.reference.codec import signed32, update_encode
from picofed.reference.model import DELTA_MAX, Loss, Model, parse_model
from picofed.reference.noise import Noise

WEIGHT_MIN, WEIGHT_MAX = -16384, 16383
CLIP_NORM_MAX = 2**20 - 1
LOG2_SIGMA_MIN, LOG2_SIGMA_MAX = 6, 25
CHANGE_MIN, CHANGE_MAX = -(2**30), 2**30 - 1


class Mode(IntEnum):
    """PF_MODE_*."""

    GRADIENT = 0
    LOCAL = 1


def sat(x: int, low: int, high: int) -> int:
    """x limited to [low, high]."""
    return max(low, min(high, x))


@lru_cache(maxsize=1)
def exp2_table() -> tuple[int, ...]:
    """E[k] = round(2^16 2^(-k/32)), k = 0..32."""
    with localcontext() as context:
        context.prec = 60
        values = [Decimal(2**16) * Decimal(2) ** (Decimal(-k) / 32) for k in range(33)]
        return tuple(int(value.to_integral_value(ROUND_HALF_EVEN)) for value in values)


def softmax(logits: Sequence[int], fraction_bits: int) -> list[int]:
    """Probabilities in Q12 of logits with this many fraction bits (SPEC 2.3)."""
    table = exp2_table()
    largest = max(logits)
    powers = []
    for z in logits:
        t = (largest - z) >> (fraction_bits - 10)
        if t >= 11264:
            powers.append(0)
            continue
        u = t * 94548 >> 16
        i, k, low = u >> 10, u >> 5 & 31, u & 31
        powers.append((table[k] * (32 - low) + table[k + 1] * low + 16 >> 5) >> i)
    r = (2**31 - 1) // sum(powers)
    return [e * r + 2**18 >> 19 for e in powers]


@dataclass
class Pass:
    """What one record leaves behind: inputs of each layer (ints), and logits in the last layer's format."""

    activations: list[list[int]]
    logits: list[int]


def forward(model: Model, weights: Sequence[int], features: Sequence[int]) -> Pass:
    """SPEC 2.2. weights: the parameter vector, Q11; features: Q7."""
    activations = [list(features)]
    at = 0
    z: list[int] = []
    for number, layer in enumerate(model.layers):
        inputs = activations[-1]
        z = []
        for row in range(layer.outputs):
            matrix = weights[at + row * layer.inputs : at + (row + 1) * layer.inputs]
            bias = weights[at + layer.outputs * layer.inputs + row] * layer.bias_activation
            z.append(sum(w * a for w, a in zip(matrix, inputs, strict=True)) + bias)
        at += layer.parameters
        if number + 1 < len(model.layers):
            fraction_bits = 18 if layer.first else 16
            activations.append([sat(value >> (fraction_bits - 5), 0, 127) for value in z])
    return Pass(activations, z)


def output_delta(model: Model, logits: Sequence[int], target: Sequence[int]) -> list[int]:
    """SPEC 2.3 and 2.4. target: [class], or Q12 values, one an output."""
    fraction_bits = 18 if len(model.layers) == 1 else 16
    if model.loss is Loss.SOFTMAX:
        return [p - 4096 * (j == target[0]) for j, p in enumerate(softmax(logits, fraction_bits))]
    return [sat((z >> (fraction_bits - 12)) - t, -DELTA_MAX, DELTA_MAX) for z, t in zip(logits, target, strict=True)]


def backward(model: Model, weights: Sequence[int], seen: Pass, delta: list[int]) -> list[list[int]]:
    """Deltas of each layer (Q12), from the output's; [] below the lowest trained layer (SPEC 2.5)."""
    lowest = min(number for number, layer in enumerate(model.layers) if layer.trained)
    deltas: list[list[int]] = [[] for _ in model.layers]
    deltas[-1] = delta
    for number in range(len(model.layers) - 1, lowest, -1):
        layer = model.layers[number]
        below = []
        for column, a in enumerate(seen.activations[number]):
            if 0 < a < 127:
                s = sum(
                    weights[model.position(number, row, column)] * deltas[number][row] for row in range(layer.outputs)
                )
                below.append(sat(s + 2**10 >> 11, -DELTA_MAX, DELTA_MAX))
            else:
                below.append(0)
        deltas[number - 1] = below
    return deltas


def clip_factor(squared_norm: int, clip_norm: int) -> int | None:
    """f of SPEC 2.6, in units of 2^-15; None if the record is within the norm."""
    if squared_norm <= clip_norm**2:
        return None
    root = isqrt(squared_norm)
    q = root if root * root == squared_norm else root + 1
    return (clip_norm << 15) // q


def scale(delta: int, factor: int) -> int:
    """trunc(delta f / 2^15), towards zero."""
    size = abs(delta) * factor >> 15
    return size if delta >= 0 else -size


def clip(
    activations: Sequence[Sequence[int]], deltas: Sequence[Sequence[int]], clip_norm: int
) -> tuple[list[list[int]], int, int]:
    """Clip one record (SPEC 2.6): (scaled deltas, squared norm before, after).

    activations: per layer the trained columns' activations (int8 range), without the bias; the biases are taken as
    trained, with 128 in the first layer and 32 in the others. deltas: per layer the trained rows' deltas.
    """
    squares = [sum(a * a for a in layer) + (128 if i == 0 else 32) ** 2 for i, layer in enumerate(activations)]
    before = sum(s * sum(d * d for d in delta) for s, delta in zip(squares, deltas, strict=True))
    factor = clip_factor(before, clip_norm)
    scaled = [[d if factor is None else scale(d, factor) for d in delta] for delta in deltas]
    after = sum(s * sum(d * d for d in delta) for s, delta in zip(squares, scaled, strict=True))
    return scaled, before, after


class _Phase(Enum):
    IDLE = 0
    NOISE = 1
    READY = 2
    RELEASED = 3


class Trainer:
    """A board's trainer, slowly (SPEC 2, 7): the same methods as picofed.native.Trainer.

    Weights and values are lists of ints; errors are those of the compiled core.
    """

    def __init__(self, descriptor: bytes, mode: int = Mode.GRADIENT) -> None:
        if mode not in (Mode.GRADIENT, Mode.LOCAL):
            raise CoreArgumentError("trainer")
        self.model = parse_model(descriptor)
        self.mode = Mode(mode)
        self._order = [(self.model.position(*place), place) for place in self.model.trainable()]
        self._weights = [0] * self.model.parameters
        self._start = [0] * len(self._order)
        self._change = [0] * len(self._order)
        self._accumulators = [0] * len(self._order)
        self._noise: Noise | None = None
        self._waiting = 0
        self._clip_norm = 0
        self._stepped = False
        self._phase = _Phase.IDLE

    @property
    def parameters(self) -> int:
        """Number of all parameters."""
        return self.model.parameters

    @property
    def trainable(self) -> int:
        """Number of trained parameters."""
        return len(self._order)

    @property
    def inputs(self) -> int:
        """Features a record."""
        return self.model.inputs

    @property
    def outputs(self) -> int:
        """Logits a record."""
        return self.model.outputs

    def set_weights(self, weights: Sequence[int], offset: int = 0) -> None:
        """Write parameters [offset, offset + n), Q11. In local mode the changes start again from here."""
        if offset < 0 or offset + len(weights) > self.parameters:
            raise CoreArgumentError("weights")
        self._set([offset + i for i in range(len(weights))], weights)

    def set_subset(self, values: Sequence[int], offset: int = 0) -> None:
        """The same for trained parameters, in their own order."""
        if offset < 0 or offset + len(values) > self.trainable:
            raise CoreArgumentError("weights")
        self._set([self._order[offset + i][0] for i in range(len(values))], values)

    def _set(self, places: Sequence[int], values: Sequence[int]) -> None:
        if not all(WEIGHT_MIN <= int(value) <= WEIGHT_MAX for value in values):
            raise CoreRangeError("weights")
        for place, value in zip(places, values, strict=True):
            self._weights[place] = int(value)
        if places and self.mode is Mode.LOCAL:
            self._start = [self._weights[place] for place, _ in self._order]
            self._change = [0] * len(self._order)
            self._stepped = False
            self._phase = _Phase.IDLE

    def get_weights(self, offset: int = 0, n: int | None = None) -> list[int]:
        """Parameters [offset, offset + n), all behind offset if n is None."""
        n = self.parameters - offset if n is None else n
        if offset < 0 or n < 0 or offset + n > self.parameters:
            raise CoreArgumentError("weights")
        return self._weights[offset : offset + n]

    def begin(self, key: bytes | None, log2_sigma: int, clip_norm: int) -> None:
        """Begin a round or local step. log2_sigma = clip_norm = 0: neither noise nor clipping (baselines only)."""
        private = LOG2_SIGMA_MIN <= log2_sigma <= LOG2_SIGMA_MAX and 0 < clip_norm <= CLIP_NORM_MAX
        if not private and (log2_sigma or clip_norm):
            raise CoreArgumentError("begin")
        if private:
            if key is None:
                raise CoreArgumentError("begin")
            self._noise = Noise(key, log2_sigma)
        self._clip_norm = clip_norm
        self._accumulators = [0] * len(self._order)
        self._waiting = len(self._order) if private else 0
        self._phase = _Phase.NOISE if private else _Phase.READY

    def fill(self, n: int | None = None) -> int:
        """Fill up to n accumulators with noise (all if None); returns how many still wait."""
        if self._phase is _Phase.IDLE:
            raise CoreStateError("fill")
        for _ in range(self._waiting if n is None else min(n, self._waiting)):
            assert self._noise is not None
            self._accumulators[len(self._order) - self._waiting] = self._noise.sample() % 2**32
            self._waiting -= 1
        if self._phase is _Phase.NOISE and not self._waiting:
            self._phase = _Phase.READY
        return self._waiting

    def examples(self, features: Sequence[Sequence[int]], targets: Sequence[int] | Sequence[Sequence[int]]) -> None:
        """Accumulate records. features: n x inputs, Q7; targets: n classes, or n x outputs in Q12."""
        if self._phase is not _Phase.READY:
            raise CoreStateError("examples")
        rows = [[int(a) for a in row] for row in features]
        wanted = [[int(v) for v in t] if isinstance(t, Iterable) else [int(t)] for t in targets]
        if any(len(row) != self.inputs or min(row) < -127 for row in rows) or len(rows) != len(wanted):
            raise CoreArgumentError("examples")
        if self.model.loss is Loss.SOFTMAX and any(not 0 <= target[0] < self.outputs for target in wanted):
            raise CoreArgumentError("examples")
        for row, target in zip(rows, wanted, strict=True):
            self._example(row, target)

    def _example(self, features: list[int], target: list[int]) -> None:
        seen = forward(self.model, self._weights, features)
        deltas = backward(self.model, self._weights, seen, output_delta(self.model, seen.logits, target))
        squared_norm = 0
        for layer, inputs, delta in zip(self.model.layers, seen.activations, deltas, strict=True):
            if layer.trained:
                squares = sum(inputs[column] ** 2 for column in layer.columns)
                squares += layer.bias_activation**2 if layer.bias else 0
                squared_norm += squares * sum(delta[row] ** 2 for row in layer.rows)
        factor = clip_factor(squared_norm, self._clip_norm) if self._clip_norm else None
        for index, (_, (number, row, column)) in enumerate(self._order):
            clipped = deltas[number][row] if factor is None else scale(deltas[number][row], factor)
            layer = self.model.layers[number]
            a = layer.bias_activation if column is None else seen.activations[number][column]
            self._accumulators[index] = (self._accumulators[index] + clipped * a) % 2**32

    def step(self, multiplier: int, shift: int) -> None:
        """One local step from the accumulators (SPEC 7.5): 0 < multiplier < 2^16, 0 <= shift <= 40."""
        if self.mode is not Mode.LOCAL or self._phase is not _Phase.READY:
            raise CoreStateError("step")
        if not (0 < multiplier < 2**16 and 0 <= shift <= 40):
            raise CoreArgumentError("step")
        for index, (place, _) in enumerate(self._order):
            v = signed32(self._accumulators[index]) * multiplier
            step = v + 2 ** (shift - 1) >> shift if shift else v
            self._change[index] = sat(self._change[index] - step, CHANGE_MIN, CHANGE_MAX)
            moved = self._start[index] + (self._change[index] + 2**11 >> 12)
            self._weights[place] = sat(moved, WEIGHT_MIN, WEIGHT_MAX)
        self._stepped = True
        self._phase = _Phase.IDLE

    def release(self) -> list[int]:
        """What leaves the board: the accumulators (gradient mode) or the changes in Q23 (local mode), int32 each."""
        if self.mode is Mode.LOCAL and self._phase is _Phase.IDLE and self._stepped:
            return list(self._change)
        if self.mode is Mode.LOCAL or self._phase not in (_Phase.READY, _Phase.RELEASED):
            raise CoreStateError("release")
        self._phase = _Phase.RELEASED  # no further record under this noise
        return [signed32(value) for value in self._accumulators]

    def encode(self, shift: int) -> bytes:
        """The payload of the release (SPEC 7.6)."""
        return update_encode(self.release(), shift)

    def logits(self, features: Sequence[int]) -> list[int]:
        """int32 pre-activations of the last layer, Q18 if there is one layer, else Q16."""
        row = [int(a) for a in features]
        if len(row) != self.inputs or min(row) < -127:
            raise CoreArgumentError("logits")
        return forward(self.model, self._weights, row).logits
