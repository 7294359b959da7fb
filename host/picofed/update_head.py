"""What stands for an update in its tag and its name (SPEC 6.6, 10.3, 11.6): the bytes that say what it is, and a digest
of the rest. So whoever makes or checks all of them hashes the long part once."""

from __future__ import annotations

from typing import Final

from picofed.native import blake2b

PLAIN: Final = 4  # offset 0 of an update
MASKED: Final = 5  # for a helper
SEALED: Final = 6  # in a cohort
DIGEST: Final = 32
TAG: Final = 16
NAME: Final = 16
_SHAPES: Final = {PLAIN: (40, 0), MASKED: (60, 16), SEALED: (92, 0)}  # bytes before what is hashed, and behind it


def known(body: bytes) -> bool:
    """Is this an update, without its tag, that has a head?"""
    before, behind = _SHAPES.get(body[0], (0, 0)) if body else (0, 0)
    return before > 0 and len(body) >= before + behind


def head(body: bytes) -> bytes:
    """Of an update without its tag. Only for what is `known`."""
    before, behind = _SHAPES[body[0]]
    end = len(body) - behind
    return body[:before] + blake2b(body[before:end], DIGEST) + body[end:]


def tag(head: bytes, key: bytes) -> bytes:
    """Under a board's update key."""
    return blake2b(head, TAG, key)


def name(data: bytes) -> bytes:
    """The id of an update object. What has no head that this version knows is named as any object is."""
    body = data[:-TAG]
    return blake2b(head(body) + data[-TAG:] if known(body) else data, NAME)
