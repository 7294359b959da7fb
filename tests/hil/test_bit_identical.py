"""The same job, keys and data give the same bytes everywhere: every board, the compiled core, and the reference.

20 rounds of each job; what is hashed is every update object in the order of its release. The golden hashes were printed
by the Python reference, which shares no code with the core: `pytest -k reference` computes them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from dut import Dut
from picofed import records, reference
from picofed.flash import MemoryFlash
from picofed.learn import weights
from picofed.learn.clients import Examples, SimulatedBoard, emulated_entropy
from picofed.learn.coordinator import Coordinator
from picofed.learn.job import MODES, Job
from picofed.learn.simulate import simulate
from picofed.store import Store
from world import (
    AUTOENCODER,
    CONVOLUTION,
    FORECAST,
    HEAD,
    IDENTITY,
    LOCAL,
    MLP,
    SEED,
    SOFTMAX,
    begin,
    plan,
    provision,
    run,
    sessions,
    simulated,
)

pytestmark = pytest.mark.slow

ROUNDS = 20
JOBS = {job.name: job for job in (SOFTMAX, MLP, HEAD, LOCAL, FORECAST, AUTOENCODER, CONVOLUTION)}
GOLDEN = {
    "softmax": "9c8ea9e13e219f35b0041b9c65829b77a4590dc660870b49c6a39744fa5fd0dc",
    "mlp": "f6fd1465833765330cb8086e5c7de31b634d201465111d8b2fd43cd4822ede61",
    "head": "a45f9939b58c9b2083000d2e6ebbd941fa6b2fe07b05469df213b46871d56287",
    "forecast": "c918c92b1a561148dbae439cc8f8e3ec7f39573ea0c5c2827c8096aa05618d8a",
    "autoencoder": "7a787bb5586d4e3afc36ac0814259a86da0296788a3fc45dc84a637edde4f882",
    "convolution": "47dc51ca10284e4b4e89cbbd2f78c36a6ca567aeee9940b9cdcb6af6113bea84",
    "local": "e452b4be1a7a330511f77ae711646315ad584ea45033a5891cfe73f596247e73",
}


def digest(store: Store, job: Job) -> str:
    """SHA-256 over all update objects, by sequence number."""
    updates = sorted(store.updates(job.id, None), key=lambda update: update.seq)
    assert len(updates) == ROUNDS
    return hashlib.sha256(b"".join(update.data for update in updates)).hexdigest()


class ReferenceBoard(SimulatedBoard):
    """A board whose every byte comes from the slow reference in plain Python integers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.provision
        seeds = MemoryFlash()
        reference.Ratchet.provision(seeds, given.secret)
        raw = emulated_entropy(SEED, self.first_boot, 1024)
        context = given.policy.board + bytes(8)
        self._plain_ratchet = reference.Ratchet(seeds, reference.entropy_condition(raw), context)

    def _train(self, job: Job, data: bytes) -> int:
        kind, version, _, values = weights.parse(data)
        if self._trainer is None:
            self._trainer = reference.Trainer(job.model.descriptor, MODES.index(job.mode))
        trainer: Any = self._trainer
        give = trainer.set_weights if kind == weights.ALL else trainer.set_subset
        give(values.tolist())
        features = self.examples.features.tolist()
        for _ in range(job.steps):
            trainer.begin(self._plain_ratchet.next(self._keys), job.log2_sigma, job.clip)
            self._keys += 1
            trainer.fill()
            trainer.examples(features, self.examples.wanted.tolist())
            if job.mode == "local":
                trainer.step(job.multiplier, job.shift)
        return version


@pytest.fixture(params=sorted(JOBS))
def job(request: pytest.FixtureRequest) -> Iterator[Job]:
    yield JOBS[request.param]


def reference_examples(job: Job) -> Examples:
    """Records by the reference."""
    store = records.write(records.Layout(bytes(8), slots=256), sessions())
    windows = list(records.windows(store, job.window, job.stride))
    windows = [(samples, label) for samples, label in windows if not job.labels or label < job.labels]
    labels = np.array([label for _, label in windows], np.uint8)
    features, targets = [], []
    for samples, _ in windows:
        if job.features == "imu45":
            features.append(reference.features_imu(samples.tolist()))
            if job.target == "self":
                targets.append(reference.targets(features[-1]))
        else:
            seen = job.window - job.horizon * job.block
            points = reference.features_blocks(samples.tolist(), job.block, seen)
            channels = 6
            for layer in job.layers:
                points = reference.convolution(points, channels, layer.data)
                channels = layer.shape.filters
            features.append(points[: job.model.widths[0]])
            if job.target == "next":
                targets.append(reference.targets(points[-6 * job.horizon :], features[-1][-6:]))
    return Examples(np.array(features, np.int8), labels, np.array(targets, np.int16) if targets else None)


def test_the_reference(job: Job) -> None:
    board = ReferenceBoard(provision(IDENTITY, job, 100), reference_examples(job), SEED)
    store = simulate(job, plan(ROUNDS), [board]).store
    assert digest(store, job) == GOLDEN[job.name]
    for update in store.updates(job.id, None):
        assert reference.update_tag(update.data, board.provision.update_key) == update.data[-16:]


def test_the_compiled_core(job: Job) -> None:
    board = simulated(provision(IDENTITY, job, 100), job)
    assert digest(simulate(job, plan(ROUNDS), [board]).store, job) == GOLDEN[job.name]


@pytest.mark.emulated
def test_every_board(dut: Dut, job: Job) -> None:
    given = begin(dut, job)
    store = Store()
    coordinator: Coordinator = run(dut, given, ROUNDS, job, store)
    assert coordinator.left == {} and dut.starts == 1
    assert digest(store, job) == GOLDEN[job.name]
