"""The data and the boards of the benchmark, and the subset that boards train: chosen on data that no client has."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.bench.settings import RECORDS, Scale, Setting
from picofed.learn.job import Plan
from picofed.learn.model import Model
from picofed.learn.subset import Proxy, Subset
from picofed.simulation import dataset, partition
from picofed.simulation.api import pool_of
from picofed.simulation.dataset import DatasetError, Pool, Population
from picofed.simulation.fleet import Fleet
from picofed.simulation.profile import DeviceProfile

WIDTHS: Final = (64, 32, 10)
KINDS: Final = 10  # speeds of boards
SLOWER: Final = 10.0  # a straggler's processor and link
PROXY: Final = Plan(rounds=40, optimiser="adam", learning_rate=0.1)


@lru_cache(maxsize=4)
def _pool(name: str) -> Pool:
    return pool_of(name)


def population(scale: Scale, setting: Setting, seed: int) -> tuple[Population, Population]:
    """Clients that train, and clients held out: of one dealing of all the data, so that fleets differ in size only."""
    pool = _pool(scale.data)
    everyone = len(pool.labels) // RECORDS
    if setting.clients + scale.held_out > everyone:
        raise DatasetError(f"{scale.data} has records for {everyone - scale.held_out} clients, not {setting.clients}")
    dealt = partition.deal(pool, setting.split, everyone, seed)
    order = np.random.Generator(np.random.PCG64([seed, 6])).permutation(everyone)
    held, rest = order[: scale.held_out], order[scale.held_out :]
    return (
        partition.choose(dealt, sorted(rest[: setting.clients].tolist())),
        partition.choose(dealt, sorted(held.tolist())),
    )


def boards(setting: Setting) -> Fleet:
    """Boards of ten speeds, 1 to 1/1.9 of a Pico's processor and 115,200 baud; stragglers, the last of every ten, are
    SLOWER times slower in both."""
    base = DeviceProfile()
    if not setting.private:
        base = replace(base, cycles_per_noise_sample=0.0)
    found = []
    for kind in range(KINDS):
        slow = (1 + (7 * kind % KINDS) / KINDS) * (SLOWER if kind >= KINDS * (1 - setting.stragglers) - 1e-9 else 1)
        link = base.link_bytes_per_second / slow
        found.append(replace(base, name=f"board {kind}", straggler_factor=slow, link_bytes_per_second=link))
    return Fleet(tuple(found))


@lru_cache(maxsize=4)
def chosen_subset(data: str, memory: int) -> tuple[Model, NDArray[np.float64]]:
    """What boards train in so many bytes, and the first weights with the chosen hidden units in front.

    Measured on 8 x 8 digits of other writers: those of scikit-learn for MNIST, MNIST's for those.
    """
    other = dataset.digits() if data.startswith("mnist") else dataset.mnist(8)
    few = partition.choose(partition.deal(other, "iid", len(other.labels) // RECORDS, 1), list(range(90)))
    clients = {name: few.examples(number) for number, name in enumerate(few.names)}
    people = {name: clients.pop(name) for name in few.names[::4]}
    model = Model.dense(WIDTHS)
    found = Subset.measure(model, model.initial(0), Proxy(clients, people, PROXY))
    best = found.best(memory)
    if best is None:
        raise DatasetError(f"nothing of the model can be trained in {memory} bytes: the least is {found.least}")
    return best.model, found.contributions.weights


def float_bytes(private: bool) -> int:
    """RAM of training all parameters in float32: weights and gradients, with privacy also the gradient of the record
    that is to be clipped; activations of all layers and deltas of all but the input."""
    parameters = Model.dense(WIDTHS).parameters
    return 4 * ((3 if private else 2) * parameters + sum(WIDTHS) + sum(WIDTHS[1:]))


def fastest_seconds(job_bytes: int) -> float:
    """What the fastest board takes for its link in a round of float32."""
    return math.ceil(job_bytes) / DeviceProfile().link_bytes_per_second
