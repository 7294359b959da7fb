"""Counting what a link really carries: bytes on the wire, frames and escapes included."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from picofed.link.client import BoardClient
from picofed.link.messages import Info, SelfTest, State, Status


@dataclass
class Meter:
    """Totals of one board over all connections. up: from the board, down: to it; update_bytes: the answers that carried
    updates; heap_used: the most that the board's heap held, bytes."""

    up: int = 0
    down: int = 0
    update_bytes: int = 0
    heap_used: int = 0
    info: Info | None = field(default=None, repr=False)


class MeteredBoard:
    """A link.client.BoardApi that counts into a meter."""

    def __init__(self, board: BoardClient, meter: Meter) -> None:
        self._board = board
        self._meter = meter
        self._read()

    def _read(self) -> int:
        """Move the stream's counts into the meter; what came up since the last time."""
        up, down = self._board.stream.take_counts()
        self._meter.up += up
        self._meter.down += down
        return up

    def _metered(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._board, method)(*arguments)
        finally:
            self._read()

    def hello(self) -> Info:
        """See BoardApi."""
        info: Info = self._metered("hello")
        self._meter.info = info
        self._meter.heap_used = max(self._meter.heap_used, info.used)
        return info

    def put(self, ident: bytes, total: int, offset: int, data: bytes) -> list[tuple[int, int]]:
        """See BoardApi."""
        missing: list[tuple[int, int]] = self._metered("put", ident, total, offset, data)
        return missing

    def have(self, ident: bytes, total: int) -> list[tuple[int, int]]:
        """See BoardApi."""
        missing: list[tuple[int, int]] = self._metered("have", ident, total)
        return missing

    def job(self, ident: bytes) -> bytes:
        """See BoardApi."""
        job: bytes = self._metered("job", ident)
        return job

    def round(self, job: bytes, weights: bytes) -> State:
        """See BoardApi."""
        state: State = self._metered("round", job, weights)
        return state

    def status(self) -> Status:
        """See BoardApi."""
        status: Status = self._metered("status")
        return status

    def get(self, update: bytes, offset: int, length: int) -> bytes:
        """See BoardApi."""
        self._read()
        try:
            return self._board.get(update, offset, length)
        finally:
            self._meter.update_bytes += self._read()

    def drop(self, update: bytes) -> None:
        """See BoardApi."""
        self._metered("drop", update)

    def ledger(self, skip: int, count: int) -> list[bytes]:
        """See BoardApi."""
        records: list[bytes] = self._metered("ledger", skip, count)
        return records

    def selftest(self) -> list[SelfTest]:
        """See BoardApi."""
        results: list[SelfTest] = self._metered("selftest")
        return results

    def abandon(self) -> State:
        """See BoardApi."""
        state: State = self._metered("abandon")
        return state

    def close(self) -> None:
        """See BoardApi."""
        self._read()
        self._board.close()
