"""picofed privacy-report: one page for whoever has to answer for the data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from picofed import accounting
from picofed.cli import common
from picofed.privacy import page
from picofed.privacy.statement import load_audit, state
from picofed.report.html import save


@click.command("privacy-report", short_help="Write a page for a data-protection officer.")
@common.site_option
@click.option("--delta", type=float, default=1e-5, show_default=True, help="The delta at which epsilon is stated.")
@click.option("--audit", "audit_file", type=click.Path(path_type=Path), help="What picofed audit --json has printed.")
@common.output_option("privacy.html", "Where the page goes.")
@common.honest_option
@common.json_option
def privacy_report(site: Path, delta: float, audit_file: Path | None, output: Path, honest: int, as_json: bool) -> None:
    """What is collected, what leaves the boards, what privacy was spent, whom that number makes you trust, and how it
    was audited: one HTML page, from this site's store.

    Example: picofed privacy-report --output privacy.html
    """
    accounting.epsilon(0.0, delta)
    audit = None if audit_file is None else load_audit(audit_file)
    store = common.existing_store(site)
    try:
        statement = state(store, delta, audit, honest)
    finally:
        store.close()
    save(page.render(statement), output)
    if as_json:
        common.print_json(dataclasses.asdict(statement))
    else:
        click.echo(f"privacy report: {output}")
