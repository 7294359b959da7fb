"""Emulated boards as devices under test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picofed.fleet.emulation import EmulatedBoard, emulated

from dut import Dut

REAL_TIME_ALONE = ("rp2040js",)  # every kind that is not named here has virtual time


class EmulatedDut(Dut):
    """A board of the given kind in `folder`, its entropy drawn from `seed`."""

    repeats = True

    def __init__(self, kind: str, folder: Path, identity: bytes, seed: bytes) -> None:
        self._options: dict[str, Any] = {"board_id": identity, "entropy": seed.hex()}
        self.kind, self._folder = kind, folder
        self.board: EmulatedBoard = emulated(kind, folder, **self._options)
        self.natmod_arch = self.board.natmod_arch
        self._identity = identity
        self._started = False

    @property
    def port(self) -> str:
        return str(self.board.port)

    @property
    def identity(self) -> bytes:
        return self._identity

    @property
    def starts(self) -> int:
        return self.board.boots

    @property
    def log(self) -> str:
        return self.board.log

    def begin(self, files: Mapping[str, bytes]) -> None:
        assert not self._started
        self.board.install(files)
        self.board.__enter__()
        self._started = True

    def reset(self, power_cut: int | None = None) -> None:
        self.board.reset(power_cut)

    def power_off(self) -> None:
        self.board.power_off()

    def wait_power_cut(self, seconds: float) -> bool:
        return self.board.wait_power_cut(seconds)

    def close(self) -> None:
        self.board.close()


class JumpingDut(EmulatedDut):
    """A board of a kind with virtual time (EmulatedBoard)."""

    def skip_waits(self) -> None:
        """Before begin(): its clocks jump over waits."""
        assert not self._started
        self.board = emulated(self.kind, self._folder, virtual_time=True, **self._options)

    @property
    def uptime(self) -> int:
        """Seconds of virtual time since the start, to the hour below."""
        return self.board.uptime
