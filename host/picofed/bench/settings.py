"""What `picofed bench ftte` runs: the grid, what is compared, and the search for hyper-parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

RECORDS: Final = 18  # of a client
SEARCH_SEED: Final = 1000  # in no reported result


@dataclass(frozen=True)
class Variant:
    """An aggregation rule as it is compared. subset: boards train a part of the model only; floats: bytes and memory
    are those of a system that trains and sends all parameters as float32; fixed: settings that are not searched."""

    name: str
    words: str
    aggregator: str
    subset: bool = False
    floats: bool = False
    deadline: bool = False
    fixed: tuple[tuple[str, Any], ...] = ()

    @property
    def synchronous(self) -> bool:
        """Every client takes part in every version."""
        return self.aggregator == "fedavg"


VARIANTS: Final = (
    Variant("fedavg", "FedAvg, float32, waits for all", "fedavg", floats=True),
    Variant("fedavg-deadline", "FedAvg, float32, with a deadline", "fedavg", floats=True, deadline=True),
    Variant("fedavg-coded", "FedAvg, picofed's encoding", "fedavg"),
    Variant("fedasync", "FedAsync", "fedasync"),
    Variant("fedbuff", "FedBuff", "fedbuff"),
    Variant("ftte", "FTTE-style", "ftte", subset=True),
    Variant("no-age", "FTTE-style, no age term", "ftte", subset=True, fixed=(("staleness", "constant"),)),
    Variant("no-variance", "FTTE-style, no variance term", "ftte", subset=True, fixed=(("variance", False),)),
    Variant("no-subset", "FTTE-style, no subset", "ftte"),
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
    trials: of the search for each variant; search_clients: of its fleet; memory: bytes that a trainer may take."""

    data: str
    clients: tuple[int, ...]
    stragglers: tuple[float, ...]
    splits: tuple[str, ...]
    epsilons: tuple[float, ...]
    seeds: tuple[int, ...]
    rounds: tuple[int, int]
    trials: int
    search_clients: int
    held_out: int
    memory: int

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
    (1, 2, 3, 4, 5),
    (60, 30),
    4,
    100,
    55,
    16000,
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
    search_clients=20,
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
    versions that all clients together make; deadline: in rounds of the fastest client."""

    optimiser: str
    rate: float
    momentum: float
    average: float
    capacity: float
    exponent: float
    patience: float
    deadline: float


def trial(number: int) -> Hyper:
    """The hyper-parameters of one trial of the search: the same for every variant."""
    draw = np.random.Generator(np.random.PCG64([SEARCH_SEED, number]))
    adam = number % 2 == 0
    low, high = (0.01, 0.2) if adam else (0.1, 2.0)
    return Hyper(
        "adam" if adam else "sgd",
        float(f"{math.exp(draw.uniform(math.log(low), math.log(high))):.3g}"),
        (0.0, 0.5, 0.9)[int(draw.integers(3))],
        (0.0, 0.25, 0.5)[int(draw.integers(3))],
        (0.1, 0.25, 0.5)[int(draw.integers(3))],
        (0.25, 0.5, 1.0)[int(draw.integers(3))],
        (1.0, 5.0)[int(draw.integers(2))],
        (2.0, 8.0, 20.0)[int(draw.integers(3))],
    )


@dataclass(frozen=True)
class Run:
    """One simulation of the benchmark; all that its result depends on."""

    scale: Scale
    setting: Setting
    variant: Variant
    hyper: Hyper
    seed: int


def searched(setting: Setting, scale: Scale) -> Setting:
    """The fleet on which a setting's hyper-parameters are searched: one for each split, with privacy or without."""
    return Setting(scale.search_clients, max(scale.stragglers), setting.split, 8.0 if setting.private else math.inf)


def search_runs(scale: Scale, chosen: Iterable[Setting], variants: Iterable[Variant]) -> list[Run]:
    """All trials that these settings need, once each."""
    fleets = dict.fromkeys(searched(setting, scale) for setting in chosen)
    return [
        Run(scale, fleet, variant, trial(number), SEARCH_SEED)
        for fleet in fleets
        for variant in variants
        for number in range(scale.trials)
    ]
