"""The record store: what is written is read, torn slots do not exist, windows follow SPEC 9."""

from __future__ import annotations

import numpy as np
import pytest
from picofed import records
from picofed.records import Layout, Session

ID = b"records!"


def session(length: int, label: int, start: int = 0) -> Session:
    samples = (np.arange(length * 6).reshape(length, 6) + start).astype(np.int16)
    return Session(samples, label)


def test_layout_of_the_bytes() -> None:
    data = records.write(Layout(ID, slots=2), [session(25, 3)])
    assert len(data) == 32 + 2 * 256
    assert data[:4] == b"PFR1" and data[16:24] == ID and data[24:28] == bytes(4)
    assert Layout.parse(data) == Layout(ID, slots=2)
    second = data[32 + 256 :]
    assert second[:12] == (1).to_bytes(4, "little") + bytes(4) + b"\1\0" + bytes([5, 3])
    assert second[12 + 5 * 12 : 252] == bytes(15 * 12)


def test_windows_do_not_cross_sessions_and_drop_the_tail() -> None:
    data = records.write(Layout(ID, slots=64), [session(250, 1), session(99, 2), session(100, 3, 5)])
    found = list(records.windows(data, 100, 100))
    assert [label for _, label in found] == [1, 1, 3]
    whole = session(250, 1).samples
    assert (found[0][0] == whole[:100]).all() and (found[1][0] == whole[100:200]).all()
    assert len(list(records.windows(data, 30, 45))) == 5 + 2 + 2


def test_overlapping_windows_are_refused() -> None:
    data = records.write(Layout(ID, slots=8), [session(100, 1)])
    with pytest.raises(records.RecordsError, match="overlap"):
        list(records.windows(data, 50, 49))


def test_a_torn_slot_takes_its_windows_with_it_and_no_others() -> None:
    data = bytearray(records.write(Layout(ID, slots=64), [session(400, 1)]))
    for at in range(256):
        torn = bytearray(data)
        torn[32 + 256 * 7 + at] ^= 1  # samples 140..159
        found = list(records.windows(bytes(torn), 100, 100))
        assert [window[0, 0] for window, _ in found] == [0, 1200, 1800], at


def test_the_ring_overwrites_the_oldest() -> None:
    data = records.write(Layout(ID, slots=10), [session(200, 1), session(100, 2)])
    found = list(records.windows(data, 100, 100))
    assert [label for _, label in found] == [1, 2]
    assert found[0][0][0, 0] == 600  # the first half of session 0 has gone


def test_unlabelled_windows_are_left_out() -> None:
    data = records.write(Layout(ID, slots=20), [session(100, 255), session(100, 0)])
    assert [label for _, label in records.windows(data, 100, 100)] == [0]


def test_damaged_headers_are_refused() -> None:
    data = records.write(Layout(ID, slots=2), [session(20, 3)])
    for at in range(32):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(records.RecordsError):
            Layout.parse(bytes(damaged))
    with pytest.raises(records.RecordsError):
        Layout.parse(data[:31])


def test_what_does_not_fit_is_refused() -> None:
    layout = Layout(ID)
    for wrong in (
        Session(np.zeros((10, 5), np.int16), 1),
        Session(np.zeros((10, 6), np.int32), 1),  # type: ignore[arg-type]
        Session(np.zeros((10, 6), np.int16), 256),
    ):
        with pytest.raises(records.RecordsError):
            records.write(layout, [wrong])
    for settings in ({"samples": 0}, {"samples": 256}, {"channels": 0}, {"slots": 0}):
        with pytest.raises(records.RecordsError):
            Layout(ID, **settings)
    with pytest.raises(records.RecordsError):
        Layout(b"short")
