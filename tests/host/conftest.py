"""What the host's tests share: a small job, synthetic clients, boards provisioned from a seed; and lets them import
what lies beside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from picofed import accounting
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.job import Job, Plan
from picofed.learn.model import Model
from picofed.provisioning import Policy, Provision

sys.path.insert(0, str(Path(__file__).parent))
SEED = int(os.environ.get("PICOFED_TEST_SEED", "1"))


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers from PICOFED_TEST_SEED (default 1); pytest prints it when a test fails."""
    print(f"PICOFED_TEST_SEED={SEED}")
    return np.random.default_rng(SEED)


@dataclass(frozen=True)
class World:
    """A job that is learnt in a few rounds, its plan, and clients for it."""

    job: Job
    plan: Plan
    clients: dict[str, Examples]
    people: dict[str, Examples]

    def boards(self, rounds: int | None = None) -> list[SimulatedBoard]:
        """Fresh boards with the budget for `rounds` releases (default: the plan's)."""
        charge = accounting.charge(self.job.clip, self.job.log2_sigma, self.job.steps)
        budget = charge * (self.plan.rounds if rounds is None else rounds)
        return [
            SimulatedBoard(
                Provision.new(Policy(bytes([number + 1] * 8), name, budget, charge), b"test"),
                examples,
                b"entropy",
            )
            for number, (name, examples) in enumerate(self.clients.items())
        ]


@pytest.fixture
def make_world() -> Callable[..., World]:
    """World by number of boards, rounds and further settings of Plan; synchronous, unless they say otherwise."""

    def make(boards: int = 3, rounds: int = 4, **plan: object) -> World:
        generator = np.random.default_rng(7)
        directions = generator.normal(size=(3, 45))

        def draw(count: int) -> Examples:
            labels = generator.integers(0, 3, count)
            features = directions[labels] * 40 + generator.normal(size=(count, 45)) * 30
            return Examples(np.clip(np.rint(features), -127, 127).astype(np.int8), labels.astype(np.uint8))

        job = Job(
            name="test",
            model=Model.dense([45, 3]),
            clip=1 << 18,
            log2_sigma=17,
            window=100,
            stride=100,
            labels=3,
            round_shift=16,
        )
        return World(
            job,
            Plan(rounds=rounds, **{"aggregator": "fedavg"} | plan),  # type: ignore[arg-type]
            {f"board-{number}": draw(40 + number) for number in range(boards)},
            {"someone": draw(200)},
        )

    return make
