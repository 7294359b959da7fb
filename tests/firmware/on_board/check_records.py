# The record store: what is appended comes back as windows, across the ring's end, resets and power cuts.
import struct

import picofed_core as core
from harness import Random, cut_everywhere, refuses
from picofed.errors import ARGUMENT, STATE
from picofed.records import NO_LABEL, Records

PATH = "/picofed-data/records.bin"
IDENT = b"records1"
SEED = 1


def open_store(slots=8, ident=IDENT):
    return Records(PATH, ident, channels=2, rate=50, samples=4, slots=slots)


def sample(session, n):
    """Sample n of a session: two channels that say which one it is."""
    return struct.pack("<hh", session, n)


def record(store, session, n, label):
    store.begin(label)
    for i in range(n):
        store.append(sample(session, i))
    store.end()


def read(store, window, stride):
    """[(label, session, number of the first sample)], each window checked to be whole."""
    out = bytearray(4 * window)
    found = []
    for label in store.windows(out, window, stride):
        session, first = struct.unpack_from("<hh", out)
        for i in range(window):
            assert struct.unpack_from("<hh", out, 4 * i) == (session, first + i)
        found.append((label, session, first))
    return found


def test_windows_do_not_cross_sessions_and_follow_the_stride():
    store = open_store(32)
    record(store, 0, 23, 1)
    record(store, 1, 3, 2)
    record(store, 2, 12, 3)
    record(store, 3, 8, NO_LABEL)
    assert read(store, 6, 6) == [(1, 0, 0), (1, 0, 6), (1, 0, 12), (3, 2, 0), (3, 2, 6)]
    assert read(store, 3, 10) == [(1, 0, 0), (1, 0, 10), (1, 0, 20), (2, 1, 0), (3, 2, 0)]
    assert read(store, 30, 30) == []
    assert store.count == 6 + 1 + 3 + 2
    again = open_store()
    assert again.count == store.count and again.slots == 32
    assert read(again, 6, 6) == read(store, 6, 6)
    record(again, 4, 6, 4)
    assert read(again, 6, 6)[-1] == (4, 4, 0)


def test_ring_overwrites_the_oldest():
    store = open_store(8)
    for session in range(20):
        record(store, session, 10, session % 5)
    # 3 slots a session: of the last 8 slots, the oldest two are the tail of a session whose first slot is gone
    assert store.count == 8
    for found in (store, open_store()):
        assert read(found, 4, 4) == [(2, 17, 4), (3, 18, 0), (3, 18, 4), (4, 19, 0), (4, 19, 4)]
        assert read(found, 5, 5) == [(2, 17, 5), (3, 18, 0), (3, 18, 5), (4, 19, 0), (4, 19, 5)]


def test_label_within_a_session_does_not_change_but_damage_leaves_a_gap():
    store = open_store(16)
    record(store, 0, 40, 7)
    with open(PATH, "r+b") as file:
        file.seek(32 + 3 * 32 + 20)
        file.write(b"\x55")
    again = open_store()
    assert again.count == 9
    # samples 12..15 do not exist
    assert read(again, 4, 4) == [(7, 0, n) for n in range(0, 40, 4) if n != 12]
    assert read(again, 6, 6) == [(7, 0, 0), (7, 0, 6), (7, 0, 18), (7, 0, 24), (7, 0, 30)]


def test_recording_while_windows_are_read():
    store = open_store(8)
    record(store, 0, 32, 1)
    out = bytearray(16)
    seen = []
    for label in store.windows(out, 4, 4):
        session, first = struct.unpack_from("<hh", out)
        seen.append((label, session, first))
        if len(seen) == 2:
            # takes the places of the first three slots, of which one was not read yet
            record(store, 1, 12, 2)
    assert seen == [(1, 0, 0), (1, 0, 4)] + [(1, 0, n) for n in range(12, 32, 4)], seen
    assert read(store, 4, 4)[-3:] == [(2, 1, 0), (2, 1, 4), (2, 1, 8)]


class Torn:
    """A file that takes one write."""

    def __init__(self, file):
        self._file = file
        self._left = 1

    def seek(self, at):
        return self._file.seek(at)

    def write(self, data):
        if not self._left:
            raise OSError(5)
        self._left -= 1
        self._file.write(data)
        self._file.flush()


def test_what_was_written_is_checked_again():
    store = open_store(8)
    record(store, 0, 32, 1)
    assert len(read(store, 4, 4)) == 8 and store.checked[0] == 0xFF
    record(store, 1, 4, 2)
    assert store.checked[0] == 0xFE
    assert read(store, 4, 4)[-1] == (2, 1, 0) and store.checked[0] == 0xFF
    file, store._file = store._file, Torn(store._file)
    store.begin(3)
    try:
        store.append(sample(2, 0) * 4)
        raise AssertionError("a torn write went unseen")
    except OSError:
        store._file = file
    # of the second slot there is a half of each: it does not exist, here or after a start
    for found in (store, open_store()):
        assert [label for label, _, _ in read(found, 4, 4)] == [1] * 6 + [2]
        assert found.checked[0] == 0xFD


def test_store_of_another_id_is_wiped():
    store = open_store()
    record(store, 0, 32, 1)
    other = open_store(ident=b"records2")
    assert other.count == 0 and read(other, 4, 4) == []
    with open(PATH, "rb") as file:
        assert len(file.read()) == 32
    assert open_store(ident=b"records2").count == 0


def test_damaged_header_is_a_store_of_another_id():
    record(open_store(), 0, 32, 1)
    with open(PATH, "r+b") as file:
        file.seek(6)
        file.write(b"\x99")
    assert open_store().count == 0


def test_misuse_is_refused():
    store = open_store()
    refuses(STATE, store.append, bytes(4))
    refuses(ARGUMENT, store.begin, 256)
    store.begin(1)
    refuses(ARGUMENT, store.append, bytes(3))
    refuses(ARGUMENT, Records, "/picofed-data/other.bin", IDENT, 0)


def test_samples_come_as_any_buffer():
    from array import array

    store = open_store()
    store.begin(3)
    store.append(array("h", [5, 0, 5, 1]))
    store.append(memoryview(sample(5, 2) + sample(5, 3)))
    store.end()
    assert read(store, 4, 4) == [(3, 5, 0)]


def test_power_cut_in_every_write():
    state = {}

    def prepare():
        from harness import clear

        clear()
        record(open_store(6), 0, 12, 1)

    def work():
        store = open_store()
        record(store, 1, 12, 2)
        record(store, 2, 5, 3)

    def examine(cut):
        store = open_store()
        found = read(store, 4, 4)
        # what was there and not overwritten stays; a session that was cut off keeps its whole slots, in order
        assert found == sorted(found, key=lambda item: (item[1], item[2]))
        first = [item for item in found if item[1] == 1]
        assert first == [(2, 1, 4 * n) for n in range(len(first))], found
        if not cut:
            assert found == [(1, 0, 8), (2, 1, 0), (2, 1, 4), (2, 1, 8), (3, 2, 0)], found
        # and the store goes on
        record(store, 9, 8, 4)
        assert read(open_store(), 4, 4)[-2:] == [(4, 9, 0), (4, 9, 4)]
        state["worst"] = min(state.get("worst", 99), len(found))

    assert cut_everywhere(prepare, work, examine) == 10
    assert state["worst"] == 3


def test_power_cut_while_a_store_is_made_or_wiped():
    from harness import clear

    def prepare():
        clear()
        record(open_store(), 0, 32, 1)

    def examine(cut):
        assert open_store(ident=b"records2").count == 0
        with open(PATH, "rb") as file:
            assert file.read().count(b"\x01\x00\x00\x00") == 0

    assert cut_everywhere(prepare, lambda: open_store(ident=b"records2"), examine) >= 4
    cut_everywhere(clear, open_store, lambda cut: record(open_store(), 0, 4, 0))


def test_reading_windows_needs_little_memory():
    import gc

    store = open_store(64)
    record(store, 0, 256, 1)
    out = bytearray(32)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    n = 0
    for _ in store.windows(out, 8, 8):
        n += 1
    used = gc.mem_alloc() - before
    gc.enable()
    assert n == 32 and used / n < 1500, used / n


def test_random_stores_survive_reopening():
    random = Random(SEED)
    for _ in range(20):
        from harness import clear

        clear()
        store = open_store(2 + random.below(12))
        for session in range(random.below(12)):
            record(store, session, random.below(20), random.below(3))
            if random.below(3) == 0:
                store = open_store()
        window = 1 + random.below(9)
        stride = window + random.below(4)
        assert read(store, window, stride) == read(open_store(), window, stride)
    assert core.crc32(b"123456789") == 0xCBF43926
