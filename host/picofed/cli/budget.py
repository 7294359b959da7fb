"""picofed budget: what privacy has cost so far, board by board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from picofed import accounting
from picofed.cli import common
from picofed.report.facts import epsilon_of_ledger, samples_a_release
from picofed.report.sums import CONDITIONS, LEDGER, Conditional


@click.command(short_help="Show what each board has spent of its privacy budget.")
@common.site_option
@click.option("--delta", type=float, default=1e-5, show_default=True, help="The delta at which epsilon is stated.")
@common.honest_option
@common.json_option
def budget(site: Path, delta: float, honest: int, as_json: bool) -> None:
    """Epsilon spent and left on every board that this site has seen, by the boards' own ledgers.

    Record-level, zero-out adjacency; unconditional: it holds against this host too. Where there were masked updates,
    the conditional epsilon of sums stands beside it.

    Example: picofed budget --delta 1e-6
    """
    store = common.existing_store(site)
    try:
        rows = store.boards()
        samples = samples_a_release(store)
        accounting.epsilon(0.0, delta)  # refuses a delta that makes no sense, also where there is no board
        conditional = Conditional(store, delta, honest)
    finally:
        store.close()
    items = [
        {
            "board": row.id.hex(),
            "name": row.name,
            "seq": row.seq,
            "spent_units": row.spent,
            "budget_units": row.budget,
            "epsilon_spent": epsilon_of_ledger(row.spent, delta, samples * row.seq),
            "epsilon_budget": epsilon_of_ledger(row.budget, delta, samples * row.seq),
            "epsilon_distributed": conditional.epsilon(row),
        }
        for row in rows
    ]
    if as_json:
        common.print_json({"delta": delta, "honest": honest, "boards": items})
        return
    table = Table(title=f"privacy at delta {delta:g}")
    masked = any(item["epsilon_distributed"] is not None for item in items)
    columns = ["board", "epsilon spent", "epsilon allowed", "releases and other records"]
    for column in [*columns, f"with {honest} honest"] if masked else columns:
        table.add_column(column, justify="left" if column == "board" else "right", overflow="fold")
    for item in items:
        table.add_row(
            escape(str(item["name"])),
            common.epsilon_text(item["epsilon_spent"]),
            common.epsilon_text(item["epsilon_budget"]),
            str(item["seq"]),
            *([_conditional_text(item["epsilon_distributed"])] if masked else []),
        )
    Console().print(table)
    click.echo(f"epsilon spent: everything the board ever released, {LEDGER}")
    if masked:
        click.echo(f"with {honest} honest: the same, {CONDITIONS.format(honest=honest)}")


def _conditional_text(epsilon: Any) -> str:
    return "nothing masked" if epsilon is None else common.epsilon_text(epsilon)
