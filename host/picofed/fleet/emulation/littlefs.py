"""A flash image with LittleFS on it, as MicroPython's boards have it, read and written on the host."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picofed.fleet.emulation.board import EmulationError

BLOCK_BYTES = 4096


def _library() -> Any:
    try:
        return importlib.import_module("littlefs")
    except ImportError:
        raise EmulationError("flash images need littlefs-python: pip install 'picofed[emulation]'") from None


class Image:
    """The image in memory. blank: blocks of a new one; otherwise it is read from `path`."""

    def __init__(self, path: Path, blank: int | None = None) -> None:
        self._path = path
        library = _library()
        data = path.read_bytes() if blank is None else b"\xff" * (blank * BLOCK_BYTES)
        self._context = library.UserContext(len(data))
        self._context.buffer[:] = data
        options: dict[str, Any] = {"block_size": BLOCK_BYTES, "block_count": len(data) // BLOCK_BYTES}
        # What MicroPython's VfsLfs2 assumes by itself.
        options |= {"read_size": 32, "prog_size": 32, "lookahead_size": 32}
        self._files = library.LittleFS(context=self._context, mount=False, **options)
        try:
            if blank is not None:
                self._files.format()
            self._files.mount()
        except library.LittleFSError as error:
            raise EmulationError(f"{path} has no readable file system: {error}; remove it") from error
        self._error = library.LittleFSError

    def write(self, files: Mapping[str, bytes]) -> None:
        """Absolute paths to contents; folders are made, other files stay."""
        for name, content in files.items():
            if not name.startswith("/") or ".." in name.split("/"):
                raise EmulationError(f"{name!r} is not an absolute path on a board")
            try:
                self._files.makedirs(name.rpartition("/")[0] or "/", exist_ok=True)
                with self._files.open(name, "wb") as file:
                    file.write(content)
            except (OSError, self._error) as error:
                raise EmulationError(f"{name} does not go onto the flash: {error}") from error

    def read(self) -> dict[str, bytes]:
        """All files, by absolute path."""
        found = {}
        for folder, _, names in self._files.walk("/"):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                with self._files.open(path, "rb") as file:
                    found[path] = file.read()
        return found

    def save(self) -> None:
        """Write the image to its file."""
        self._path.write_bytes(bytes(self._context.buffer))
