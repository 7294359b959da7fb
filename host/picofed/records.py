"""The record store of SPEC 9 from the host's side: write one for a board's flash, read one back, cut windows.

Windows come in the same order as on the board, so that both sides see the same examples.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError
from picofed.native import crc32

MAGIC: Final = b"PFR1"
VERSION: Final = 1
HEADER: Final = struct.Struct("<4sBBHHHI8s4xI")  # the 4 zeros are crc32
SLOT: Final = struct.Struct("<IIHBB")
OVERHEAD: Final = SLOT.size + 4  # bytes of a slot that are not samples
BLANK: Final = 0xFFFFFFFF
NO_LABEL: Final = 255


class RecordsError(PicofedError):
    """A record store is malformed, or what shall go into one does not fit."""


@dataclass(frozen=True)
class Layout:
    """The fixed numbers of a record store. rate in Hz; samples: samples a slot (1..255); slots: size of the
    ring.
    """

    records_id: bytes
    channels: int = 6
    rate: int = 50
    samples: int = 20
    slots: int = 1024

    def __post_init__(self) -> None:
        if len(self.records_id) != 8:
            raise RecordsError("a records id has 8 bytes")
        if not (1 <= self.channels <= 255 and 1 <= self.samples <= 255 and 0 <= self.rate < 65536):
            raise RecordsError("channels and samples a slot must be 1 to 255, the rate below 65536 Hz")
        if self.slot_bytes > 65535 or not 1 <= self.slots < 1 << 31:
            raise RecordsError("a record store has 1 to 2^31 - 1 slots of at most 65535 bytes")

    @property
    def slot_bytes(self) -> int:
        """Bytes of a slot."""
        return OVERHEAD + 2 * self.channels * self.samples

    def header(self) -> bytes:
        """The 32 bytes before the first slot."""
        body = HEADER.pack(
            MAGIC,
            VERSION,
            self.channels,
            self.rate,
            self.samples,
            self.slot_bytes,
            self.slots,
            self.records_id,
            0,
        )[:28]
        return body + struct.pack("<I", crc32(body))

    @classmethod
    def parse(cls, data: bytes) -> Layout:
        """Read and check a header. Raises RecordsError."""
        if len(data) < HEADER.size:
            raise RecordsError("the record store is shorter than its header")
        magic, version, channels, rate, samples, slot_bytes, slots, ident, crc = HEADER.unpack_from(data)
        if magic != MAGIC or version != VERSION or crc != crc32(data[:28]):
            raise RecordsError("this is not a record store of version 1")
        layout = cls(ident, channels, rate, samples, slots)
        if layout.slot_bytes != slot_bytes:
            raise RecordsError("the record store's slot size does not fit its channels and samples")
        return layout


@dataclass(frozen=True)
class Session:
    """One recording: int16 samples of shape (n, channels), and its class (255: none)."""

    samples: NDArray[np.int16]
    label: int


def write(layout: Layout, sessions: Iterable[Session]) -> bytes:
    """A whole record store with these sessions in this order; the oldest slots are overwritten when the ring
    is full.
    """
    ring = bytearray(b"\xff" * (layout.slot_bytes * layout.slots))
    seq = 0
    for number, session in enumerate(sessions):
        samples = np.asarray(session.samples)
        if samples.ndim != 2 or samples.shape[1] != layout.channels or samples.dtype != np.int16:
            raise RecordsError(f"a session must be int16 of shape (n, {layout.channels})")
        if not 0 <= session.label <= NO_LABEL:
            raise RecordsError(f"label {session.label} is not 0 to 255")
        for index, start in enumerate(range(0, len(samples), layout.samples)):
            if index > 65535 or seq == BLANK:
                raise RecordsError("a session is too long for the record store")
            part = samples[start : start + layout.samples]
            body = SLOT.pack(seq, number, index, len(part), session.label)
            body += part.astype("<i2").tobytes().ljust(layout.slot_bytes - OVERHEAD, b"\0")
            at = (seq % layout.slots) * layout.slot_bytes
            ring[at : at + layout.slot_bytes] = body + struct.pack("<I", crc32(body))
            seq += 1
    return layout.header() + bytes(ring)


@dataclass(frozen=True)
class _Slot:
    session: int
    index: int
    label: int
    samples: NDArray[np.int16]


def _slots(layout: Layout, data: bytes) -> list[_Slot]:
    """All slots that exist, in order of seq."""
    found = []
    for number in range(layout.slots):
        at = HEADER.size + number * layout.slot_bytes
        body = data[at : at + layout.slot_bytes]
        if len(body) < layout.slot_bytes:
            break
        seq, session, index, valid, label = SLOT.unpack_from(body)
        if seq == BLANK or seq % layout.slots != number or not 1 <= valid <= layout.samples:
            continue
        if crc32(body[:-4]) != struct.unpack_from("<I", body, layout.slot_bytes - 4)[0]:
            continue
        samples = np.frombuffer(body, "<i2", valid * layout.channels, SLOT.size).reshape(valid, layout.channels)
        found.append((seq, _Slot(session, index, label, samples.astype(np.int16))))
    return [slot for _, slot in sorted(found, key=lambda item: item[0])]


def windows(data: bytes, window: int, stride: int, unlabelled: bool = False) -> Iterator[tuple[NDArray[np.int16], int]]:
    """Windows (int16, shape (window, channels)) and their labels, in the board's order (SPEC 9).

    Window k of a session is its samples [k stride, k stride + window); it exists only if all of its samples
    do, in slots with the same label. Windows without a label are left out unless `unlabelled`.
    """
    if not 0 < window <= stride:
        raise RecordsError("windows must not overlap: the stride must be at least the window")
    layout = Layout.parse(data)
    sessions: dict[int, list[_Slot]] = {}
    for slot in _slots(layout, data):
        sessions.setdefault(slot.session, []).append(slot)
    size = layout.samples
    for slots in sessions.values():
        by_index = {slot.index: slot for slot in slots}
        last = max(by_index)
        end = last * size + len(by_index[last].samples)
        start = 0
        while start + window <= end:
            parts = [by_index.get(index) for index in range(start // size, (start + window - 1) // size + 1)]
            whole = [part for part in parts if part is not None]
            alike = len(whole) == len(parts) and len({part.label for part in whole}) == 1
            if alike and (unlabelled or whole[0].label != NO_LABEL):
                samples = np.concatenate([part.samples for part in whole])
                offset = start % size
                if len(samples) >= offset + window:
                    yield samples[offset : offset + window], whole[0].label
            start += stride
