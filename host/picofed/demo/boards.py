"""The demo's fleet: emulated watches, each with firmware, keys, policy and one wearer's recordings on its flash."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from picofed import records
from picofed.errors import PicofedError
from picofed.fleet.emulation import EmulatedBoard, emulated
from picofed.fleet.provision import Registry, board_files
from picofed.learn.server import Opener
from picofed.link.connect import POWER_ON_SECONDS, connect
from picofed.link.meter import Meter, MeteredClient
from picofed.link.session import LinkKey
from picofed.provisioning import Provision
from picofed.toolchain.build import natmod
from picofed.toolchain.sources import micropython_source

KINDS_MAX: Final = 100
_PATIENCE: Final = 2 * POWER_ON_SECONDS  # for boards that all start at once


def parse_fleet(text: str) -> tuple[str, ...]:
    """Kinds of boards from KIND=N,..., in that order. Raises PicofedError."""
    kinds: list[str] = []
    for part in text.split(","):
        name, equals, count = part.strip().partition("=")
        if not name or (equals and not (count.isascii() and count.isdigit() and 1 <= int(count) <= KINDS_MAX)):
            raise PicofedError(f"fleet {text!r} is not KIND=N,...: for example unix=4,qemu_m3=2,rp2040js=2")
        kinds += [name] * int(count or 1)
    return tuple(kinds)


def build(kinds: Sequence[str], step: Callable[[str], None]) -> None:
    """MicroPython as each kind of board, and its native module; nothing that has not changed is built again."""
    micropython_source(step)
    for kind in dict.fromkeys(kinds):
        board = emulated(kind)
        step(f"building MicroPython and the native module for {board.name} (only if they have changed)")
        board.prepare()
        natmod(board.natmod_arch)


@contextmanager
def fleet(
    folder: Path,
    kinds: Sequence[str],
    provisions: Sequence[Provision],
    sessions: Mapping[str, Sequence[records.Session]],
    seed: str,
    registry: Registry,
) -> Iterator[dict[str, EmulatedBoard]]:
    """Fresh boards in `folder`, running while the block does; by port. Their keys go into `registry`.

    kinds: what each of them is. sessions: recordings by the name in each provision's policy. seed: what the emulated
    boards draw their entropy from.
    """
    _clear(folder)
    with ExitStack() as stack:
        boards: dict[str, EmulatedBoard] = {}
        for kind, provision in zip(kinds, provisions, strict=True):
            policy = provision.policy
            place = folder / policy.name
            board = emulated(kind, place, board_id=policy.board, entropy=seed.encode().hex())
            board.install(board_files(natmod(board.natmod_arch), provision, sessions[policy.name]))
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


def openers(boards: Mapping[str, EmulatedBoard], meters: Mapping[str, Meter], registry: Registry) -> dict[str, Opener]:
    """A function for each port that connects to the board there, counting bytes into its meter."""
    keys = registry.link_keys()
    return {port: partial(_open, port, meters[port], keys) for port in boards}


def _open(port: str, meter: Meter, keys: Mapping[bytes, LinkKey]) -> MeteredClient:
    return MeteredClient(connect(port, keys=keys, patience=_PATIENCE), meter)
