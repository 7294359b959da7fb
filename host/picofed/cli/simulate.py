"""picofed simulate: a job on simulated boards, with the baselines to compare it with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from picofed import accounting
from picofed.cli import common
from picofed.cli.progress import RunProgress
from picofed.errors import PicofedError
from picofed.learn import data, jobfile
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.coordinator import deployed
from picofed.learn.evaluate import evaluate, float_accuracy, majority, train_float
from picofed.learn.job import Job, Plan
from picofed.learn.simulate import Simulation
from picofed.learn.simulate import simulate as run_simulation
from picofed.provisioning import Policy, Provision
from picofed.report.facts import epsilon_of_ledger, samples_of


@click.command(short_help="Try a job on simulated boards.")
@common.job_argument
@click.option("--data", "data_file", required=True, type=click.Path(path_type=Path), help="An .npz or .npy file.")
@click.option("--hold-out", "held", multiple=True, metavar="CLIENT", help="Evaluate on this client; repeat for more.")
@click.option("--boards", "count", type=click.IntRange(1), help="Use only the first so many clients.")
@click.option("--seed", default="picofed", show_default=True, help="What the boards' keys and entropy come from.")
@click.option("--baselines", is_flag=True, help="Also without privacy, in float64, and by majority.")
@common.rounds_option
@common.epsilon_option
@common.json_option
def simulate(
    job_file: Path,
    data_file: Path,
    held: tuple[str, ...],
    count: int | None,
    seed: str,
    baselines: bool,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """Run JOB with one simulated board for each client of a data file: the same bytes as real boards, no
    processes.

    The seed makes runs repeatable, and therefore the noise known: never release anything from a simulation of
    real people's data.

    Example: picofed simulate job.toml --data watch.npy --hold-out person-0 --hold-out person-1 --baselines
    """
    job, plan = jobfile.load(job_file, rounds=rounds, epsilon=epsilon)
    clients = data.load(data_file, job)
    unknown = [name for name in held if name not in clients]
    if unknown:
        raise PicofedError(f"{data_file} has no client {unknown[0]!r}: it has {', '.join(clients)}")
    people = {name: clients.pop(name) for name in held}
    names = list(clients)[:count]
    if not names:
        raise PicofedError("no client is left to train on: hold out fewer")
    training = {name: clients[name] for name in names}
    people = people or training  # better than nothing, and said below

    with RunProgress(plan.rounds, quiet=as_json) as progress:
        simulation = run_simulation(job, plan, make_boards(job, plan, training, seed), events=progress)
    check_complete(simulation, plan)
    updates = simulation.store.updates(job.id, None)
    spent = max(row.spent for row in simulation.store.boards())
    result: dict[str, Any] = {
        "boards": len(training),
        "rounds": plan.rounds,
        "held_out": list(held),
        "clip_norm": job.clip,
        "log2_sigma": job.log2_sigma,
        "accuracy": [evaluate(job, deployed(version), people).accuracy for version in simulation.versions[1:]],
        "epsilon": epsilon_of_ledger(spent, plan.delta, samples_of(job, plan.rounds)),
        "delta": plan.delta,
        "bytes_per_update": sum(len(update.data) for update in updates) / len(updates),
        "bytes_per_update_float32": 4 * job.model.parameters,
    }
    if baselines:
        result["accuracy_nonprivate"] = nonprivate_accuracy(job, plan, training, people)
        if job.model.loss == "softmax":
            versions = train_float(job, plan, list(training.values()))
            result["accuracy_float"] = [float_accuracy(job, version, people) for version in versions]
        result["accuracy_majority"] = majority(list(training.values()), people)
    if as_json:
        common.print_json(result)
        return
    where = f"on {', '.join(held)}" if held else "on the training clients themselves (--hold-out is the honest way)"
    click.echo(
        f"accuracy {result['accuracy'][-1]:.3f} {where}; "
        f"epsilon {common.epsilon_text(result['epsilon'])} at delta {plan.delta:g}"
    )
    click.echo(
        f"{len(training)} boards, {plan.rounds} rounds, "
        f"clipping norm {job.clip}, log2 sigma {job.log2_sigma}, "
        f"{result['bytes_per_update']:.0f} bytes an update (float32: {result['bytes_per_update_float32']})"
    )
    if baselines:
        floats = f"{result['accuracy_float'][-1]:.3f}" if "accuracy_float" in result else "-"
        click.echo(
            f"without privacy {result['accuracy_nonprivate'][-1]:.3f}, float64 {floats}, "
            f"majority {result['accuracy_majority']:.3f}"
        )


def make_boards(job: Job, plan: Plan, clients: dict[str, Examples], seed: str) -> list[SimulatedBoard]:
    """One board for each client, with just the budget that the plan needs."""
    charge = accounting.charge(job.clip, job.log2_sigma, job.steps) if job.private else 0
    budget = min(charge * plan.rounds, accounting.UNITS_MAX)
    boards = []
    for number, (name, examples) in enumerate(clients.items()):
        policy = Policy((number + 1).to_bytes(8, "big"), name[:32] or "client", budget, charge)
        boards.append(SimulatedBoard(Provision.new(policy, seed.encode()), examples, seed.encode()))
    return boards


def check_complete(simulation: Simulation, plan: Plan) -> None:
    """Raises PicofedError if a simulation ended before its last version."""
    if simulation.coordinator.version.number < plan.rounds:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in simulation.coordinator.left.items())
        reasons = "; ".join(filter(None, (simulation.coordinator.stalled, reasons)))
        raise PicofedError(f"stopped at version {simulation.coordinator.version.number}: {reasons}")


def nonprivate_accuracy(job: Job, plan: Plan, clients: dict[str, Examples], people: dict[str, Examples]) -> list[float]:
    """Accuracy after each round of the same job without clipping, noise or rounding."""
    bare = replace(job, clip=0, log2_sigma=0, round_shift=0)
    simulation = run_simulation(bare, plan, make_boards(bare, plan, clients, "baseline"))
    check_complete(simulation, plan)
    return [evaluate(bare, deployed(version), people).accuracy for version in simulation.versions[1:]]
