"""The default emulated board: MicroPython's unix port. Its flash is a folder of the host.

The board process holds the master end of the pseudo-terminal itself (boards/unix), so no byte passes through Python.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from picofed.fleet.emulation.board import EmulatedBoard, EmulationError, Start
from picofed.toolchain.build import unix_board
from picofed.toolchain.layout import repo_root

DEFAULT_HEAP_BYTES = 192 * 1024


class UnixBoard(EmulatedBoard):
    """See EmulatedBoard. heap: bytes, DEFAULT_HEAP_BYTES if None."""

    name: ClassVar[str] = "unix"
    natmod_arch: ClassVar[str] = "x64"

    @property
    def flash(self) -> Path:
        """Folder that is the board's `/`."""
        return self.directory / "flash"

    def install(self, files: Mapping[str, bytes]) -> None:
        """See EmulatedBoard. Works on a running board too: the flash is a folder."""
        self.open()
        for name, content in files.items():
            place = self._place(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def read_files(self) -> dict[str, bytes]:
        """See EmulatedBoard."""
        self.open()
        found = (path for path in sorted(self.flash.rglob("*")) if path.is_file())
        return {f"/{path.relative_to(self.flash)}": path.read_bytes() for path in found}

    def _place(self, name: str) -> Path:
        if not name.startswith("/") or ".." in Path(name).parts:
            raise EmulationError(f"{name!r} is not an absolute path on a board")
        return self.flash / name[1:]

    def _make_flash(self) -> None:
        self.flash.mkdir(exist_ok=True)

    def prepare(self) -> None:
        """See EmulatedBoard."""
        self._program = unix_board()

    def _command(self, power_cut: int | None) -> Start:
        environment = {
            "PICOFED_LINE": str(self._master),
            "PICOFED_PARENT": str(os.getpid()),
            "PICOFED_BOARD_ID": self._board_id.hex(),
        }
        if self._entropy is not None:
            environment["PICOFED_ENTROPY_SEED"] = self._entropy
        if power_cut is not None:
            environment["PICOFED_POWER_CUT"] = str(power_cut)
        if self._virtual_time:
            environment["PICOFED_VIRTUAL_TIME"] = str(self._state / "uptime")
        script = repo_root() / "boards" / "unix" / "board.py"
        heap = f"heapsize={self._heap or DEFAULT_HEAP_BYTES}"
        return Start([str(self._program), "-X", heap, str(script), str(self.flash), str(self._state)], environment)
