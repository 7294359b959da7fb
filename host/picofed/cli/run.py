"""picofed run: collect and aggregate until all versions are made."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.cli.driving import drive


@click.command(short_help="Let boards learn together until all versions are made.")
@common.job_argument
@common.board_option
@common.site_option
@common.rounds_option
@common.epsilon_option
@common.json_option
def run(
    job_file: Path,
    ports: tuple[str, ...],
    site: Path,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """Send JOB to the boards, collect their updates and make versions until all rounds are done.

    Interrupted or killed, the same command goes on where it was.

    Example: picofed run job.toml --board /dev/ttyACM0 --board /dev/ttyACM1
    """
    drive(job_file, ports, site, rounds, epsilon, as_json, aggregate=True)
