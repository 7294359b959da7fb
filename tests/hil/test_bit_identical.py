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
    "softmax": "e643e0b289a2c16175afdc7d751a2d760df8a93cbf21810cc9d2618bea32fea2",
    "mlp": "da8b42b6994ca177d81e7b8ec44817f5bcc9c2973352ccda1aaa738a6071b2a1",
    "head": "008aff62288b017ef165a807cb635ed8be5925f206e0f7cb336058fd692aa0cd",
    "forecast": "fb578be918371788af2248dbb359f20924a08428dc6f61350bb55e23805698b6",
    "autoencoder": "af33362dae491a08580090bce3259deb3498b6dcfc3ad538cf2b8b967e24e47a",
    "convolution": "d29f1f81dd31647113fd9af81e305592fe303120bc5e28efb1ff310aa5208c62",
    "local": "b90d76c65b0567258430de72f2ddf4566a137581f58f37939d46434b99afbd0b",
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
    assert digest(simulate(job, plan(ROUNDS), [board]).store, job) == GOLDEN[job.name]


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
