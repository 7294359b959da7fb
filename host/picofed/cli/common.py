"""What several commands share: the site folder, the boards to drive, output for people and for scripts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from picofed import roster
from picofed.errors import PicofedError
from picofed.fleet.boards import serial_ports
from picofed.fleet.provision import Registry
from picofed.learn import preflight
from picofed.learn.job import Job, Plan
from picofed.learn.server import Opener
from picofed.learn.unmask import HttpHelper
from picofed.link.connect import connect
from picofed.locking import only_one
from picofed.masking import COHORT_MIN
from picofed.members import MINIMUM, Members
from picofed.report import sums
from picofed.store import Store, Version

Function = TypeVar("Function", bound=Callable[..., Any])

_NAMES: Final = 4  # of boards that have left for the same reason

site_option = click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("picofed-site"),
    show_default=True,
    envvar="PICOFED_SITE",
    help="Folder that holds this site's store and board keys.",
)
board_option = click.option(
    "--board",
    "ports",
    multiple=True,
    metavar="PORT",
    help="A board's port; repeat for more. Default: registered boards, else all USB serial ports.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
job_argument = click.argument("job_file", metavar="JOB", type=click.Path(path_type=Path))
rounds_option = click.option("--rounds", type=click.IntRange(1), help="Versions to make, instead of the job file's.")
epsilon_option = click.option("--epsilon", type=float, help="Privacy target, instead of the job file's.")
honest_option = click.option(
    "--honest",
    type=click.IntRange(COHORT_MIN),
    default=COHORT_MIN,
    show_default=True,
    help="Boards of each masked sum that are taken to be honest.",
)


def output_option(default: str, words: str, *, folder: bool = False) -> Callable[[Function], Function]:
    """Where a command's one file, or folder of files, goes."""
    kind = click.Path(path_type=Path, file_okay=not folder, dir_okay=folder)
    return click.option("--output", type=kind, default=Path(default), show_default=True, help=words)


def public_key(text: str, option: str, command: str) -> bytes:
    """32 bytes of a key that an option takes in hex. command: what prints it. Raises PicofedError."""
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise PicofedError(f"{option} takes the 64 hex digits that `{command}` prints")
    return bytes.fromhex(text)


def open_store(site: Path) -> Store:
    """The site's store, made if it is not there. Raises StoreError."""
    return Store(site / "store.db")


@contextmanager
def only_maker(site: Path, job: Job) -> Iterator[None]:
    """Held while versions of a job are made: two at once would take each other's boards and updates, and both stop.
    Raises PicofedError."""
    taken = f"another picofed makes versions of {job.name!r} in {site} just now: let it finish, or stop it first"
    with only_one(site / f"job-{job.id.hex()}", PicofedError, taken):
        yield


def existing_store(site: Path) -> Store:
    """The site's store. Raises PicofedError if there is none: looking must not make one."""
    if not (site / "store.db").exists():
        raise PicofedError(f"there is no store in {site}: run a job first, or choose another --site")
    return open_store(site)


def stored_version(site: Path, job: Job, number: int | None) -> Version:
    """A version of a job that ran at a site; None: the newest. Raises PicofedError."""
    store = existing_store(site)
    try:
        version = store.latest(job.id) if number is None else store.version(job.id, number)
    finally:
        store.close()
    if version is None:
        raise PicofedError(f"{site} holds no {'such ' if number is not None else ''}version of this job: run it first")
    return version


def open_registry(site: Path) -> Registry:
    """The site's board keys."""
    return Registry(site / "boards.json")


def update_keys(site: Path, registry: Registry) -> dict[bytes, bytes]:
    """Update keys of the boards that take part: where the owner gave a roster, of those on it."""
    signed = roster.load(site / roster.FILE)
    keys = registry.update_keys()
    if signed is None:
        return keys
    owners = {board.provision.policy.board: board.provision.owner for board in registry}
    return {ident: key for ident, key in keys.items() if signed.admits(ident, owners[ident])}


def choose_ports(ports: Sequence[str], registry: Registry) -> list[str]:
    """Where the boards are. Raises PicofedError if there is nowhere to look."""
    chosen = list(dict.fromkeys(ports)) or [board.port for board in registry if board.port]
    chosen = chosen or [port for port, _, _ in serial_ports()]
    if not chosen:
        raise PicofedError("no board found: plug one in, or name its port with --board")
    return chosen


def openers(ports: Sequence[str], registry: Registry) -> dict[str, Opener]:
    """A function for each port that connects to the board there."""
    keys = registry.link_keys()
    return {port: partial(connect, port, keys=keys) for port in ports}


def open_helper(plan: Plan) -> HttpHelper | None:
    """The helper that a plan for masked updates names. Raises PicofedError."""
    if not plan.masked or plan.masks == "pairwise":
        return None
    if not plan.helper:
        raise PicofedError("masked updates need a helper: name its URL as `helper` in [server]")
    return HttpHelper(plan.helper, plan.certificate or None)


def boards_at(ports: Sequence[str], registry: Registry) -> set[bytes]:
    """Ids of the boards that the registry knows at these ports."""
    return {board.provision.policy.board for board in registry if board.port in ports}


def least_members(
    plan: Plan, helper: HttpHelper | None, site: Path, registry: Registry, boards: set[bytes]
) -> tuple[int, str]:
    """Updates that each masked sum of these boards needs (none: any of the site's), and what says so; the helper, if
    the plan has one, was asked and is theirs. Raises PicofedError."""
    boards = boards or set(update_keys(site, registry))
    policies = [board.provision.policy for board in registry if board.provision.policy.board in boards]
    about = None
    if helper is not None:
        about = helper.about()
        signed = roster.load(site / roster.FILE)
        preflight.check_key(about, policies, signed.roster.helper if signed else b"", plan.helper)
    return preflight.least_members(plan, policies, about)


def open_members(plan: Plan, site: Path) -> Members | None:
    """The boards that may hide their updates among each other, if the plan wants them to. Raises PicofedError."""
    if plan.masks != "pairwise":
        return None
    signed = roster.load(site / roster.FILE)
    if signed is None or signed.members is None:
        raise PicofedError(
            f"pairwise masks need a roster of at least {MINIMUM} boards, signed by their owner: see `picofed provision`"
        )
    return signed.members


def reasons(left: Mapping[str, str]) -> str:
    """Why boards left, by name: each reason once, with a few of the names."""
    names: dict[str, list[str]] = {}
    for name, reason in left.items():
        names.setdefault(reason, []).append(name)
    few = {reason: ", ".join(some[:_NAMES]) for reason, some in names.items()}
    more = {reason: f" and {len(some) - _NAMES} more" for reason, some in names.items() if len(some) > _NAMES}
    return "; ".join(f"{some}{more.get(reason, '')}: {reason}" for reason, some in few.items())


def print_json(item: Any) -> None:
    """One JSON document on stdout. JSON knows no infinity: "no bound" is null."""
    click.echo(json.dumps(_finite(item), indent=2, sort_keys=True, allow_nan=False))


def _finite(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _finite(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_finite(value) for value in item]
    return None if isinstance(item, float) and math.isinf(item) else item


def epsilon_text(epsilon: Any) -> str:
    """Three decimals, rounded up: never less than the truth."""
    return sums.text(epsilon)
