"""The part of `picofed simulate` that simulates a fleet in virtual time (docs/simulation.md)."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from picofed import accounting
from picofed.cli import common
from picofed.errors import PicofedError
from picofed.learn import data as files
from picofed.learn import jobfile, npy
from picofed.learn.clients import Examples
from picofed.learn.errors import quality_name
from picofed.learn.job import Plan
from picofed.learn.model import dequantise
from picofed.learn.unmask import without_masks
from picofed.report import simulation as pictures
from picofed.report.facts import epsilon_of_ledger, samples_of
from picofed.report.sums import LEDGER, in_sums, planned
from picofed.simulation import api, profile
from picofed.simulation.defaults import SETTINGS, has_buffer
from picofed.simulation.engine import Setup
from picofed.simulation.fleet import Fleet
from picofed.simulation.profile import DeviceProfile
from picofed.toolchain.layout import repo_root

SHARE = 0.2


class Interrupted(PicofedError):
    """Somebody stopped a simulation that keeps nothing."""

    exit_status = 130


def profiles(kinds: tuple[str, ...], dropout: float) -> tuple[DeviceProfile, ...]:
    """Profiles of kinds of boards by folder name, or by path of a board.toml. Raises PicofedError."""
    found = []
    for kind in kinds:
        path = Path(kind) if kind.endswith(".toml") else repo_root() / "boards" / kind / "board.toml"
        if not path.is_file():
            raise PicofedError(f"there is no kind of board {kind!r}: name a folder of boards/, or a board.toml")
        found.append(profile.read(path))
    return tuple(replace(one, dropout=dropout or one.dropout) for one in found or [DeviceProfile()])


def plan_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE, values as in TOML, a bare word being text. Raises PicofedError."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            found |= tomllib.loads(f"{name} = {value}") if equals else {}
        except tomllib.TOMLDecodeError:
            found[name] = value
        if not equals or name not in found:
            raise PicofedError(f"--set {pair}: say NAME=VALUE, such as learning_rate=0.5")
    for name in found:
        if name in ("epsilon", "delta"):
            where = "use --epsilon" if name == "epsilon" else "say it in a JOB"
            raise PicofedError(f"--set {name}: it belongs to [privacy], not to [server]: {where}")
        if name not in jobfile.server_settings():
            known = ", ".join(jobfile.server_settings())
            raise PicofedError(f"--set {name}: [server] has no setting {name!r}: it knows {known}")
    return found


def setup(
    job_file: Path | None,
    data: str,
    held: tuple[str, ...],
    seed: str,
    settings: dict[str, Any],
    options: dict[str, Any],
) -> Setup:
    """What the command line asks for. Raises PicofedError."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6], "big")
    fleet = Fleet(
        profiles(options["kinds"], options["dropout"]),
        options["stragglers"],
        options["straggler_factor"],
        at_once=options["at_once"],
    )
    common_part: dict[str, Any] = {"fleet": fleet, "seed": number, "hold_out": list(held) or SHARE}
    common_part["evaluate_every"] = options["evaluate_every"]
    if job_file is None:
        _, plan = jobfile.parse(  # for its checks of every setting
            {
                "name": "simulation",
                "records": {"window": 100, "labels": 7},
                "privacy": {"clip_norm": 1, "log2_sigma": 6},
                "server": settings,
            }
        )
        plan = replace(plan, epsilon=options["epsilon"])
        dealt = {name: options[name] for name in ("clients", "split", "hidden")}
        return api.prepare(data, plan=plan, unsaid=SETTINGS - settings.keys(), **dealt, **common_part)
    asked = options["masked_job"] = jobfile.load(job_file, **settings, epsilon=options["epsilon_given"])
    job, plan = without_masks(*asked)
    clients: dict[str, Examples] = files.load(Path(data), job)
    return api.prepare(clients, job=job, plan=plan, **common_part)


def run(made: Setup, options: dict[str, Any], as_json: bool) -> None:
    """Simulate, show progress, print the result. Raises PicofedError, also where not all versions could be made."""
    console = Console(stderr=True, highlight=False)
    name = quality_name(made.job)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    live = console.is_terminal and not as_json
    with Progress(*columns, console=console, disable=not live, transient=True) as progress:
        task = progress.add_task("versions", total=made.plan.rounds)

        def show(number: int, quality: float | None) -> None:
            progress.update(task, completed=number)
            if quality is not None:
                progress.update(task, description=f"{name} {quality:.3f}, versions")

        workers = options["workers"] or os.cpu_count()
        try:
            outcome = api.run(made, workers=workers, results=options["results"], on_version=show)
        except KeyboardInterrupt as stop:
            if options["results"]:
                raise
            raise Interrupted("interrupted: with --results the same command would go on from here") from stop
    if options["output"]:
        npy.save(options["output"], dequantise(outcome.weights))
    if options["plot"]:
        pictures.write(options["plot"], f"picofed simulation of {len(made.training)} clients", outcome.versions)
    result = summary(made, outcome)
    job, plan = options.get("masked_job", (made.job, made.plan))
    if plan.masked:
        result |= {
            "epsilon_distributed": planned(job, plan, max(outcome.clients["releases"]))[1],
            "honest": plan.honest,
        }
    if as_json:
        common.print_json(result | {"by_version": outcome.versions})
    else:
        tell(made, result)
        say_sums(result, plan)
    if outcome.stopped:
        raise PicofedError(outcome.stopped)


def tell(made: Setup, result: dict[str, Any]) -> None:
    """The numbers of a run, for people."""
    name = quality_name(made.job)
    quality = "-" if result[name] is None else f"{result[name]:.3f}"
    click.echo(f"{name} {quality} on {len(made.held_out)} clients held out; version {result['versions']}")
    click.echo(rule_text(made.plan))
    click.echo(
        f"{len(made.training)} clients, {result['updates']} updates in {result['seconds']:.1f} s of virtual time, "
        f"{result['lost']} lost, {result['refused']} refused"
    )
    spent = "no privacy" if result["epsilon"] is None else f"epsilon {common.epsilon_text(result['epsilon'])} at most"
    click.echo(
        f"{spent}; {result['bytes_up']} bytes up, {result['bytes_down']} down, {result['joules']:.1f} J, "
        f"{result['trainer_bytes']} bytes of memory a client"
    )


def rule_text(plan: Plan) -> str:
    """How versions were made, as some of it may not have been said."""
    capacity = f", capacity {plan.capacity}" if has_buffer(plan) else ""
    return f"{plan.aggregator}{capacity}; {plan.optimiser}, learning rate {plan.learning_rate:g}, decay {plan.decay:g}"


def say_sums(result: dict[str, Any], plan: Plan) -> None:
    """Both epsilons of a masked job, though a simulation leaves the masks out, and what they cover."""
    if plan.masked:
        own, summed = (common.epsilon_text(result[name]) for name in ("epsilon", "epsilon_distributed"))
        click.echo(f"this job alone: epsilon {own} {LEDGER}; {summed} in sums")
        click.echo(in_sums(plan))


def summary(made: Setup, outcome: api.Outcome) -> dict[str, Any]:
    """The numbers of a run."""
    last = {name: values[-1] for name, values in outcome.versions.items()}
    clients, arrived = outcome.clients, outcome.updates["arrived"]
    # Not of the last version's row: where no further one could be made, clients have gone on.
    lost = sum(clients["releases"]) - sum(clients["updates"]) if outcome.stopped else last["lost"]
    epsilon = None
    if made.job.private:
        most = max(outcome.clients["releases"])
        units = accounting.charge(made.job.clip, made.job.log2_sigma, made.job.steps) * most
        epsilon = epsilon_of_ledger(units, made.plan.delta, samples_of(made.job, most))
    return {
        "clients": len(made.training),
        "held_out": list(made.held_out.names),
        "versions": last["version"],
        quality_name(made.job): last[quality_name(made.job)],
        "seconds": max([last["seconds"], *arrived]),
        "updates": len(outcome.updates["client"]),
        "refused": sum(reason is not None for reason in outcome.updates["reason"]),
        "lost": lost,
        "left": sum(bool(reason) for reason in clients["left"]),
        "bytes_up": sum(clients["bytes_up"]),
        "bytes_down": sum(clients["bytes_down"]),
        "joules": sum(clients["joules"]),
        "epsilon": epsilon,
        "delta": made.plan.delta,
        "clip_norm": made.job.clip,
        "log2_sigma": made.job.log2_sigma,
        "trainer_bytes": outcome.memory,
        "stopped": outcome.stopped,
        "aggregator": made.plan.aggregator,
        "capacity": made.plan.capacity,
        "optimiser": made.plan.optimiser,
        "learning_rate": made.plan.learning_rate,
        "decay": made.plan.decay,
    }
