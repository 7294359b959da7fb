"""What a private run is compared with: no privacy, float, majority, other epsilons, other people; all simulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Final

from picofed import accounting
from picofed.demo import recipe
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.convolution_training import Network, windows
from picofed.learn.evaluate import evaluate, float_accuracy, majority, train_float
from picofed.learn.job import CLIP_NORM_MAX, Job, Plan
from picofed.learn.simulate import simulate
from picofed.learn.versions import deployed
from picofed.provisioning import Policy, Provision

CURVE_EPSILONS: Final = (1.0, 2.0, 4.0, 8.0)
CURVE_SEEDS: Final = 10
FLOAT_ROUNDS: Final = 400  # as long as it still helps: the float yardstick that is not limited to the job's rounds
NETWORK_EPOCHS: Final = 100
People = Mapping[str, Examples]
Tick = Callable[[str], None]


@dataclass(frozen=True)
class Baselines:
    """Accuracies on the held-out people. nonprivate and floats: after each round."""

    nonprivate: tuple[float, ...]
    floats: tuple[float, ...]
    float_converged: float
    majority: float


@dataclass(frozen=True)
class Point:
    """Mean accuracy of whole runs at one epsilon (inf: without privacy); deviation: over noise seeds."""

    epsilon: float
    accuracy: float
    deviation: float | None


def boards(job: Job, plan: Plan, clients: People, seed: str) -> list[SimulatedBoard]:
    """One simulated board for each client, keyed and noised from `seed`, with just the budget of the plan."""
    return [
        SimulatedBoard(provision, examples, seed.encode())
        for provision, examples in zip(provisions(job, plan, list(clients), seed), clients.values(), strict=True)
    ]


def provisions(job: Job, plan: Plan, names: Sequence[str], seed: str) -> list[Provision]:
    """Keys and policies of emulated or simulated boards; from `seed`, for nothing is at stake on them."""
    charge = accounting.charge(job.clip, job.log2_sigma, job.steps) if job.private else 1  # no policy has none
    budget = charge * plan.rounds
    if plan.epsilon is not None:
        samples = len(job.model.trainable) * job.steps * plan.rounds
        budget = max(budget, accounting.budget(plan.epsilon, plan.delta, samples))
    return [
        Provision.new(
            Policy(
                (number + 1).to_bytes(8, "big"),
                name,
                min(budget, accounting.UNITS_MAX),
                charge,
                min_log2_sigma=max(6, job.log2_sigma),
                max_clip=job.clip if job.private else CLIP_NORM_MAX,
                max_parameters=job.model.parameters,
            ),
            seed.encode(),
        )
        for number, name in enumerate(names)
    ]


def accuracies(job: Job, plan: Plan, clients: People, people: People, seed: str) -> tuple[float, ...]:
    """Accuracy on `people` after each version of a simulated run."""
    found: list[float] = []
    simulate(
        job,
        plan,
        boards(job, plan, clients, seed),
        on_version=lambda version: found.append(evaluate(job, deployed(version), people).accuracy),
    )
    return tuple(found)


def final_accuracy(job: Job, plan: Plan, clients: People, people: People, seed: str) -> float:
    """Accuracy on `people` of the last version of a simulated run."""
    run = simulate(job, plan, boards(job, plan, clients, seed))
    return evaluate(job, deployed(run.versions[-1]), people).accuracy


def measure(job: Job, plan: Plan, clients: People, people: People) -> Baselines:
    """Everything that a private run of this job and plan is compared with."""
    longer = Plan(
        rounds=FLOAT_ROUNDS,
        learning_rate=plan.learning_rate / 2,
        momentum=0.9,
        nesterov=plan.nesterov,
        seed=plan.seed,
        start=plan.start,
    )
    examples = list(clients.values())
    floats = [float_accuracy(job, weights, people) for weights in train_float(job, plan, examples)]
    return Baselines(
        nonprivate=accuracies(recipe.nonprivate(job), plan, clients, people, "baseline"),
        floats=tuple(floats),
        float_converged=float_accuracy(job, train_float(job, longer, examples)[-1], people),
        majority=majority(examples, people),
    )


def curve(
    model: str,
    plan: Plan,
    clients: People,
    people: People,
    seeds: int = CURVE_SEEDS,
    tick: Tick = lambda text: None,
) -> list[Point]:
    """Accuracy against epsilon with the same recipe: mean over `seeds` noise seeds; last, without privacy."""
    records = sum(len(examples.labels) for examples in clients.values())
    points = []
    for epsilon in CURVE_EPSILONS:
        tick(f"epsilon {epsilon:g}")
        job, each = recipe.make(model, epsilon, plan.rounds, records, len(clients), seed=plan.seed, start=plan.start)
        found = [final_accuracy(job, each, clients, people, f"curve-{number}") for number in range(seeds)]
        points.append(Point(epsilon, mean(found), stdev(found) if seeds > 1 else None))
    job, each = recipe.make(
        model, CURVE_EPSILONS[-1], plan.rounds, records, len(clients), seed=plan.seed, start=plan.start
    )
    free = final_accuracy(recipe.nonprivate(job), each, clients, people, "baseline")
    points.append(Point(math.inf, free, None))
    return points


def network(job: Job, points: People, clients: Sequence[str], people: Sequence[str]) -> float:
    """Accuracy on `people` of the whole network in float, filters too, trained on the clients' windows in one place."""
    whole = Network([layer.shape for layer in job.layers], job.model)
    whole.train(*windows([points[name] for name in clients]), NETWORK_EPOCHS)
    inputs, labels = windows([points[name] for name in people])
    return float((whole.logits(inputs).argmax(axis=1) == labels).mean())


@dataclass(frozen=True)
class Fold:
    """One person held out: accuracies of the last version with and without privacy, and in float."""

    person: str
    examples: int
    accuracy: float
    nonprivate: float
    floats: float
    majority: float


def cross_validate(
    model: str, epsilon: float, rounds: int, everyone: People, seed: str, tick: Tick = lambda text: None
) -> list[Fold]:
    """Hold out every person in turn; all others are boards."""
    folds = []
    for person in everyone:
        tick(person)
        people = {person: everyone[person]}
        clients = {name: examples for name, examples in everyone.items() if name != person}
        records = sum(len(examples.labels) for examples in clients.values())
        job, plan = recipe.make(model, epsilon, rounds, records, len(clients))
        examples = list(clients.values())
        folds.append(
            Fold(
                person,
                len(everyone[person].labels),
                final_accuracy(job, plan, clients, people, seed),
                final_accuracy(recipe.nonprivate(job), plan, clients, people, "baseline"),
                float_accuracy(job, train_float(job, plan, examples)[-1], people),
                majority(examples, people),
            )
        )
    return folds
