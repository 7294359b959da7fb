"""The firmware's files on a board: what differs, whether it fits, and copying it so that half of it never starts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from picofed.errors import PicofedError
from picofed.fleet.payload import MAIN, SOURCE_STARTER, STARTER, Payload
from picofed.fleet.probe import DATA, LIBRARY, Probe
from picofed.fleet.repl import Repl, ReplError

_SPARE_BLOCKS: Final = 4  # the file system's own, beside whole blocks for every file

Say = Callable[[str, int, int], None]


class CopyError(PicofedError):
    """Files that do not get onto a board, or may not."""


@dataclass(frozen=True)
class Changes:
    """files: all that belong there; missing: those that are to be copied, in their order; replaced: which of them have
    an older one there; stale: what is to go; kept_main: the board's own main.py stays."""

    files: dict[str, bytes]
    missing: list[str]
    replaced: set[str]
    stale: list[str]
    kept_main: bool

    @property
    def unchanged(self) -> int:
        """Files that are there already."""
        return len(self.files) - len(self.missing)


def compare(repl: Repl, wanted: Payload, erased: bool) -> Changes:
    """What has to change on a board. erased: by then nothing of what it has is there any more. Raises CopyError."""
    files = dict(wanted.files)
    have = dict.fromkeys(files, "") if erased else repl.hashes(files)
    kept = bool(MAIN in files and not wanted.given_main and have[MAIN] and _keeps_own_main(repl, files, have))
    if kept:
        del files[MAIN]
    # In the order of copying: what starts the firmware comes last.
    order = sorted(files, key=lambda path: (path == MAIN, path == STARTER, path))
    missing = [path for path in order if have[path] != hashlib.sha256(files[path]).hexdigest()]
    stale = [] if erased else [path for path in _present(repl) if path not in wanted.files]
    return Changes(files, missing, {path for path in missing if have[path]}, stale, kept)


def _keeps_own_main(repl: Repl, files: dict[str, bytes], have: dict[str, str]) -> bool:
    """A program of the user's that starts picofed stays; another one is not ours to delete."""
    if have[MAIN] == hashlib.sha256(files[MAIN]).hexdigest():
        return False
    if not repl.value(f"print(b'picofed' in open({MAIN!r},'rb').read())"):
        raise CopyError("its main.py is another program: save it and use --erase, or replace it with --main FILE")
    return True


def _present(repl: Repl) -> list[str]:
    """Files that an earlier installation or a broken copy left behind, and the present ones."""
    package = f"{LIBRARY}/picofed"
    present = [f"{package}/{name}" for name in repl.listing(package)]
    for folder, names in ((LIBRARY, ("picofed_core.mpy",)), ("", ("main.py",)), (DATA, ("provision.cbor",))):
        there = repl.listing(folder or "/")
        endings = (".new",) if folder != LIBRARY else ("", ".new")
        present += [f"{folder}/{name}{end}" for name in names for end in endings if f"{name}{end}" in there]
    return present


def check_space(found: Probe, changes: Changes) -> None:
    """Raise CopyError where the files cannot fit; on a board that was looked at before."""
    if found.free < 0:
        return
    block = found.block

    def blocks(path: str) -> int:
        return -(-len(changes.files[path]) // block)

    # A file that is replaced gives its room back only when the new one is whole: one of them is there twice.
    new = sum(blocks(path) for path in changes.missing if path not in changes.replaced)
    twice = max((blocks(path) for path in changes.replaced), default=0)
    needed = (new + twice + _SPARE_BLOCKS) * block
    if needed > found.free:
        raise CopyError(
            f"its file system is full: {needed // 1024} kB are needed, {found.free // 1024} kB free: delete files,"
            " or use --erase"
        )


def copy(repl: Repl, changes: Changes, say: Say) -> list[str]:
    """Make the changes; returns what was copied. Raises CopyError or ReplError."""
    missing = list(changes.missing)
    if any(path.startswith(LIBRARY) for path in missing + changes.stale):
        repl.remove([STARTER, SOURCE_STARTER])
        if STARTER in changes.files and STARTER not in missing:
            missing.append(STARTER)
            missing.sort(key=lambda path: (path == MAIN, path == STARTER, path))
    repl.remove(changes.stale)
    _put(repl, {path: changes.files[path] for path in missing}, say)
    return missing


def _put(repl: Repl, files: dict[str, bytes], say: Say) -> None:
    total = sum(map(len, files.values()))
    done = 0

    for path, data in files.items():

        def advance(count: int, path: str = path) -> None:
            nonlocal done
            done += count
            say(path.rpartition("/")[2], done, total)

        say(path.rpartition("/")[2], done, total)
        try:
            repl.put(path, data, advance)
        except ReplError as error:
            if error.is_full:
                raise CopyError(
                    f"its file system is full (at {path}): delete files, or use --erase; then run it again"
                ) from error
            raise
    say("verifying the copy", 0, 0)
    wrong = [path for path, digest in repl.hashes(files).items() if digest != hashlib.sha256(files[path]).hexdigest()]
    if wrong:
        raise CopyError(f"{wrong[0]} did not arrive as it was sent: run it again; if it stays so, its flash is worn")
