"""Slots and windows of the record store: the compiled core against a plain walk, a slot at a time (SPEC 9)."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from zlib import crc32

import numpy as np
import pytest
from picofed import native, records
from picofed._native import ffi, lib
from picofed.records import BLANK, HEADER, NO_LABEL, OVERHEAD, SLOT, Layout

Window = tuple[int, bytes]
Meanwhile = Callable[[bytearray], None]


class Store(bytearray):
    """The ring's slots, without the file's header, and what a sensor would do to them."""

    def __init__(self, layout: Layout, chooser: random.Random, length: int) -> None:
        super().__init__()
        self.layout = layout
        self.next = 0
        self._choose = chooser
        self._session = 0
        while self.next < length:
            self.record()

    def slot(self, index: int, valid: int, label: int) -> None:
        """One slot behind the newest."""
        layout = self.layout
        body = SLOT.pack(self.next, self._session, index, valid, label)
        body += self._choose.randbytes(2 * layout.channels * valid).ljust(layout.slot_bytes - OVERHEAD, b"\0")
        at = self.next % layout.slots * layout.slot_bytes
        self[at : at + layout.slot_bytes] = body + struct.pack("<I", crc32(body))
        self.next += 1

    def record(self) -> None:
        """A session, in which labels may change: no firmware does that, but a store may hold it."""
        full = self.layout.samples
        label = self._choose.choice((0, 1, 2, NO_LABEL))
        for index in range(self._choose.randrange(1, 9)):
            if self._choose.random() < 0.1:
                label = self._choose.choice((0, 1, NO_LABEL))
            valid = full if self._choose.random() < 0.9 else self._choose.randrange(1, full + 1)
            self.slot(index, valid, label)
            if valid < full:
                break
        self._session += 1

    def damage(self) -> None:
        """A byte turns into another one; or a slot was torn while it was written; or lies where it does not belong."""
        size = self.layout.slot_bytes
        at = self._choose.randrange(len(self) // size) * size
        kind = self._choose.randrange(4)
        if kind == 0:
            self[self._choose.randrange(len(self))] ^= 1 << self._choose.randrange(8)
        elif kind == 1:
            half = size // 2
            self[at : at + half] = self._choose.randbytes(half)
        elif kind == 2:
            self[at : at + size] = b"\xff" * size
        else:
            other = self._choose.randrange(len(self) // size) * size
            self[at : at + size] = self[other : other + size]


def exists(store: Store, seq: int) -> tuple[int, int, int, int, bytes] | None:
    """Session, index, valid, label and samples of the slot, if it is there."""
    layout = store.layout
    at = seq % layout.slots * layout.slot_bytes
    slot = bytes(store[at : at + layout.slot_bytes])
    if len(slot) < layout.slot_bytes or crc32(slot[:-4]) != struct.unpack("<I", slot[-4:])[0]:
        return None
    found, session, index, valid, label = SLOT.unpack_from(slot)
    if found != seq or not 1 <= valid <= layout.samples:
        return None
    return session, index, valid, label, slot[SLOT.size :]


def plain(store: Store, cut: tuple[int, int], unlabelled: bool, meanwhile: Meanwhile) -> Iterator[Window]:
    """Windows by going over the samples one by one. What is recorded meanwhile takes effect behind each window."""
    window, stride = cut
    size = 2 * store.layout.channels
    end = store.next
    held: list[tuple[int, bytes]] = []  # label and bytes of each sample of the window
    following: tuple[int, int] | None = None
    start = 0
    for seq in range(max(0, end - store.layout.slots), end):
        slot = exists(store, seq)
        if slot is None:
            following = None
            continue
        session, index, valid, label, samples = slot
        first = index * store.layout.samples
        if following != (session, index):
            held = []
            start = (first + stride - 1) // stride * stride
        following = (session, index + 1) if valid == store.layout.samples else None
        for t in range(valid):
            if first + t < start:
                continue
            held.append((label, samples[t * size : (t + 1) * size]))
            if len(held) < window:
                continue
            labels = {one for one, _ in held}
            whole = b"".join(data for _, data in held)
            held = []
            start += stride
            if len(labels) == 1 and (label != NO_LABEL or unlabelled):
                yield label, whole
                meanwhile(store)
                if exists(store, seq) != slot:
                    following = None
                    break


def walked(
    store: Store, cut: tuple[int, int], unlabelled: bool, meanwhile: Meanwhile, at_once: int
) -> Iterator[Window]:
    """The core's windows, with at_once slots in the buffer: what firmware/picofed/records.py does."""
    layout = store.layout
    ring = ring_of(layout)
    walk = ffi.new("pf_walk *", {"window": cut[0], "stride": cut[1], "unlabelled": unlabelled})
    end = store.next
    walk.seq = max(0, end - layout.slots)
    out = np.zeros(cut[0] * layout.channels, np.int16)
    while walk.seq < end:
        number = walk.seq % layout.slots
        n = min(at_once, layout.slots - number, end - walk.seq)
        at = number * layout.slot_bytes
        data = bytes(store[at : at + n * layout.slot_bytes])
        buffer = ffi.new("uint8_t[]", n * layout.slot_bytes)
        ffi.memmove(buffer, data, len(data))
        assert 0 <= lib.pf_slots_check(ring, number, n, buffer, len(data)) <= n
        walk.place = 0
        before = bytes(store)
        while before == store:
            label = lib.pf_windows_next(walk, ring, n, buffer, ffi.from_buffer("int16_t[]", out))
            assert label >= 0
            if label == lib.PF_WALK_MORE:
                break
            yield label, out.tobytes()
            meanwhile(store)


def ring_of(layout: Layout) -> object:
    """Nothing found yet."""
    return ffi.new("pf_ring *", {"channels": layout.channels, "samples": layout.samples, "slots": layout.slots})


def nothing(_: bytearray) -> None:
    """Nobody records."""


def sensor(seed: int) -> Meanwhile:
    """Records now and then."""
    chooser = random.Random(seed)

    def run(store: bytearray) -> None:
        assert isinstance(store, Store)
        if chooser.random() < 0.3:
            store.record()

    return run


def stores(seed: int, count: int) -> Iterator[tuple[random.Random, Store, tuple[int, int]]]:
    """Random layouts, recordings, damage; (window, stride) up to several slots."""
    for number in range(count):
        chooser = random.Random(1000 * seed + number)
        layout = Layout(bytes(8), chooser.choice((1, 2, 3, 6)), 50, chooser.randrange(1, 9), chooser.randrange(1, 40))
        store = Store(layout, chooser, chooser.randrange(1, 90))
        for _ in range(chooser.choice((0, 0, 2, 6))):
            store.damage()
        window = chooser.randrange(1, 3 * layout.samples + 2)
        yield chooser, store, (window, window + chooser.choice((0, 0, 1, 5, 40)))


@pytest.mark.parametrize("recording", [False, True], ids=["at_rest", "recording"])
def test_windows_are_those_of_a_plain_walk(recording: bool) -> None:
    seen = labels = 0
    for seed, (chooser, store, cut) in enumerate(stores(1, 600)):
        unlabelled = chooser.random() < 0.5
        at_once = chooser.randrange(1, 10)
        copies = [Store(store.layout, random.Random(seed), 0) for _ in range(2)]
        for copy in copies:
            copy[:] = store
            copy.next, copy._session = store.next, store._session
        wanted = list(plain(copies[0], cut, unlabelled, sensor(seed) if recording else nothing))
        found = list(walked(copies[1], cut, unlabelled, sensor(seed) if recording else nothing, at_once))
        assert found == wanted, (seed, cut)
        assert copies[0] == copies[1]
        seen += len(found)
        labels |= 1 << sum(1 << label for label in {0, 1} & {label for label, _ in found})
    assert seen > 3000 and labels == 0b1111


def test_windows_are_the_hosts() -> None:
    """The host's own reader goes by sessions, not by slots: the same where sessions keep their label and order."""
    seen = 0
    for chooser, store, (window, stride) in stores(2, 300):
        layout = store.layout
        sessions = [
            records.Session(
                np.frombuffer(chooser.randbytes(2 * layout.channels * n), np.int16).reshape(n, layout.channels),
                chooser.choice((0, 3, NO_LABEL)),
            )
            for n in (chooser.randrange(1, 40) for _ in range(chooser.randrange(1, 9)))
        ]
        data = bytearray(records.write(layout, sessions))
        for _ in range(chooser.choice((0, 3))):
            data[chooser.randrange(HEADER.size, len(data))] ^= 0x10
        store[:] = data[HEADER.size :]
        store.next = sum(-(-len(session.samples) // layout.samples) for session in sessions)
        unlabelled = chooser.random() < 0.5
        wanted = [
            (label, samples.tobytes()) for samples, label in records.windows(bytes(data), window, stride, unlabelled)
        ]
        assert list(walked(store, (window, stride), unlabelled, nothing, chooser.randrange(1, 9))) == wanted
        seen += len(wanted)
    assert seen > 1000


def test_the_newest_slot_and_their_number() -> None:
    for chooser, store, _ in stores(3, 300):
        layout = store.layout
        found = [seq for seq in range(store.next) if exists(store, seq)]
        ring = ring_of(layout)
        number = 0
        while number < layout.slots:
            n = min(chooser.randrange(1, 9), layout.slots - number)
            data = bytes(store[number * layout.slot_bytes : (number + n) * layout.slot_bytes])
            buffer = ffi.new("uint8_t[]", n * layout.slot_bytes)
            ffi.memmove(buffer, data, len(data))
            lib.pf_slots_check(ring, number, n, buffer, len(data))
            number += n
        assert (ring.count, ring.next) == (len(found), max(found, default=-1) + 1)
        assert ring.next <= BLANK
        if found:
            slot = exists(store, found[-1])
            assert slot is not None and ring.session == slot[0]


def test_crc32_is_zlibs() -> None:
    chooser = random.Random(4)
    data = chooser.randbytes(400)
    for _ in range(2000):
        start = chooser.randrange(400)
        end = chooser.randrange(start, 401)
        before = chooser.getrandbits(32)
        assert native.crc32(data[start:end], before) == crc32(data[start:end], before)
