"""picofed helper: the second party of masked jobs, run by somebody else than the host."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.cli.provision import load_owner, passphrase_option
from picofed.errors import PicofedError
from picofed.helper.roster import read, sign_roster, take
from picofed.helper.secret import secret_key
from picofed.native import x25519_public
from picofed.provisioning import Provision

state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("picofed-helper"),
    show_default=True,
    help="Folder of the helper's key and log.",
)


@click.group(short_help="Be the helper of masked jobs: know masks, and no updates.")
def helper() -> None:
    """Run by somebody else than the host: it gives the host the sum of the masks of a version's updates, once.

    Host and helper together could read single updates (each still has its own noise); each alone cannot.

    Example: picofed helper key
    """


@helper.command(short_help="Make the helper's key, or show its public half.")
@state_option
@common.json_option
def key(state: Path, as_json: bool) -> None:
    """Print the public key that boards' owners put into their policies; the secret stays in the state folder.

    Example: picofed helper key --state picofed-helper
    """
    public = x25519_public(secret_key(state, make=True)).hex()
    if as_json:
        common.print_json({"key": public})
    else:
        click.echo(public)


@helper.command(short_help="Let the boards' owner sign the roster for the helper.")
@common.site_option
@click.option(
    "--owner",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="PICOFED_OWNER",
    help="Folder of the owner's signing key  [default: the site]",
)
@click.option("--minimum", type=click.IntRange(2), help="Least boards of a sum  [default: as before, or 2]")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@passphrase_option
@common.json_option
def roster(site: Path, owner: Path | None, minimum: int | None, file: Path, passphrase: bool, as_json: bool) -> None:
    """Write FILE: the public mask keys of all boards, or of those on the site's roster. It holds no secret.

    It prints the owner's public key, by which the helper knows this roster and later ones.

    Example: picofed helper roster roster.cbor --minimum 2
    """
    given = [board.provision for board in common.open_registry(site)]
    owned = [provision for provision in given if isinstance(provision, Provision)]
    if len(owned) < len(given):
        raise PicofedError(f"{site} holds a host's keys, from which no roster follows: run this at the owner's --site")
    signer = load_owner(owner or site, passphrase)
    made = sign_roster(site, file, owned, signer, minimum, owner)
    boards, minimum, public = len(made.boards), made.minimum, signer.public.hex()
    if as_json:
        common.print_json({"boards": boards, "minimum": minimum, "owner": public, "roster": made.number})
    else:
        click.echo(f"roster {made.number}: {boards} boards; no sum of fewer than {minimum}; owner {public}")


@helper.command(short_help="Answer requests over HTTP.")
@state_option
@click.option("--roster", "roster_file", type=click.Path(path_type=Path), required=True, help="From the boards' owner.")
@click.option(
    "--owner", metavar="KEY", envvar="PICOFED_OWNER_KEY", help="The owner's public key; needed at the first start."
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8733, show_default=True, help="0: any free one.")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS certificate chain (PEM); with --private-key.")
@click.option("--private-key", type=click.Path(path_type=Path), help="Its private key (PEM).")
@common.json_option
def serve(
    state: Path,
    roster_file: Path,
    owner: str | None,
    address: str,
    port: int,
    certificate: Path | None,
    private_key: Path | None,
    as_json: bool,
) -> None:
    """Serve until interrupted. A restart forgets nothing: every used header is in the log before it is answered.

    So is the owner: a roster that somebody else signed, or that is older than one used before, is refused.

    Example: picofed helper serve --roster roster.cbor
    """
    owner_key = None if owner is None else common.public_key(owner, "--owner", "picofed helper roster")
    if (certificate is None) != (private_key is None):
        raise PicofedError("--certificate and --private-key go together")
    try:
        from picofed.helper.serve import serve as run
    except ImportError as error:
        raise PicofedError("the helper needs an HTTP server: pip install 'picofed[helper]'") from error
    secret, log = secret_key(state, make=False), state / "helper.db"
    boards = take(log, read(roster_file), owner_key, x25519_public(secret))

    def ready(url: str) -> None:
        if as_json:
            common.print_json({"url": url})
        else:
            click.echo(f"helper at {url}")

    run(log, secret, boards, address, port, certificate, private_key, ready)
