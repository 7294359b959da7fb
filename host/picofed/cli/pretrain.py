"""picofed pretrain: first weights from the operator's own data, for jobs with frozen layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from picofed.cli import common
from picofed.cli.simulate import quality
from picofed.errors import PicofedError
from picofed.learn import data, jobfile, npy
from picofed.learn import pretrain as training
from picofed.learn.errors import quality_name
from picofed.learn.model import quantise


@click.command(short_help="Train first weights on your own data.")
@common.job_argument
@click.option("--data", "data_file", required=True, type=click.Path(path_type=Path), help="An .npz, .npy or .bin file.")
@click.option("--hold-out", "held", multiple=True, metavar="CLIENT", help="Measure on this client; repeat for more.")
@click.option("--rounds", type=click.IntRange(1), default=training.ROUNDS, show_default=True, help="Steps of descent.")
@common.output_option("start.npy", "Where the weights go.")
@common.json_option
def pretrain(job_file: Path, data_file: Path, held: tuple[str, ...], rounds: int, output: Path, as_json: bool) -> None:
    """Train the whole model of JOB in float on data that you hold; name the result as `start` in [server].

    With `frozen` in [model] the first layers stay as they are here, and boards train the rest. With `convolution` in
    [records] its filters are trained too, and go to the file that `filters` names. All of it is sent to every board and
    is not protected: use data whose owners agree to that.

    Example: picofed pretrain job.toml --data watch.npy --output start.npy
    """
    job, plan = jobfile.load(job_file, blank=True)
    clients = data.load(data_file, training.points_job(job) if job.filters else job)
    unknown = [name for name in held if name not in clients]
    if unknown:
        raise PicofedError(f"{data_file} has no client {unknown[0]!r}: it has {', '.join(clients)}")
    people = {name: clients.pop(name) for name in held} or clients
    if not clients:
        raise PicofedError("no client is left to train on: hold out fewer")
    if job.filters:
        filters, weights = training.pretrain_filters(job, list(clients.values()), rounds, plan.seed)
        training.save_filters(jobfile.filters_path(job_file), filters)
        job = replace(job, filters=filters)
        everyone = data.load(data_file, job)
        people = {name: everyone[name] for name in people}
    else:
        weights = training.pretrain(job, list(clients.values()), rounds, plan.seed)
    npy.save(output, weights)
    name, found = quality_name(job), quality(job, quantise(weights), people)
    if as_json:
        common.print_json({"output": str(output), "parameters": len(weights), name: found})
        return
    where = f"on {', '.join(held)}" if held else "on the training data itself (--hold-out is the honest way)"
    click.echo(f"{output}: {len(weights)} weights, {name} {found:.3f} {where}")
