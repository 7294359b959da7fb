"""picofed turns: a job's whole model in parts that fit into memory, a job for each."""

from __future__ import annotations

import copy
import os
import shlex
from pathlib import Path
from typing import Any, Final

import click

from picofed import accounting
from picofed.cli import common
from picofed.cli.subset import describe, known
from picofed.errors import PicofedError
from picofed.learn import jobfile, jobfile_text, npy
from picofed.learn.job import MODES, Job, JobError
from picofed.learn.model import Model
from picofed.learn.subset import memory_of
from picofed.learn.turns import parts, shares
from picofed.learn.versions import start_weights

_FILES: Final = ("filters", "records"), ("moments", "server")  # paths, meant from where a job file is


@click.command(short_help="Train all of a model in little memory, a part at a time.")
@common.job_argument
@click.option("--board", "kinds", multiple=True, metavar="KIND", help="A folder of boards/; repeat for a mixed fleet.")
@click.option("--memory", type=click.IntRange(1), help="Bytes for a board's trainer, instead of what boards/ say.")
@common.output_option("turns", "Folder for the job files and the first weights.", folder=True)
@common.rounds_option
@common.epsilon_option
@common.json_option
def turns(
    job_file: Path,
    kinds: tuple[str, ...],
    memory: int | None,
    output: Path,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """Divide JOB into jobs that each train a part of its model, the smallest of the boards having the memory for it.

    They share JOB's rounds, each with JOB's clipping norm and noise, so that all of them together cost a board what JOB
    does. Every job but the first starts with the weights that the one before ended with: what to run, and in which
    order, is printed.

    Example: picofed turns job.toml --memory 4000 --output turns
    """
    job, plan = jobfile.load(job_file, rounds=rounds, epsilon=epsilon)
    if job.model != Model.dense(job.model.widths, job.model.loss):
        raise PicofedError("turns train all of a model: leave train and frozen out of [model]")
    given = known(kinds)
    limit = memory if memory is not None else min(kind.memory.for_jobs for kind in given)
    room, mode = min(kind.memory.frozen for kind in given), MODES.index(job.mode)
    if memory_of(job.model, mode, room) <= limit:
        raise PicofedError(f"all of this model can be trained at once in {limit} bytes: run {job_file} as it is")
    models = parts(job.model.widths, lambda model: memory_of(model, mode, room), limit, job.model.loss)
    found = list(zip(models, shares(plan.rounds, len(models)), strict=True))
    items = [item_of(job_file, job, number, *turn, output) for number, turn in enumerate(found, 1)]
    for number, item in enumerate(items, 1):
        try:
            jobfile.parse(item, output, blank=True)
        except PicofedError as error:
            raise JobError(f"turn {number} of {len(items)}: {error}") from error
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PicofedError(f"cannot make the folder {output}: {error.strerror or error}") from error
    files = [output / f"turn-{number}.toml" for number in range(1, len(items) + 1)]
    npy.save(output / "turn-1.start.npy", start_weights(job.model, plan))
    for file, item in zip(files, items, strict=True):
        jobfile_text.write(file, item)
    samples = sum(share * job.steps * len(model.trainable) for model, share in found)
    charge = accounting.charge(job.clip, job.log2_sigma, job.steps)
    spent = accounting.epsilon(accounting.mu_squared_of(plan.rounds * charge), plan.delta, samples)
    commands = commands_of(files)
    if as_json:
        listed = [
            {
                "job": str(file),
                "rounds": share,
                "memory": memory_of(model, mode, room),
                "trainable": len(model.trainable),
                "train": jobfile_text.train_entries(model),
            }
            for file, (model, share) in zip(files, found, strict=True)
        ]
        noise = {"clip_norm": job.clip, "log2_sigma": job.log2_sigma}
        common.print_json({"limit": limit, "turns": listed, "commands": commands, "epsilon": spent, **noise})
        return
    for file, (model, share) in zip(files, found, strict=True):
        click.echo(f"{file}: {share} rounds of {describe(model)} ({memory_of(model, mode, room)} bytes)")
    click.echo(f"all of them: epsilon {common.epsilon_text(spent)} at delta {plan.delta:g}. One after the other:")
    for command in commands:
        click.echo(f"  {command}")


def item_of(job_file: Path, job: Job, number: int, model: Model, rounds: int, output: Path) -> dict[str, Any]:
    """The content of a turn's job file: JOB's, but for what is trained, for how long, and from where."""
    item: dict[str, Any] = copy.deepcopy(jobfile.read(job_file))
    item["name"] = f"{job.name}-turn-{number}"
    item.setdefault("model", {})["train"] = jobfile_text.train_entries(model)
    privacy = item.setdefault("privacy", {})
    privacy.pop("epsilon", None)  # it would be spent anew by each
    privacy |= {"clip_norm": job.clip, "log2_sigma": job.log2_sigma}
    item.setdefault("server", {}).update(rounds=rounds, start=f"turn-{number}.start.npy")
    for key, section in _FILES:
        if item.get(section, {}).get(key):
            item[section][key] = os.path.relpath(job_file.parent / item[section][key], output)
    return item


def commands_of(files: list[Path]) -> list[str]:
    """What to run, in order."""
    found = []
    for number, file in enumerate(files, 1):
        found.append(["picofed", "run", str(file)])
        if number < len(files):
            found.append(
                ["picofed", "weights", str(file), "--output", str(file.with_name(f"turn-{number + 1}.start.npy"))]
            )
    return [shlex.join(command) for command in found]
