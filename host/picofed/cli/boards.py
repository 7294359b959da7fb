"""picofed boards: which boards are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.fleet import catalog, limits
from picofed.fleet.boards import look

_PORT: Final = 40  # columns of a terminal that a port has if the others can be narrower


@click.command(short_help="List boards and what they are doing.")
@click.argument("ports", nargs=-1, metavar="[PORT]...")
@click.option("--interrupt", is_flag=True, help="Stop what runs on a board that does not answer, to start picofed.")
@click.option("--kinds", is_flag=True, help="List the kinds of boards that picofed knows, and what each can train.")
@common.site_option
@common.json_option
def boards(ports: tuple[str, ...], interrupt: bool, kinds: bool, site: Path, as_json: bool) -> None:
    """Ask at the given PORTs (default: registered boards, else all USB serial ports) who is there.

    Example: picofed boards /dev/ttyACM0
    """
    if kinds:
        _list_kinds(as_json)
        return
    registry = common.open_registry(site)
    chosen = list(ports) or [board.port for board in registry if board.port]
    found = look(chosen, interrupt, registry.link_keys())
    if as_json:
        common.print_json(
            [
                {
                    "port": board.port,
                    "usb": board.usb,
                    "description": board.description,
                    "problem": board.problem,
                    "board": board.info.board.hex() if board.info else None,
                    "name": board.info.name if board.info else None,
                    "firmware": board.info.firmware if board.info else None,
                    "machine": board.info.machine if board.info else None,
                    "state": board.info.state.name.lower() if board.info else None,
                    "spent": board.info.spent if board.info else None,
                    "budget": board.info.budget if board.info else None,
                    "registered": bool(board.info and registry.get(board.info.board)),
                }
                for board in found
            ]
        )
    elif found:
        table = Table()
        longest = max((len(board.port) for board in found if board.info), default=0)
        for column in ("port", "board", "machine", "firmware", "state", "spent of budget"):
            # Folded, not cut: a port is there to be typed.
            table.add_column(column, overflow="fold", min_width=min(longest, _PORT) if column == "port" else None)
        for board in found:
            info = board.info
            if info is None:
                continue
            share = f"{100 * info.spent / info.budget:.1f} %" if info.budget else "-"
            texts = (board.port, info.name, info.machine, info.firmware, info.state.name.lower(), share)
            table.add_row(*map(escape, texts))
        if table.row_count:
            Console().print(table)
        for board in found:
            if board.problem:
                click.echo(f"{board.port}: {board.problem.removeprefix(f'{board.port}: ')}", err=True)
    else:
        click.echo("no boards: plug one in, or name its port")
    if ports and not any(board.info for board in found):
        raise PicofedError(found[0].problem if len(found) == 1 else "none of these ports has a picofed board")


def _list_kinds(as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for kind in catalog.kinds().values():
        limit = limits.largest(kind)
        rows.append(
            {
                "name": kind.name,
                "title": kind.title,
                "emulated": kind.emulated,
                "architecture": kind.natmod_arch,
                "flashed": kind.flash.method,
                "largest_model": list(limit.widths),
                "parameters": limit.parameters,
                "frame_bytes": limits.frame(),
            }
        )
    if as_json:
        common.print_json(rows)
        return
    table = Table()
    for column in ("board", "flashed", "architecture", "largest model", "parameters"):
        table.add_column(column)
    for row in rows:
        place = "emulated" if row["emulated"] else f"by {row['flashed']}"
        model = "-".join(map(str, row["largest_model"]))
        table.add_row(row["name"], place, row["architecture"], model, str(row["parameters"]))
    Console().print(table)
