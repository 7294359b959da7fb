"""Transfers that resume: objects to a board by what it still misses, updates from a board into a durable
place.
"""

from __future__ import annotations

from typing import Protocol

from picofed.link.board_api import BoardApi
from picofed.link.messages import OBJECT_ID, UNKNOWN, BoardError, LinkError
from picofed.native import blake2b
from picofed.update_head import name


class Parts(Protocol):
    """Where the pieces of an update are kept while it arrives, across restarts of the host."""

    def load(self, update: bytes, total: int) -> bytes:
        """The beginning of the update that is already here."""

    def add(self, update: bytes, total: int, offset: int, data: bytes) -> None:
        """Keep a piece, durably, before the next one is asked for."""

    def clear(self, update: bytes) -> None:
        """Forget the pieces of an update."""


def object_id(data: bytes) -> bytes:
    """The name of an object: H(16, -, object), SPEC 6.3."""
    return blake2b(data, OBJECT_ID)


def upload(board: BoardApi, data: bytes, mtu: int) -> bytes:
    """Bring an object to a board, from where an earlier transfer ended; returns its id.

    Raises LinkError if the board keeps asking for what it was given.
    """
    ident = object_id(data)
    missing = board.have(ident, len(data))
    sent = 0
    while missing:
        offset, length = missing[0]
        chunk = data[offset : offset + min(length, mtu)]
        missing = board.put(ident, len(data), offset, chunk)
        sent += len(chunk)
        if missing and sent > 4 * len(data) + 16 * mtu:
            raise LinkError(f"{board.name}: does not keep what it is sent: its storage may be full or worn out")
    return ident


def download(board: BoardApi, update: bytes, total: int, mtu: int, parts: Parts) -> bytes:
    """Fetch an update, from where an earlier transfer ended; the pieces go through `parts`.

    Raises LinkError, and forgets the pieces, if the whole does not have the announced id or the board has lost it.
    """
    data = bytearray(parts.load(update, total))
    while len(data) < total:
        try:
            chunk = board.get(update, len(data), min(mtu, total - len(data)))
        except BoardError as error:
            if error.code != UNKNOWN:
                raise
            parts.clear(update)
            raise LinkError("it has lost its update: it was reset") from error
        parts.add(update, total, len(data), chunk)
        data += chunk
    whole = bytes(data)
    if name(whole) != update:
        parts.clear(update)
        raise LinkError(f"{board.name}: its update was damaged on the way; it will be fetched again")
    return whole
