"""picofed audit: whether the privacy that boards claim is the privacy that they give."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.learn import jobfile
from picofed.learn.job import Job
from picofed.learn.model import Model
from picofed.privacy import neighbours_on_board
from picofed.privacy.audit import Audit, audit
from picofed.privacy.canaries import Setting
from picofed.privacy.neighbours import MODELS, Neighbours
from picofed.privacy.on_board import CANARIES
from picofed.privacy.one_run import AuditError


class AuditFailedError(PicofedError):
    """The claim does not hold. A status of its own, so that scripts can tell it from a mistake in the command."""

    exit_status = 3


class Pace:
    """Says how long an audit through boards will take, as soon as its first release is there, and after each board."""

    def __init__(self, releases: int, say: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        self._releases, self._say, self._clock = releases, say, clock
        self._begin, self._said = clock(), 0

    def __call__(self, done: int, total: int) -> None:
        """releases so far, of all boards."""
        boards = -(-total // self._releases)
        # a board begins with the number that the last one ended with
        if self._said < done < total and (done == 1 or done % self._releases == 0):
            self._said = done
            left = (self._clock() - self._begin) * (total - done) / done
            # the first release has the board's start in it
            about = f"at most {left / 60:.1f} minutes" if done == 1 else f"about {left / 60:.1f} minutes"
            self._say(f"release {done} of {total}, on board {-(-done // self._releases)} of {boards}: {about} to go")


@click.command("audit", short_help="Attack the compiled core and compare with its claim.")
@click.argument("job_file", metavar="[JOB]", required=False, type=click.Path(path_type=Path))
@click.option("--clip-norm", type=click.IntRange(1), help="Clipping norm, instead of a job's. [default: 262144]")
@click.option("--log2-sigma", type=click.IntRange(6, 25), help="log2 of the noise's sigma. [default: 20]")
@click.option("--releases", type=click.IntRange(1, 4096), help="Releases of each board. [default: 10]")
@click.option("--delta", type=float, help="The delta at which epsilon is stated. [default: 1e-5]")
@click.option(
    "--canaries", type=click.IntRange(1, 10**6), help="Records to bet on. [default: 20000, through boards 7440]"
)
@click.option(
    "--hidden",
    type=click.IntRange(1, 1023),
    multiple=True,
    help="Width of a hidden layer of the model that records are left out of; repeat for more.",
)
@click.option("--board", metavar="KIND", help="Through emulated boards of this kind, such as unix, and their firmware.")
@click.option("--seed", type=click.IntRange(0), help="Repeat an audit to the bit. Default: fresh randomness.")
@common.json_option
def audit_command(
    job_file: Path | None,
    clip_norm: int | None,
    log2_sigma: int | None,
    releases: int | None,
    delta: float | None,
    canaries: int | None,
    hidden: tuple[int, ...],
    board: str | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Canaries, records that put all that clipping allows on one number, through the compiled core, in or out by a
    coin: can an attacker who chooses the weights and sees every release tell which? And, noise aside: does any record
    change a release of a whole model by more than clipping allows? With JOB, at that job's noise, clipping, releases
    and model; with --board, through the firmware as it is installed on a board, records only with JOB or --hidden.
    Exit status 3 if more is shown than was claimed.

    Example: picofed audit --seed 1
    """
    setting, its_delta = Setting(clip_norm or 1 << 18, log2_sigma or 20, releases or 10), 1e-5
    models: tuple[Model, ...] = MODELS
    job: Job | None = None
    if job_file is not None:
        if clip_norm is not None or log2_sigma is not None or releases is not None or hidden:
            raise click.UsageError("give a job file, or clipping norm, sigma, releases and hidden layers")
        job, plan = jobfile.load(job_file)
        # a local round is so many releases of steps, of which a function leaves (docs/proofs)
        setting = Setting(job.clip, job.log2_sigma, plan.rounds * job.steps, job.round_shift)
        its_delta, models = plan.delta, (job.model,)
        if setting.releases > 4096:
            raise AuditError(f"{setting.releases} releases are more than an audit takes: give --releases up to 4096")
    if canaries is None:
        canaries = 20_000 if board is None else 20 * CANARIES
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(bar_width=30), TextColumn("release {task.completed} of {task.total}"), TimeRemainingColumn())
    quiet = board is None or as_json or not console.is_terminal
    with Progress(*columns, console=console, disable=quiet, transient=True) as bar:
        task = bar.add_task("releases", total=None)

        def shown(each: int) -> Callable[[int, int], None]:
            """Shows how far boards are that make so many releases each."""
            pace: Pace | None = None

            def show(done: int, total: int) -> None:
                nonlocal pace
                pace = pace or Pace(each, lambda text: console.print(text, markup=False))
                bar.update(task, completed=done, total=total)
                if not as_json:
                    pace(done, total)

            return show

        of_canaries, of_records = shown(setting.releases), shown(neighbours_on_board.rounds(setting))
        its_delta = its_delta if delta is None else delta
        result = audit(setting, its_delta, canaries, seed, board, of_canaries, models, hidden, job, of_records)
    if as_json:
        common.print_json(result.as_dict())
    else:
        _print(result)
    if not result.passed:
        raise AuditFailedError(f"the audit failed: {'; '.join(result.findings)}")


def _print(result: Audit) -> None:
    setting, mu = result.setting, result.mu
    epsilon = f"{common.epsilon_text(result.epsilon_claimed)} at delta {result.delta:g}, zero-out adjacency"
    shown = f"above {result.epsilon_lower_bound:.3f} (95 % confidence)"
    lines = [
        ("through", "the compiled core" if result.board is None else f"firmware on emulated boards ({result.board})"),
        ("audited", f"{setting.releases} releases, clipping norm {setting.clip_norm}, sigma 2^{setting.log2_sigma}"),
        ("canaries", f"{result.canaries}, each in or out by a coin"),
        ("epsilon claimed", epsilon),
        ("epsilon shown", f"{shown}: {result.right} of {result.guesses} guesses right"),
        ("mu claimed", f"{mu.claimed:.4f}"),
        ("mu estimated", f"{mu.estimate:.4f} +- {mu.error:.4f}"),
    ]
    for name, part in result.worst.items():
        kind = name.split()[0].rstrip("s")
        lines.append((f"worst {kind}", f"{name}: mu {part.estimate:.3f}, {part.excess():+.1f} standard errors"))
    limit = f"limit {result.correlation_limit:.3f}"
    lines.append(("noise used twice", f"largest correlation {result.correlation:.3f}, {limit}"))
    if result.neighbours is not None:
        lines.append(("one record", _largest(result.neighbours)))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{name:<{width}}  {value}")
    click.echo(f"{'result':<{width}}  {'passed: nothing exceeds the claim' if result.passed else 'FAILED'}")


def _largest(found: Neighbours) -> str:
    models = ", ".join(
        f"{'-'.join(map(str, widths))} ({moved} of {trained} layers moved)" for widths, moved, trained in found.models
    )
    return f"changes at most {found.largest:.4f} of the clipping norm, of {found.records}, through {models}"
