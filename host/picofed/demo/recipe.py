"""The demo's job: seven shoulder exercises from a watch, and how privacy is spread over the rounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from picofed.errors import PicofedError
from picofed.learn import jobfile
from picofed.learn.job import Job, Plan
from picofed.learn.watch import EXERCISES

ROUNDS: Final = 20
DELTA: Final = 1e-5
HELD_OUT: Final = ("person-0", "person-1")  # of the five pairs, the one whose results are nearest to the mean
SEED: Final = 3  # of 0 to 7, the one whose result is nearest to their mean
WINDOW: Final = 100  # samples: two seconds at 50 Hz
MODELS: Final[dict[str, dict[str, Any]]] = {
    "softmax": {"hidden": [], "learning_rate": 2.0},
    "mlp": {"hidden": [16], "learning_rate": 1.0},
}


def make(
    model: str,
    epsilon: float,
    rounds: int,
    records: int,
    boards: int,
    aggregator: str = "fedavg",
    seed: int = 0,
) -> tuple[Job, Plan]:
    """The job and the plan. records: of all boards together (a public number). Raises PicofedError for what cannot be.

    The same recipe serves every epsilon: only the clipping norm and sigma follow from it (learn.job.fit_noise).
    """
    if model not in MODELS:
        raise PicofedError(f"model {model!r} is not known: use one of {', '.join(MODELS)}")
    recipe = MODELS[model]
    return jobfile.parse(
        {
            "name": "watch",
            "model": {"hidden": recipe["hidden"]},
            "records": {"window": WINDOW, "labels": len(EXERCISES)},
            "privacy": {"epsilon": epsilon, "delta": DELTA, "records": records, "boards": boards},
            "server": {
                "rounds": rounds,
                "aggregator": aggregator,
                "capacity": max(1, boards // 2),
                "learning_rate": recipe["learning_rate"],
                "momentum": 0.8,
                "nesterov": True,
                "seed": seed,
            },
        }
    )


def nonprivate(job: Job) -> Job:
    """The same job without clipping, noise or rounding: it exists in the simulator only."""
    return replace(job, clip=0, log2_sigma=0, round_shift=0)
