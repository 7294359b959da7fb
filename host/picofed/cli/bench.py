"""picofed bench"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from errno import EACCES
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from picofed.bench import document, driver, measure, parts
from picofed.bench.cache import Cache
from picofed.bench.settings import FULL, QUICK, VARIANTS, Run, Scale, Setting, settings
from picofed.cli import common
from picofed.errors import PicofedError


@click.group(short_help="Benchmarks of whole fleets.")
def bench() -> None:
    """Benchmarks of whole fleets, in virtual time.

    Example: picofed bench ftte --quick --clients 10
    """


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """What all benchmarks of the grid take."""
    for option in reversed(
        (
            click.option("--quick", is_flag=True, help="Small fleets of scikit-learn's digits: a minute or two."),
            click.option("--clients", multiple=True, type=int, help="Only fleets of this size; repeat for more."),
            click.option("--stragglers", multiple=True, type=float, help="Only this part of stragglers, such as 0.9."),
            click.option("--split", multiple=True, help="Only this partition, such as dirichlet:0.1."),
            click.option("--epsilon", multiple=True, type=float, help="Only this epsilon; inf: no privacy."),
            click.option("--seeds", type=click.IntRange(1), help="How many seeds, instead of the grid's."),
            click.option(
                "--trials", type=click.IntRange(1), help="Trials of the search for each rule, instead of the grid's."
            ),
            click.option(
                "--minutes", type=click.FloatRange(0, min_open=True), help="Begin no more runs after that long."
            ),
            click.option("--workers", type=click.IntRange(1), help="Processes; default: one a processor."),
            click.option(
                "--results",
                type=click.Path(path_type=Path, dir_okay=False),
                help="SQLite file that keeps what has run: the same command goes on from there.",
            ),
            common.json_option,
        )
    ):
        command = option(command)
    return command


def _page_option(page: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--document",
        "page",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"Rewrite what is numbers on this Markdown page, such as {page}.",
    )


@dataclass
class _Asked:
    """What the options ask for. grid: all settings there are; chosen: of them."""

    scale: Scale
    grid: list[Setting]
    chosen: list[Setting]


def _asked(
    quick: bool,
    clients: tuple[int, ...],
    stragglers: tuple[float, ...],
    split: tuple[str, ...],
    epsilon: tuple[float, ...],
    seeds: int | None,
    trials: int | None,
) -> _Asked:
    """Raises PicofedError."""
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
    return _Asked(scale, grid, chosen)


@contextlib.contextmanager
def _shown(as_json: bool) -> Iterator[driver.Progress]:
    """A bar of what runs."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal or as_json, transient=True) as bar:
        task = bar.add_task("runs", total=None)

        def show(done: int, total: int, run: Run) -> None:
            bar.update(task, completed=done, total=total, description=f"{run.setting.key}, {run.variant.name}")

        yield show


def _said(whole: bool, rows: Sequence[Mapping[str, Any]], lines: Sequence[str], as_json: bool) -> None:
    """Print a benchmark's end."""
    if as_json:
        common.print_json({"complete": whole, "settings": rows})
        return
    for line in lines:
        click.echo(line)
    if not whole:
        click.echo("not everything has run: the same command goes on with it", err=True)


@bench.command(short_help="FTTE-style against FedAvg, FedAsync and FedBuff.")
@_options
@_page_option("docs/benchmark-ftte.md")
def ftte(
    page: Path | None, results: Path | None, workers: int | None, minutes: float | None, as_json: bool, **narrowed: Any
) -> None:
    """Time, memory, bytes, energy and accuracy of aggregation rules on fleets full of stragglers.

    The whole grid takes hours: --results keeps what has run, and options narrow it down.

    Example: picofed bench ftte --quick --clients 10
    """
    asked = _asked(**narrowed)
    if page is not None:
        check_page(page)
    count = workers or os.cpu_count() or 1
    with contextlib.closing(Cache(results)) as cache:
        with _shown(as_json) as show:
            whole = driver.run(
                asked.scale, asked.chosen, VARIANTS, cache, workers=count, minutes=minutes or 0.0, progress=show
            )
        rows = measure.summary(asked.scale, asked.chosen, VARIANTS, cache)
        if page is not None:
            every = measure.summary(asked.scale, asked.grid, VARIANTS, cache)
            document.write(page, asked.scale, asked.grid, VARIANTS, every, cache)
    lines = []
    for row in rows:
        lines += [row["setting"], *(f"  {line}" for line in document.table(row, VARIANTS))]
    _said(whole, rows, [*lines, *document.targets(rows)], as_json)


@bench.command("parts", short_help="What each part of the FTTE-style rule is worth.")
@_options
@_page_option("docs/benchmark-parts.md")
def parts_(
    page: Path | None, results: Path | None, workers: int | None, minutes: float | None, as_json: bool, **narrowed: Any
) -> None:
    """FTTE-style with and without each of its parts: how many points of final accuracy each is worth.

    On the grid of `bench ftte`, whose --results file serves here too.

    Example: picofed bench parts --quick --clients 10 --seeds 1 --trials 1
    """
    asked = _asked(**narrowed)
    if page is not None:
        check_page(page)
    count = workers or os.cpu_count() or 1
    with contextlib.closing(Cache(results)) as cache:
        with _shown(as_json) as show:
            whole = parts.perform(
                asked.scale, asked.chosen, cache, workers=count, minutes=minutes or 0.0, progress=show
            )
        rows = parts.summary(asked.scale, asked.chosen, cache)
        if page is not None:
            parts.write(page, asked.scale, asked.grid, parts.summary(asked.scale, asked.grid, cache), cache)
    _said(whole, rows, [*parts.table(rows), "", *parts.means(rows)], as_json)


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
