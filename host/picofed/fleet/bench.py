"""Emulated boards on a bench: started together, each reset, cut off from power and switched on again by command.

    reset 0         a hard reset of board 0: RAM is lost, flash stays
    cut 0           its power fails now
    cut 0 after 12  it restarts, and its power fails in its 12th flash step from then
    on 0            switched on again
    bootsel 0       it restarts with its boot loader's button held, and shows a drive that takes a UF2 file
    list            every board, its port, and whether it runs
    quit            the end of all

`all` stands for every board in place of a number.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from picofed.errors import PicofedError
from picofed.fleet.emulation import Fleet

WORDS = "reset N, cut N, cut N after STEPS, on N, bootsel N, list or quit; N is a board's number or `all`"


class BenchError(PicofedError):
    """A command that is none."""


def bench_key(directory: Path | None) -> bytes:
    """What keeps the ids of a bench's boards apart from those of any other bench: random, and kept in its directory.
    Raises BenchError.
    """
    if directory is None:
        return secrets.token_bytes(16)
    place = directory / "bench"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_text(f"{secrets.token_hex(16)}\n")
        key = bytes.fromhex(place.read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"cannot use {place}: {getattr(error, 'strerror', None) or error}") from error
    if len(key) != 16:
        raise BenchError(f"{place} is not what picofed wrote there: use another directory")
    return key


@dataclass(frozen=True)
class Place:
    """One board: its number on the bench, kind, port, whether it runs, and its boot loader's drive while it waits."""

    number: int
    kind: str
    port: str
    running: bool
    boots: int
    drive: str = ""

    @property
    def line(self) -> str:
        """For people."""
        state = f" (boot loader: {self.drive})" if self.drive else "" if self.running else " (off)"
        return f"{self.number} {self.kind} {self.port}{state}"


class Bench:
    """Commands for the boards of a started fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def places(self) -> list[Place]:
        """Every board."""
        return [
            Place(number, board.name, str(board.port), board.running, board.boots, str(board.drive or ""))
            for number, board in enumerate(self._fleet)
        ]

    def tend(self) -> list[str]:
        """Let boot loaders take what was copied to them; what one of them does not take, in words."""
        said = []
        for number, board in enumerate(self._fleet):
            try:
                board.tend()
            except PicofedError as error:
                said.append(f"board {number}: {error}")
        return said

    def do(self, line: str) -> list[Place] | None:
        """Do one command; the boards it was about, None for quit. Raises BenchError."""
        words = line.split()
        match words:
            case []:
                return []
            case ["list"]:
                return self.places()
            case ["quit"]:
                return None
            case ["reset", which]:
                chosen = self._chosen(which)
                for number in chosen:
                    self._fleet[number].reset()
            case ["on", which]:
                chosen = self._chosen(which)
                for number in chosen:
                    if not self._fleet[number].running:
                        self._fleet[number].reset()
            case ["bootsel", which]:
                chosen = self._chosen(which)
                for number in chosen:
                    self._fleet[number].boot_loader()
            case ["cut", which]:
                chosen = self._chosen(which)
                for number in chosen:
                    self._fleet[number].power_off()
            case ["cut", which, "after", steps] if steps.isdecimal() and int(steps) > 0:
                chosen = self._chosen(which)
                for number in chosen:
                    self._fleet[number].reset(power_cut=int(steps))
            case _:
                raise BenchError(f"{line.strip()[:60]!r} is no command: {WORDS}")
        places = self.places()
        return [places[number] for number in chosen]

    def _chosen(self, which: str) -> list[int]:
        if which == "all":
            return list(range(len(self._fleet)))
        if not which.isdecimal() or int(which) >= len(self._fleet):
            raise BenchError(f"there is no board {which!r}: they are 0 to {len(self._fleet) - 1}, or `all`")
        return [int(which)]
