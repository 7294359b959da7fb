"""picofed bench"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from errno import EACCES
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from picofed.bench import document, driver, kept, measure, parts
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
                "--minutes", type=click.FloatRange(0), help="Begin no more runs after that long; 0: none at all."
            ),
            click.option("--workers", type=click.IntRange(1), help="Processes; default: one a processor."),
            click.option(
                "--results",
                type=click.Path(path_type=Path, dir_okay=False),
                help="SQLite file that keeps what has run: the same command goes on from there.",
            ),
            click.option(
                "--known",
                type=click.Path(path_type=Path, dir_okay=False),
                help="What has run elsewhere, as picofed bench keep writes it: it does not run again.",
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


@dataclass(frozen=True)
class _Benchmark:
    """What makes one of the benchmarks of the grid. run, rows: as driver.run and measure.summary, of rules that are
    given; write: a page of all rows of the grid; lines: what is printed of rows."""

    run: Callable[..., bool]
    rows: Callable[[Scale, Sequence[Setting], Cache], list[dict[str, Any]]]
    write: Callable[[Path, Scale, Sequence[Setting], Sequence[Mapping[str, Any]], Cache], None]
    lines: Callable[[Sequence[Mapping[str, Any]]], list[str]]

    def perform(
        self,
        page: Path | None,
        results: Path | None,
        known: Path | None,
        workers: int | None,
        minutes: float | None,
        as_json: bool,
        **narrowed: Any,
    ) -> None:
        """Run what the options ask for, and print and write what came of it. Raises PicofedError."""
        asked = _asked(**narrowed)
        if page is not None:
            check_page(page)
        count = workers or os.cpu_count() or 1
        with contextlib.closing(Cache(results)) as cache:
            if known is not None:
                kept.take(known, cache)
            with _shown(as_json) as show:
                whole = self.run(asked.scale, asked.chosen, cache, workers=count, minutes=minutes, progress=show)
            rows = self.rows(asked.scale, asked.chosen, cache)
            if page is not None:
                self.write(page, asked.scale, asked.grid, self.rows(asked.scale, asked.grid, cache), cache)
        _said(whole, rows, self.lines(rows), as_json)


def _rules_run(scale: Scale, chosen: Sequence[Setting], cache: Cache, **how: Any) -> bool:
    return driver.run(scale, chosen, VARIANTS, cache, **how)


def _rules_rows(scale: Scale, chosen: Sequence[Setting], cache: Cache) -> list[dict[str, Any]]:
    return measure.summary(scale, chosen, VARIANTS, cache)


def _rules_write(
    page: Path, scale: Scale, grid: Sequence[Setting], rows: Sequence[Mapping[str, Any]], cache: Cache
) -> None:
    document.write(page, scale, grid, VARIANTS, rows, cache)


def _rules_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        lines += [row["setting"], *(f"  {line}" for line in document.table(row, VARIANTS))]
    return [*lines, *document.targets(rows)]


_RULES = _Benchmark(_rules_run, _rules_rows, _rules_write, _rules_lines)
_PARTS = _Benchmark(
    parts.perform, parts.summary, parts.write, lambda rows: [*parts.table(rows), "", *parts.means(rows)]
)


@bench.command(short_help="FTTE-style against FedAvg, FedAsync and FedBuff.")
@_options
@_page_option("docs/benchmark-ftte.md")
def ftte(**options: Any) -> None:
    """Time, memory, bytes, energy and accuracy of aggregation rules on fleets full of stragglers.

    The whole grid takes hours: --results keeps what has run, --known takes what has run elsewhere, and options narrow
    it down.

    Example: picofed bench ftte --quick --clients 10
    """
    _RULES.perform(**options)


@bench.command("parts", short_help="What each part of the FTTE-style rule is worth.")
@_options
@_page_option("docs/benchmark-parts.md")
def parts_(**options: Any) -> None:
    """FTTE-style with and without each of its parts: how many points of final accuracy each is worth.

    On the grid of `bench ftte`, whose --results file serves here too.

    Example: picofed bench parts --quick --clients 10 --seeds 1 --trials 1
    """
    _PARTS.perform(**options)


@bench.command(short_help="Write what has run into one small file.")
@click.argument("results", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--quick", is_flag=True, help="Of the small fleets.")
@common.json_option
def keep(results: Path, file: Path, quick: bool, as_json: bool) -> None:
    """Write what has run of both benchmarks into FILE, for --known.

    RESULTS is what --results named. FILE has a line of JSON for each run, compressed with xz: what it was, and what
    came of it, curves included.

    Example: picofed bench keep bench.db runs.jsonl.xz --quick
    """
    scale = QUICK if quick else FULL
    with contextlib.closing(Cache(results)) as cache:
        count = kept.keep(file, scale, settings(scale), VARIANTS, cache)
    if as_json:
        common.print_json({"runs": count, "bytes": file.stat().st_size})
    else:
        click.echo(f"{count} runs in {file}, {file.stat().st_size:,} bytes")


@bench.command(short_help="Do some of the kept runs again.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="How many, drawn by lot.")
@click.option("--seed", type=int, help="Of the lot; default: another one each time.")
@click.option("--clients", multiple=True, type=int, help="Only of fleets of this size; repeat for more.")
@click.option("--quick", is_flag=True, help="FILE is of the small fleets.")
@common.json_option
def check(file: Path, runs: int, seed: int | None, clients: tuple[int, ...], quick: bool, as_json: bool) -> None:
    """Do some of the runs in FILE again, and compare what comes of them to the last digit.

    FILE is what picofed bench keep wrote. A run takes seconds, of 500 clients up to a minute. Exit status 3: one of
    them came to something else.

    Example: picofed bench check runs.jsonl.xz --quick --runs 1
    """
    scale = QUICK if quick else FULL
    with contextlib.closing(Cache(None)) as cache:
        kept.take(file, cache)
        chosen = [one for one in settings(scale) if not clients or one.clients in clients]
        there = list(kept.known(scale, chosen, VARIANTS, cache))
    if not there:
        raise PicofedError(f"{file} has no run of such a fleet: see --clients and --quick")
    rows = []
    for run, result in random.Random(seed).sample(there, min(runs, len(there))):
        rows.append({"run": kept.words(run), "same": kept.again(run, result)})
        if not as_json:
            of = f"{run.setting.key}, {run.variant.words}, seed {run.seed}"
            click.echo(f"{of}: {100 * result['accuracy']:.2f} % {'again' if rows[-1]['same'] else 'NOT again'}")
    if as_json:
        common.print_json({"runs": rows})
    if not all(row["same"] for row in rows):
        sys.exit(3)


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
