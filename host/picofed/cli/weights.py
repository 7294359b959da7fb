"""picofed weights: what a version has learnt, as the first weights of another job."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.learn import jobfile, npy
from picofed.learn.versions import unrounded


@click.command(short_help="Write a version's weights, for another job to start with.")
@common.job_argument
@click.option("--version", "number", type=click.IntRange(0), help="Which version; default: the newest.")
@common.output_option("weights.npy", "Where the weights go.")
@common.site_option
@common.rounds_option
@common.epsilon_option
@common.json_option
def weights(
    job_file: Path,
    number: int | None,
    output: Path,
    site: Path,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """Write all weights of a version of JOB to an .npy file; name it as `start` in [server] of another job.

    They are float64 in the order of the parameters (SPEC 7.2), of the average of the last versions if JOB makes one.
    Boards get them rounded, as they are deployed; the rest of each number is not lost to the job that goes on.

    Example: picofed weights job.toml --output weights.npy
    """
    job, _ = jobfile.load(job_file, rounds=rounds, epsilon=epsilon)
    version = common.stored_version(site, job, number)
    found = unrounded(version)
    npy.save(output, found)
    if as_json:
        common.print_json({"output": str(output), "version": version.number, "parameters": len(found)})
        return
    click.echo(f"{output}: {len(found)} weights of version {version.number}")
