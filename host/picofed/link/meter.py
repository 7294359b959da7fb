"""Counting what a link really carries: bytes on the wire, frames and escapes included."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from picofed.link.client import BoardClient
from picofed.link.messages import Info, Op


@dataclass
class Meter:
    """Totals of one board over all its connections, bytes.

    up: from the board; down: to it; update_bytes: the part of `up` that answered requests for updates; heap_used: the
    most that the board said its heap holds; info: what it said last.
    """

    up: int = 0
    down: int = 0
    update_bytes: int = 0
    heap_used: int = 0
    info: Info | None = field(default=None, repr=False)


class MeteredClient(BoardClient):
    """A BoardClient that counts into a meter."""

    def __init__(self, client: BoardClient, meter: Meter) -> None:
        super().__init__(client.stream, client.name)
        self._meter = meter
        self._count()

    def request(self, op: Op, *arguments: Any, timeouts: tuple[float, ...] | None = None) -> list[Any]:
        """See BoardClient."""
        try:
            return super().request(op, *arguments, timeouts=timeouts)
        finally:
            up = self._count()
            if op == Op.GET:
                self._meter.update_bytes += up

    def hello(self) -> Info:
        """See BoardApi."""
        info = super().hello()
        self._meter.info = info
        self._meter.heap_used = max(self._meter.heap_used, info.used)
        return info

    def _count(self) -> int:
        """Move the stream's counts into the meter; what came up since the last time."""
        up, down = self.stream.take_counts()
        self._meter.up += up
        self._meter.down += down
        return up
