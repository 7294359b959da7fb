"""picofed subset: which parameters boards should train, under their memory."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.fleet import catalog
from picofed.learn import data, jobfile, jobfile_text, npy
from picofed.learn.clients import Examples
from picofed.learn.job import Plan
from picofed.learn.model import Model
from picofed.learn.subset import Proxy, Subset
from picofed.learn.subset_choice import Choice, choose, front
from picofed.learn.subset_search import FRACTIONS
from picofed.learn.versions import start_weights
from picofed.report import memory as pages
from picofed.report.html import save

_BAR: Final = 30


@click.command(short_help="Choose which parameters boards train, under their memory.")
@common.job_argument
@click.option(
    "--data", "data_file", required=True, type=click.Path(path_type=Path), help="Data that you hold, .npz/.npy/.csv."
)
@click.option(
    "--hold-out", "held", multiple=True, metavar="CLIENT", help="Measure on this client; default: every fifth."
)
@click.option("--board", "kinds", multiple=True, metavar="KIND", help="A folder of boards/; repeat for a mixed fleet.")
@click.option("--memory", type=click.IntRange(1), help="Bytes for a board's trainer, instead of what boards/ say.")
@click.option(
    "--points", type=click.IntRange(2, 64), default=8, show_default=True, help="Limits to draw between least and most."
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="Job file to write, .toml or .json; weights go beside it."
)
@click.option("--page", type=click.Path(path_type=Path), help="HTML page to draw.")
@common.rounds_option
@common.epsilon_option
@common.json_option
def subset(
    job_file: Path,
    data_file: Path,
    held: tuple[str, ...],
    kinds: tuple[str, ...],
    memory: int | None,
    points: int,
    output: Path | None,
    page: Path | None,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """Choose what of JOB's model boards train, so that the smallest of them has the memory for it.

    Every layer, at 1/8, 1/4, 1/2 and all of its channels, and the biases of the last layers are trained by
    themselves on data that you hold, as boards would; combinations that promise most are searched for and trained too.
    Taken is the best of all that was measured and fits, on a tie the smallest. The job file that is written has its
    hidden units in another order: the model computes the same.

    Example: picofed subset job.toml --data watch.npy --memory 6000 --output small.toml --page subset.html
    """
    job, plan = jobfile.load(job_file, rounds=rounds, epsilon=epsilon, moments="")  # of units in another order
    chosen_kinds = known(kinds)
    limit = memory if memory is not None else min(kind.memory.for_jobs for kind in chosen_kinds)
    frozen = min(kind.memory.frozen for kind in chosen_kinds)
    clients, people = deal(data.load(data_file, job), held)
    proxy = Proxy.of(job, plan, clients, people)
    console = Console(stderr=True, highlight=False)
    with console.status("measuring") as status:

        def tick(text: str) -> None:
            status.update(f"measuring {text}")

        start = start_weights(job.model, plan)
        found = Subset.measure(job.model, start, proxy, job.mode, tick, frozen)
        choice = choose(found, proxy, limit, points, tick)
    if choice is None:
        raise PicofedError(f"nothing of this model can be trained in {limit} bytes: the least is {found.least}")
    best = front(choice.every)
    steps = [
        pages.Step(one.memory, len(one.model.trainable), one.quality, describe(one.model), one in best)
        for one in choice.every
    ]
    chosen = choice.every.index(choice.chosen)
    quality = "accuracy" if job.target == "label" else "explained"
    if output is not None:
        write_job(job_file, output, choice.chosen.model, found, plan)
    if page is not None:
        given = found.contributions
        save(pages.page(job.name, steps, limit, chosen, parts(found), given.start, given.dense, quality), page)
    if as_json:
        common.print_json(as_item(found, choice, limit, quality))
    else:
        show(found, choice, steps, limit, quality, output)


def known(kinds: tuple[str, ...]) -> list[catalog.Kind]:
    """These kinds of boards; none named: all that boards/ knows. What fits them all, fits the smallest, and frozen
    weights are in flash only where all of them have it."""
    listed = catalog.kinds()
    unknown = [kind for kind in kinds if kind not in listed]
    if unknown:
        raise PicofedError(f"boards/ has no {unknown[0]!r}: it has {', '.join(listed)}; or give --memory")
    return [listed[kind] for kind in kinds or listed]


def deal(everyone: dict[str, Examples], held: tuple[str, ...]) -> tuple[dict[str, Examples], dict[str, Examples]]:
    """Clients to train on and people to measure on."""
    names = list(everyone)
    if unknown := [name for name in held if name not in everyone]:
        raise PicofedError(f"the data has no client {unknown[0]!r}: it has {', '.join(names)}")
    chosen = held or tuple(names[::5])
    some = {name: examples for name, examples in everyone.items() if len(examples.features)}  # that the job learns from
    clients = {name: examples for name, examples in some.items() if name not in chosen}
    people = {name: examples for name, examples in some.items() if name in chosen}
    if not clients:
        raise PicofedError("no client is left to train on: the data must come from two clients or more")
    if not people:
        raise PicofedError(f"{', '.join(chosen)}: no examples to measure on that the job learns from")
    return clients, people


def describe(model: Model) -> str:
    """What of a model is trained, in words."""
    words = []
    for number, part in enumerate(model.trained):
        if part is None:
            continue
        rows, columns = part.row_end - part.row_begin, part.column_end - part.column_begin
        shape = f"{rows} x {columns}" if columns else "biases"
        words.append(f"layer {number}: {shape}{' and biases' if columns and part.bias else ''}")
    return "; ".join(words)


def parts(found: Subset) -> list[tuple[str, float]]:
    """Every part that was measured, in words, with its contribution."""
    listed = [
        (f"layer {number}, {part:g} of its channels", gains[part])
        for number, gains in enumerate(found.contributions.layers)
        for part in FRACTIONS[1:]
    ]
    biases = [(f"biases of the last {count}", gain) for count, gain in enumerate(found.contributions.biases) if count]
    return listed + biases


def write_job(job_file: Path, output: Path, model: Model, found: Subset, plan: Plan) -> None:
    """The job with the selection in it, and its first weights beside it."""
    item: dict[str, Any] = copy.deepcopy(jobfile.read(job_file))
    item.setdefault("model", {})["train"] = jobfile_text.train_entries(model)
    if len(model.widths) > 2 or plan.start:
        weights = output.with_suffix(".start.npy")
        npy.save(weights, found.contributions.weights)
        item.setdefault("server", {})["start"] = weights.name
    item.get("server", {}).pop("moments", None)
    if "filters" in item.get("records", {}):
        item["records"]["filters"] = os.path.relpath(jobfile.filters_path(job_file), output.parent)
    jobfile_text.write(output, item)


def as_item(found: Subset, choice: Choice, limit: int, quality: str) -> dict[str, Any]:
    """For scripts."""
    given, by_sum = found.contributions, choice.found.found
    points = [
        {
            "memory": one.memory,
            "trainable": len(one.model.trainable),
            "measured": one.quality,
            "train": jobfile_text.train_entries(one.model),
        }
        for one in choice.every
    ]
    return {
        "limit": limit,
        "quality": quality,
        "start": given.start,
        "everything": given.dense,
        "layers": [{f"{part:g}": gain for part, gain in gains.items()} for gains in given.layers],
        "biases": list(given.biases),
        "noise": choice.noise,
        "search": {"memory": by_sum.memory, "gain": by_sum.gain, "bound": by_sum.bound, "optimal": by_sum.optimal},
        "points": points,
        "chosen": points[choice.every.index(choice.chosen)],
    }


def show(found: Subset, choice: Choice, steps: list[pages.Step], limit: int, quality: str, output: Path | None) -> None:
    """For people."""
    given, chosen = found.contributions, choice.chosen
    click.echo(f"{quality} as it starts {given.start:.3f}, with everything trained {given.dense:.3f} "
               f"({found.most} bytes)")  # fmt: skip
    click.echo(f"the best of {len(steps)} selections that were trained, by memory:")
    click.echo("  memory  parameters  measured")
    taken = steps[choice.every.index(chosen)]
    for step in steps:
        if step.best:
            bar = "#" * round(_BAR * max(0.0, step.measured))
            mark = ">" if step is taken else " "
            click.echo(f"{mark} {step.memory:6d}  {step.trainable:10d}  {step.measured:8.3f}  {bar}")
    if chosen.quality <= given.start:
        click.echo("nothing that fits does better than the model as it starts")
    noise = f" (what differs by less than {choice.noise:.3f} may be noise)" if choice.noise else ""
    click.echo(f"in {limit} bytes: {taken.words}{noise}")
    if output is not None:
        click.echo(f"job: {output}")
