"""picofed build: native modules for MicroPython, or a whole firmware."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.fleet import catalog
from picofed.toolchain import mip
from picofed.toolchain.products import ARCHITECTURES, Failure, firmware, natmods


@click.command(short_help="Build native modules, or a whole firmware.")
@click.option("--arch", "architectures", multiple=True, metavar="ARCH", help="Only this architecture; repeat for more.")
@click.option("--board", "boards", multiple=True, metavar="BOARD", help="A whole firmware for this kind of board.")
@common.output_option(
    "build", "Folder for the results: mip/ for native modules, firmware/ for whole ones.", folder=True
)
@common.json_option
def build(architectures: tuple[str, ...], boards: tuple[str, ...], output: Path, as_json: bool) -> None:
    """Build the native module for every architecture whose compiler is here, laid out for `mpremote mip install`.

    With --board, build MicroPython with picofed in it for that board instead (and the module for --arch, if given).

    Example: picofed build --arch x64
    """
    kinds = [catalog.kind(name) for name in boards]
    wanted = architectures or (() if boards else ARCHITECTURES)
    built, failures = natmods(wanted)
    packages = mip.write(output / "mip", built) if built else {}
    whole: dict[str, Path] = {}
    for kind in kinds:
        try:
            whole[kind.name] = firmware(kind.name, output / "firmware")
        except PicofedError as error:
            failures.append(Failure(kind.name, str(error)))
    if as_json:
        common.print_json(
            {
                "natmods": {arch: str(path) for arch, path in packages.items()},
                "firmware": {name: str(path) for name, path in whole.items()},
                "failed": {failure.what: failure.why for failure in failures},
            }
        )
    else:
        for arch, path in packages.items():
            click.echo(f"{arch}: {path.parent / mip.CORE} ({(path.parent / mip.CORE).stat().st_size} bytes)")
        for name, path in whole.items():
            click.echo(f"{name}: {path} ({path.stat().st_size} bytes)")
    # What was asked for by name has to come; of "all", what this machine can build.
    missing = [failure for failure in failures if architectures or boards or not packages]
    for failure in failures if not missing and not as_json else ():
        click.echo(f"{failure.what}: not built: {failure.why}", err=True)
    if missing:
        raise PicofedError("; ".join(f"{failure.what}: {failure.why}" for failure in missing))
