"""What picofed flash is asked to do, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from picofed.errors import PicofedError
from picofed.fleet.catalog import Kind
from picofed.fleet.images import Image

Progress = Callable[[str, str, int, int], None]


class FlashError(PicofedError):
    """A board that was not flashed; running again goes on."""


@dataclass(frozen=True)
class Target:
    """Where a board is: at a port, or in its boot loader behind a drive. Both: the drive is that of the board at the
    port, now or once it is in its boot loader."""

    port: str = ""
    drive: Path | None = None


@dataclass(frozen=True)
class Options:
    """What to do with each board. kind: refuse boards of another; main: the program that becomes main.py; image:
    MicroPython to install first; with_keys: provision it; interrupt: give up what a board is doing."""

    kind: Kind | None = None
    main: Path | None = None
    image: Image | None = None
    with_keys: bool = True
    new_keys: bool = False
    erase: bool = False
    dry_run: bool = False
    interrupt: bool = False


@dataclass
class Outcome:
    """What became of one board. did: in words, in order; problem: "" where all is well."""

    port: str
    board: str = ""
    name: str = ""
    kind: str = ""
    arch: str = ""
    copied: list[str] = field(default_factory=list)
    unchanged: int = 0
    removed: list[str] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def registered_kind(self) -> str:
        """What the registry calls its kind."""
        return self.kind or self.arch

    @property
    def line(self) -> str:
        """One line for people."""
        who = f"{self.name or self.port} ({self.registered_kind}, {self.port})" if self.arch else self.port
        return f"{who}: {', '.join(self.did)}"
