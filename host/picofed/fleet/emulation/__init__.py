"""Emulated boards that any tool may use as if they were plugged in.

    from picofed.fleet.emulation import Fleet, UnixBoard, emulated

    with UnixBoard() as board:                # mpremote connect "$PORT" exec "print(1)" works while this runs
        print(board.port)
        board.install({"/main.py": b"print('hello')"})
        board.reset()

    with Fleet(["unix"] * 8) as boards:       # eight of them, all gone after the block
        ports = [board.port for board in boards]

`board` is what they share, every other module one kind of board.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from picofed.fleet import catalog
from picofed.fleet.emulation.board import EmulatedBoard, EmulationError
from picofed.fleet.emulation.qemu import QEMU_BOARDS, QemuBoard
from picofed.fleet.emulation.rp2040js import Rp2040jsBoard
from picofed.fleet.emulation.unix import DEFAULT_HEAP_BYTES, UnixBoard
from picofed.fleet.emulation.xtensa import XtensaBoard

__all__ = [
    "BACKENDS",
    "DEFAULT_HEAP_BYTES",
    "EmulatedBoard",
    "EmulationError",
    "Fleet",
    "QemuBoard",
    "Rp2040jsBoard",
    "UnixBoard",
    "XtensaBoard",
    "emulated",
]

_KINDS: tuple[type[EmulatedBoard], ...] = (UnixBoard, *QEMU_BOARDS, Rp2040jsBoard, XtensaBoard)
BACKENDS: dict[str, type[EmulatedBoard]] = {kind.name: kind for kind in _KINDS}


def emulated(name: str, directory: Path | str | None = None, **options: Any) -> EmulatedBoard:
    """A board of the kind that boards/<name> describes, not yet started; for a real kind, the emulated one that comes
    closest to it. options: EmulatedBoard's.
    """
    described = catalog.kinds().get(name)
    backend = name if described is None or described.emulate is None else described.emulate.backend
    if backend not in BACKENDS:
        known = sorted(kind.name for kind in catalog.kinds().values() if kind.emulate is not None)
        raise EmulationError(f"no emulated board is called {name!r}: choose one of {', '.join(known)}")
    return BACKENDS[backend](directory, **options)


class Fleet(Sequence[EmulatedBoard]):
    """Emulated boards of the given kinds in one `with` block.

    directory: each board gets a sub-folder board-00, board-01, ...; None: temporary folders. bench: what keeps the
    boards' ids apart from those of all other benches; without it, ids are 1, 2, 3, ... so that runs repeat. Further
    arguments go to every board.
    """

    def __init__(
        self, kinds: Sequence[str], directory: Path | str | None = None, *, bench: bytes = b"", **options: Any
    ) -> None:
        self.boards: list[EmulatedBoard] = []
        for number, kind in enumerate(kinds):
            folder = None if directory is None else Path(directory) / f"board-{number:02d}"
            ident = (number + 1).to_bytes(8, "big")
            if bench:
                ident = hashlib.blake2b(ident + kind.encode(), key=bench, digest_size=8).digest()
            self.boards.append(emulated(kind, folder, **{"board_id": ident, **options}))
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Fleet":
        with contextlib.ExitStack() as stack:
            for board in self.boards:
                stack.enter_context(board)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self.boards)

    def __getitem__(self, index: Any) -> Any:
        return self.boards[index]

    def __iter__(self) -> Iterator[EmulatedBoard]:
        return iter(self.boards)
