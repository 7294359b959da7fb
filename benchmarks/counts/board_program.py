"""Runs on the board, as /counts.py: what the installed firmware and core cost, by the emulator's counter.

Each call is for a board that was just started."""

import gc
import struct

import boardserve
import micropython
import picofed_core as core
from machine import mem32

_now = getattr(boardserve, "instructions", None) or boardserve.cycles
_WORD = 0xFFFFFFFF
_PAINT = 0x5A17C0DE
_BATCH = 8
_RECORDS = 200
_NOISE = 256
_FOLDER = "/given/"


def _spent(start):
    return (_now() - start) & _WORD


def _nothing():
    return 0


def _call(function):
    """Cost of what the function does, without that of calling it and of reading the counter."""
    gc.collect()
    _spent(_now())  # the first object behind a collection is searched for from the start of the heap
    start = _now()
    _nothing()
    idle = _spent(start)
    start = _now()
    result = function()
    cost = _spent(start) - idle
    if type(result) is int and result < 0:
        raise ValueError(result)
    return cost


def _stream(n, number=0):
    """n bytes that look random."""
    made = bytearray(n)
    piece = bytearray(64)
    for at in range(0, n, 64):
        core.blake2b(piece, b"", struct.pack("<II", number, at))
        made[at : at + 64] = piece[: n - at]
    return made


def _trained(descriptor):
    """A trainer as a round of gradient mode leaves it, and what its parts cost: noise, 200 records in batches."""
    mem = bytearray(core.trainer_size(descriptor, 0))
    core.trainer_init(mem, descriptor, 0)
    parameters, trainable, inputs, outputs = core.trainer_counts(mem)
    small = _stream(256)
    for i in range(1, 256, 2):
        small[i] = 0 if small[i] < 128 else 255  # weights of at most 1/8 either way
    for at in range(0, parameters, 128):
        core.trainer_set_weights(mem, at, memoryview(small)[: 2 * min(128, parameters - at)])
    core.trainer_begin(mem, _stream(32), 20, 1 << 18)
    noise = 0
    for _ in range(0, trainable, _NOISE):
        noise += _call(lambda: core.trainer_fill(mem, _NOISE))
    features = _stream(_BATCH * inputs, 1)
    for i in range(len(features)):
        features[i] &= 0x7F
    labels = bytearray([i % outputs for i in range(_BATCH)])
    examples = 0
    for _ in range(0, _RECORDS, _BATCH):
        examples += _call(lambda: core.trainer_examples(mem, features, labels, _BATCH))
    return mem, trainable, noise, examples


def example(descriptor):
    """(accumulators, noise, 200 examples)"""
    return _trained(descriptor)[1:]


def calls(large, shift, bits):
    """Single calls of the core, as the firmware makes them. large: descriptor of the model that is masked, on a grid of
    2^shift, in fields of so many bits."""
    found = {}
    out = bytearray(64)
    tag, key, point = memoryview(out)[:16], _stream(32, 2), _stream(32, 3)
    text = _stream(1024, 4)
    shared, nonce, payload, frame = memoryview(out)[:32], bytes(12), memoryview(text)[:960], bytearray(2048)
    found["x25519"] = _call(lambda: core.x25519(shared, key, point))
    found["blake2b"] = _call(lambda: core.blake2b(tag, key, text))
    found["chacha20"] = _call(lambda: core.chacha20(key, nonce, 0, text))
    found["encode"] = _call(lambda: core.frame_encode(payload, frame))
    from picofed.policy import genuine

    policy = [_read(name) for name in ("policy", "signature", "owner")]
    found["policy"] = _call(lambda: genuine(*policy))
    samples = _stream(1200, 5)
    row = bytearray(64)
    found["imu45"] = _call(lambda: core.features_imu(samples, 100, row))
    found["blocks"] = _call(lambda: core.features_blocks(samples, 100, 10, 100, row))
    mem, trainable, _, _ = _trained(large)
    fields = bytearray((bits * trainable + 7) // 8)
    found["mask"] = _call(lambda: core.trainer_mask(mem, shift, bits, key, fields))
    found["digest"] = _call(lambda: core.blake2b(shared, b"", fields))
    found["pair"] = _call(lambda: core.mask_add(fields, trainable, bits, key, 1))
    return found


def _read(name):
    with open(_FOLDER + name, "rb") as file:
        return file.read()


class _Awake:
    """Stands in for time in picofed.platform: where instructions move the clock, a wait would count as some."""

    sleep_ms = staticmethod(lambda ms: None)


class Firmware:
    """The firmware as far as the loop, with the job of that name and its weights."""

    def __init__(self, name):
        from picofed import main, platform
        from picofed.job import Job
        from picofed.train import Trainer

        platform.time = _Awake
        gc.collect()
        start = _now()
        self.server = main.start()
        self.start = _spent(start)
        if self.server.board.failure is not None:
            raise self.server.board.failure
        gc.collect()
        self.idle = gc.mem_alloc()
        job = Job(_read(name + ".job"))
        self.trainer = Trainer(job)
        self.pair = _call(lambda: self.server.board.mask_pair() and 0) if job.mask_bits else 0

    def _begin(self, name):
        from os import stat

        from picofed.train import Round

        path = _FOLDER + name + ".weights"
        with open(path, "rb") as file:
            start = _now()
            version = self.trainer.load(file, stat(path)[6])
            self.load = _spent(start)
        gc.collect()
        start = _now()
        made = Round(self.trainer, self.server.board, self.server.records, version, bytes(16))
        self.check = _spent(start)
        return made

    def round(self, name):
        """Costs of its parts, by the state that each step began in; the last step charges and makes the update."""
        current = self._begin(name)
        spent = {1: self.load + self.check, 2: 0}
        more = True
        while more:
            state = current.state
            start = _now()
            more = current.step()
            last = _spent(start)
            spent[state] += last
        found = {"start": self.start, "load": self.load + self.check, "noise": spent[1] - self.load - self.check}
        found.update({"training": spent[2] - last, "finish": last, "pair": self.pair, "records": current._seen})
        return found

    def cohort(self, name):
        """Costs of what follows the training of a round that is sealed in a cohort, and of the answer to a list of
        survivors without one of its boards."""
        from picofed.objects import object_id
        from picofed.peers import Peers

        board, objects = self.server.board, self.server.objects
        current = self._begin(name)
        while current.step():
            pass
        for what in ("cohort", "members"):
            data = _read(what)
            ident = object_id(data)
            objects.put(ident, len(data), 0, data)
            if what == "cohort":
                cohort = ident
        costs = []
        start = _now()
        current.seal(Peers(board, objects, cohort))
        more = True
        while more:
            more = current.step()
            costs.append(_spent(start))
            start = _now()
        size = len(costs) - 2  # two steps check the members, the last one seals
        bitmap = bytearray((size + 7) // 8)
        for place in range(size):
            bitmap[place >> 3] |= 1 << (place & 7)
        bitmap[0] ^= 1 if board.peers[1] != 0 else 2
        start = _now()
        Peers(board, objects, cohort).reveal(bytes(bitmap))
        found = {"reveal": _spent(start), "neighbours": size - 1, "seal": costs[-1]}
        found.update({"members": costs[0] + costs[1], "agreement": sum(costs[2:-1]) // (size - 1)})
        return found

    def reading(self):
        """Cost of going once through all windows of the store, without learning from them."""
        windows = self.server.records.windows(self.trainer.window, 100, 100)
        gc.collect()
        start = _now()
        for _ in windows:
            pass
        return _spent(start)

    def memory(self, name, bottom, top):
        """Heap before and while a round runs, at most; stack by paint in the words from bottom on."""
        _paint(bottom, top)
        current = self._begin(name)
        most = gc.mem_alloc()
        more = True
        while more:
            gc.collect()
            more = current.step()
            most = max(most, gc.mem_alloc())
        return {"idle": self.idle, "most": most, "whole": gc.mem_free() + gc.mem_alloc(), "stack": _depth(bottom, top)}


def _paint(bottom, top):
    end = top - micropython.stack_use() - 256
    for at in range(bottom, end, 4):
        mem32[at] = _PAINT


def _depth(bottom, top):
    """Bytes of stack that were ever in use since _paint()."""
    if mem32[bottom] & _WORD != _PAINT:
        raise ValueError("the stack was used to its end")
    at = bottom
    while mem32[at] & _WORD == _PAINT:
        at += 4
    return top - at
