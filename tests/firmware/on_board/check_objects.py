# Objects: any order, repeats, damage, limits, and resuming wherever power failed.
import os

from harness import Random, clear, cut_everywhere, refuses
from picofed.errors import ARGUMENT, SPACE, UNKNOWN
from picofed.objects import KEPT, Objects, object_id

FOLDER = "/picofed-data/objects"
SEED = 1


def content(n, seed=5):
    return Random(seed).bytes(n)


def open_all():
    return Objects(FOLDER)


def read(objects, ident):
    file, length = objects.open(ident)
    with file:
        data = file.read()
    assert len(data) == length
    return data


def send(objects, data, piece):
    """As the host does: ask what is missing, send the first of it."""
    ident = object_id(data)
    missing = objects.have(ident, len(data))
    sent = 0
    while missing:
        offset, length = missing[0]
        n = min(length, piece)
        missing = objects.put(ident, len(data), offset, data[offset : offset + n])
        sent += n
    return ident, sent


def test_in_order():
    objects = open_all()
    data = content(1000)
    ident, sent = send(objects, data, 96)
    assert sent == 1000
    assert read(objects, ident) == data
    assert objects.put(ident, 1000, 0, data[:10]) == []
    assert open_all().have(ident, 1000) == []
    assert read(open_all(), ident) == data


def test_any_order_with_repeats_and_overlaps():
    random = Random(SEED)
    for _ in range(10):
        clear()
        data = content(300 + random.below(500), random.below(1000))
        ident = object_id(data)
        objects = open_all()
        here = bytearray(len(data))
        missing = [[0, len(data)]]
        for _ in range(2000):
            if not missing:
                break
            offset = random.below(len(data))
            n = min(1 + random.below(90), len(data) - offset)
            missing = objects.put(ident, len(data), offset, data[offset : offset + n])
            assert len(missing) <= 16
            if random.below(4) == 0:
                objects = open_all()
                assert objects.have(ident, len(data)) == missing
        if missing:
            send(objects, data, 64)
        assert read(objects, ident) == data
        del here


def test_ranges_name_what_is_missing():
    objects = open_all()
    data = content(100)
    ident = object_id(data)
    assert objects.have(ident, 100) == [[0, 100]]
    assert objects.put(ident, 100, 40, data[40:50]) == [[0, 40], [50, 50]]
    assert objects.put(ident, 100, 90, data[90:]) == [[0, 40], [50, 40]]
    assert objects.put(ident, 100, 0, data[:40]) == [[50, 40]]
    refuses(UNKNOWN, objects.open, ident)
    assert open_all().have(ident, 100) == [[50, 40]]
    assert objects.put(ident, 100, 45, data[45:95]) == []


def test_many_holes_are_not_kept_beyond_16():
    objects = open_all()
    data = content(200)
    ident = object_id(data)
    for i in range(0, 200, 4):
        missing = objects.put(ident, 200, i + 1, data[i + 1 : i + 2])
        assert 0 < len(missing) <= 16
    send(objects, data, 7)
    assert read(objects, ident) == data


def test_damaged_content_starts_again():
    objects = open_all()
    data = content(100)
    ident = object_id(data)
    assert objects.put(ident, 100, 0, b"\0" * 60) == [[60, 40]]
    assert objects.put(ident, 100, 60, data[60:]) == [[0, 100]]
    refuses(UNKNOWN, objects.open, ident)
    assert send(objects, data, 50)[1] == 100
    assert read(objects, ident) == data


def test_long_journals_end():
    objects = open_all()
    data = content(4000)
    ident = object_id(data)
    for _ in range(3):
        for i in range(0, 500):
            objects.put(ident, 4000, i, data[i : i + 1])
    assert os.stat(FOLDER + "/" + ident.hex() + ".map")[6] < 4096
    send(objects, data, 500)
    assert read(objects, ident) == data


def test_refusals():
    objects = open_all()
    refuses(ARGUMENT, objects.have, b"short", 10)
    refuses(ARGUMENT, objects.have, bytes(16), 0)
    refuses(ARGUMENT, objects.put, bytes(16), 10, 0, b"")
    refuses(ARGUMENT, objects.put, bytes(16), 10, 5, bytes(6))
    refuses(ARGUMENT, objects.put, bytes(16), 10, 0xFFFFFFFF, b"1")
    refuses(SPACE, objects.have, bytes(16), 0xFFFFFFFF)
    refuses(SPACE, objects.put, bytes(16), 5000000, 0, b"1")
    refuses(UNKNOWN, objects.open, bytes(16))
    assert os.listdir(FOLDER) == []


def test_another_length_starts_again_but_not_when_complete():
    objects = open_all()
    data = content(50)
    ident = object_id(data)
    objects.put(ident, 1000, 0, bytes(500))
    assert objects.have(ident, 50) == [[0, 50]]
    send(objects, data, 20)
    refuses(ARGUMENT, objects.have, ident, 51)
    assert read(objects, ident) == data


def test_number_of_objects_is_bounded_and_pinned_ones_stay():
    objects = open_all()
    job, _ = send(objects, content(40, 99), 40)
    objects.pinned = {job}
    sent = [send(objects, content(60, seed), 60)[0] for seed in range(1, 9)]
    assert len(os.listdir(FOLDER)) == 2 * KEPT
    again = open_all()
    for found in (objects, again):
        assert read(found, job) == content(40, 99)
        assert read(found, sent[-1]) == content(60, 8)
        refuses(UNKNOWN, found.open, sent[0])


def test_strange_files_are_cleared_away():
    objects = open_all()
    ident, _ = send(objects, content(40), 40)
    for name in ("x.map", "00.map", ident.hex()[:-2] + "zz.map", "lost"):
        with open(FOLDER + "/" + name, "w") as file:
            file.write("strange")
    objects = open_all()
    assert read(objects, ident) == content(40)
    assert len(os.listdir(FOLDER)) == 2


def test_power_cut_in_every_write():
    data = content(200)
    ident = object_id(data)
    order = ((120, 200), (0, 50), (50, 80), (70, 125))

    def work():
        objects = open_all()
        for start, end in order:
            objects.put(ident, 200, start, data[start:end])

    def examine(cut):
        objects = open_all()
        missing = objects.have(ident, 200)
        assert cut or not missing
        _, sent = send(objects, data, 64)
        # nothing that was acknowledged is asked for again
        assert sent == sum([length for _, length in missing])
        assert read(open_all(), ident) == data

    assert cut_everywhere(clear, work, examine) == 9


def test_torn_journals_lose_a_piece_at_most():
    data = content(200)
    objects = open_all()
    ident = object_id(data)
    for start in (0, 50, 100):
        objects.put(ident, 200, start, data[start : start + 30])
    path = FOLDER + "/" + ident.hex()
    with open(path + ".map", "rb") as file:
        journal = file.read()
    assert len(journal) == 16 + 3 * 12
    for n in range(len(journal)):
        with open(path, "wb") as file:
            file.write(data[:130])
        with open(path + ".map", "wb") as file:
            file.write(journal[:n])
        pieces = max(0, n - 16) // 12
        objects = open_all()
        missing = objects.have(ident, 200)
        assert missing[0] == ([0, 200] if pieces == 0 else [30, 170] if pieces == 1 else [30, 20]), (n, missing)
        objects.put(ident, 200, 190, data[190:])
        assert open_all().have(ident, 200)[-1][1] < missing[-1][1]
