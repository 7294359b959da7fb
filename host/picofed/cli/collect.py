"""picofed collect: fetch updates, and leave making the version to picofed aggregate."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.cli.driving import drive


@click.command(short_help="Fetch one update on the current version from each board.")
@common.job_argument
@common.board_option
@common.site_option
@common.rounds_option
@common.epsilon_option
@common.json_option
def collect(
    job_file: Path,
    ports: tuple[str, ...],
    site: Path,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """Let each board work on the current version of JOB, and keep the updates for `picofed aggregate`.

    Example: picofed collect job.toml --board /dev/ttyACM0
    """
    drive(job_file, ports, site, rounds, epsilon, as_json, aggregate=False)
