"""Evaluation on data that the operator holds, and the baselines that a private run is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.learn.clients import Examples
from picofed.learn.job import Job, Plan
from picofed.learn.model import ModelError, layers
from picofed.learn.versions import LIMITS, make_optimiser, start_weights


@dataclass(frozen=True)
class Evaluation:
    """How a version does on labelled examples. confusion[true, predicted] counts; by_person: accuracy of
    each.
    """

    accuracy: float
    examples: int
    confusion: NDArray[np.int64]
    by_person: dict[str, float]


def predict(job: Job, weights: NDArray[np.int16], examples: Examples) -> NDArray[np.int64]:
    """Classes that the compiled core gives (the first of equal logits). weights: int16 Q11, all
    parameters.
    """
    trainer = native.Trainer(job.model.descriptor, 0)
    trainer.set_weights(weights)
    predicted: NDArray[np.int64] = trainer.logits(examples.features).argmax(axis=1).astype(np.int64)
    return predicted


def evaluate(job: Job, weights: NDArray[np.int16], people: Mapping[str, Examples]) -> Evaluation:
    """Accuracy on the examples of each person, and of all of them together. Raises ModelError where there are
    none.
    """
    confusion = np.zeros((job.labels, job.labels), np.int64)
    by_person = {}
    for person, examples in people.items():
        if len(examples.labels):
            predicted = predict(job, weights, examples)
            np.add.at(confusion, (examples.labels, predicted), 1)
            by_person[person] = float((predicted == examples.labels).mean())
    total = int(confusion.sum())
    if total == 0:
        raise ModelError("there are no labelled examples to evaluate on")
    return Evaluation(float(np.trace(confusion)) / total, total, confusion, by_person)


def majority(clients: Sequence[Examples], people: Mapping[str, Examples]) -> float:
    """Accuracy on `people` of always naming the clients' most frequent class."""
    labels = np.concatenate([client.labels for client in clients])
    guess = int(np.bincount(labels).argmax())
    truth = np.concatenate([examples.labels for examples in people.values()])
    return float((truth == guess).mean())


def train_float(job: Job, plan: Plan, clients: Sequence[Examples]) -> list[NDArray[np.float64]]:
    """The weights after each version, of the same rounds in float64 without clipping, noise or rounding.

    Same optimiser, same averaging, full batches of all clients; softmax cross-entropy, or half the squared error.
    """
    features = np.concatenate([client.features for client in clients]).astype(np.float64) / 128
    wanted = np.concatenate([client.wanted for client in clients])
    if job.model.loss == "squared":
        wanted = wanted / 4096
    weights = start_weights(job.model, plan)
    optimiser = make_optimiser(plan, job.model)
    versions = []
    average, count = weights, 0
    for number in range(1, plan.rounds + 1):
        gradient = gradients(job.model.widths, weights, features, wanted)[0][job.model.trainable]
        weights = weights.copy()
        optimiser.learning_rate = plan.rate(number)
        weights[job.model.trainable] = np.clip(optimiser.step(weights[job.model.trainable], gradient), *LIMITS)
        if number >= plan.average_from:
            count += 1
            average = weights if count == 1 else average + (weights - average) / count
        versions.append(average if count else weights)
    return versions


def float_accuracy(job: Job, weights: NDArray[np.float64], people: Mapping[str, Examples]) -> float:
    """Accuracy of float weights on the examples of `people`."""
    features = np.concatenate([examples.features for examples in people.values()]).astype(np.float64) / 128
    labels = np.concatenate([examples.labels for examples in people.values()])
    return float((forward(job.model.widths, weights, features)[-1].argmax(axis=1) == labels).mean())


def forward(
    widths: tuple[int, ...], weights: NDArray[np.float64], features: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Inputs of every layer, then the logits. Hidden units are capped at 127/32 like the core's."""
    outputs = [features]
    parts = layers(widths, weights)
    for number, (matrix, bias) in enumerate(parts):
        z = outputs[-1] @ matrix.T + bias
        outputs.append(z if number == len(parts) - 1 else np.clip(z, 0, 127 / 32))
    return outputs


def gradients(
    widths: tuple[int, ...],
    weights: NDArray[np.float64],
    features: NDArray[np.float64],
    wanted: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean gradient in the order of the parameter vector, and by the features [n, inputs]: of the cross-entropy for
    classes [n], of half the squared error for targets [n, outputs]."""
    outputs = forward(widths, weights, features)
    if wanted.ndim == 2:
        delta = outputs[-1] - wanted
    else:
        delta = np.exp(outputs[-1] - outputs[-1].max(axis=1, keepdims=True))
        delta /= delta.sum(axis=1, keepdims=True)
        delta[np.arange(len(wanted)), wanted] -= 1
    delta /= len(wanted)
    found: list[NDArray[np.float64]] = []
    parts = layers(widths, weights)
    for number in range(len(parts) - 1, -1, -1):
        found = [(delta.T @ outputs[number]).ravel(), delta.sum(axis=0), *found]
        delta = delta @ parts[number][0]
        if number:
            delta *= (outputs[number] > 0) & (outputs[number] < 127 / 32)
    return np.concatenate(found), delta
