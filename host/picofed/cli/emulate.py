"""picofed emulate: emulated boards for any tool, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.fleet import catalog
from picofed.fleet.bench import WORDS, Bench, Place, bench_key
from picofed.fleet.emulation import Fleet

_MOMENT = 0.2  # seconds between two looks at what was copied to a boot loader's drive


class _Ended(BaseException):
    """A signal that asks for the end."""


@click.command(short_help="Start emulated boards that any tool may use.")
@click.argument("board", metavar="BOARD")
@click.option("--count", type=click.IntRange(1, 64), default=1, show_default=True, help="How many.")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), help="Keep their flash there.")
@click.option("--entropy", metavar="SOURCE", help="Injected entropy: hex (a seed), stuck:XX, biased, constant.")
@click.option(
    "--power-cut", type=click.IntRange(1), help="Each one's power fails in this flash step of its first start."
)
@common.json_option
def emulate(
    board: str, count: int, directory: Path | None, entropy: str | None, power_cut: int | None, as_json: bool
) -> None:
    """Start emulated boards of the kind BOARD and print their ports. They stay until Ctrl-C or `quit`.

    While they run, lines on stdin reset them, cut them off from power (at once, or in a later flash step), switch
    them on again and hold a Pico's button; each is answered by one line for each board.

    Example: picofed emulate unix --count 2
    """
    kind = catalog.kind(board)
    if kind.emulate is None:
        raise PicofedError(f"{board} is not emulated: docs/boards.md lists the boards that are")
    kinds, key = [kind.emulate.backend] * count, bench_key(directory)
    with _until_ended(), Fleet(kinds, directory, bench=key, entropy=entropy, power_cut=power_cut) as fleet:
        bench = Bench(fleet)
        _tell(bench.places(), as_json)
        if sys.stdin.isatty():
            click.echo(f"picofed: {WORDS}", err=True)
        for line in _lines():
            for problem in bench.tend():
                click.echo(f"picofed: {problem}", err=True)
            if line is None:
                continue
            try:
                answer = bench.do(line)
            except PicofedError as error:
                click.echo(f"picofed: {error}", err=True)
                continue
            if answer is None:
                break
            _tell(answer, as_json)


def _tell(places: list[Place], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(place) for place in places]))  # a line for each answer, for readers of a stream
    else:
        for place in places:
            click.echo(place.line)
    sys.stdout.flush()


@contextlib.contextmanager
def _until_ended() -> Iterator[None]:
    """SIGTERM, SIGHUP and Ctrl-C end what is inside, boards and all; that is no mistake."""

    def end(number: int, frame: object) -> None:
        raise _Ended

    kept = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    except _Ended:
        pass
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _lines() -> Iterator[str | None]:
    """Lines of stdin, None where for a moment there is none; when it is closed, nothing more, but no end."""
    held = b""
    while True:
        if not select.select([0], [], [], _MOMENT)[0]:
            yield None
            continue
        data = os.read(0, 4096)
        if not data:
            break
        *whole, held = (held + data).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
    while True:
        time.sleep(_MOMENT)
        yield None
