"""The demo's job: seven shoulder exercises from a watch, and how privacy is spread over the rounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from picofed.errors import PicofedError
from picofed.learn import jobfile
from picofed.learn.job import Job, Plan
from picofed.learn.watch import EXERCISES

ROUNDS: Final = 20
DELTA: Final = 1e-5
HELD_OUT: Final = ("person-0", "person-1")  # of the five pairs, the one whose results are nearest to the mean
SEED: Final = 3  # of 0 to 7, the one whose result is nearest to their mean
VOLUNTEERS: Final = ("person-2", "person-3")  # the operator has their recordings, to pretrain on
PRETRAINED: Final = ("frozen", "convolution")  # models that need that
UNLABELLED: Final = ("forecast", "autoencoder")  # models that learn without labels
WINDOW: Final = 100  # samples: two seconds at 50 Hz
MODELS: Final[dict[str, dict[str, Any]]] = {
    "softmax": {"hidden": [], "learning_rate": 2.0},
    "mlp": {"hidden": [16], "learning_rate": 1.0},
    "frozen": {"hidden": [16], "learning_rate": 0.5, "frozen": 1},
    # `filters` lies beside `start`: both come from the volunteers' recordings
    "convolution": {
        "hidden": [],
        "learning_rate": 0.5,
        "records": {
            "features": "convolution",
            "block": 5,
            "convolution": [{"filters": 12, "width": 3}, {"filters": 24, "width": 3, "pool": 4}],
            "filters": "filters.bin",
        },
    },
    "forecast": {
        "hidden": [],
        "learning_rate": 0.2,
        "records": {"features": "blocks", "block": 10, "target": "next", "horizon": 2, "labels": 0},
    },
    # what it shall find strange is the last exercise in its order, which no board learns from
    "autoencoder": {"hidden": [8], "learning_rate": 0.1, "records": {"target": "self", "labels": 6}},
}


def make(
    model: str,
    epsilon: float,
    rounds: int,
    records: int,
    boards: int,
    aggregator: str = "fedavg",
    seed: int = 0,
    start: str = "",
    blank: bool = False,
) -> tuple[Job, Plan]:
    """The job and the plan. records: of all boards together (a public number); start: file of the first weights, which
    pretrained models need; blank: a convolution's filters are yet to be made. Raises PicofedError for what cannot be.

    The same recipe serves every epsilon: only the clipping norm and sigma follow from it (learn.job.fit_noise).
    """
    if model not in MODELS:
        raise PicofedError(f"model {model!r} is not known: use one of {', '.join(MODELS)}")
    recipe = MODELS[model]
    return jobfile.parse(
        {
            "name": "watch",
            "model": {key: recipe[key] for key in ("hidden", "frozen") if key in recipe},
            "records": {"window": WINDOW, "labels": len(EXERCISES), **recipe.get("records", {})},
            "privacy": {"epsilon": epsilon, "delta": DELTA, "records": records, "boards": boards},
            "server": {
                "rounds": rounds,
                "aggregator": aggregator,
                "capacity": max(1, boards // 2),
                "learning_rate": recipe["learning_rate"],
                "momentum": 0.8,
                "nesterov": True,
                "seed": seed,
                "start": start,
            },
        },
        Path(start).parent,
        blank=blank,
    )


ANOMALY: Final = EXERCISES.index("ABD")


def reorder(label: int) -> int:
    """Exercises in the auto-encoder's order: the anomaly changes places with the last."""
    last = len(EXERCISES) - 1
    return {ANOMALY: last, last: ANOMALY}.get(label, label)


def nonprivate(job: Job) -> Job:
    """The same job without clipping, noise or rounding: it exists in the simulator only."""
    return replace(job, clip=0, log2_sigma=0, round_shift=0)
