"""picofed selftest: let boards test themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.link.connect import connect


@click.command(short_help="Run the self-test on boards.")
@common.board_option
@common.site_option
@common.json_option
def selftest(ports: tuple[str, ...], site: Path, as_json: bool) -> None:
    """Core, noise, ledger and entropy checked on the board itself, against known answers.

    Example: picofed selftest --board /dev/ttyACM0
    """
    registry = common.open_registry(site)
    chosen = common.choose_ports(ports, registry)
    failed: list[str] = []
    silent: list[str] = []
    report: list[dict[str, Any]] = []
    for port in chosen:
        try:
            client = connect(port, keys=registry.link_keys())
            try:
                name = client.hello().name
                lines = client.selftest()
            finally:
                client.close()
        except PicofedError as error:  # the other boards are tested all the same
            silent.append(str(error))
            report.append({"port": port, "name": None, "tests": [], "problem": str(error)})
            continue
        failed += [f"{name}: {line.name}" for line in lines if not line.passed]
        report.append({"port": port, "name": name, "tests": [[line.name, line.passed, line.detail] for line in lines]})
        if not as_json:
            for line in lines:
                click.echo(f"{name}: {line.name}: {'passed' if line.passed else 'FAILED'} {line.detail}".rstrip())
    if as_json:
        common.print_json(report)
    if failed:
        silent.append(f"self-test failed: {', '.join(failed)}: do not use these boards")
    if silent:
        raise PicofedError("; ".join(silent))
