"""Dealing a pool out to clients, and holding whole clients out for evaluation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from picofed.learn import registry
from picofed.learn.guards import failures
from picofed.simulation.dataset import DatasetError, Pool, Population


def deal(pool: Pool, how: str, clients: int, seed: int) -> Population:
    """Clients from a pool.

    how: `given`: each owner is a client (`clients` is not used); `iid`: equal shares of a shuffled pool;
    `dirichlet:ALPHA`: equal shares whose mixtures of classes are draws of Dirichlet(ALPHA) (Hsu et al. 2019), small is
    skewed; else a function by name (learn.registry): own(pool, clients, draw) gives the numbers of each client's
    examples, and draws from `draw` alone. No example is given to two clients. Raises DatasetError, RuleError.
    """
    if how == "given":
        if pool.owners is None:
            raise DatasetError("the data does not say whose each example is: choose iid or dirichlet:ALPHA")
        names, owner = np.unique(pool.owners, return_inverse=True)
        parts = [np.flatnonzero(owner == number) for number in range(len(names))]
        return _population(pool, parts, [str(name) for name in names])
    if not 1 <= clients <= len(pool.labels):
        raise DatasetError(f"{len(pool.labels)} examples cannot be dealt out to {clients} clients")
    draw = np.random.Generator(np.random.PCG64([seed, 3]))
    if how == "iid":
        order = draw.permutation(len(pool.labels))
        parts = [np.sort(part) for part in np.array_split(order, clients)]
    elif how.startswith("dirichlet:"):
        parts = _dirichlet(pool, _alpha(how), clients, draw)
    else:
        parts = _own(pool, how, clients, draw)
    return _population(pool, parts, [f"client-{number}" for number in range(clients)])


def _own(pool: Pool, how: str, clients: int, draw: np.random.Generator) -> list[NDArray[np.int64]]:
    """Somebody else's partition, looked at: it may leave examples out, and clients without any."""
    rule = registry.load("split", how, ["given", "iid", "dirichlet:ALPHA"], "module:function")
    if not callable(rule):
        raise DatasetError(f"split {how!r} is no function")
    with failures(f"split {how}"):
        parts = [np.sort(np.asarray(part).reshape(-1)) for part in rule(pool, clients, draw)]
    if len(parts) != clients:
        raise DatasetError(f"split {how} gave {len(parts)} parts for {clients} clients")
    dealt = np.concatenate([part for part in parts if len(part)] or [np.zeros(0, np.int64)])
    if dealt.dtype.kind not in "iu" or not len(dealt) or dealt.min() < 0 or dealt.max() >= len(pool.labels):
        raise DatasetError(f"split {how}: examples are whole numbers from 0 to {len(pool.labels) - 1}")
    if len(np.unique(dealt)) < len(dealt):
        raise DatasetError(f"split {how} gave an example to two clients, or twice to one")
    return [part.astype(np.int64) for part in parts]


def _alpha(how: str) -> float:
    try:
        alpha = float(how.partition(":")[2])
    except ValueError:
        alpha = 0.0
    if not 0 < alpha < math.inf:
        raise DatasetError(f"{how!r}: ALPHA is a number above 0, such as dirichlet:0.1")
    return alpha


def _dirichlet(pool: Pool, alpha: float, clients: int, draw: np.random.Generator) -> list[NDArray[np.int64]]:
    """Each client takes its share class by class; a class that is used up leaves its part to the others."""
    left = [draw.permutation(np.flatnonzero(pool.labels == label)).tolist() for label in range(pool.classes)]
    size = len(pool.labels) // clients
    parts = []
    for mixture in draw.dirichlet(np.full(pool.classes, alpha), clients):
        taken: list[int] = []
        while len(taken) < size:
            stock = np.array([len(items) for items in left])
            wanted = np.where(stock > 0, mixture, 0)
            # a mixture whose classes are all used up falls back on what there is
            wanted = wanted / wanted.sum() if wanted.sum() > 0 else stock / stock.sum()
            counts = np.minimum(draw.multinomial(size - len(taken), wanted), stock)
            for items, count in zip(left, counts.tolist(), strict=True):
                taken += [items.pop() for _ in range(count)]
        parts.append(np.sort(np.array(taken, np.int64)))
    return parts


def _population(pool: Pool, parts: list[NDArray[np.int64]], names: list[str]) -> Population:
    order = np.concatenate(parts)
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return Population(pool.features[order], pool.labels[order], starts, tuple(names))


def split(population: Population, share: float, seed: int) -> tuple[Population, Population]:
    """Clients that train, and clients that are held out whole: `share` of them, at least one of each kind.

    Raises DatasetError.
    """
    clients = len(population)
    if clients == 1:
        raise DatasetError(
            "all data is one client's, and whole clients are held out: say among how many to deal it out"
        )
    if not 0 < share < 1:
        raise DatasetError("at least two clients, and a share between 0 and 1, are needed to hold clients out")
    held = min(max(1, round(share * clients)), clients - 1)
    order = np.random.Generator(np.random.PCG64([seed, 4])).permutation(clients)
    return choose(population, sorted(order[held:].tolist())), choose(population, sorted(order[:held].tolist()))


def choose(population: Population, clients: list[int]) -> Population:
    """Some of the clients, in this order."""
    parts = [np.arange(population.starts[i], population.starts[i + 1]) for i in clients]
    pool = Pool(population.features, population.labels)
    chosen = _population(pool, parts, [population.names[i] for i in clients])
    return chosen if population.targets is None else replace(chosen, targets=population.targets[np.concatenate(parts)])
