"""picofed helper: the second party of masked jobs, run by somebody else than the host."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.helper.roster import Roster, secret_key
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


@helper.command(short_help="Let the boards' owner write the roster for the helper.")
@common.site_option
@click.option("--minimum", type=click.IntRange(2), default=2, show_default=True, help="Least boards of a sum.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common.json_option
def roster(site: Path, minimum: int, file: Path, as_json: bool) -> None:
    """Write FILE: the public mask keys of all registered boards. It holds no secret.

    Example: picofed helper roster roster.json --minimum 2
    """
    given = [board.provision for board in common.open_registry(site)]
    owned = [provision for provision in given if isinstance(provision, Provision)]
    if len(owned) < len(given):
        raise PicofedError(f"{site} holds a host's keys, from which no roster follows: run this at the owner's --site")
    made = Roster.of(owned, minimum)
    file.write_text(made.text(), "utf-8")
    if as_json:
        common.print_json({"boards": len(made.boards), "minimum": minimum})
    else:
        click.echo(f"{len(made.boards)} boards; no sum of fewer than {minimum}")


@helper.command(short_help="Answer requests over HTTP.")
@state_option
@click.option("--roster", "roster_file", type=click.Path(path_type=Path), required=True, help="From the boards' owner.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8733, show_default=True, help="0: any free one.")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS certificate chain (PEM); with --private-key.")
@click.option("--private-key", type=click.Path(path_type=Path), help="Its private key (PEM).")
@common.json_option
def serve(
    state: Path,
    roster_file: Path,
    address: str,
    port: int,
    certificate: Path | None,
    private_key: Path | None,
    as_json: bool,
) -> None:
    """Serve until interrupted. A restart forgets nothing: every used header is in the log before it is answered.

    Example: picofed helper serve --roster roster.json
    """
    if (certificate is None) != (private_key is None):
        raise PicofedError("--certificate and --private-key go together")
    try:
        from picofed.helper.serve import serve as run
    except ImportError as error:
        raise PicofedError("the helper needs an HTTP server: pip install 'picofed[helper]'") from error
    secret, boards = secret_key(state, make=False), Roster.load(roster_file)

    def ready(url: str) -> None:
        if as_json:
            common.print_json({"url": url})
        else:
            click.echo(f"helper at {url}")

    run(state / "helper.db", secret, boards, address, port, certificate, private_key, ready)
