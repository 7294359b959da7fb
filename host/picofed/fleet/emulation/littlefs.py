"""Files in a LittleFS image, made and read on the host: far faster than copying over an emulated serial line."""

from __future__ import annotations

import contextlib
import importlib
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from picofed.fleet.emulation.board import EmulationError

if TYPE_CHECKING:
    from littlefs import LittleFS

BLOCK: Final = 4096


def _littlefs() -> ModuleType:
    # Only boards with such a flash need it: the default one does without.
    try:
        return importlib.import_module("littlefs")
    except ImportError:
        raise EmulationError("this board's flash needs littlefs-python: pip install 'picofed[emulation]'") from None


class Image:
    """A LittleFS 2 in `content`, which is changed in place. program_size: MicroPython's progsize for this device.
    where: the file that it comes from, for messages.
    """

    def __init__(self, content: bytearray, program_size: int, where: Path) -> None:
        if not content or len(content) % BLOCK:
            raise EmulationError(f"a LittleFS image must be a multiple of {BLOCK} bytes")
        self._where = where
        # What MicroPython's VfsLfs2 uses: its other sizes follow from these.
        littlefs = _littlefs()
        self._error: type[Exception] = littlefs.LittleFSError
        self._files: LittleFS = littlefs.LittleFS(
            context=littlefs.UserContext(buffer=content),
            mount=False,
            block_size=BLOCK,
            block_count=len(content) // BLOCK,
            read_size=32,
            prog_size=program_size,
            cache_size=4 * program_size,
            lookahead_size=32,
            name_max=255,
        )

    @contextlib.contextmanager
    def _mounted(self) -> Iterator[LittleFS]:
        try:
            self._files.mount()
        except self._error as error:
            raise EmulationError(f"{self._where} has no readable file system: {error}; remove it") from error
        try:
            yield self._files
        except (self._error, OSError) as error:
            reason = str(error) or type(error).__name__
            raise EmulationError(f"{self._where} does not take this: {reason}") from error
        finally:
            self._files.unmount()

    def is_whole(self) -> bool:
        """Whether there is a file system that fills just this image."""
        try:
            self._files.mount()
        except self._error:
            return False
        self._files.unmount()
        return True

    def format(self) -> None:
        """Make an empty file system."""
        self._files.format()

    def write(self, files: Mapping[str, bytes]) -> None:
        """Put files there: absolute path -> content. Folders are made, other files stay."""
        for name in files:
            if not name.startswith("/") or posixpath.normpath(name) != name:
                raise EmulationError(f"{name!r} is not an absolute path on a board")
        with self._mounted() as tree:
            for name, content in files.items():
                tree.makedirs(posixpath.dirname(name), exist_ok=True)
                with tree.open(name, "wb") as file:
                    file.write(content)

    def read(self) -> dict[str, bytes]:
        """All files, by absolute path."""
        found = {}
        with self._mounted() as tree:
            for folder, _, names in tree.walk("/"):
                for name in names:
                    path = posixpath.join(folder, name)
                    with tree.open(path, "rb") as file:
                        found[path] = file.read()
        return dict(sorted(found.items()))
