"""Clients' rounds, many in a call of the core, on several threads: the core lets go of Python's lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.learn.job import MODES, Job
from picofed.native_batch import Batch, Round
from picofed.simulation.dataset import Population

CHUNK: Final = 32  # clients in a call, at least: below it calls cost more than they bring
RESULT_BYTES: Final = 64 << 20  # of updates computed ahead of their time


@dataclass(slots=True)
class Flight:
    """A round under way. values: None until it was computed; a function of what stands before it, and nothing else."""

    client: int
    version: int
    began: float
    trained: float
    keys: bytes
    chain: bytes
    values: NDArray[np.int32] | None = None
    payload: int = 0  # bytes


class Workers:
    """Threads with a trainer each."""

    def __init__(self, job: Job, population: Population, count: int) -> None:
        self._job, self._population = job, population
        self._batches = [Batch(job.model.descriptor, MODES.index(job.mode)) for _ in range(max(1, count))]
        self._pool = ThreadPoolExecutor(len(self._batches), "client")
        self._settings = Round(job.log2_sigma, job.clip, job.steps, job.multiplier, job.shift, job.round_shift)
        self._sizes = np.diff(population.starts)
        self.ahead = max(CHUNK, RESULT_BYTES // (4 * self._batches[0].trainable))

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()

    def compute(self, flights: Sequence[Flight], weights: Mapping[int, NDArray[np.int16]]) -> None:
        """Fill in values and payload of all flights. weights: by version."""
        ordered = sorted(flights, key=lambda flight: flight.version)
        parts = max(1, min(len(self._batches), len(ordered) // CHUNK))
        bounds = [len(ordered) * part // parts for part in range(parts + 1)]
        tasks = [
            self._pool.submit(self._run, batch, ordered[low:high], weights)
            for batch, low, high in zip(self._batches, bounds, bounds[1:], strict=False)
        ]
        for task in tasks:
            task.result()

    def _run(self, batch: Batch, flights: Sequence[Flight], weights: Mapping[int, NDArray[np.int16]]) -> None:
        versions = sorted({flight.version for flight in flights})
        place = {version: index for index, version in enumerate(versions)}
        number = np.array([flight.client for flight in flights], np.int64)
        clients = np.empty((len(flights), 3), np.uint32)
        clients[:, 0] = [place[flight.version] for flight in flights]
        clients[:, 1] = self._population.starts[number]
        clients[:, 2] = self._sizes[number]
        keys = np.frombuffer(b"".join(flight.keys for flight in flights), np.uint8).reshape(len(flights), -1)
        table = np.stack([weights[version] for version in versions])
        done = batch.run(self._settings, clients, table, self._population.features, self._population.wanted, keys)
        for flight, values, length in zip(flights, done.values, done.lengths.tolist(), strict=True):
            flight.values, flight.payload = values, length
