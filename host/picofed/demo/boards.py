"""The demo's fleet: emulated watches, each with firmware, keys, policy and one wearer's recordings on its flash."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from picofed import records
from picofed.errors import PicofedError
from picofed.fleet.emulation import UnixBoard
from picofed.fleet.provision import Registry, board_files
from picofed.learn.server import Opener
from picofed.link.client import connect
from picofed.link.meter import Meter, MeteredClient
from picofed.provisioning import Provision
from picofed.toolchain.build import natmod, unix_board
from picofed.toolchain.sources import micropython_source


def build(step: Callable[[str], None]) -> None:
    """MicroPython as a board, and the native module; nothing that has not changed is built again."""
    micropython_source(step)
    step("building MicroPython for the emulated boards (only if it has changed)")
    unix_board()
    step("building the native module (only if it has changed)")
    natmod("x64")


@contextmanager
def fleet(
    folder: Path,
    provisions: Sequence[Provision],
    sessions: Mapping[str, Sequence[records.Session]],
    seed: str,
    registry: Registry,
) -> Iterator[dict[str, UnixBoard]]:
    """Fresh boards in `folder`, running while the block does; by port. Their keys go into `registry`.

    sessions: recordings by the name in each provision's policy. seed: what the emulated boards draw their entropy from.
    """
    core = natmod("x64")
    _clear(folder)
    with ExitStack() as stack:
        boards: dict[str, UnixBoard] = {}
        for provision in provisions:
            policy = provision.policy
            place = folder / policy.name
            board = UnixBoard(place, board_id=policy.board, entropy=seed.encode().hex())
            board.install(board_files(core, provision, sessions[policy.name]))
            stack.enter_context(board)
            registry.add(provision, str(board.port))
            boards[str(board.port)] = board
        yield boards


def _clear(folder: Path) -> None:
    """Only what an earlier run of the demo has left is removed."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise PicofedError(f"{folder} is in the way: move it or choose another --output")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def openers(boards: Mapping[str, UnixBoard], meters: Mapping[str, Meter]) -> dict[str, Opener]:
    """A function for each port that connects to the board there, counting bytes into its meter."""
    return {port: partial(_open, port, meters[port]) for port in boards}


def _open(port: str, meter: Meter) -> MeteredClient:
    return MeteredClient(connect(port), meter)
