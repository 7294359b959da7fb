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
from picofed.learn.evaluate import forward, train_float
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


def input_moments(model: Model, weights: NDArray[np.float64], examples: Sequence[Examples]) -> NDArray[np.float64]:
    """Mean of a a^T over all examples, for each layer's inputs a with a 1 behind them: one matrix after the other, row
    by row. weights: all of them, as `start_weights` gives them; their layers' activations are what is looked at."""
    features = np.concatenate([example.features for example in examples]).astype(np.float64) / 128
    inputs = forward(model.widths, weights, features)[:-1]
    ones = np.ones((len(features), 1))
    seen = [np.hstack([values, ones]) for values in inputs]
    return np.concatenate([(values.T @ values / len(features)).ravel() for values in seen])


def save_filters(path: Path, filters: bytes) -> None:
    """The file that `[records] filters` names. Raises JobError."""
    try:
        path.write_bytes(filters)
    except OSError as error:
        raise JobError(f"cannot write {path}: {error.strerror or error}") from error
