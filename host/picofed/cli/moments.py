"""picofed moments: what the operator's own data looks like to a model, for `moments` in [server]."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.learn import data, jobfile, npy, pretrain
from picofed.learn.versions import start_weights


@click.command(short_help="Public curvature, from your own data.")
@common.job_argument
@click.option("--data", "data_file", required=True, type=click.Path(path_type=Path), help="An .npz, .npy or .bin file.")
@common.output_option("moments.npy", "Where the moments go.")
@common.json_option
def moments(job_file: Path, data_file: Path, output: Path, as_json: bool) -> None:
    """Measure on data that you hold how inputs of JOB's layers vary; name the result as `moments` in [server].

    The server then straightens every aggregate with it, which can save rounds; boards have nothing more to do, and no
    epsilon is spent, as no board's data is looked at. Measured with the job's first weights (`start` in [server]): do
    it again when they change. The file stays on this machine, but boards get what is computed with it: use data whose
    owners agree to that.

    Example: picofed moments job.toml --data watch.npy --output moments.npy
    """
    job, plan = jobfile.load(job_file, moments="")
    clients = data.load(data_file, job)
    records = sum(len(examples.wanted) for examples in clients.values())
    if not records:
        raise PicofedError(f"{data_file} holds no record that this job learns from")
    weights = start_weights(job.model, plan)
    found = pretrain.input_moments(job.model, weights, list(clients.values()))
    npy.save(output, found)
    if as_json:
        common.print_json({"output": str(output), "layers": len(job.model.trained), "records": records})
        return
    click.echo(f"{output}: moments of {len(job.model.trained)} layers' inputs, on {records} records")
