"""picofed simulate: a job on simulated boards, with the baselines to compare it with."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from picofed import accounting
from picofed.cli import common, simulate_fleet
from picofed.cli.progress import RunProgress
from picofed.errors import PicofedError
from picofed.learn import data, jobfile, npy
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.errors import measure, quality_name
from picofed.learn.evaluate import evaluate, float_accuracy, majority, train_float
from picofed.learn.job import Job, Plan
from picofed.learn.simulate import Simulation
from picofed.learn.simulate import simulate as run_simulation
from picofed.learn.unmask import without_masks
from picofed.learn.versions import deployed, unrounded
from picofed.provisioning import Policy, Provision
from picofed.report.facts import epsilon_of_ledger, samples_of
from picofed.report.sums import planned
from picofed.simulation.api import BUILT_IN, EPSILON


@click.command(short_help="Try a job on simulated boards, or simulate a whole fleet.")
@click.argument("job_file", metavar="[JOB]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--data",
    "data_file",
    required=True,
    metavar="DATA",
    help="With JOB an .npz, .npy or .bin file; without, an .npz or .csv file, digits, or mnist[:14|:8|:7].",
)
@click.option("--hold-out", "held", multiple=True, metavar="CLIENT", help="Evaluate on this client; repeat for more.")
@click.option("--boards", "count", type=click.IntRange(1), help="Use only the first so many clients.")
@click.option("--seed", default="picofed", show_default=True, help="What the boards' keys and entropy come from.")
@click.option(
    "--baselines",
    is_flag=True,
    help="Also without privacy, in float64 (synchronous, whatever the job's aggregator), and by majority.",
)
@click.option("--clients", type=click.IntRange(1), help="Fleet: deal the data out to so many clients (default: 50).")
@click.option(
    "--split",
    metavar="HOW",
    help="Fleet: iid, dirichlet:ALPHA, given: by the data's clients (default where it has some, else iid), or your own "
    "module:function.",
)
@click.option("--hidden", type=click.IntRange(1, 1023), multiple=True, help="Fleet: a hidden layer's width; repeat.")
@click.option("--kind", "kinds", multiple=True, metavar="BOARD", help="Fleet: a folder of boards/, for its profile.")
@click.option("--stragglers", type=click.FloatRange(0, 1), default=0.0, help="Fleet: the part of clients that is slow.")
@click.option("--straggler-factor", type=click.FloatRange(1), default=10.0, help="Fleet: how slow (default: 10 times).")
@click.option("--dropout", type=click.FloatRange(0, 0.99), default=0.0, help="Fleet: chance that a round is lost.")
@click.option("--at-once", type=click.IntRange(0), default=0, help="Fleet: rounds under way at most (default: all).")
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Fleet: a [server] setting, as in job files; aggregator is ftte there and here.",
)
@click.option("--no-privacy", is_flag=True, help="Fleet: neither noise nor clipping.")
@click.option("--evaluate-every", type=click.IntRange(0), default=1, help="Fleet: versions between evaluations.")
@click.option("--workers", type=click.IntRange(1), help="Fleet: threads (default: one for each processor).")
@click.option("--results", type=click.Path(path_type=Path), help="Fleet: SQLite file to keep all in, and go on from.")
@click.option(
    "--weights",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the last version's weights, as picofed weights does.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Fleet: write a page with curves.")
@common.rounds_option
@common.epsilon_option
@common.json_option
@click.pass_context
def simulate(context: click.Context, /, **options: Any) -> None:
    """Run [JOB] with one simulated board for each client of a data file: the same bytes as real boards, no
    processes.

    Without [JOB], or with any option marked Fleet: a fleet in virtual time, whose boards are slow, asleep, lost or
    empty as their profiles say.

    The seed makes runs repeatable, and therefore the noise known: never release anything from a simulation of
    real people's data.

    Example: picofed simulate job.toml --data watch.npy --hold-out person-0 --hold-out person-1 --baselines
    """
    given = {
        parameter.name
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        and isinstance(parameter, click.Option)
        and (parameter.help or "").startswith("Fleet: ")
    }
    for written in filter(None, (options["output"], options["plot"], options["results"])):  # not after hours of work
        if not written.parent.is_dir():
            raise PicofedError(f"cannot write {written}: there is no such folder")
    job_file: Path | None = options["job_file"]
    if job_file is not None and options["data_file"] in BUILT_IN and not Path(options["data_file"]).exists():
        raise PicofedError(
            f"{options['data_file']} is for fleets without a JOB: with one, give an .npz file of windows or features, "
            "the watch's .npy or a board's .bin"
        )
    if job_file is not None and not given:
        names = ("job_file", "held", "count", "seed", "baselines", "output", "rounds", "epsilon", "as_json")
        boards_only(data_file=Path(options["data_file"]), **{name: options[name] for name in names})
        return
    if options["baselines"] or options["count"]:
        raise PicofedError("--baselines and --boards do not go with a fleet: use --no-privacy and --clients")
    if job_file is not None and given & {"clients", "split", "hidden", "no_privacy"}:
        raise PicofedError("--clients, --split, --hidden and --no-privacy are for fleets without a JOB: it says them")
    if options["no_privacy"] and options["epsilon"] is not None:
        raise PicofedError("--epsilon and --no-privacy exclude each other: leave one of them out")
    if "straggler_factor" in given and not options["stragglers"]:
        raise PicofedError("--straggler-factor needs --stragglers: how many of the clients are slow")
    settings = simulate_fleet.plan_settings(options["pairs"])
    if options["rounds"] is not None:
        if "rounds" in settings:
            raise PicofedError("--rounds and --set rounds exclude each other: leave one of them out")
        settings["rounds"] = options["rounds"]
    options["epsilon_given"] = options["epsilon"]
    if not options["no_privacy"] and options["epsilon"] is None:
        options["epsilon"] = EPSILON
    made = simulate_fleet.setup(job_file, options["data_file"], options["held"], options["seed"], settings, options)
    simulate_fleet.run(made, options, options["as_json"])


def boards_only(
    job_file: Path,
    data_file: Path,
    held: tuple[str, ...],
    count: int | None,
    seed: str,
    baselines: bool,
    output: Path | None,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """A job on boards that all take as long."""
    asked = jobfile.load(job_file, rounds=rounds, epsilon=epsilon)
    job, plan = without_masks(*asked)
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
    if output is not None:
        npy.save(output, unrounded(simulation.versions[-1]))
    squared = job.target != "label"
    updates = simulation.store.updates(job.id, None)
    spent = max(row.spent for row in simulation.store.boards())
    result: dict[str, Any] = {
        "boards": len(training),
        "rounds": plan.rounds,
        "held_out": list(held),
        "clip_norm": job.clip,
        "log2_sigma": job.log2_sigma,
        quality_name(job): [quality(job, deployed(version), people) for version in simulation.versions[1:]],
        "epsilon": epsilon_of_ledger(spent, plan.delta, samples_of(job, plan.rounds)),
        "delta": plan.delta,
        "bytes_per_update": sum(len(update.data) for update in updates) / len(updates),
        "bytes_per_update_float32": 4 * job.model.parameters,
    }
    if asked[1].masked:
        releases = max(Counter(update.board for update in updates).values())
        result |= {"epsilon_distributed": planned(*asked, releases)[1], "honest": asked[1].honest}
    if baselines:
        versions = train_float(job, plan, list(training.values()))
        result |= {"aggregator": plan.aggregator, "aggregator_float": "synchronous"}
        result[f"{quality_name(job)}_nonprivate"] = nonprivate_quality(job, plan, training, people)
        result[f"{quality_name(job)}_float"] = [
            measure(job, version, people).explained if squared else float_accuracy(job, version, people)
            for version in versions
        ]
        if not squared:
            result["accuracy_majority"] = majority(list(training.values()), people)
    if as_json:
        common.print_json(result)
        return
    where = f"on {', '.join(held)}" if held else "on the training clients themselves (--hold-out is the honest way)"
    click.echo(
        f"{'explained' if squared else 'accuracy'} {result[quality_name(job)][-1]:.3f} {where}; "
        f"epsilon {common.epsilon_text(result['epsilon'])} at delta {plan.delta:g}"
    )
    simulate_fleet.say_sums(result, asked[1])
    click.echo(
        f"{len(training)} boards, {plan.rounds} rounds, "
        f"clipping norm {job.clip}, log2 sigma {job.log2_sigma}, "
        f"{result['bytes_per_update']:.0f} bytes an update (float32: {result['bytes_per_update_float32']})"
    )
    if baselines:
        free, floats = (result[f"{quality_name(job)}_{which}"][-1] for which in ("nonprivate", "float"))
        other = "" if squared else f", majority {result['accuracy_majority']:.3f}"
        click.echo(f"without privacy {free:.3f} ({plan.aggregator}), float64 {floats:.3f} (synchronous){other}")


def quality(job: Job, weights: Any, people: dict[str, Examples]) -> float:
    """What quality_name says, by the compiled core."""
    if job.target == "label":
        return evaluate(job, weights, people).accuracy
    return measure(job, weights, people).explained


def make_boards(job: Job, plan: Plan, clients: dict[str, Examples], seed: str) -> list[SimulatedBoard]:
    """One board for each client, with just the budget that the plan needs."""
    charge = accounting.charge(job.clip, job.log2_sigma, job.steps) if job.private else 1  # no policy has none
    budget = min(charge * plan.rounds, accounting.UNITS_MAX)
    boards = []
    for number, (name, examples) in enumerate(clients.items()):
        policy = Policy((number + 1).to_bytes(8, "big"), name[:32] or "client", budget, charge)
        boards.append(SimulatedBoard(Provision.new(policy, seed.encode()), examples, seed.encode()))
    return boards


def check_complete(simulation: Simulation, plan: Plan) -> None:
    """Raises PicofedError if a simulation ended before its last version."""
    if simulation.coordinator.version.number < plan.rounds:
        reasons = common.reasons(simulation.coordinator.left)
        reasons = "; ".join(filter(None, (simulation.coordinator.stalled, reasons)))
        raise PicofedError(f"stopped at version {simulation.coordinator.version.number}: {reasons}")


def nonprivate_quality(job: Job, plan: Plan, clients: dict[str, Examples], people: dict[str, Examples]) -> list[float]:
    """Quality after each round of the same job without clipping, noise or rounding."""
    bare = replace(job, clip=0, log2_sigma=0, round_shift=0)
    simulation = run_simulation(bare, plan, make_boards(bare, plan, clients, "baseline"))
    check_complete(simulation, plan)
    return [quality(bare, deployed(version), people) for version in simulation.versions[1:]]
