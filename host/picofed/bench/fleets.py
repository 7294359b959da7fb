"""The data and the boards of the benchmark, and the subset that boards train: chosen on data that no client has."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.bench.public import EFFORT, WIDTHS, pretrained, public, transposed
from picofed.bench.settings import RECORDS, Scale, Setting, Variant
from picofed.learn.model import Model
from picofed.learn.subset import Proxy, Subset, memory_of
from picofed.learn.subset_search import Selection
from picofed.learn.turns import parts
from picofed.simulation import partition
from picofed.simulation.api import pool_of
from picofed.simulation.dataset import DatasetError, Pool, Population
from picofed.simulation.fleet import Fleet
from picofed.simulation.profile import DeviceProfile
from picofed.simulation.task import make_task

KINDS: Final = 10  # speeds of boards
SLOWER: Final = 10.0  # a straggler's processor and link
FLASH: Final = 1 << 20  # bytes that every board has for frozen weights: more than the model
PARTS: Final = (1.0, 0.7, 0.4)  # of the limit: what the search finds for each is trained


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
def chosen_subset(scale: Scale, private: bool) -> tuple[Model, NDArray[np.float64]]:
    """What boards train in the part of float32's memory that the scale says, and the first weights with the chosen
    hidden units in front. Sums of contributions only promise: taken is what was best when it was trained. Measured on
    the public digits, transposed: something to learn that the first weights do not know yet; with privacy under the
    noise of epsilon 8, as if there were as many proxies as clients."""
    effort, other = EFFORT[scale.data], transposed(public(scale.data))
    few = partition.choose(partition.deal(other, "iid", len(other.labels) // RECORDS, 1), list(range(effort.proxies)))
    clients = {name: few.examples(number) for number, name in enumerate(few.names)}
    people = {name: clients.pop(name) for name in few.names[::4]}
    model, fleet = Model.dense(WIDTHS), max(scale.clients)
    plan = replace(effort.plan, rounds=scale.rounds[1], epsilon=8.0) if private else effort.plan
    job = make_task("subset", model, plan, clients=fleet, records=RECORDS)
    less = round(math.log2(fleet / len(clients)) / 2) if private else 0
    proxy = Proxy(clients, people, plan, job.clip, job.log2_sigma - less)
    found = Subset.measure(model, pretrained(scale.data), proxy, frozen=FLASH)
    measured = trained_parts(found, proxy, int(scale.memory * float_bytes(private)))
    return found.trained(max(measured, key=measured.__getitem__)), found.contributions.weights


def trained_parts(subset: Subset, proxy: Proxy, limit: int) -> dict[Selection, float]:
    """Accuracy after training every part of a layer alone, and what the search finds, within `limit` bytes."""
    given = subset.contributions
    known = {
        Selection(tuple(part if at == layer else 0.0 for at in range(len(given.layers))), 0): given.start + gain
        for layer, gains in enumerate(given.layers)
        for part, gain in gains.items()
        if part
    }
    found = {selection: accuracy for selection, accuracy in known.items() if subset.memory(selection) <= limit}
    for part in PARTS:
        point = subset.best(int(part * limit))
        if point is not None and point.found.selection not in found:
            found[point.found.selection] = proxy.train(point.model, given.weights)[0]
    if not found:
        raise DatasetError(f"nothing of the model can be trained in {limit} bytes: the least is {subset.least}")
    return found


@lru_cache(maxsize=4)
def turns(scale: Scale, private: bool) -> list[Model]:
    """All of the model in parts that can be trained in the memory that a subset may take."""
    return parts(WIDTHS, lambda model: bytes_of(model, private, False), int(scale.memory * float_bytes(private)))


def trained(scale: Scale, variant: Variant, private: bool) -> tuple[list[Model], NDArray[np.float64]]:
    """What boards train by a rule, turn by turn, and the first weights."""
    if not variant.subset:
        return [Model.dense(WIDTHS)], pretrained(scale.data)
    subset, start = chosen_subset(scale, private)
    return (turns(scale, private) if variant.turns and not private else [subset]), start


def memory(scale: Scale, variant: Variant, private: bool) -> int:
    """Bytes of RAM of a board by a rule: of its largest turn."""
    return max(bytes_of(model, private, variant.floats) for model in trained(scale, variant, private)[0])


def bytes_of(model: Model, private: bool, floats: bool) -> int:
    """Bytes of RAM to train a model: of the core's trainer, with frozen weights, if any, in flash; or of float32."""
    if floats:
        return float_bytes(private)
    return memory_of(model, native.Mode.GRADIENT, FLASH)


def float_bytes(private: bool) -> int:
    """RAM of training all parameters in float32: weights and gradients, with privacy also the gradient of the record
    that is to be clipped; activations of all layers and deltas of all but the input."""
    parameters = Model.dense(WIDTHS).parameters
    return 4 * ((3 if private else 2) * parameters + sum(WIDTHS) + sum(WIDTHS[1:]))


def fastest_seconds(job_bytes: int) -> float:
    """What the fastest board takes for its link in a round of float32."""
    return math.ceil(job_bytes) / DeviceProfile().link_bytes_per_second
