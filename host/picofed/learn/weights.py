"""Weights objects (SPEC 6.5): a version on its way to a board."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.learn.job import Job
from picofed.learn.model import ModelError
from picofed.store import Version

VERSION: Final = 1
ALL: Final = 0
SUBSET: Final = 1
_HEADER: Final = struct.Struct("<BBHI8s")


def pack(job: Job, version: Version, kind: int = ALL) -> bytes:
    """A version for a board. kind: all parameters, or the trainable subset for a board that has the
    others.
    """
    values = version.released
    if kind == SUBSET:
        values = np.frombuffer(values, "<i2")[job.model.trainable].tobytes()
    return _HEADER.pack(VERSION, kind, 0, version.number, job.id) + values


def parse(data: bytes) -> tuple[int, int, bytes, NDArray[np.int16]]:
    """Kind, version number, job id, values (int16 Q11). Raises ModelError."""
    if len(data) < _HEADER.size or len(data) % 2:
        raise ModelError("a weights object has the wrong length")
    version, kind, zero, number, job = _HEADER.unpack_from(data)
    if version != VERSION or kind > SUBSET or zero:
        raise ModelError("this is not a weights object of version 1")
    return kind, number, job, np.frombuffer(data, "<i2", offset=_HEADER.size)
