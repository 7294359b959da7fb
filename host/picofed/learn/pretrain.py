"""Weights from data that the operator holds, in float64 on the host: what frozen layers keep, and others start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.learn import fronts
from picofed.learn.clients import Examples
from picofed.learn.convolution_training import Network, windows
from picofed.learn.evaluate import train_float
from picofed.learn.job import Job, JobError, Plan
from picofed.learn.model import Model

ROUNDS: Final = 200


def pretrain(
    job: Job, examples: Sequence[Examples], rounds: int = ROUNDS, seed: int = 0, plan: Plan | None = None
) -> NDArray[np.float64]:
    """All of the job's layers, trained on these examples by full-batch descent from the public seed's weights. plan:
    another optimiser than SGD with momentum, whose rounds and seed count instead.

    These weights go to every board: the examples' owners agree to that, for nothing here is private."""
    whole = replace(job, model=Model.dense(job.model.widths, job.model.loss))
    plan = plan or Plan(rounds=rounds, learning_rate=1.0, momentum=0.9, seed=seed)
    return train_float(whole, plan, examples)[-1]


def points_job(job: Job) -> Job:
    """A job whose records are what the convolutions of `job` are slid over."""
    inputs = fronts.CHANNELS * (job.window // job.block)
    return replace(job, features="blocks", filters=b"", model=Model.dense([inputs, job.labels]))


def pretrain_filters(
    job: Job, points: Sequence[Examples], rounds: int = ROUNDS, seed: int = 0
) -> tuple[bytes, NDArray[np.float64]]:
    """The filters of a job with a convolution, and weights for the model behind them; points: records of `points_job`.
    Their owners agree, as for `pretrain`."""
    network = Network([layer.shape for layer in job.layers], Model.dense(job.model.widths, job.model.loss), seed)
    network.train(*windows(points), rounds, seed)
    return b"".join(layer.data for layer in network.quantised()), network.weights[network.size :]


def save_filters(path: Path, filters: bytes) -> None:
    """The file that `[records] filters` names. Raises JobError."""
    try:
        path.write_bytes(filters)
    except OSError as error:
        raise JobError(f"cannot write {path}: {error.strerror or error}") from error


def save(path: Path, weights: NDArray[np.float64]) -> None:
    """The .npy file that `[server] start` names. Raises JobError."""
    try:
        with path.open("wb") as file:
            np.save(file, weights, allow_pickle=False)
    except OSError as error:
        raise JobError(f"cannot write {path}: {error.strerror or error}") from error
