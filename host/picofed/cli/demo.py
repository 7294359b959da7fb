"""picofed demo: the main job from end to end on emulated boards."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from picofed.cli import common
from picofed.cli.progress import RunProgress
from picofed.demo import baselines, recipe, unlabelled
from picofed.demo.boards import parse_fleet
from picofed.demo.run import Settings, run
from picofed.errors import PicofedError
from picofed.learn import data
from picofed.learn.registry import AGGREGATORS
from picofed.toolchain.sources import watch_data


@click.command(short_help="Eight emulated watches learn together, privately.")
@click.option(
    "--epsilon",
    type=click.FloatRange(0, 100, min_open=True),
    default=8.0,
    show_default=True,
    help="Privacy target.",
)
@click.option("--boards", type=click.IntRange(1), help="Watches, one wearer each.  [default: 8; 6 if two lend theirs]")
@click.option("--fleet", metavar="KIND=N,...", help="What the watches are, e.g. unix=4,qemu_m3=4.  [default: unix=8]")
@click.option("--rounds", type=click.IntRange(1), default=recipe.ROUNDS, show_default=True, help="Versions to make.")
@click.option(
    "--model",
    type=click.Choice(sorted(recipe.MODELS)),
    default="softmax",
    show_default=True,
    help="What to learn.",
)
@click.option(
    "--aggregator",
    type=click.Choice(sorted(AGGREGATORS)),
    default="fedavg",
    show_default=True,
    help="How updates meet.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=recipe.SEED, show_default=True, help="Of the boards' keys and entropy."
)
@common.output_option("build/demo", "Where report.html and summary.json go.", folder=True)
@click.option("--no-curve", is_flag=True, help="Leave out accuracy against epsilon.")
@click.option("--cross-validate", is_flag=True, help="Hold out every person in turn instead (simulated boards).")
@common.json_option
def demo(
    epsilon: float,
    boards: int | None,
    fleet: str | None,
    rounds: int,
    model: str,
    aggregator: str,
    seed: int,
    output: Path,
    no_curve: bool,
    cross_validate: bool,
    as_json: bool,
) -> None:
    """Let emulated watches learn seven shoulder exercises together, and report how well and at what privacy cost.

    Each board is a real MicroPython process with one wearer's recordings; two people never take part and are what the
    versions are measured on. With --cross-validate the same job runs on simulated boards, which give the same bytes.

    Example: picofed demo --epsilon 4 --rounds 10
    """
    console = Console(stderr=True, highlight=False, quiet=as_json)
    if cross_validate:
        if model in (*recipe.PRETRAINED, *recipe.UNLABELLED):
            raise PicofedError(f"--cross-validate does not know --model {model}: choose softmax or mlp")
        _cross_validate(console, model, epsilon, rounds, f"picofed demo {seed}", as_json)
        return
    if fleet is not None and boards is not None:
        raise PicofedError("--boards and --fleet both say how many watches there are: give one of them")
    kinds = ("unix",) * (boards or (6 if model in recipe.PRETRAINED else 8)) if fleet is None else parse_fleet(fleet)
    settings = Settings(
        epsilon=epsilon,
        fleet=kinds,
        rounds=rounds,
        model=model,
        aggregator=aggregator,
        seed=seed,
        output=output,
        command=shlex.join(["picofed", *sys.argv[1:]]),
        curve_seeds=0 if no_curve else baselines.CURVE_SEEDS,
    )
    with RunProgress(rounds, quiet=as_json) as progress:
        if model in recipe.UNLABELLED:
            found = unlabelled.run(settings, progress.step, progress)
        else:
            summary = run(settings, progress.step, progress)
    if model in recipe.UNLABELLED:
        _unlabelled(found, as_json)
        return
    if as_json:
        common.print_json(summary)
        return
    _tables(Console(highlight=False), summary)
    click.echo(f"\nreport: {output / 'report.html'}    numbers: {output / 'summary.json'}")


def _unlabelled(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        common.print_json(found)
        return
    table = Table(title=f"{found['boards']} boards, {found['rounds']} rounds, {found['model']}")
    table.add_column("")
    table.add_column("value", justify="right")
    saving = 1 - found["bytes_per_update"] / found["bytes_per_update_float32"]
    rows = [
        ("of the squared error explained, on people never seen", f"{found['explained']:.3f}"),
        ("  the same without privacy", f"{found['explained_nonprivate']:.3f}"),
        ("  the same in float", f"{found['explained_float']:.3f}"),
        *(
            [
                (f"AUC for {found['anomaly']}, which no board knows", f"{found['auc']:.3f}"),
                ("  the same without privacy", f"{found['auc_nonprivate']:.3f}"),
                ("  the same in float", f"{found['auc_float']:.3f}"),
            ]
            if "auc" in found
            else []
        ),
        ("epsilon, largest over boards", f"{common.epsilon_text(found['epsilon'])} (delta {found['delta']:g})"),
        (
            "bytes an update",
            f"{found['bytes_per_update']:.0f} (float32: {found['bytes_per_update_float32']}, saved {saving:.1%})",
        ),
        ("memory on a board", f"{found['ram_bytes']} bytes"),
    ]
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def _tables(console: Console, summary: dict[str, Any]) -> None:
    table = Table(title=f"{summary['boards']} boards, {summary['rounds']} rounds, {summary['job']['model']}")
    table.add_column("")
    table.add_column("value", justify="right")
    saving = 1 - summary["bytes_per_update"] / summary["bytes_per_update_float32"]
    rows = [
        ("accuracy on people never seen", f"{summary['accuracy']:.3f}"),
        ("  the same without privacy", f"{summary['accuracy_nonprivate']:.3f}"),
        ("  the same in float", f"{summary['accuracy_float']:.3f}"),
        *(
            [("  the whole network in float, in one place", f"{summary['accuracy_float_network']:.3f}")]
            if "accuracy_float_network" in summary
            else []
        ),
        ("  always the most frequent exercise", f"{summary['accuracy_majority']:.3f}"),
        (
            "epsilon, largest over boards",
            f"{common.epsilon_text(summary['epsilon'])} (delta {summary['delta']:g})",
        ),
        ("unit of privacy", summary["privacy"]["unit"]),
        (
            "bytes an update on the wire",
            f"{summary['bytes_per_update']:.0f} (float32: {summary['bytes_per_update_float32']}, saved {saving:.1%})",
        ),
        ("memory on a board", f"{summary['ram_bytes']} bytes"),
    ]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if summary["curve"]:
        curve = Table(title="accuracy against epsilon (simulated, the same recipe)")
        curve.add_column("epsilon", justify="right")
        curve.add_column("accuracy", justify="right")
        curve.add_column("sd over seeds", justify="right")
        for point in summary["curve"]:
            spread = point["accuracy_sd"]
            curve.add_row(
                "none" if point["epsilon"] is None else f"{point['epsilon']:g}",
                f"{point['accuracy']:.3f}",
                "" if spread is None else f"{spread:.3f}",
            )
        console.print(curve)


def _cross_validate(console: Console, model: str, epsilon: float, rounds: int, seed: str, as_json: bool) -> None:
    job, _ = recipe.make(model, epsilon, rounds, 1, 1)
    console.print("[bold]reading the recordings[/bold]")
    everyone = {
        name: data.from_sessions(sessions, job) for name, sessions in data.sessions_by_person(watch_data()).items()
    }
    folds = baselines.cross_validate(
        model, epsilon, rounds, everyone, seed, lambda person: console.print(f"holding out {person}")
    )
    means = {
        "accuracy": mean(fold.accuracy for fold in folds),
        "accuracy_nonprivate": mean(fold.nonprivate for fold in folds),
        "accuracy_float": mean(fold.floats for fold in folds),
        "accuracy_majority": mean(fold.majority for fold in folds),
    }
    if as_json:
        common.print_json(
            {
                "epsilon": epsilon,
                "delta": recipe.DELTA,
                "rounds": rounds,
                "model": model,
                **means,
                "folds": [
                    {
                        "held_out": fold.person,
                        "examples": fold.examples,
                        "accuracy": fold.accuracy,
                        "accuracy_nonprivate": fold.nonprivate,
                        "accuracy_float": fold.floats,
                        "accuracy_majority": fold.majority,
                    }
                    for fold in folds
                ],
            }
        )
        return
    table = Table(title=f"every person held out in turn, epsilon {epsilon:g}, {rounds} rounds, {model}")
    for name in ("held out", "windows", "private", "no privacy", "float", "majority"):
        table.add_column(name, justify="left" if name == "held out" else "right")
    for fold in folds:
        numbers = (fold.accuracy, fold.nonprivate, fold.floats, fold.majority)
        table.add_row(fold.person, str(fold.examples), *(f"{number:.3f}" for number in numbers))
    table.add_row("mean", "", *(f"{number:.3f}" for number in means.values()), style="bold")
    Console(highlight=False).print(table)
