"""The store: durable, exclusive where it must be, and clear about what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from picofed import store as stores
from picofed import store_database
from picofed.store import ConflictError, ReplayError, Store, StoreError, Version

JOB = b"job id 8"
BOARD = b"board 1 "


def fill(store: Store) -> None:
    store.add_job(JOB, "test", b"body")
    store.start(JOB, Version(0, b"r", b"m", b"o"))
    store.seen(board=BOARD, name="b", port="p", seq=0, spent=0, budget=9)


def accept(store: Store, seq: int, data: bytes = b"data", version: int = 0) -> stores.StoredUpdate:
    return store.accept(board=BOARD, seq=seq, update_id=data.ljust(16), job=JOB, version=version, spent=seq, data=data)


def test_what_was_stored_is_there_after_opening_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "store.db")
    fill(store)
    store.add_part(BOARD, bytes(16), 4, 0, b"da")
    store.close()
    store = Store(tmp_path / "deep" / "store.db")
    assert store.latest(JOB) == Version(0, b"r", b"m", b"o")
    assert store.load_parts(BOARD, bytes(16), 4) == b"da"
    assert store.jobs() == [(JOB, "test", b"body")]
    store.close()
    assert stat.S_IMODE((tmp_path / "deep" / "store.db").stat().st_mode) == 0o600


def test_an_update_counts_once() -> None:
    store = Store()
    fill(store)
    store.add_part(BOARD, b"data".ljust(16), 4, 0, b"da")
    first = accept(store, 5)
    assert store.load_parts(BOARD, b"data".ljust(16), 4) == b""
    assert accept(store, 5).row == first.row
    with pytest.raises(ReplayError):
        accept(store, 5, b"other")
    assert len(store.updates(JOB)) == 1
    store.advance(JOB, Version(1, b"r1", b"m1", b"o1"), [(first.row, 1.0)])
    assert store.updates(JOB) == []
    assert accept(store, 5).state == stores.USED
    assert store.members(JOB, 1) == [(BOARD, 5, 1.0)]


def test_a_version_and_its_updates_are_all_or_nothing() -> None:
    store = Store()
    fill(store)
    one, two = accept(store, 1, b"1"), accept(store, 2, b"2")
    store.set_aside(two.row, "late")
    with pytest.raises(ConflictError):
        store.advance(JOB, Version(1, b"r", b"m", b"o"), [(one.row, 1.0), (two.row, 1.0)])
    assert store.version(JOB, 1) is None
    assert [update.row for update in store.updates(JOB)] == [one.row]
    with pytest.raises(ConflictError):
        store.advance(JOB, Version(2, b"r", b"m", b"o"), [(one.row, 1.0)])
    store.advance(JOB, Version(1, b"r", b"m", b"o"), [(one.row, 1.0)])
    with pytest.raises(ConflictError):
        store.advance(JOB, Version(1, b"r", b"m", b"o"), [])


def test_a_boards_head_never_falls() -> None:
    store = Store()
    fill(store)
    store.seen(board=BOARD, name="b", port="q", seq=7, spent=70, budget=9, update_key=b"key")
    store.seen(board=BOARD, name="b2", port="q", seq=3, spent=30, budget=9)
    (row,) = store.boards()
    assert (row.name, row.seq, row.spent, row.update_key) == ("b2", 7, 70, b"key")


def test_pieces_of_another_update_are_dropped() -> None:
    store = Store()
    store.add_part(BOARD, b"a" * 16, 10, 0, b"123")
    store.add_part(BOARD, b"a" * 16, 10, 3, b"456")
    store.add_part(BOARD, b"a" * 16, 10, 8, b"90")
    assert store.load_parts(BOARD, b"a" * 16, 10) == b"123456"
    store.add_part(BOARD, b"b" * 16, 10, 0, b"x")
    assert store.load_parts(BOARD, b"a" * 16, 10) == b""


def test_a_locked_store_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_database, "BUSY_MS", 50)
    path = tmp_path / "store.db"
    store = Store(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="in use by another picofed"):
        store.event("x", "y")
    other.execute("ROLLBACK")
    other.close()
    store.event("x", "y")
    store.close()


@pytest.mark.parametrize("size", [100, 5000])
def test_a_damaged_store_is_one_line(tmp_path: Path, size: int) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"garbage!" * size)
    with pytest.raises(StoreError, match="damaged or not a picofed store"):
        Store(path)


def test_a_store_that_is_damaged_inside_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(path)
    fill(store)
    for seq in range(1, 200):
        accept(store, seq, bytes([seq]) * 200)
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError) as caught:
        Store(path).updates(JOB)
    assert "\n" not in str(caught.value)


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(StoreError, match="not a picofed store"):
        Store(path)


def test_a_store_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="update picofed"):
        Store(path)


def test_places_where_no_store_can_be(tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.write_text("")
    with pytest.raises(StoreError):
        Store(plain / "store.db")
    with pytest.raises(StoreError):
        Store(tmp_path)


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    """The process may write 200 kB to a file: what was accepted before the limit is there after it."""
    script = f"""
import resource
from picofed.store import Store, StoreError, Version
store = Store({str(tmp_path / "store.db")!r})
store.add_job({JOB!r}, "test", b"body")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
accepted = 0
try:
    for seq in range(1, 1000):
        ident = seq.to_bytes(16, "big")
        store.accept(board={BOARD!r}, seq=seq, update_id=ident, job={JOB!r}, version=0, spent=seq, data=bytes(4000))
        accepted = seq
except StoreError as error:
    print(accepted, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ.copy()
    )
    count, _, text = done.stdout.strip().partition(" ")
    assert "disk is full" in text and "\n" not in text
    store = Store(tmp_path / "store.db")
    assert [update.seq for update in store.updates(JOB)] == list(range(1, int(count) + 1)) and int(count) > 3
    store.close()
