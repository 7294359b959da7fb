"""picofed provision: what the owner of boards does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from picofed import files, roster
from picofed.cli import common
from picofed.errors import PicofedError
from picofed.fleet.ownership import Ownership, board_id, read_policy
from picofed.link.connect import connect
from picofed.link.session import LinkKey
from picofed.owner import Owner, is_locked
from picofed.provisioning import LINKS, HostKeys, Policy
from picofed.provisioning import budget as units

owner_option = click.option(
    "--owner",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("picofed-owner"),
    show_default=True,
    envvar="PICOFED_OWNER",
    help="Folder of the owner's keys: keep it off the host.",
)
passphrase_option = click.option(
    "--passphrase", is_flag=True, help="Ask for the passphrase of the owner's key; else PICOFED_PASSPHRASE is it."
)
output_option = click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")


def policy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a policy says, all optional."""
    for option in reversed(
        [
            click.option("--epsilon", type=float, help="Budget for the board's whole life."),
            click.option("--delta", type=float, default=1e-5, show_default=True, help="The delta of --epsilon."),
            click.option("--releases", type=click.IntRange(1), help="No release may cost more than budget / this."),
            click.option("--min-log2-sigma", type=click.IntRange(6, 25), help="Least noise of a release."),
            click.option("--max-clip", type=click.IntRange(1, (1 << 20) - 1), help="Largest clipping norm."),
            click.option("--max-parameters", type=click.IntRange(1), help="Largest model."),
            click.option("--cohort", type=click.IntRange(1), help="Fewest boards among which an update may be seen."),
            click.option("--honest", type=click.IntRange(1), help="Boards of a sum that together add the least noise."),
            click.option("--helper", type=str, metavar="KEY", help="The helper's X25519 public key, in hex."),
            click.option("--peers", type=int, help="Allow cohorts without a helper, of so many boards; 0 allows none."),
            click.option("--link", type=click.Choice(LINKS), help="What the board asks of messages."),
        ]
    ):
        function = option(function)
    return function


def _changes(options: dict[str, Any], budget: int | None = None) -> dict[str, Any]:
    """Fields of a policy from the options that were given. budget: the one so far."""
    names = ("min_log2_sigma", "max_clip", "max_parameters", "cohort", "honest", "peers")
    found = {name: options[name] for name in names}
    if options["link"] is not None:
        found["link"] = LINKS.index(options["link"])
    if options["helper"] is not None:
        found["helper"] = common.public_key(options["helper"], "--helper", "picofed helper key")
    found["budget"] = units(options["epsilon"], options["delta"])
    budget = budget if found["budget"] is None else found["budget"]
    if budget is not None and (options["epsilon"] is not None or options["releases"] is not None):
        found["max_charge"] = budget // (options["releases"] or 10)
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def _new_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """A file for the board, which is known to be possible before anything is signed. An existing one is never
    overwritten: it may be another board's."""
    try:
        with files.creating(path) as put:
            yield put
    except FileExistsError:
        raise PicofedError(f"{path} is in the way: move it or choose another --output") from None
    except OSError as error:
        raise PicofedError(f"cannot write {path}: {error.strerror or error}") from error


def _has_terminal() -> bool:
    """Where getpass asks, which would otherwise read a passphrase that is shown."""
    if sys.stdin is not None and sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _passphrase(ask: bool, confirm: bool = False) -> str:
    if ask:
        if not _has_terminal():
            raise PicofedError("--passphrase asks on a terminal, and there is none: set PICOFED_PASSPHRASE instead")
        return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
    return os.environ.get("PICOFED_PASSPHRASE", "")


def load_owner(folder: Path, ask: bool, site: Path | None = None) -> Owner:
    """The owner's key in a folder. ask: for its passphrase. site: where `picofed flash` may have put it."""
    path = Ownership.key_file(folder)
    if site is not None and not path.exists():
        _look_at_site(folder, site)
    return Owner.load(path, _passphrase(ask) if is_locked(path) else "")


def _look_at_site(folder: Path, site: Path) -> None:
    """Whoever only ever used `picofed flash` has the key in the site. Another one would be of no use to their boards.
    Raises PicofedError."""
    if Ownership.key_file(site).exists():
        raise PicofedError(f"there is no owner's key in {folder}, but the site has one: say --owner {site}")


def _say(as_json: bool, item: dict[str, Any], text: str) -> None:
    if as_json:
        common.print_json(item)
    else:
        click.echo(text)


@click.group(short_help="Keys, policies and the roster: what the owner of boards does.")
def provision() -> None:
    """Make the owner's key, give boards keys and signed policies, and keep the roster.

    Example: picofed provision show
    """


@provision.command(short_help="Make the owner's signing key.")
@owner_option
@passphrase_option
@common.json_option
def key(folder: Path, passphrase: bool, as_json: bool) -> None:
    """Once, before the first board: every board is bound to this key. Back its file up.

    Example: picofed provision key
    """
    path = Ownership.key_file(folder)
    owner = Owner.create(path, _passphrase(passphrase, confirm=True))
    _say(as_json, {"owner": owner.public.hex(), "file": str(path)}, f"owner {owner.public.hex()}, key in {path}")


@provision.command(short_help="Make a board's provisioning file, for the first time or again.")
@click.argument("chip", metavar="CHIP")
@click.argument("name", metavar="NAME")
@click.option("--port", default="", help="Where the board will be plugged in.")
@policy_options
@output_option
@owner_option
@common.site_option
@passphrase_option
@common.json_option
def board(
    chip: str,
    name: str,
    port: str,
    output: Path | None,
    folder: Path,
    site: Path,
    passphrase: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """For the board with the number CHIP (hex), which people call NAME: its keys, a fresh seed, a signed policy.

    A board that was provisioned before keeps its keys and what it has spent. The site gets what a host needs of it.

    Example: picofed provision board e6614103e7174b2a porch
    """
    output = output or Path("provision.cbor")
    owner = load_owner(folder, passphrase, site)
    epsilon = 8.0 if options["epsilon"] is None else options["epsilon"]
    asked = {**options, "epsilon": epsilon, "link": options["link"] or "authenticated"}
    ownership = Ownership(folder, site)
    fresh = Policy(board_id(chip), name, **_changes(asked))
    known = ownership.registry.get(fresh.board)
    for other in (one.provision.policy for one in ownership.registry):
        if other.name == name and other.board != fresh.board:
            raise PicofedError(f"{name} is what board {other.board.hex()} is called: choose another name")
    changes = _changes(options, known.provision.policy.budget) if known else {}
    with _new_file(output) as put:
        made = ownership.provision(owner, fresh, changes, port)
        put(made.file())
    item = {
        "board": made.policy.board.hex(),
        "name": name,
        "policy": made.policy.number,
        "budget_units": made.policy.budget,
        "spent_units": made.spent,
        "roster": ownership.roster.number,
        "file": str(output),
    }
    _say(as_json, item, f"{name}: policy {made.policy.number} in {output}: onto the board with it, then delete it here")


@provision.command(short_help="Sign a changed policy for a board.")
@click.argument("name", metavar="NAME")
@policy_options
@output_option
@owner_option
@common.site_option
@passphrase_option
@common.json_option
def policy(
    name: str, output: Path | None, folder: Path, site: Path, passphrase: bool, as_json: bool, **options: Any
) -> None:
    """Only what is named changes in the policy of board NAME (a name or an id). `provision send` brings it there.

    Example: picofed provision policy porch --epsilon 4
    """
    output = output or Path("policy.cbor")
    owner = load_owner(folder, passphrase, site)
    ownership = Ownership(folder, site)
    known = ownership.find(name)
    changes = _changes(options, known.provision.policy.budget)
    if not changes:
        raise PicofedError("nothing would change: name a part of the policy (see --help)")
    with _new_file(output) as put:
        put(ownership.renew(owner, known, **changes))
    number = ownership.find(name).provision.policy.number
    _say(as_json, {"name": name, "policy": number, "file": str(output)}, f"{name}: policy {number} in {output}")


@provision.command(short_help="Bring a signed policy to its board.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--board", "port", required=True, metavar="PORT", help="The board's port.")
@common.site_option
@common.json_option
def send(file: Path, port: str, site: Path, as_json: bool) -> None:
    """Give the board the policy in FILE. Anybody may: the board takes it only if its owner signed it and it is newer.

    Example: picofed provision send policy.cbor --board /dev/ttyACM0
    """
    policy, signature = read_policy(file)
    registry = common.open_registry(site)
    # a policy is no secret: whatever the link in force is will do, also if the site is not up to date
    keys = {ident: LinkKey(known.key, 0) for ident, known in registry.link_keys().items()}
    client = connect(port, keys=keys)
    try:
        number = client.policy(policy.data, signature)
    finally:
        client.close()
    name = policy.name
    known = registry.get(policy.board)
    if known is not None and number == policy.number:
        held = known.provision
        renewed = {"policy": policy} if isinstance(held, HostKeys) else {"policy": policy, "signature": signature}
        registry.add(replace(held, **renewed), known.port)
    _say(as_json, {"name": name, "policy": number}, f"{name}: policy {number} is in force")


@provision.command(short_help="Take a board off the roster.")
@click.argument("name", metavar="NAME")
@owner_option
@common.site_option
@passphrase_option
@common.json_option
def revoke(name: str, folder: Path, site: Path, passphrase: bool, as_json: bool) -> None:
    """Sign a roster without board NAME (a name or an id): the host then refuses its updates.

    Example: picofed provision revoke porch
    """
    owner = load_owner(folder, passphrase, site)
    ownership = Ownership(folder, site)
    ownership.revoke(owner, ownership.find(name))
    left = len(ownership.roster.boards)
    item = {"name": name, "roster": ownership.roster.number, "boards": left}
    _say(as_json, item, f"{name} is revoked; roster {ownership.roster.number} has {left} board{'s' * (left != 1)}")


@provision.command(short_help="List the owner's boards.")
@owner_option
@common.site_option
@common.json_option
def show(folder: Path, site: Path, as_json: bool) -> None:
    """Boards, the numbers of their policies, their links, and whether the roster has them. No keys.

    Example: picofed provision show
    """
    if not any((folder / name).exists() for name in ("owner.key", "boards.json", roster.FILE)):
        _look_at_site(folder, site)
        raise PicofedError(f"{folder} is no owner's folder: name yours with --owner, or make a key with provision key")
    ownership = Ownership(folder, site)
    members = ownership.members()
    if as_json:
        boards = [
            {
                "board": member.policy.board.hex(),
                "name": member.policy.name,
                "policy": member.policy.number,
                "budget_units": member.policy.budget,
                "link": LINKS[member.policy.link],
                "on_roster": member.admitted,
            }
            for member in members
        ]
        common.print_json({"roster": ownership.roster.number, "boards": boards})
        return
    table = Table(title=f"roster {ownership.roster.number}")
    for column in ("name", "board", "policy", "link", "on the roster"):
        table.add_column(column, overflow="fold")
    for member in members:
        given = member.policy
        words = (
            given.name,
            given.board.hex(),
            str(given.number),
            LINKS[given.link],
            "yes" if member.admitted else "no",
        )
        table.add_row(*map(escape, words))
    Console().print(table)
