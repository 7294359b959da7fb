"""picofed bench"""

from __future__ import annotations

import os
from dataclasses import replace
from errno import EACCES
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from picofed.bench import document, driver, measure
from picofed.bench.cache import Cache
from picofed.bench.settings import FULL, QUICK, VARIANTS, Run, settings
from picofed.cli import common
from picofed.errors import PicofedError


@click.group(short_help="Benchmarks of whole fleets.")
def bench() -> None:
    """Benchmarks of whole fleets, in virtual time.

    Example: picofed bench ftte --quick --clients 10
    """


@bench.command(short_help="FTTE-style against FedAvg, FedAsync and FedBuff.")
@click.option("--quick", is_flag=True, help="Small fleets of scikit-learn's digits: a minute or two.")
@click.option("--clients", multiple=True, type=int, help="Only fleets of this size; repeat for more.")
@click.option("--stragglers", multiple=True, type=float, help="Only this part of stragglers, such as 0.9.")
@click.option("--split", multiple=True, help="Only this partition, such as dirichlet:0.1.")
@click.option("--epsilon", multiple=True, type=float, help="Only this epsilon; inf: no privacy.")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds, instead of the grid's.")
@click.option("--trials", type=click.IntRange(1), help="Trials of the search for each rule, instead of the grid's.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Begin no more runs after that long.")
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one a processor.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    help="SQLite file that keeps what has run: the same command goes on from there.",
)
@click.option(
    "--document",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Rewrite the tables and pictures of this Markdown page, such as docs/benchmark-ftte.md.",
)
@common.json_option
def ftte(
    quick: bool,
    clients: tuple[int, ...],
    stragglers: tuple[float, ...],
    split: tuple[str, ...],
    epsilon: tuple[float, ...],
    seeds: int | None,
    trials: int | None,
    minutes: float | None,
    workers: int | None,
    results: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Time, memory, bytes, energy and accuracy of aggregation rules on fleets full of stragglers.

    The whole grid takes hours: --results keeps what has run, and options narrow it down.

    Example: picofed bench ftte --quick --clients 10
    """
    scale = QUICK if quick else FULL
    if seeds is not None:
        if seeds > len(FULL.seeds):
            raise PicofedError(f"--seeds {seeds}: the grid has {len(FULL.seeds)}")
        scale = replace(scale, seeds=FULL.seeds[:seeds])
    scale = replace(scale, trials=trials or scale.trials)
    grid = settings(scale)
    chosen = [
        one
        for one in grid
        if (not clients or one.clients in clients)
        and (not stragglers or one.stragglers in stragglers)
        and (not split or one.split in split)
        and (not epsilon or one.epsilon in epsilon)
    ]
    if not chosen:
        raise PicofedError(f"the grid has no such setting; it has for example: {grid[0].key}")
    if page is not None:
        check_page(page)
    cache = Cache(results)
    try:
        console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal or as_json, transient=True) as bar:
            task = bar.add_task("runs", total=None)

            def show(done: int, total: int, run: Run) -> None:
                bar.update(task, completed=done, total=total, description=f"{run.setting.key}, {run.variant.name}")

            count = workers or os.cpu_count() or 1
            whole = driver.run(scale, chosen, VARIANTS, cache, workers=count, minutes=minutes or 0.0, progress=show)
        rows = measure.summary(scale, chosen, VARIANTS, cache)
        if page is not None:
            document.write(page, scale, grid, VARIANTS, measure.summary(scale, grid, VARIANTS, cache), cache)
    finally:
        cache.close()
    if as_json:
        common.print_json({"complete": whole, "settings": rows})
        return
    for row in rows:
        click.echo(f"{row['setting']}")
        for line in document.table(row, VARIANTS):
            click.echo(f"  {line}")
    for line in document.targets(rows):
        click.echo(line)
    if not whole:
        click.echo("not everything has run: the same command goes on with it", err=True)


def check_page(page: Path) -> None:
    """Raises PicofedError if a page could not be written: known before hours of work, not after."""
    if not page.parent.is_dir():
        raise PicofedError(f"cannot write {page}: there is no such folder")
    try:
        if page.exists():
            page.read_text("utf-8")
        if not os.access(page if page.exists() else page.parent, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
    except OSError as error:
        raise PicofedError(f"cannot write {page}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PicofedError(f"{page} is no page of text: name another") from error
