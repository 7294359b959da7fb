"""Frozen weights in the flash of an emulated Pico (SPEC 12): the same updates as with all of them in RAM, over a reset
and over a power cut in the middle of writing them. (test_bit_identical.py has twenty rounds of this job.)"""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from picofed import native
from picofed.fleet.emulation import EmulatedBoard, Rp2040jsBoard, UnixBoard
from picofed.fleet.emulation.littlefs import Image
from picofed.fleet.emulation.rp2040js import FLASH_BYTES, FROZEN_BYTES, REGION_BYTES, STORAGE_BYTES
from picofed.fleet.provision import board_files
from picofed.learn import weights
from picofed.learn.model import Model, Rectangle
from picofed.link.client import BoardClient
from picofed.link.messages import BoardError, State
from picofed.link.stream import SerialStream
from picofed.link.transfer import upload
from picofed.store import Version
from picofed.toolchain import build
from world import HEAD, IDENTITY, SEED, charge_of, provision, sessions

pytestmark = pytest.mark.slow

PATIENCE = 600.0
UNKNOWN = -22
BLOB = np.random.default_rng(5).integers(-900, 900, HEAD.model.parameters).astype("<i2").tobytes()
FIRST = FLASH_BYTES - REGION_BYTES - FROZEN_BYTES
WRITE = """
from picofed.frozen import Image
from picofed.job import Job
from picofed.platform import frozen_region
with open("/picofed-data/objects/{job}", "rb") as file:
    job = Job(file.read())
with open("/picofed-data/objects/{weights}", "rb") as file:
    Image(job, *frozen_region()).write(file)
"""


WATCHED = """
from picofed.platform import arm, feed
arm({timeout})
{write}
while True:
    feed()
"""
WIDE = replace(HEAD, name="wide", model=Model((45, 200, 3), "softmax", (None, Rectangle(0, 3, 0, 200))))


class Talk:
    """One conversation with a board."""

    def __init__(self, board: EmulatedBoard) -> None:
        # Repeated: what is sent just before a reset is lost.
        self.client = BoardClient(SerialStream(str(board.port)), board.name, (20.0,) * int(PATIENCE / 20.0))
        self.mtu = self.client.hello().mtu
        self.job_object = upload(self.client, HEAD.body, self.mtu)
        self.job = self.client.job(self.job_object)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *raised: object) -> None:
        self.client.close()

    def give(self, kind: int) -> bytes:
        return upload(self.client, weights.pack(HEAD, Version(0, BLOB, b"", b""), kind), self.mtu)

    def round(self, kind: int) -> bytes:
        """The update of one round from the same weights."""
        self.client.round(self.job, self.give(kind))
        while (status := self.client.status()).state not in (State.READY, State.IDLE):
            pass
        assert status.update is not None, status
        data = b""
        while len(data) < status.update_length:
            data += self.client.get(status.update, len(data), 700)
        self.client.drop(status.update)
        return data


def region(board: Rp2040jsBoard) -> bytes:
    return board.flash.read_bytes()[FIRST : FIRST + 4096]


def image_of(flash: bytes) -> bytes:
    """The image in the region: SPEC 12.2."""
    magic, size, job, digest = struct.unpack_from("<4sI8s16s", flash)
    assert (magic, job) == (b"PFF1", HEAD.id)
    image = flash[256 : 256 + size]
    assert digest == native.blake2b(image, 16, HEAD.id)
    return image


def test_rounds_over_a_reset_and_over_a_power_cut(tmp_path: Path) -> None:
    given = provision(IDENTITY, HEAD, 100)
    unix = UnixBoard(tmp_path / "unix", board_id=IDENTITY, entropy=SEED.hex())
    unix.install(board_files(build.natmod("x64"), given, sessions()))
    with unix:
        with Talk(unix) as talk:
            expected = [talk.round(weights.ALL)]
        unix.reset()
        with Talk(unix) as talk:
            expected.append(talk.round(weights.ALL))

    files = {
        name: content
        for name, content in board_files(build.natmod("armv6m"), given, sessions()).items()
        if not name.startswith("/lib/")
    }
    board = Rp2040jsBoard(tmp_path / "pico", board_id=IDENTITY, entropy=SEED.hex())
    board.install(files)
    with board:
        assert region(board) == b"\xff" * 4096
        with Talk(board) as talk:
            with pytest.raises(BoardError) as refused:
                talk.client.round(talk.job, talk.give(weights.SUBSET))
            assert refused.value.code == UNKNOWN
            assert talk.round(weights.ALL) == expected[0]
            whole, job = talk.give(weights.ALL), talk.job_object
        written = region(board)
        frozen = np.frombuffer(image_of(written)[16:], "<i2")
        # 8 x 45 weights and 8 biases, in the order of the Pico's kernels
        low = np.frombuffer(BLOB, "<i2")[: 8 * 45]
        assert set(low) <= set(frozen) | {int(value) - 16384 for value in frozen}

        board.reset()
        with Talk(board) as talk:
            assert talk.round(weights.SUBSET) == expected[1]
        assert region(board) == written

        code = WRITE.format(job=job.hex(), weights=whole.hex())
        for operation in (1, 3):  # in the erasing; in the second of three pages
            board.power_off()
            board.install({"/main.py": code.encode()})
            board.reset(power_cut=operation)
            assert board.wait_power_cut(PATIENCE), board.log
            assert region(board)[:32] == b"\xff" * 32
        board.install({"/main.py": files["/main.py"]})
        board.reset()
        with Talk(board) as talk:
            with pytest.raises(BoardError) as refused:
                talk.client.round(talk.job, talk.give(weights.SUBSET))
            assert refused.value.code == UNKNOWN
            talk.round(weights.ALL)
        assert region(board) == written


def test_a_file_system_that_leaves_no_room_for_an_image_keeps_its_files_and_its_ledger(tmp_path: Path) -> None:
    """As our firmware made it before there were images: it ends where the ledger begins."""
    given = provision(IDENTITY, HEAD, 100)
    files = board_files(build.natmod("armv6m"), given, sessions())
    kept = {name: content for name, content in files.items() if not name.startswith("/lib/")}
    board = Rp2040jsBoard(tmp_path / "pico", board_id=IDENTITY, entropy=SEED.hex())
    board.open()
    board.install(kept)
    older = bytearray(b"\xff" * (STORAGE_BYTES - REGION_BYTES))
    image = Image(older, board.program_bytes, board.flash)
    image.format()
    image.write(board.read_files())
    with board.flash.open("r+b") as flash:
        flash.seek(FLASH_BYTES - STORAGE_BYTES)
        flash.write(older)
    with board:
        updates = set()
        for boot in (1, 2):
            with Talk(board) as talk:
                updates.add(talk.round(weights.ALL))
                info = talk.client.hello()
            assert (info.boot, info.seq, info.spent) == (boot, boot, boot * charge_of(HEAD))
            board.reset()
        board.power_off()
        found = board.read_files()
        assert all(found[name] == content for name, content in kept.items() if "provision" not in name)
        # the ledger is behind the file system, as before, and no image was written into that
        assert "/picofed-data/flash.bin" not in found
        assert set(board.flash.read_bytes()[-REGION_BYTES:]) != {0xFF}
        assert region(board)[:4] != b"PFF1"
    assert len(updates) == 2


def test_the_watchdog_is_fed_while_an_image_is_written(tmp_path: Path) -> None:
    """For five blocks it takes several times the timeout, in the board's own time: a board that did not feed it was
    reset, wrote anew, and was reset again."""
    values = np.random.default_rng(6).integers(-900, 900, WIDE.model.parameters).astype("<i2").tobytes()
    whole = weights.pack(WIDE, Version(0, values, b"", b""), weights.ALL)
    names = {"job": native.blake2b(WIDE.body, 16).hex(), "weights": native.blake2b(whole, 16).hex()}
    board = Rp2040jsBoard(tmp_path / "pico", board_id=IDENTITY, entropy=SEED.hex())
    code = WATCHED.format(timeout=100, write=WRITE.format(**names))
    objects = {f"/picofed-data/objects/{names[kind]}": data for kind, data in (("job", WIDE.body), ("weights", whole))}
    board.install({"/main.py": code.encode(), **objects})
    with board:
        while region(board)[:4] != b"PFF1":
            assert board.running and board.boots <= 1, board.log
            time.sleep(0.05)
        assert board.boots == 1
        flash = board.flash.read_bytes()[FIRST:]
    size, job, digest = struct.unpack_from("<4xI8s16s", flash)
    assert job == WIDE.id and size > 4 * 4096
    assert digest == native.blake2b(flash[256 : 256 + size], 16, WIDE.id)
