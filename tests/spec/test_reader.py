"""SPEC.md against a board, with a reader that was written from its text alone: a link, a ledger, and a round with and
without masks, recomputed from records, keys and entropy to the last byte of the updates."""

import hashlib
import os
import select
import struct
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed.fleet.emulation import UnixBoard
from picofed.fleet.provision import board_files
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.job import Job
from picofed.link.transfer import upload
from picofed.members import Members
from picofed.provisioning import Policy, Provision, emulated_owner
from picofed.records import Layout, Session, write
from picofed.toolchain import build

from . import cohorts, reader, training
from .reader import H, le32

pytestmark = pytest.mark.slow

BOARD = b"\x0a\x1b\x2c\x3d\x4e\x5f\x03\x00"
ENTROPY = b"spec"
WINDOW, LABELS, CLIP, LOG2_SIGMA = 32, 3, 200000, 18
# 45-4-3: rows 1 to 3 and columns 5 to 40 of the first layer without biases, all of the second with them
MODEL = struct.pack("<4B3H", 1, 0, 2, 0, 45, 4, 3) + struct.pack("<4HBB4HBB", 1, 3, 5, 40, 0, 0, 0, 3, 0, 4, 1, 0)
TRAINABLE = 2 * 35 + 3 * 4 + 3
PARAMETERS = 4 * 46 + 3 * 5
JOB: dict[str, Any] = {
    "v": 1,
    "name": "by the book",
    "model": MODEL,
    "mode": 0,
    "steps": 1,
    "clip": CLIP,
    "log2_sigma": LOG2_SIGMA,
    "round_shift": 12,
    "multiplier": 0,
    "shift": 0,
    "features": "imu45",
    "unit": "window",
    "window": WINDOW,
    "stride": 40,
    "channels": 6,
    "labels": LABELS,
}
HELPER = bytes(range(1, 33))


class Host:
    """A host by SPEC 6 on a board's port."""

    def __init__(self, port: str, keys: reader.Keys, secret: bytes) -> None:
        self.port = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.port)
        self.buffer = b""
        self.ident = 0
        self.session: reader.Sealing | None = None
        version, info = self.ask(1, 1)
        assert version == 1 and info["board"] == BOARD and info["link"] == 2
        session = reader.Sealing(keys, info["boot"], 0, [secret], bytes(range(16)))
        assert info["challenge"] == session.challenge
        assert self.ask(12, bytes(range(16)), session.proof) == [session.opened]
        self.session = session

    def ask(self, op: int, *arguments: Any) -> list[Any]:
        self.ident += 1
        request = reader.pack([op, self.ident, *arguments])
        payload = self.session.seal(request) if self.session else request
        for _ in range(60):
            os.write(self.port, reader.frame(payload))
            while (found := self.receive()) is not None:
                if self.session and found[0] >= 0x80:
                    continue  # advice
                answer = reader.unpack(self.session.open(found) if self.session else found)
                if answer[1] == self.ident:
                    assert answer[0] == 0, answer
                    return answer[2:]
        raise AssertionError("no answer")

    def receive(self) -> bytes | None:
        while True:
            while b"\0" in self.buffer:
                coded, self.buffer = self.buffer.split(b"\0", 1)
                if coded and (payload := reader.unframe(coded)) is not None:
                    return payload
            if not select.select([self.port], [], [], 1.0)[0]:
                return None
            self.buffer += os.read(self.port, 4096)

    def put(self, data: bytes) -> bytes:
        ident = H(16, None, data)
        for at in range(0, len(data), 700):
            [missing] = self.ask(2, ident, len(data), at, data[at : at + 700])
        assert missing == []
        return ident

    def round(self, job: dict[str, Any], weights: list[int], number: int) -> tuple[bytes, bytes]:
        """The update and its id."""
        body = reader.pack(job)
        assert self.ask(4, self.put(body)) == [H(8, None, body)]
        head = struct.pack("<BBHI", 1, 0, 0, number) + H(8, None, body)
        self.ask(5, H(8, None, body), self.put(head + struct.pack(f"<{PARAMETERS}h", *weights)))
        state = 0
        while state != 3:
            state, _, _, update, length, code, text = self.ask(6)
            assert code == 0 and state, text
        data = b""
        while len(data) < length:
            data += self.ask(7, update, len(data), 500)[0]
        self.ask(8, update)
        return data, update


def sessions_of(seed: int) -> list[Session]:
    rng = np.random.default_rng(seed)
    made = []
    for label in (0, 2, 255, 1, 7):
        walk = np.cumsum(rng.normal(0, 900, (int(rng.integers(120, 200)), 6)), axis=0)
        made.append(Session(np.clip(walk, -32768, 32767).astype(np.int16), label))
    return made


def sums_of(store: bytes, weights: list[int]) -> tuple[list[int], int]:
    """What all records of a store add, and how many there are (SPEC 9, 8, 2)."""
    model = training.Model(MODEL)
    cut = [(training.imu45(x), label) for x, label in training.windows(store, WINDOW, 40, LABELS)]
    sums = [0] * TRAINABLE
    for inputs, label in cut:
        for k, value in enumerate(training.contribution(model, weights, inputs, label, CLIP)):
            sums[k] += value
    assert len(cut) > 4 and any(sums)
    return sums, len(cut)


def noised(sums: list[int], key: bytes) -> list[int]:
    return [x + n for x, n in zip(sums, reader.noise(key, LOG2_SIGMA, TRAINABLE), strict=True)]


def ratchet_of(secret: bytes, board: bytes) -> Iterator[bytes]:
    """Of an emulated board's first start (boards/unix/README.md says what its entropy is)."""
    raw = b"".join(hashlib.sha256(ENTROPY + le32(0) + le32(block)).digest() for block in range(32))
    return reader.first_noise_keys(secret, 0, raw, board + bytes(8))


@contextmanager
def running(place: Path) -> Iterator[tuple[UnixBoard, Provision]]:
    policy = Policy(BOARD, "book", 2**32 - 1, 2**31, link=2, helper=reader.x25519(HELPER))
    given = Provision.new(policy, b"spec")
    board = UnixBoard(place, board_id=BOARD, entropy=ENTROPY.hex())
    board.install(board_files(build.natmod("x64"), given, sessions_of(11)))
    with board:
        yield board, given


def test_a_board_does_what_the_text_says(tmp_path: Path) -> None:
    with running(tmp_path / "board") as (board, given):
        provision = reader.unpack(given.file())  # 6.8
        keys = reader.Keys(provision["key"])
        policy = reader.unpack(provision["policy"])
        assert cohorts.signs(provision["owner"], b"picofed policy" + provision["policy"], provision["signature"])
        assert not cohorts.signs(
            provision["owner"], b"picofed policy" + provision["policy"] + b"\0", provision["signature"]
        )
        host = Host(str(board.port), keys, provision["secret"])
        weights = np.random.default_rng(5).integers(-3000, 3000, PARAMETERS).tolist()
        masked_job = JOB | {"round_shift": 14, "mask_bits": 9}
        plain, plain_id = host.round(JOB, weights, 9)
        masked, masked_id = host.round(masked_job, weights, 10)
        [told] = host.ask(9, 0, 24)
        os.close(host.port)
        board.power_off()
        folder = board.flash / "picofed-data"
        flash, store = (folder / "flash.bin").read_bytes(), (folder / "records.bin").read_bytes()

    # 5: the ledger, as it was told and as it is on the flash
    cost = reader.charge(CLIP, LOG2_SIGMA)
    records = reader.ledger(flash[:8192], keys.ledger)
    spent = (2, LOG2_SIGMA, cost, CLIP, 1)
    assert [(r[0], r[1], r[3], r[5], r[6]) for r in records] == [(1, 0, 0, 0, 0), spent, spent]
    assert [r[4] for r in records] == [0, cost, 2 * cost] and policy["budget"] > 2 * cost
    assert sorted(told) == sorted(flash[32 * i : 32 * i + 32] for i in range(3))
    # 4: the seed store is a boot ahead, and holds no other secret; the keys of the ratchet
    ratchet = ratchet_of(provision["secret"], BOARD)
    assert reader.seed_store(flash[8192:]) == (1, next(ratchet), 1)
    # 9, 8, 2, 3: the two releases
    sums, count = sums_of(store, weights)
    first, second = noised(sums, next(ratchet)), noised(sums, next(ratchet))
    nonce = next(ratchet)[:16]

    def front(version: int, job: dict[str, Any], seq: int, number: int) -> bytes:
        counts = struct.pack("<IIIII", seq, number, count, CLIP | 1 << 20, (seq - records[0][2]) * cost)
        return bytes([version, 0, LOG2_SIGMA, 0]) + counts + H(8, None, reader.pack(job)) + BOARD

    # 6.6, 7.6
    start, body = front(4, JOB, records[1][2], 9), reader.payload(first, 12)
    tag, ident = reader.named(start, keys, H(32, None, body))
    assert (plain, plain_id) == (start + body + tag, ident)
    # 10.1, 10.3, 10.4
    public = reader.x25519(HELPER), reader.x25519(keys.mask)
    pair = H(32, reader.x25519(HELPER, public[1]), b"picofed pair" + public[1] + public[0])
    start = front(5, masked_job, records[2][2], 10) + nonce + struct.pack("<BBH", 9, 14, TRAINABLE)
    seed = H(32, pair, b"picofed seed" + start[24:32] + le32(10) + start[4:8] + nonce)
    hidden = zip(second, reader.masks(seed, 9, TRAINABLE), strict=True)
    body = reader.fields([reader.rounded(value, 14) + mask for value, mask in hidden], 9)
    digest = H(32, None, body)
    mac = H(16, H(32, pair, b"picofed header"), start + digest)
    tag, ident = reader.named(start, keys, digest + mac)
    assert (masked, masked_id) == (start + body + mac + tag, ident)


def test_a_cohort_does_what_the_text_says() -> None:
    """SPEC 11, on simulated boards, which tests/firmware/test_peers.py holds to real firmware."""
    owner = emulated_owner(b"spec")
    job = JOB | {"round_shift": 13, "mask_bits": 13, "masks": "pairwise"}
    body = reader.pack(job)
    weights = np.random.default_rng(6).integers(-3000, 3000, PARAMETERS).tolist()
    given = [
        Provision.new(Policy(bytes([n] * 8), f"peer-{n}", 2**32 - 1, 2**31, link=1, peers=3), b"spec", owner)
        for n in range(1, 6)
    ]
    keys = [reader.Keys(one.key) for one in given]
    listed = {one.policy.board: reader.x25519(key.mask) for one, key in zip(given, keys, strict=True)}
    members = Members.sign(5, listed | {b"\0" * 8: reader.x25519(HELPER)}, owner).data
    place = struct.pack("<BBHII8s16s5H", 1, 0, 5, 2**31, 4, H(8, None, body), H(16, None, members), *range(1, 6))
    cohort = cohorts.Cohort(place, members, reader.unpack(given[0].file())["owner"])
    assert [entry[:8] for entry in cohort.boards] == [one.policy.board for one in given] and cohort.t == 3
    total, left = [0] * TRAINABLE, [0] * TRAINABLE
    for i, one in enumerate(given):
        store = write(Layout(one.records_id), sessions_of(20 + i))
        board = SimulatedBoard(one, Examples.from_records(store, Job.parse(body)), ENTROPY)
        board.job(upload(board, body, 1 << 20))
        sent = struct.pack(f"<BBHI8s{PARAMETERS}h", 1, 0, 0, 4, H(8, None, body), *weights)
        board.round(H(8, None, body), upload(board, sent, 1 << 20))
        upload(board, members, 1 << 20)
        board.seal(upload(board, place, 1 << 20))
        status = board.status()
        assert status.update is not None
        update = board.get(status.update, 0, status.update_length)
        ratchet = ratchet_of(one.secret, one.policy.board)
        next(ratchet)
        sums, count = sums_of(store, weights)
        values, fresh = noised(sums, next(ratchet)), next(ratchet)
        payload = cohort.update(i, keys[i].mask, fresh, values, 13, 13)
        start = bytes([6, 0, LOG2_SIGMA, 0]) + update[4:8] + struct.pack("<III", 4, count, CLIP | 1 << 20)
        start += update[20:24] + H(8, None, body) + one.policy.board + payload[:52]
        tag, ident = reader.named(start, keys[i], H(32, None, payload[52:]))
        assert (update, status.update) == (start + payload[52:] + tag, ident)
        # board 2 did not make it
        if i != 2:
            told = board.reveal(H(16, None, place), bytes([0b11011]))
            assert told == cohort.told(i, keys[i].mask, 0b11011)
            own = reader.masks(H(32, H(32, fresh, b"picofed self"), b"picofed mask"), 13, TRAINABLE)
            seed = told[32 * cohort.neighbours(i).index(2) :][:32]
            run = int.from_bytes(payload[52:], "little")
            for k, mask in enumerate(reader.masks(seed, 13, TRAINABLE)):
                total[k] += (run >> 13 * k & 0x1FFF) - own[k] - (mask if i < 2 else -mask)
                left[k] += reader.rounded(values[k], 13)
    assert [(a - b) % 2**13 for a, b in zip(total, left, strict=True)] == [0] * TRAINABLE
