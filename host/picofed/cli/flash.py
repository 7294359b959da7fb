"""picofed flash: firmware, keys and policy onto boards, many at once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import click

from picofed.cli import common
from picofed.cli.progress import FlashProgress
from picofed.errors import PicofedError
from picofed.fleet import catalog, keys
from picofed.fleet.boards import serial_ports
from picofed.fleet.flashing import Options, Outcome, Target
from picofed.fleet.flashing import flash as flash_boards
from picofed.fleet.images import Image, image
from picofed.fleet.keys import whole
from picofed.fleet.micropython import drives
from picofed.fleet.ownership import Ownership
from picofed.fleet.payload import check_main
from picofed.fleet.provision import Registry
from picofed.owner import Owner
from picofed.provisioning import LINKS
from picofed.toolchain.products import whole_firmware


@click.command(short_help="Put MicroPython, firmware, keys and policy onto boards.")
@click.option("--port", "ports", multiple=True, metavar="PORT", help="A board's port; repeat for more. Default: all.")
@click.option("--board", "board_kind", metavar="BOARD", help="Kind of board (a folder of boards/); refuse all others.")
@click.option("--micropython", metavar="IMAGE", help="Install it first: `own` (built here), a file, or a URL.")
@click.option("--sha256", help="What the image's bytes must have; needed with a URL.")
@click.option(
    "--drive",
    "places",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Where a boot loader's drive is mounted; with --port, that board's. Repeat for more.",
)
@click.option("--main", type=click.Path(path_type=Path, dir_okay=False), help="Your main.py, with its sensor.")
@click.option("--epsilon", type=float, help="Privacy budget for the board's life  [default for new boards: 8]")
@click.option("--delta", type=float, default=keys.DELTA, show_default=True, help="The delta that goes with --epsilon.")
@click.option("--budget", type=click.IntRange(1), help="The same in units of 2^-24 mu^2, instead of --epsilon.")
@click.option("--max-charge", type=click.IntRange(1), help="Most that one release may cost  [default: budget / 10]")
@click.option("--name", help="Name of the board, where it is only one.")
@click.option("--helper", metavar="KEY", help="Allow masked jobs, with the helper of this public key (64 hex digits).")
@click.option(
    "--peers", type=click.IntRange(3), help="Allow cohorts without a helper, of so many boards; sign a roster."
)
@click.option(
    "--cohort",
    type=click.IntRange(1),
    help="Fewest boards among which an update may be seen  [default: 2 with --helper]",
)
@click.option("--honest", type=click.IntRange(1), help="Boards of a sum that together add the least noise.")
@click.option(
    "--link", type=click.Choice(LINKS), help="What boards ask of messages  [default for new boards: authenticated]"
)
@click.option("--no-keys", is_flag=True, help="Only the firmware: leave keys and policy alone.")
@click.option("--new-keys", is_flag=True, help="Give keys to boards whose keys this site does not know.")
@click.option("--erase", is_flag=True, help="Delete programs, jobs and recordings first. Ledger and keys stay.")
@click.option("--interrupt", is_flag=True, help="Even if a board is in a round or holds an update, which it loses.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done (a program on the board is restarted).")
@click.option(
    "--owner",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="PICOFED_OWNER",
    help="Folder of the owner's signing key, made if there is none  [default: the site]",
)
@common.site_option
@common.json_option
def flash(
    ports: tuple[str, ...],
    board_kind: str | None,
    micropython: str | None,
    sha256: str | None,
    places: tuple[Path, ...],
    main: Path | None,
    epsilon: float | None,
    delta: float,
    budget: int | None,
    max_charge: int | None,
    name: str | None,
    helper: str | None,
    peers: int | None,
    cohort: int | None,
    honest: int | None,
    link: str | None,
    no_keys: bool,
    new_keys: bool,
    erase: bool,
    interrupt: bool,
    dry_run: bool,
    owner: Path | None,
    site: Path,
    as_json: bool,
) -> None:
    """Bring boards to where they take part: all that are plugged in, or those at the given ports, at the same time.

    What is on a board already is left. Run again whenever something went wrong: it goes on. The keys go into --site.

    Example: picofed flash --port /dev/ttyACM0 --epsilon 8
    """
    with _empty_list_on_failure(as_json):
        kind = catalog.kind(board_kind) if board_kind else None
        if epsilon is not None and budget is not None:
            raise PicofedError("--epsilon and --budget say the same thing: give one of them")
        if no_keys and (new_keys or epsilon is not None or budget is not None or max_charge is not None):
            raise PicofedError("--no-keys leaves keys and policy alone: leave their options away, or --no-keys")
        changes = {"--helper": helper, "--peers": peers, "--cohort": cohort, "--honest": honest, "--link": link}
        for option, value in changes.items():
            if value is not None and no_keys:
                raise PicofedError(f"{option} changes the policy, which --no-keys leaves alone: give one of them")
        helper_key = None if helper is None else common.public_key(helper, "--helper", "picofed helper key")
        units = keys.units(epsilon, delta)
        budget = budget if units is None else units
        _check_places(ports, places, micropython, sha256, kind)
        if main is not None:
            check_main(main)
        install_first = _image(micropython, sha256, kind) if micropython else None
        chosen = _targets(ports, places, kind)
        if name is not None and len(chosen) > 1:
            raise PicofedError(f"--name is for one board, these are {len(chosen)}: give one --port")
        options = Options(
            kind=kind,
            main=main,
            image=install_first,
            with_keys=not no_keys,
            new_keys=new_keys,
            erase=erase,
            dry_run=dry_run,
            interrupt=interrupt,
        )
        asked = None if link is None else LINKS.index(link)
        wanted = keys.Wanted(budget, max_charge, name, helper_key, peers, asked, cohort, honest)
        registry = common.open_registry(site)
        giver = keys.Keys(registry, wanted, _heads(site), lambda: _owner(owner or site))
        if not no_keys:
            # A damaged roster is told before a board has keys; it is read again after, to sign.
            Ownership(owner or site, site)
        stop = threading.Event()
        with FlashProgress(quiet=as_json) as progress:
            outcomes = flash_boards(chosen, options, giver, progress, stop)
    if not no_keys:
        _roster(outcomes, registry, site, owner or site, peers, dry_run)
    _tell(outcomes, as_json)


@contextlib.contextmanager
def _empty_list_on_failure(as_json: bool) -> Iterator[None]:
    """What fails before there are boards is a list of none, for scripts."""
    try:
        yield
    except PicofedError:
        if as_json:
            common.print_json([])
        raise


def _check_places(
    ports: tuple[str, ...],
    places: tuple[Path, ...],
    micropython: str | None,
    sha256: str | None,
    kind: catalog.Kind | None,
) -> None:
    """Options that would do nothing are a mistake."""
    if not all(ports):
        raise PicofedError("--port '' names no port: leave it away for all boards that are plugged in")
    if sha256 is not None and micropython in (None, "own"):
        raise PicofedError("--sha256 is that of a file or URL: give it with --micropython")
    if places and micropython is None:
        raise PicofedError("--drive is where MicroPython goes: say which with --micropython")
    if places and kind is not None and kind.flash.method != "uf2":
        raise PicofedError(f"{kind.name} shows no drive: leave --drive away")


def _owner(folder: Path) -> Owner:
    return Owner.have(folder / "owner.key", os.environ.get("PICOFED_PASSPHRASE", ""))


def _roster(
    outcomes: list[Outcome], registry: Registry, site: Path, folder: Path, peers: int | None, dry_run: bool
) -> None:
    """Put boards on the roster: all that are to hide among each other, and new ones where the site has a roster. A
    board that was taken off it comes back only by --peers.
    """
    ownership = Ownership(folder, site)
    signed, on_it = ownership.roster.number > 0, ownership.roster.boards
    wanted: dict[bytes, tuple[Outcome, bytes]] = {}
    for outcome in outcomes:
        board = registry.get(bytes.fromhex(outcome.board))
        if outcome.problem or board is None:
            continue
        if peers is not None or (signed and "new keys" in outcome.did):
            wanted[board.provision.policy.board] = outcome, whole(board).public
        elif signed and board.provision.policy.board not in on_it:
            outcome.did.append("not on the roster (revoked?): the host refuses it; --peers puts it back")
    missing = {ident for ident, (_, public) in wanted.items() if ownership.roster.boards.get(ident) != public}
    if missing and not dry_run:
        ownership.admit(_owner(folder), {ident: public for ident, (_, public) in wanted.items()})
    for ident, (outcome, _) in wanted.items():
        if ident not in missing:
            outcome.did.append("on the roster already")
        else:
            outcome.did.append("would go on the roster" if dry_run else f"on roster {ownership.roster.number} now")


def _image(source: str, sha256: str | None, kind: catalog.Kind | None) -> Image:
    if source != "own":
        return image(source, sha256)
    if kind is None:
        raise PicofedError("--micropython own: say for which --board")
    path = whole_firmware(kind.name)
    return Image(path, f"{kind.name}{path.suffix}")


def _targets(ports: tuple[str, ...], places: tuple[Path, ...], kind: catalog.Kind | None) -> list[Target]:
    """Where the boards are: as named, else every drive and every port that there is."""
    if ports and places:
        if len(ports) != len(places):
            raise PicofedError("--drive beside --port is where that port's board shows its drive: give one for each")
        return [Target(port, place) for port, place in zip(ports, places, strict=True)]
    if ports or places:
        return [Target(port) for port in ports] + [Target(drive=place) for place in places]
    known = [port for port, usb, _ in serial_ports() if any(kind in (None, each) for each in catalog.by_usb(usb))]
    found = [Target(drive=drive.path) for drive in drives()] + [Target(port) for port in known]
    if not found:
        raise PicofedError("no board found: plug one in, or name its port with --port")
    return found


def _heads(site: Path) -> dict[bytes, tuple[int, int]]:
    """The highest ledger heads that this site's store has seen."""
    if not (site / "store.db").exists():
        return {}
    store = common.open_store(site)
    try:
        return {row.id: (row.seq, row.spent) for row in store.boards()}
    finally:
        store.close()


def _tell(outcomes: list[Outcome], as_json: bool) -> None:
    failed = [outcome for outcome in outcomes if outcome.problem]
    if as_json:
        common.print_json([vars(outcome) for outcome in outcomes])
    else:
        for outcome in outcomes:
            if not outcome.problem:
                click.echo(outcome.line)
            elif len(outcomes) > 1:
                click.echo(f"{outcome.port}: {outcome.problem}", err=True)
    if len(outcomes) == 1 and failed:
        raise PicofedError(f"{failed[0].port}: {failed[0].problem}")
    if failed:
        raise PicofedError(f"{len(failed)} of {len(outcomes)} boards failed: see above; run it again to go on")
