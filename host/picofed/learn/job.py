"""Jobs: what boards are asked to learn (SPEC 6.4), and the plan that the host follows with their updates.

A Job is what travels, and its bytes are its identity. A Plan is the operator's own: aggregator, optimiser,
rounds. Both come from one job file (`learn.jobfile`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

import cbor2

from picofed import accounting, masking
from picofed.errors import PicofedError
from picofed.helper.address import check_address
from picofed.learn import convolution, fronts, registry
from picofed.learn.model import Model
from picofed.learn.variance import Noise
from picofed.native import blake2b

VERSION: Final = 1
MODES: Final = ("gradient", "local")
# Left out of the bytes where they are this.
OPTIONAL: Final = {"target": "label", "block": 0, "horizon": 0, "mask_bits": 0, "masks": "", "filters": b""}
UNITS: Final = ("window",)
CLIP_NORM_MAX: Final = (1 << 20) - 1
LOG2_SIGMA: Final = (6, 25)
# Where nobody says a learning rate: what divides by the size of its gradients needs a far smaller one than sgd.
RATES: Final = {"adam": 0.05, "yogi": 0.05}


class JobError(PicofedError):
    """A job that no board would take."""


@dataclass(frozen=True)
class Job:
    """What boards learn, and how each release is clipped and noised.

    clip: clipping norm in units of the first layer's accumulators (Q19); log2_sigma: 6..25; round_shift:
    releases are rounded to multiples of 2^round_shift; multiplier, shift: the step of local mode (SPEC 7.5),
    else 0; window, stride: samples; target: label or next; block, horizon: SPEC 8.4, 8.5, else 0; labels: classes, or
    where the target is not the label those learnt from (0: all windows); filters: layers of a convolution (SPEC 8.6),
    else empty; mask_bits: bits of a masked field (SPEC 10), 0: no masks; masks: "pairwise" where no helper takes them
    off (SPEC 11). log2_sigma = 0 with clip = 0 is the non-private baseline: it exists in simulation only.
    """

    name: str
    model: Model
    clip: int
    log2_sigma: int
    window: int
    stride: int
    labels: int
    mode: str = "gradient"
    steps: int = 1
    round_shift: int = 0
    multiplier: int = 0
    shift: int = 0
    features: str = "imu45"
    unit: str = "window"
    channels: int = 6
    target: str = "label"
    block: int = 0
    horizon: int = 0
    mask_bits: int = 0
    masks: str = ""
    filters: bytes = b""

    def __post_init__(self) -> None:
        if not 0 < len(self.name.encode("utf-8", "replace")) <= 40 or not self.name.isprintable():
            raise JobError("a job needs a name of 1 to 40 bytes, without control characters")
        if self.unit not in UNITS:
            raise JobError(f"unit {self.unit!r} is not known: use one of {', '.join(UNITS)}")
        if self.mode not in MODES:
            raise JobError(f"mode {self.mode!r} is not known: use one of {', '.join(MODES)}")
        try:
            shapes = [layer.shape for layer in self.layers]
            inputs, outputs = fronts.sizes(self.features, self.target, self.window, self.block, self.horizon, shapes)
        except (fronts.FrontError, convolution.ConvolutionError) as error:
            raise JobError(str(error)) from error
        if self.channels != fronts.CHANNELS:
            raise JobError(f"{self.features} takes records of {fronts.CHANNELS} channels, not {self.channels}")
        if self.model.widths[0] != inputs:
            raise JobError(f"{self.features} gives {inputs} inputs, the model takes {self.model.widths[0]}")
        if not 0 <= self.labels <= 255:
            raise JobError("labels are 0 to 255 classes")
        if self.target == "label":
            if self.model.widths[-1] != self.labels:
                raise JobError(f"the model has {self.model.widths[-1]} outputs for {self.labels} labels")
            if self.model.loss != "softmax":
                raise JobError("records have classes as labels, which only the softmax loss can learn from")
        elif self.model.widths[-1] != outputs:
            raise JobError(f"the model has {self.model.widths[-1]} outputs, target {self.target!r} has {outputs}")
        elif self.model.loss != "squared":
            raise JobError(f"target {self.target!r} is learnt with the squared loss")
        if self.stride < self.window:
            raise JobError(
                f"windows of {self.window} samples every {self.stride} overlap, "
                "but the window is the unit of privacy: "
                "one recording would count several times; make the stride at least the window"
            )
        if self.stride > 65535:
            raise JobError("the stride must be below 65536 samples")
        if not 0 <= self.round_shift <= 30:
            raise JobError("round_shift must be 0 to 30")
        if not 1 <= self.steps <= 4095 or (self.mode == "gradient" and self.steps != 1):
            raise JobError("steps must be 1 in gradient mode and 1 to 4095 in local mode")
        if self.mode == "local" and not (0 < self.multiplier < 1 << 16 and 0 <= self.shift <= 40):
            raise JobError("local mode needs a multiplier of 1 to 65535 and a shift of 0 to 40")
        if self.mode == "gradient" and (self.multiplier or self.shift):
            raise JobError("multiplier and shift belong to local mode: leave them 0")
        if self.private and not (0 < self.clip <= CLIP_NORM_MAX and LOG2_SIGMA[0] <= self.log2_sigma <= LOG2_SIGMA[1]):
            raise JobError(
                f"clip must be 1 to {CLIP_NORM_MAX} and log2_sigma {LOG2_SIGMA[0]} to {LOG2_SIGMA[1]}: "
                "boards release nothing without noise"
            )

        if self.masks and (self.masks != "pairwise" or not self.mask_bits):
            raise JobError("masks are pairwise or a helper's, and need mask_bits")
        if self.mask_bits:
            mode = MODES.index(self.mode)
            if refused := masking.refusal(self.log2_sigma, self.round_shift, self.mask_bits, mode):
                raise JobError(refused)

    @property
    def private(self) -> bool:
        """False for the simulator's non-private baseline only."""
        return self.clip != 0 or self.log2_sigma != 0

    @cached_property
    def layers(self) -> list[convolution.Layer]:
        """The convolutions in front of the model."""
        return convolution.parse(self.filters) if self.filters else []

    @cached_property
    def body(self) -> bytes:
        """The CBOR map of SPEC 6.4."""
        more = {name: getattr(self, name) for name in OPTIONAL}
        return cbor2.dumps(
            {
                "v": VERSION,
                "name": self.name,
                "model": self.model.descriptor,
                "mode": MODES.index(self.mode),
                "steps": self.steps,
                "clip": self.clip,
                "log2_sigma": self.log2_sigma,
                "round_shift": self.round_shift,
                "multiplier": self.multiplier,
                "shift": self.shift,
                "features": self.features,
                "unit": self.unit,
                "window": self.window,
                "stride": self.stride,
                "channels": self.channels,
                "labels": self.labels,
                **{name: value for name, value in more.items() if value != OPTIONAL[name]},
            }
        )

    @cached_property
    def id(self) -> bytes:
        """H(8, -, body)."""
        return blake2b(self.body, 8)

    @classmethod
    def parse(cls, data: bytes) -> Job:
        """Read a CBOR map. Raises JobError."""
        try:
            item: Any = cbor2.loads(data)
            if item.pop("v") != VERSION:
                raise JobError("this job has a format that this picofed does not know: update picofed")
            item["model"] = Model.parse(item["model"])
            if type(item["mode"]) is not int or item["mode"] < 0:
                raise JobError("a stored job has an unknown mode")
            item["mode"] = MODES[item["mode"]]
            item = OPTIONAL | item
            if set(item) != {field.name for field in fields(cls)}:
                raise JobError("a stored job lacks fields or has unknown ones")
            # a board takes neither 0 for "" nor true for 1
            if any(type(item[field.name]).__name__ != field.type for field in fields(cls)):
                raise JobError("a stored job has a field of another type than it should have")
            job = cls(**item)
        except (cbor2.CBORDecodeError, AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
            raise JobError("a stored job is damaged") from error
        if job.body != data:  # as in true for v, or no masks in so many words: boards refuse it, and its id is another
            raise JobError("a stored job is written in another way than jobs are")
        return job


def fit_noise(
    epsilon: float,
    delta: float,
    rounds: int,
    *,
    steps: int = 1,
    records: int = 0,
    boards: int = 0,
    parameters: int = 0,
) -> tuple[int, int]:
    """Clipping norm and log2 sigma with which `rounds` releases just fit into (epsilon, delta).

    sigma is a power of two, so for each of them there is one largest clipping norm; taken is the pair whose
    norm is nearest to where learning does best: 1.25 when the budget is ample, less where noise would drown
    the signal of so few records (in all) on so many boards; 1.0 where those are not known. Raises
    AccountingError if nothing fits.
    """
    best = 1.0
    if records and boards:
        mu = math.sqrt(accounting.mu_squared_of(accounting.budget(epsilon, delta)))
        best = min(1.25, 0.13 * records * mu / (rounds * math.sqrt(boards)))
    fits: list[tuple[float, int, int]] = []
    failure: accounting.AccountingError | None = None
    for log2_sigma in range(LOG2_SIGMA[0], LOG2_SIGMA[1] + 1):
        try:
            clip = accounting.plan(epsilon, delta, rounds, log2_sigma, steps, parameters)
        except accounting.AccountingError as error:
            failure = error
            continue
        if clip < CLIP_NORM_MAX:  # at the limit the budget would not be used
            fits.append((abs(math.log(clip / (best * 2.0**19))), clip, log2_sigma))
    if not fits:
        raise failure or JobError(f"epsilon {epsilon:g} is more than {rounds} rounds can use: plan more rounds")
    _, clip, log2_sigma = min(fits)
    return clip, log2_sigma


def fit_step(learning_rate: float, examples: int, model: Model) -> tuple[int, int]:
    """Multiplier and shift of SPEC 7.5 for a step of learning_rate on the mean gradient of `examples`
    records.

    The accumulators' unit is that of the first trained layer: other layers of a deeper model step 4 times as
    far.
    """
    if not 0 < learning_rate < math.inf or not 1 <= examples < 1 << 32:
        raise JobError("local mode needs a learning rate above 0 and at least 1 record")
    # weight change in Q23 = rate / n * accumulator * 2^-f * 2^23
    factor = learning_rate / examples * float(model.gradient_units[0]) * 2.0**23
    if factor == 0:
        raise JobError(f"a learning rate of {learning_rate} is outside what boards can apply")
    shift = min(40, max(0, 15 - math.floor(math.log2(factor))))
    multiplier = round(factor * 2.0**shift)
    if not 0 < multiplier < 1 << 16:
        raise JobError(f"a learning rate of {learning_rate} is outside what boards can apply")
    return multiplier, shift


@dataclass(frozen=True)
class Plan:
    """What the host does with updates.

    rounds: versions to make; epsilon: the target that the charge was fitted to, if any; delta: for reports;
    average: the last part of the rounds whose versions are averaged for use (0: the last version is used);
    decay: the last part of the rounds over which the learning rate falls, in equal steps, towards 0;
    deadline: seconds after which a version is made without stragglers; patience: seconds that a board may stay
    silent before it is left out; max_records: more records than a board can have, so that one that claims them
    is refused: in gradient mode the sum is divided by all boards' records; absence: seconds that a run goes on while
    no board at all can be reached; start: a file with the first version's weights (learn.versions), "" for the seed's;
    moments: a file of public moments that straighten the aggregate, with moments_power and damping (learn.moments);
    masked: only rules whose weights are known before any update is, as sums under masks need; masks: who takes them
    off, a "helper" or, "pairwise", the boards themselves; helper: its URL;
    certificate: a file with that of the authority behind the helper's, "" for the system's; honest: boards of each sum
    that are taken to be honest, for the conditional epsilon: no version is made of fewer.
    aggregator, staleness, optimiser: names that learn.registry knows, or module:Class.
    """

    rounds: int = 20
    epsilon: float | None = None
    delta: float = 1e-5
    aggregator: str = "ftte"
    deadline: float = 600.0
    minimum: int = 1
    capacity: int = 4
    staleness: str = "polynomial"
    staleness_exponent: float = 0.5
    staleness_threshold: int = 2
    max_staleness: int = 10
    variance: bool = True
    optimiser: str = "sgd"
    learning_rate: float = 2.0
    momentum: float = 0.8
    nesterov: bool = True
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    average: float = 0.0
    decay: float = 0.0
    seed: int = 0
    patience: float = 60.0
    max_records: int = 1 << 16
    absence: float = 86400.0
    start: str = ""
    moments: str = ""
    moments_power: float = 0.5
    damping: float = 0.01
    masked: bool = False
    masks: str = "helper"
    helper: str = ""
    certificate: str = ""
    honest: int = masking.COHORT_MIN

    def __post_init__(self) -> None:
        checks = (
            (1 <= self.rounds <= 100000, "rounds must be 1 to 100000"),
            (self.epsilon is None or 0 < self.epsilon <= 100, "epsilon must be above 0 and at most 100"),
            (0 < self.delta < 1, "delta must lie between 0 and 1"),
            (self.deadline > 0 and self.patience > 0, "deadline and patience must be above 0 seconds"),
            (self.absence >= 0, "absence must not be negative"),
            (self.minimum >= 1 and self.capacity >= 1, "minimum and capacity must be at least 1"),
            (
                0 <= self.staleness_exponent < math.inf and min(self.max_staleness, self.staleness_threshold) >= 0,
                "staleness settings must not be negative",
            ),
            (
                0 < self.learning_rate < math.inf and 0 < self.tau < math.inf,
                "learning_rate and tau must be above 0 and finite",
            ),
            (1 <= self.max_records < 1 << 32, "max_records must be 1 to 4294967295"),
            (
                all(0 <= x < 1 for x in (self.momentum, self.beta1, self.beta2)),
                "momenta must be at least 0, below 1",
            ),
            (0 <= self.average <= 1 and 0 <= self.decay <= 1, "average and decay must be 0 to 1"),
            (0 <= self.moments_power <= 2 and 1e-9 <= self.damping <= 1, "moments_power is 0 to 2, damping 1e-9 to 1"),
            (self.seed >= 0, "seed must not be negative"),
            (self.masks in ("helper", "pairwise"), "masks must be helper or pairwise"),
            (
                self.masks == "helper" or (self.masked and self.aggregator == "fedavg" and not self.helper),
                "pairwise masks go with masked = true, aggregator fedavg and no helper",
            ),
            (
                self.honest >= masking.COHORT_MIN,
                f"honest must be at least {masking.COHORT_MIN}: one board hides nobody",
            ),
        )
        for holds, text in checks:
            if not holds:
                raise JobError(text)
        if self.helper:
            try:
                check_address(self.helper)
            except PicofedError as error:
                raise JobError(f"[server] helper: {error}") from error
        try:
            registry.find_aggregator(self.aggregator)
            registry.find_staleness(self.staleness)
            registry.find_optimiser(self.optimiser)
            if self.masked:
                registry.make(self, 0, 0.0, Noise())
        except registry.RuleError as error:
            raise JobError(str(error)) from error

    @property
    def average_from(self) -> int:
        """The first version that goes into the average; beyond `rounds` if none does."""
        return self.rounds - int(self.rounds * self.average) + 1

    def rate(self, number: int) -> float:
        """The learning rate of the step that makes version `number`: what is left to do decides, so that a run that
        is gone on with, or given more rounds, takes the same one."""
        left = self.rounds - number + 1
        falling = self.rounds * self.decay
        return self.learning_rate * (min(1.0, left / falling) if falling > 0 and left > 0 else 1.0)
