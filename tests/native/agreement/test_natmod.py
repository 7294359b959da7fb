"""The MicroPython native module, run by a real MicroPython process, against the compiled core of the host: bit for bit.

One script of calls with the answers that the host's core gives is written, and MicroPython checks it; what it prints
is the list of differences. PICOFED_TEST_MICROPYTHON and PICOFED_TEST_NATMOD name another program and its module, for
example a 32-bit one.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed import native
from picofed.flash import MemoryFlash
from picofed.records import HEADER, Layout, Session, write
from picofed.reference import Loss, Model, encode_model
from picofed.toolchain import build

pytestmark = pytest.mark.slow

PRELUDE = """
import picofed_core as c
failures = []
def same(line, got, want):
    if got != want:
        failures.append((line, got, want))
def raises(line, kind, run):
    try:
        got = run()
    except kind:
        return
    failures.append((line, got, kind))
class Flash:
    block_size = 256
    def __init__(self):
        self.image = bytearray(b"\\xff" * 512)
        self.left = -1
    def read(self, offset, buffer):
        buffer[:] = self.image[offset:offset + len(buffer)]
    def program(self, offset, data):
        self.left -= 1
        if self.left == -1:
            raise OSError(5)
        for i in range(len(data)):
            self.image[offset + i] &= data[i]
    def erase(self, offset):
        self.image[offset:offset + 256] = b"\\xff" * 256
class File:
    # of a record store, open for reading
    def __init__(self, data):
        self.data = data
        self.places = []
        self.fails = False
    def seek(self, place):
        self.place = place
        self.places.append(place)
    def readinto(self, buffer):
        if self.fails:
            raise OSError
        piece = self.data[self.place : self.place + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

def array_of(code, data):
    import array
    return array.array(code, data)
"""


# squared error, five layers of 1023 x 1023, all trained: squared norms may reach 2^64
OVERFLOWING = bytes([1, 1, 5, 0]) + b"\xff\x03" * 6 + bytes([0, 0, 0xFF, 3, 0, 0, 0xFF, 3, 1, 0]) * 5


class Script:
    """Lines for MicroPython; `same` compares an expression there with a value from here."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def run(self, line: str) -> None:
        self.lines.append(line)

    def same(self, expression: str, wanted: Any) -> None:
        if isinstance(wanted, bytearray):
            wanted = bytes(wanted)
        self.lines.append(f"same({len(self.lines)}, {expression}, {wanted!r})")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Script], None]:
    """Runs a script in the unix port with the x64 module on its path."""
    program = os.environ.get("PICOFED_TEST_MICROPYTHON") or build.unix_board()
    module = Path(os.environ.get("PICOFED_TEST_NATMOD") or build.natmod("x64"))
    folder = tmp_path_factory.mktemp("natmod")

    def run(script: Script) -> None:
        path = folder / "script.py"
        path.write_text(PRELUDE + "\n".join(script.lines) + "\nprint('failures', failures[:5])\nprint('done')\n")
        argv = [str(program), "-X", "heapsize=4m", str(path)]
        done = subprocess.run(
            argv, env={"MICROPYPATH": str(module.parent)}, capture_output=True, text=True, timeout=300
        )
        assert done.stdout.splitlines() == ["failures []", "done"], done.stdout + done.stderr

    return run


def test_differences_are_seen(board: Callable[[Script], None]) -> None:
    s = Script()
    s.same("c.crc32(b'abc')", native.crc32(b"abc") ^ 1)
    with pytest.raises(AssertionError, match="failures"):
        board(s)


def test_primitives(board: Callable[[Script], None], rng: random.Random) -> None:
    s = Script()
    s.same("c.VERSION", 1)
    for _ in range(20):
        key, nonce, data = rng.randbytes(32), rng.randbytes(12), rng.randbytes(rng.randrange(300))
        counter = rng.choice([0, 1, 2**30 - 1, 2**31, 2**32 - 1 - 10])
        s.run(f"b = bytearray({data!r})")
        s.same(f"c.chacha20({key!r}, {nonce!r}, {counter}, b)", counter + (len(data) + 63) // 64)
        s.same("bytes(b)", native.chacha20(key, nonce, counter, data))
        size, short = rng.randint(1, 64), rng.randbytes(rng.randrange(65))
        s.run(f"b = bytearray({size})")
        s.same(f"c.blake2b(b, {short!r}, {data!r})", 0)
        s.same("bytes(b)", native.blake2b(data, size, short))
        s.same(f"c.crc32({data!r})", native.crc32(data))
        s.same(f"c.crc32({data!r}, {native.crc32(b'x')})", native.crc32(b"x" + data))
        log2_sigma = rng.randint(1, 25)
        s.run("b = bytearray(400)")
        s.same(f"c.noise({key!r}, {log2_sigma}, b)", 0)
        s.same("bytes(b)", native.discrete_gaussian(key, log2_sigma, 100).tobytes())
        payload = rng.randbytes(rng.choice([1, 253, 254, 255, 1024]))
        frame = native.frame_encode(payload)
        s.run("b = bytearray(2100)")
        s.same(f"c.frame_encode({payload!r}, b)", len(frame))
        s.same(f"bytes(b[:{len(frame)}])", frame)
        s.run(f"b = bytearray({frame[1:-1]!r})")
        s.same("c.frame_decode(b, len(b))", len(payload))
        s.same(f"bytes(b[:{len(payload)}])", payload)
        secret, public = rng.randbytes(32), rng.randbytes(32)
        s.run("b = bytearray(32)")
        s.same(f"c.x25519(b, {secret!r}, {public!r})", 0)
        s.same("bytes(b)", native.x25519(secret, public))
        s.same(f"c.x25519(b, {secret!r}, None)", 0)
        signature = native.eddsa_sign(secret, public)
        owner = native.eddsa_public(secret)
        s.same(f"c.eddsa_check({signature!r}, {owner!r}, {public!r})", 0)
        s.same(f"c.eddsa_check({signature!r}, {owner!r}, {public[1:]!r})", -10)
        s.same(f"c.differ({secret!r}, {secret!r})", 0)
        s.same(f"c.differ({secret!r}, {public!r})", 1)
        s.same(f"c.differ({secret!r}, {secret[1:]!r})", 1)
        s.same("bytes(b)", native.x25519_public(secret))
        n = rng.randint(16, 128)
        window = np.array([[rng.randint(-32768, 32767) for _ in range(6)] for _ in range(n)], np.int16)
        s.run("b = bytearray(45)")
        s.same(f"c.features_imu({window.tobytes()!r}, {n}, b)", 0)
        s.same("bytes(b)", native.features_imu(window).tobytes())
        s.run("b = bytearray(6 * 8)")
        s.same(f"c.features_blocks({window[:16].tobytes()!r}, 16, 2, {n % 16 + 1}, b)", 0)
        points = native.features_blocks(window[:16], 2, n % 16 + 1)
        s.same("bytes(b)", points.tobytes())
        s.run("t = bytearray(96)")
        s.same("c.targets(b, b[:6], t)", 0)
        s.same("bytes(t)", native.targets(points, points[:6]).astype("<i2").tobytes())
        layer = bytes([3, 1, 4, 2, rng.randint(0, 12)]) + rng.randbytes(4 * 19)
        found = native.convolution(points, 6, layer)
        s.same(f"c.convolution(None, 8, 6, {layer!r}, None)", 12)
        s.run("o = bytearray(12)")
        s.same(f"c.convolution(b, 8, 6, {layer!r}, o)", 12)
        s.same("bytes(o)", found.tobytes())
        records_of(s, rng)
        arguments = rng.randrange(2**20), rng.randint(6, 25), rng.randint(1, 4095)
        try:
            units = native.charge(*arguments)
        except native.CoreError:
            units = 2**32 - 1
        s.same(f"c.charge{arguments}", units)
    raw = rng.randbytes(1024)
    s.run("b = bytearray(32)")
    s.same(f"c.entropy_condition({raw!r}, b)", 0)
    s.same("bytes(b)", native.entropy_condition(raw))
    s.same("c.entropy_condition(bytes(1024), b)", -8)
    for share in (0.25, 0.75, 0.9):
        biased = bytes(sum((rng.random() < share) << bit for bit in range(8)) for _ in range(1024))
        s.same(f"c.entropy_condition({biased!r}, b)", -8)
    s.same("bytes(b)", bytes(32))
    board(s)


def records(rng: random.Random, model: Model, n: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    features = np.array([[rng.randint(-127, 127) for _ in range(model.inputs)] for _ in range(n)], np.int8)
    if model.loss is Loss.SOFTMAX:
        return features, np.array([rng.randrange(model.outputs) for _ in range(n)], np.uint8)
    return features, np.array([[rng.randint(-9999, 9999) for _ in range(model.outputs)] for _ in range(n)], np.int16)


def test_trainer(board: Callable[[Script], None], rng: random.Random, random_model: Callable[..., Model]) -> None:
    s = Script()
    for _ in range(60):
        model, mode = random_model(rng, width=20, layers=3), rng.randrange(2)
        descriptor = encode_model(model)
        trainer = native.Trainer(descriptor, mode)
        weights = np.array([rng.randint(-2000, 2000) for _ in range(trainer.parameters)], np.int16)
        trainer.set_weights(weights)
        s.run(f"m = bytearray(c.trainer_size({descriptor!r}, {mode}))")
        s.same(f"c.trainer_init(m, {descriptor!r}, {mode})", 0)
        s.same("c.trainer_counts(m)", (trainer.parameters, trainer.trainable, trainer.inputs, trainer.outputs))
        s.same(f"c.trainer_set_weights(m, 0, {weights.tobytes()!r})", 0)
        for _ in range(2):
            key, log2_sigma, norm = rng.randbytes(32), rng.randint(6, 25), rng.randint(1, 2**20 - 1)
            features, targets = records(rng, model, rng.randint(1, 9))
            trainer.begin(key, log2_sigma, norm)
            trainer.fill()
            trainer.examples(features, targets)
            s.same(f"c.trainer_begin(m, {key!r}, {log2_sigma}, {norm})", 0)
            s.same("c.trainer_examples(m, b'', b'', 0)", -4)
            s.same("c.trainer_fill(m, 3)", max(0, trainer.trainable - 3))
            s.same(f"c.trainer_fill(m, {2**32 - 1})", 0)
            n = len(features)
            s.same(f"c.trainer_examples(m, {features.tobytes()!r}, {targets.tobytes()!r}, {n})", 0)
            s.same(f"c.trainer_examples(m, {features.tobytes()!r}, {targets.tobytes()!r}, {n + 1})", -3)
            if mode:
                multiplier, shift = rng.randint(1, 65535), rng.randint(0, 40)
                trainer.step(multiplier, shift)
                s.same(f"c.trainer_step(m, {multiplier}, {shift})", 0)
            shift = rng.randrange(31)
            payload = trainer.encode(shift)
            s.run(f"b = bytearray({len(payload)})")
            s.same(f"c.trainer_encode(m, {shift}, b)", len(payload))
            s.same("bytes(b)", payload)
            s.same(f"c.trainer_encode(m, {shift}, bytearray({len(payload) - 1}))", -3)
            s.same("c.trainer_examples(m, b'', b'', 0)", -4)  # what was released is not added to
        s.run(f"b = bytearray({2 * trainer.parameters})")
        s.same("c.trainer_get_weights(m, 0, b)", 0)
        s.same("bytes(b)", trainer.get_weights().tobytes())
        subset = np.array([rng.randint(-99, 99) for _ in range(trainer.trainable)], np.int16)
        trainer.set_subset(subset)
        s.same(f"c.trainer_set_subset(m, 0, {subset.tobytes()!r})", 0)
        s.run(f"o = array_of('i', [0] * {trainer.outputs})")
        s.same(f"c.trainer_logits(m, {features[0].tobytes()!r}, o)", 0)
        s.same("list(o)", trainer.logits(features[0]).tolist())
        s.same("c.trainer_wipe(m)", 0)
        s.same("m == bytearray(len(m))", True)
        s.same("c.trainer_fill(m, 1)", -4)
    board(s)


def test_stores(board: Callable[[Script], None], rng: random.Random) -> None:
    s = Script()
    key = rng.randbytes(32)
    flash = MemoryFlash(256)
    native.Ledger.provision(flash, key, 2**31, 2**31 + 5)
    ledger = native.Ledger(flash, key, 2**32 - 2)
    s.run("f = Flash()")
    s.run("l = bytearray(c.ledger_size())")
    s.same("c.ledger_charge(l, f, 1000, 13, 1, 0, 1 << 31)", -4)
    s.same(f"c.ledger_open(l, f, {key!r}, 5)", -6)
    s.same(f"c.ledger_provision(f, {key!r}, {2**31}, {2**31 + 5})", 0)
    s.same("c.ledger_open(l, f, bytes(32), 5)", -10)
    s.same("c.ledger_head(l)", -4)
    s.same(f"c.ledger_open(l, f, {key!r}, {2**32 - 2})", 0)
    for _ in range(30):
        norm, job = rng.randint(1, 2000), rng.randrange(2**32)
        ledger.charge(norm, 13, 3, job, 2**32 - 1)
        s.same(f"c.ledger_charge(l, f, {norm}, 13, 3, {job}, {2**32 - 1})", 0)
        s.same("c.ledger_head(l)", (ledger.seq, ledger.cumulative, ledger.generation, ledger.offset))
        s.same("bytes(f.image)", flash.image)
    s.same(f"c.ledger_charge(l, f, 1000, 13, 1, 0, {2**31})", -5)
    s.same("c.ledger_charge(l, f, 1000, 13, 1, 0, 1 << 32)", -1)
    # a hook that raises: the exception arrives, the ledger is closed, opening charges what was torn
    s.run("f.left = 0")
    s.run(f"raises(0, OSError, lambda: c.ledger_charge(l, f, 1000, 13, 1, 0, {2**32 - 1}))")
    s.same("c.ledger_head(l)", -4)
    s.same(f"c.ledger_charge(l, f, 1000, 13, 1, 0, {2**32 - 1})", -4)
    s.same(f"c.ledger_open(l, f, {key!r}, 7)", 0)
    s.same("c.ledger_head(l)[1]", ledger.cumulative)
    s.same("c.ledger_charge(bytearray(l), f, 1000, 13, 1, 0, 1)", -4)  # a copy is not the ledger

    secret, entropy = rng.randbytes(32), rng.randbytes(32)
    seeds = MemoryFlash(256)
    native.Ratchet.provision(seeds, secret)
    s.run("f = Flash()")
    s.run("r = bytearray(c.ratchet_size())")
    s.run("b = bytearray(32)")
    s.same("c.ratchet_next(r, 0, b)", -4)
    s.same(f"c.ratchet_boot(r, f, {entropy!r}, b'board')", -6)
    s.same(f"c.ratchet_provision(f, {secret!r})", 0)
    for boot in range(1, 9):
        ratchet = native.Ratchet(seeds, entropy, b"board")
        s.same(f"c.ratchet_boot(r, f, {entropy!r}, b'board')", boot)
        s.same("bytes(f.image)", seeds.image)
        for n in (0, 1, 2**32 - 1):
            s.same(f"c.ratchet_next(r, {n}, b)", 0)
            s.same("bytes(b)", ratchet.next(n))
    s.run("f.left = 1")
    s.run(f"raises(0, OSError, lambda: c.ratchet_boot(r, f, {entropy!r}, b'board'))")
    s.same("c.ratchet_next(r, 0, b)", -4)
    board(s)


def records_of(s: Script, rng: random.Random) -> None:
    """Windows and records from the slots of a store, as the host reads and makes them."""
    samples = np.array([[rng.randint(-32768, 32767) for _ in range(6)] for _ in range(57)], np.int16)
    layout = Layout(bytes(8), 6, 50, 20, 8)
    data = write(layout, [Session(samples[:5], 1), Session(samples, 2)])
    stored = data[HEADER.size :][: 4 * layout.slot_bytes]
    s.run("ring = array_of('I', (6, 20, 8, 0, 0, 0))")
    s.run("walk = array_of('I', (20, 25, 0) + (0,) * 8)")
    s.run(f"slots = bytearray({stored!r})")
    s.run("w = bytearray(240)")
    s.same("c.slots_check(ring, 0, 4, slots, len(slots))", 4)
    s.same("tuple(ring)", (6, 20, 8, 4, 4, 1))
    s.run("bits = bytearray(2)")
    s.same("c.slots_check(ring, 0, 4, slots, len(slots), bits)", 4)
    s.same("bytes(bits)", b"\x0f\0")
    for start in (0, 25):
        s.same("c.windows_next(walk, ring, 4, slots, w)", 2)
        s.same("bytes(w)", samples[start : start + 20].tobytes())
    s.same("c.windows_next(walk, ring, 4, slots, w)", 256)
    points = native.features_blocks(samples[:20], 5, 10)
    wanted = native.targets(points[12:], points[6:12]).astype("<i2").tobytes()
    s.run("front = array_of('I', (1, 1, 20, 5, 2, 12, 0, 0))")
    s.run("row = bytearray(96)\ntarget = bytearray(192)\nroom = bytearray(24)")
    s.same(f"c.front_record(front, b'', {samples[:20].tobytes()!r}, row, target, room)", 0)
    s.same("bytes(row[:12])", points[:12].tobytes())
    s.same("bytes(target[:24])", wanted)
    s.run("row = bytearray(96)\ntarget = bytearray(192)")
    s.run("walk = array_of('I', (20, 25, 0) + (0,) * 8)")
    s.run("slots = bytearray(600)")  # two slots are read at a time, then a last one
    s.run(f"f = File({data!r})")
    s.run("held = array_of('I', (0, 4))")
    rows = "c.front_rows(front, b'', walk, held, ring, f.seek, f.readinto, slots, w, row, target, room)"
    s.run("f.fails = True")
    s.run(f"raises(0, OSError, lambda: {rows})")
    s.same("(tuple(held), f.places)", ((0, 4), [32]))
    s.run("f.fails = False")
    s.same(rows, 256)
    s.same("(tuple(held), f.places)", ((2, 4), [32, 32, 32 + 2 * 256]))
    s.same(rows, 256)
    s.same("tuple(front)[7]", 2)
    s.same("bytes(row[:12])", points[:12].tobytes())
    s.same("bytes(target[:24])", wanted)


def test_refusals(board: Callable[[Script], None], rng: random.Random, random_model: Callable[..., Model]) -> None:
    """Short, misaligned, foreign and absurd arguments: an error code or a TypeError, never a crash."""
    s = Script()
    s.run("k = bytes(32)")
    s.run("b = bytearray(64)")
    s.run("words = array_of('I', (6, 20, 8, 0, 0, 0))")
    s.run("walk = array_of('I', (20, 25, 0) + (0,) * 8)")
    s.run("front = array_of('I', (1, 1, 20, 5, 2, 12, 0, 0))")
    s.run("row = bytearray(96)")
    s.run("one = array_of('I', (1, 1))\nnone = array_of('I', (0, 1))")
    for call, code in {
        "c.noise(k[1:], 6, b)": -3,
        "c.noise(k, 0, b)": -1,
        "c.noise(k, 26, b)": -1,
        "c.noise(k, -1, b)": -1,
        f"c.noise(k, {2**32 + 6}, b)": -1,
        f"c.noise(k, {2**70}, b)": -1,
        "c.noise(k, 6, memoryview(b)[1:5])": -3,
        "c.noise(k, 6, memoryview(b)[0:0])": 0,
        "c.chacha20(k[1:], b, 0, b)": -3,
        "c.chacha20(k, b[:11], 0, b)": -3,
        f"c.chacha20(k, b, {2**32}, b)": -1,
        "c.blake2b(bytearray(0), b'', b'')": -1,
        "c.blake2b(bytearray(65), b'', b'')": -1,
        "c.blake2b(b, bytes(65), b'')": -1,
        "c.x25519(b[:31], k, k)": -3,
        "c.x25519(b, k, k[1:])": -3,
        "c.entropy_condition(bytes(1023), b)": -1,
        "c.entropy_condition(bytes(1024), b[:31])": -3,
        "c.features_imu(bytes(1200), 100, b[:44])": -3,
        "c.features_imu(bytes(1199), 100, b)": -3,
        "c.features_imu(bytes(12), 1, b)": -1,
        f"c.features_imu(bytes(12), {2**32 - 1}, b)": -1,
        "c.features_blocks(bytes(1200), 100, 10, 100, b[:59])": -3,
        "c.features_blocks(bytes(1199), 100, 10, 100, b)": -3,
        "c.features_blocks(bytes(1200), 100, 30, 100, b)": -1,
        "c.features_blocks(bytes(1200), 100, 0, 100, b)": -1,
        "c.features_blocks(bytes(1200), 100, 10, 101, b)": -1,
        f"c.features_blocks(bytes(12), {2**32 - 1}, 1, 1, b)": -1,
        "c.targets(b[:33], b[:1], b)": -3,
        "c.convolution(b[:7], 8, 1, b'\\1\\1\\1\\1\\0\\0\\0', b)": -3,
        "c.convolution(b, 8, 1, b'\\1\\1\\1\\1\\0\\0\\0', b[:7])": -3,
        "c.convolution(b, 8, 1, b'\\1\\1\\1\\1\\0\\0', b)": -1,
        f"c.convolution(b, {2**32 - 1}, 64, b'\\1\\1\\1\\1\\0\\0\\0', b)": -1,
        "c.slots_check(words[1:], 0, 1, bytearray(256), 256)": -3,
        "c.slots_check(words, 0, 1, bytearray(255), 255)": -3,
        f"c.slots_check(words, 0, {2**24}, bytearray(256), 256)": -3,
        "c.slots_check(words, 0, 1, bytearray(256), 256, bytearray(1))": -3,
        "c.slots_check(words, 8, 0, bytearray(256), 256)": -1,
        "c.slots_check(array_of('I', (256, 20, 8, 0, 0, 0)), 0, 1, bytearray(256), 256)": -1,
        "c.windows_next(words, words, 1, bytearray(256), b)": -3,
        "c.windows_next(walk[1:], words, 1, bytearray(256), bytearray(240))": -3,
        "c.windows_next(walk, words, 1, bytearray(256), bytearray(239))": -3,
        "c.windows_next(walk, words, 2, bytearray(511), bytearray(240))": -3,
        "c.windows_next(walk, words, 2, memoryview(bytearray(513))[1:], bytearray(240))": -3,
        "c.windows_next(array_of('I', (21, 20) + (0,) * 9), words, 1, bytearray(256), bytearray(252))": -1,
        "c.windows_next(array_of('I', (65537, 65537) + (0,) * 9), words, 1, bytearray(256), b)": -1,
        "c.front_record(front[1:], b'', bytes(240), row, bytes(24), row)": -1,
        "c.front_record(front, b'', bytes(239), row, bytearray(24), row)": -3,
        "c.front_record(front, b'', bytes(240), row[:11], bytearray(24), row)": -3,
        "c.front_record(front, b'', bytes(240), row, bytearray(23), row)": -3,
        "c.front_record(front, b'', bytes(240), row, bytearray(24), row[:23])": -3,
        f"c.front_record(array_of('I', (0, 0, {2**31}, 0, 0, 45, 3, 0)), b'', b'', row, row, row)": -1,
        "c.front_rows(front, b'', walk, one, words, len, len, "
        "bytearray(256), bytearray(240), row[:95], bytearray(192), row)": -3,
        "c.front_rows(front, b'', walk, one, words, len, len, "
        "bytearray(256), bytearray(240), row, bytearray(191), row)": -3,
        "c.front_rows(front, b'', walk, one, words, len, len, "
        "bytearray(255), bytearray(240), row, bytearray(192), row)": -3,
        "c.front_rows(front, b'', walk, one, words, len, len, "
        "bytearray(256), bytearray(239), row, bytearray(192), row)": -3,
        "c.front_rows(front, b'', walk, array_of('I', (0, 1)), words, abs, lambda _: 0, "
        "bytearray(256), bytearray(240), row, bytearray(192), row, bytearray(1))": -3,
        "c.front_rows(front, b'', walk[1:], one, words, len, len, "
        "bytearray(256), bytearray(240), row, bytearray(192), row)": -3,
        "c.front_rows(front, b'', walk, one[1:], words, len, len, "
        "bytearray(256), bytearray(240), row, bytearray(192), row)": -3,
        "c.front_rows(front, b'', walk, none, words, len, len, "
        "bytearray(255), bytearray(240), row, bytearray(192), row)": -3,
        "c.front_rows(front, b'', array_of('I', (21, 25) + (0,) * 9), one, words, len, len, "
        "bytearray(256), bytearray(252), row, bytearray(192), row)": -1,
        "c.frame_encode(b'', bytearray(2100))": -1,
        "c.frame_encode(bytes(1025), bytearray(3000))": -1,
        "c.frame_encode(b'abc', bytearray(5))": -3,
        "c.frame_decode(b, 65)": -3,
        "c.frame_decode(b, 0)": -9,
        "c.trainer_size(b'', 0)": -1,
        "c.trainer_size(b'abc', 7)": -1,
        "c.trainer_init(b, b'abc', 0)": -1,
        f"c.trainer_size({OVERFLOWING!r}, 0)": -2,
        f"c.trainer_init(b, {OVERFLOWING!r}, 0)": -2,
        "c.trainer_fill(b, 1)": -4,
        "c.trainer_fill(bytearray(3), 1)": -4,
        "c.trainer_counts(b)": -4,
        "c.ledger_head(b)": -4,
        "c.ratchet_next(b, 0, b)": -4,
    }.items():
        s.same(call, code)
    for call in (
        "c.noise(k, '6', b)",
        "c.noise(None, 6, b)",
        "c.noise(k, 6, k)",
        "c.crc32(5)",
        "c.ledger_open(bytearray(200), None, k, 1)",
    ):
        s.run(f"raises({len(s.lines)}, (TypeError, AttributeError), lambda: {call})")
    descriptor = encode_model(random_model(rng, width=6, layers=2))
    s.run(f"d = {descriptor!r}")
    s.run("m = bytearray(c.trainer_size(d, 0))")
    s.same("c.trainer_init(bytearray(len(m) - 1), d, 0)", -3)
    s.same("c.trainer_init(memoryview(bytearray(len(m) + 8))[1:], d, 0)", -3)
    s.same("c.trainer_init(m, d, 0)", 0)
    s.same("c.trainer_fill(bytearray(m), 1)", -4)
    s.same("c.ledger_head(m)", -4)
    for log2_sigma, norm, code in ((0, 0, -1), (5, 1, -1), (6, 0, -1), (26, 1, -1), (6, 2**20, -1), (6, 1, 0)):
        s.same(f"c.trainer_begin(m, k, {log2_sigma}, {norm})", code)
    s.same("c.trainer_encode(m, 0, b)", -4)
    s.same("c.trainer_set_weights(m, 0, b'abc')", -1)
    s.same(f"c.trainer_set_weights(m, {2**32 - 1}, b'ab')", -1)
    s.same("c.trainer_set_weights(m, 0, b'\\x00\\x7f')", -2)
    board(s)


def test_module_is_where_the_toolchain_says() -> None:
    path: Path = build.natmod("x64")
    assert path.name == "picofed_core.mpy"
    assert path.stat().st_size < 48 * 1024
