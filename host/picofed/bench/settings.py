"""What `picofed bench ftte` runs: the grid, what is compared, and the search for hyper-parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np

_T = TypeVar("_T")

RECORDS: Final = 18  # of a client
SEARCH_SEED: Final = 1000  # in no reported result


@dataclass(frozen=True)
class Variant:
    """An aggregation rule as it is compared. subset: boards train a part of the model only; floats: bytes and memory
    are those of a system that trains and sends all parameters as float32; moments: the server straightens aggregates
    with what the public digits look like (learn.moments); turns: without privacy, all of the model a part at a time
    (learn.turns); fixed: settings that are not searched."""

    name: str
    words: str
    aggregator: str
    subset: bool = False
    floats: bool = False
    deadline: bool = False
    moments: bool = False
    turns: bool = False
    fixed: tuple[tuple[str, Any], ...] = ()

    @property
    def synchronous(self) -> bool:
        """Every client takes part in every version."""
        return self.aggregator == "fedavg"


_FTTE: Final = Variant("ftte", "FTTE-style", "ftte", subset=True, moments=True, turns=True)
VARIANTS: Final = (
    Variant("fedavg", "FedAvg, float32, waits for all", "fedavg", floats=True),
    Variant("fedavg-deadline", "FedAvg, float32, with a deadline", "fedavg", floats=True, deadline=True),
    Variant("fedavg-coded", "FedAvg, picofed's encoding", "fedavg"),
    Variant("fedavg-subset", "FedAvg, as FTTE-style but for the rule", "fedavg", True, moments=True, turns=True),
    Variant("fedasync", "FedAsync", "fedasync"),
    Variant("fedbuff", "FedBuff", "fedbuff"),
    _FTTE,
    replace(_FTTE, name="no-age", words="FTTE-style, no age term", fixed=(("staleness", "constant"),)),
    replace(_FTTE, name="no-variance", words="FTTE-style, no variance term", fixed=(("variance", False),)),
    replace(_FTTE, name="no-moments", words="FTTE-style, no moments", moments=False),
    replace(_FTTE, name="no-turns", words="FTTE-style, no turns", turns=False),
    Variant("no-subset", "FTTE-style, no subset", "ftte", moments=True),
)
BASE: Final = "fedavg"


@dataclass(frozen=True)
class Setting:
    """One fleet. epsilon: math.inf: no privacy."""

    clients: int
    stragglers: float
    split: str
    epsilon: float

    @property
    def private(self) -> bool:
        """With noise."""
        return math.isfinite(self.epsilon)

    @property
    def key(self) -> str:
        """A name for tables and scripts."""
        epsilon = f"{self.epsilon:g}" if self.private else "inf"
        return f"{self.clients} clients, {self.stragglers:.0%} stragglers, {self.split}, epsilon {epsilon}"


@dataclass(frozen=True)
class Scale:
    """How large all of it is. rounds: of each client at most, without privacy (its energy) and with (its epsilon);
    cheap: times as many rounds that the same energy pays for, where they are not of float32; trials: of the search for
    each variant, on each size of fleet and epsilon; memory: the part of float32's bytes that a subset may take."""

    data: str
    clients: tuple[int, ...]
    stragglers: tuple[float, ...]
    splits: tuple[str, ...]
    epsilons: tuple[float, ...]
    seeds: tuple[int, ...]
    rounds: tuple[int, int]
    cheap: int
    trials: int
    held_out: int
    memory: float

    @property
    def headline(self) -> tuple[Setting, ...]:
        """What the targets are about: the largest fleet, the most stragglers, without privacy and with epsilon 8."""
        worst = max(self.clients), max(self.stragglers)
        return tuple(Setting(*worst, split, epsilon) for epsilon in (math.inf, 8.0) for split in self.splits)


FULL: Final = Scale(
    "mnist:8",
    (500, 100, 10),
    (0.9, 0.6, 0.3),
    ("iid", "dirichlet:0.1"),
    (math.inf, 8.0, 4.0, 2.0, 1.0),
    (11, 12, 13, 14, 15),
    (40, 30),
    3,
    8,
    55,
    0.15,
)
QUICK: Final = replace(
    FULL,
    data="digits",
    clients=(20, 10),
    stragglers=(0.9,),
    splits=("iid",),
    epsilons=(math.inf, 8.0),
    seeds=(1, 2),
    rounds=(16, 12),
    trials=2,
    held_out=30,
)


def settings(scale: Scale) -> list[Setting]:
    """The grid; first what the targets are about, and what is near it."""
    grid = itertools.product(scale.epsilons, scale.splits, scale.clients, scale.stragglers)
    found = [Setting(clients, part, split, epsilon) for epsilon, split, clients, part in grid]
    return sorted(found, key=lambda setting: setting not in scale.headline)


@dataclass(frozen=True)
class Hyper:
    """What is searched, the same space for all; a rule that has no use for a part ignores it. rate: for an aggregate of
    all clients; one of k of n gets rate sqrt(k / n). capacity: of the clients; patience: how stale an update may be, in
    versions that all clients together make; deadline: in rounds of the fastest client; decay: as in Plan;
    finer: halvings of sigma, and with it of the clipping norm, below what Job takes by itself."""

    optimiser: str
    rate: float
    momentum: float
    average: float
    capacity: float
    exponent: float
    patience: float
    deadline: float
    decay: float
    finer: int


def trial(number: int) -> Hyper:
    """The hyper-parameters of one trial of the search: the same for every variant. Any six in a row have both
    optimisers, with rates from each third of their range, and each value of everything else."""
    pair, adam = number // 2, number % 2 == 0
    low, high = (math.log(rate) for rate in ((0.02, 0.2) if adam else (0.1, 2.0)))
    spread = float(np.random.Generator(np.random.PCG64([SEARCH_SEED, number])).random())
    third = _dealt((0, 1, 2), pair, 0 + adam)
    return Hyper(
        "adam" if adam else "sgd",
        float(f"{math.exp(low + (high - low) * (third + spread) / 3):.3g}"),
        _dealt((0.0, 0.5, 0.9), pair, 2 + adam),
        _dealt((0.0, 0.25, 0.5), pair, 4),
        _dealt((0.5, 0.9), pair, 5 + adam),
        _dealt((0.25, 0.5, 1.0), pair, 7),
        _dealt((1.0, 5.0), number, 8),
        _dealt((2.0, 8.0, 20.0), number, 9),
        _dealt((0.5, 1.0), pair, 10 + adam),
        _dealt((1, 2, 3), pair, 12 + adam),
    )


def _dealt(values: Sequence[_T], number: int, stream: int) -> _T:
    """Like cards: none comes a second time before all have come."""
    deal, place = divmod(number, len(values))
    order = np.random.Generator(np.random.PCG64([SEARCH_SEED, 1, stream, deal])).permutation(len(values))
    return values[int(order[place])]


@dataclass(frozen=True)
class Run:
    """One simulation of the benchmark; all that its result depends on."""

    scale: Scale
    setting: Setting
    variant: Variant
    hyper: Hyper
    seed: int


def searched(setting: Setting, scale: Scale) -> Setting:
    """The fleet on which a setting's hyper-parameters are searched: as large and as private as its own."""
    return replace(setting, stragglers=max(scale.stragglers), split=scale.splits[0])


def searched_fleets(scale: Scale, chosen: Iterable[Setting]) -> list[Setting]:
    """On which hyper-parameters are searched for these settings, once each."""
    return list(dict.fromkeys(searched(setting, scale) for setting in chosen))


def searches(scale: Scale, chosen: Iterable[Setting], variants: Sequence[Variant]) -> Iterator[Run]:
    """All trials that these settings need, once each, one by one: they may be more than there is time to list."""
    for fleet in searched_fleets(scale, chosen):
        for variant in variants:
            for number in range(scale.trials):
                yield Run(scale, fleet, variant, trial(number), SEARCH_SEED)
