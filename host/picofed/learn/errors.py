"""How well models of squared error do: the error of what they foretell, against foretelling nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.learn.clients import Examples
from picofed.learn.evaluate import forward
from picofed.learn.job import Job
from picofed.learn.model import Model, ModelError


@dataclass(frozen=True)
class Errors:
    """Mean squared error (of values, 1.0 is 2 g or 500 degrees a second with blocks); baseline: that of targets taken
    for 0, which is persistence for "next"; explained: by the model, 1 - error / baseline, of all and by person."""

    error: float
    baseline: float
    examples: int
    by_person: dict[str, float]

    @property
    def explained(self) -> float:
        """1: perfect; 0: no better than foretelling nothing."""
        return 1 - self.error / self.baseline if self.baseline else 0.0


def quality_name(job: Job) -> str:
    """What a job's models are judged by: accuracy of classes; of squared errors the explained part."""
    return "accuracy" if job.target == "label" else "explained"


def outputs(job: Job, weights: NDArray[np.int16], features: NDArray[np.int8]) -> NDArray[np.float64]:
    """What the compiled core makes of these features, as real numbers."""
    trainer = native.Trainer(job.model.descriptor, 0)
    trainer.set_weights(weights)
    return outputs_of(job.model, trainer, features)


def outputs_of(model: Model, trainer: native.Trainer, features: NDArray[np.int8]) -> NDArray[np.float64]:
    """The same, of the weights that the model's trainer has."""
    scale = 2.0 ** -(18 if len(model.trained) == 1 else 16)
    return trainer.logits(features).astype(np.float64) * scale


def explained(model: Model, trainer: native.Trainer, features: NDArray[np.int8], targets: NDArray[np.int16]) -> float:
    """What Errors.explained is, of the weights that the model's trainer has; targets: Q12."""
    wanted = targets / 4096
    error = (outputs_of(model, trainer, features) - wanted) ** 2
    baseline = float((wanted**2).mean())
    return 1 - float(error.mean()) / baseline if baseline else 0.0


def float_outputs(job: Job, weights: NDArray[np.float64], features: NDArray[np.int8]) -> NDArray[np.float64]:
    """The same in float64, of the float yardstick's weights."""
    return forward(job.model.widths, weights, features.astype(np.float64) / 128)[-1]


def squares(job: Job, weights: NDArray[np.int16] | NDArray[np.float64], examples: Examples) -> NDArray[np.float64]:
    """Squared error of each example, a mean over its outputs. int16 weights: the compiled core; else float."""
    assert examples.targets is not None
    if weights.dtype == np.int16:
        found = outputs(job, weights.astype(np.int16), examples.features)
    else:
        found = float_outputs(job, weights.astype(np.float64), examples.features)
    mean: NDArray[np.float64] = ((found - examples.targets / 4096) ** 2).mean(axis=1)
    return mean


def measure(job: Job, weights: NDArray[np.int16] | NDArray[np.float64], people: Mapping[str, Examples]) -> Errors:
    """Errors on the examples of each person and of all. Raises ModelError where there are none."""
    errors, bases, by_person = [], [], {}
    for person, examples in people.items():
        if len(examples.features) == 0 or examples.targets is None:
            continue
        errors.append(squares(job, weights, examples))
        bases.append(((examples.targets / 4096) ** 2).mean(axis=1))
        by_person[person] = 1 - float(errors[-1].mean()) / max(float(bases[-1].mean()), 1e-12)
    if not errors:
        raise ModelError("there are no examples to evaluate on")
    error, base = np.concatenate(errors), np.concatenate(bases)
    return Errors(float(error.mean()), float(base.mean()), len(error), by_person)


def scores(job: Job, weights: NDArray[np.int16], examples: Examples) -> list[int]:
    """Anomaly score of each example as a board computes it (SPEC 8.5)."""
    assert examples.targets is not None
    trainer = native.Trainer(job.model.descriptor, 0)
    trainer.set_weights(weights)
    down = 6 if len(job.model.trained) == 1 else 4
    delta = (trainer.logits(examples.features).astype(np.int64) >> down) - examples.targets
    return [int(score) for score in (np.clip(delta, -16383, 16383) ** 2).sum(axis=1)]


def auc(scores_of_usual: Sequence[float], scores_of_strange: Sequence[float]) -> float:
    """The chance that a strange example scores higher than a usual one (ties count half). Raises ModelError."""
    usual, strange = np.sort(np.asarray(scores_of_usual)), np.asarray(scores_of_strange)
    if not len(usual) or not len(strange):
        raise ModelError("an AUC needs examples of both kinds: usual ones and anomalies")
    below = np.searchsorted(usual, strange, "left") + np.searchsorted(usual, strange, "right")
    return float(below.mean() / 2 / len(usual))


def auc_of(job: Job, weights: NDArray[np.int16] | NDArray[np.float64], people: Mapping[str, Examples]) -> float:
    """AUC of the score, anomalies being the labelled examples of classes that the job does not learn from."""
    usual: list[float] = []
    strange: list[float] = []
    for examples in people.values():
        if len(examples.labels):
            exact = weights.dtype == np.int16
            found = np.asarray(
                scores(job, weights.astype(np.int16), examples) if exact else squares(job, weights, examples)
            )
            usual.extend(found[examples.labels < job.labels])
            strange.extend(found[(examples.labels >= job.labels) & (examples.labels != 255)])
    return auc(usual, strange)
