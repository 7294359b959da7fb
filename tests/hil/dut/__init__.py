"""The board under test: one interface, one backend a file. `emulated`: boards of picofed.fleet.emulation; `real`: a
board on a serial port, which must hold nothing that anybody wants to keep.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import console
from picofed.link.client import BoardClient
from picofed.link.connect import connect


class Dut(ABC):
    """A device under test. kind: its folder in boards/; natmod_arch: which native module it loads; repeats:
    whether its entropy comes from `SEED`, so that what it sends can be foretold to the byte.
    """

    kind: str
    natmod_arch: str
    repeats: bool

    @property
    @abstractmethod
    def port(self) -> str:
        """What mpremote and pyserial open."""

    @property
    @abstractmethod
    def identity(self) -> bytes:
        """The board's id, 8 bytes (SPEC 6.7)."""

    @property
    @abstractmethod
    def starts(self) -> int:
        """Starts of the board so far; its entropy in the newest one is that of start number starts - 1."""

    @abstractmethod
    def begin(self, files: Mapping[str, bytes]) -> None:
        """An empty flash, these files on it, and a first start."""

    @abstractmethod
    def reset(self, power_cut: int | None = None) -> None:
        """A hard reset; also switches a board on that is off. power_cut: see EmulatedBoard.reset()."""

    @abstractmethod
    def power_off(self) -> None:
        """Cut the power."""

    @abstractmethod
    def wait_power_cut(self, seconds: float) -> bool:
        """Whether the power that was to fail has failed."""

    @property
    @abstractmethod
    def log(self) -> str:
        """What helps to understand a failure."""

    def connect(self) -> BoardClient:
        """A client for the firmware that runs."""
        return connect(self.port)

    def mpremote(self, *words: str) -> str:
        """What an unmodified mpremote prints; fails the test where it fails."""
        return console.mpremote(self, *words)
