"""picofed selftest: let boards test themselves."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.link.client import connect


@click.command(short_help="Run the self-test on boards.")
@common.board_option
@common.site_option
@common.json_option
def selftest(ports: tuple[str, ...], site: Path, as_json: bool) -> None:
    """Core, noise, ledger and entropy checked on the board itself, against known answers.

    Example: picofed selftest --board /dev/ttyACM0
    """
    chosen = common.choose_ports(ports, common.open_registry(site))
    failed = []
    report = []
    for port in chosen:
        client = connect(port)
        try:
            name = client.hello().name
            lines = client.selftest()
        finally:
            client.close()
        failed += [f"{name}: {line.name}" for line in lines if not line.passed]
        report.append({"port": port, "name": name, "tests": [[line.name, line.passed, line.detail] for line in lines]})
        if not as_json:
            for line in lines:
                click.echo(f"{name}: {line.name}: {'passed' if line.passed else 'FAILED'} {line.detail}".rstrip())
    if as_json:
        common.print_json(report)
    if failed:
        raise PicofedError(f"self-test failed: {', '.join(failed)}: do not use these boards")
