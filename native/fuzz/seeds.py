"""Writes the inputs that the fuzzer's corpus starts from, one folder argument: something valid for each parser."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

import numpy as np
from picofed import native, records
from picofed.learn.model import Model, Rectangle

KEY = bytes([1, 2, 3]) + bytes(29)
BLOCK = 256


def seeds() -> dict[str, bytes]:
    """Inputs by name; the first byte chooses the parser (native/fuzz/fuzz.c)."""
    chooser = random.Random(1)
    found: dict[str, bytes] = {}
    for size in (1, 5, 254, 300):
        payload = chooser.randbytes(size)
        found[f"frame-{size}"] = b"\x00" + native.frame_encode(payload)[1:-1]
        found[f"payload-{size}"] = b"\x01" + payload
    found["zeros"] = b"\x00" + native.frame_encode(bytes(40))[1:-1]
    for shift in (0, 3, 19):
        values = [chooser.randint(-(2**25), 2**25) for _ in range(30)]
        found[f"codec-{shift}"] = b"\x02\x1e" + native.update_encode(values, shift)
        found[f"values-{shift}"] = b"\x03" + bytes([shift]) + struct.pack("<30i", *values)
    models = {
        "softmax": Model.dense([5, 3]),
        "mlp": Model.dense([4, 5, 3]),
        "deep": Model.dense([3, 4, 4, 2], "squared"),
        "part": Model((6, 5, 3), "softmax", (Rectangle(1, 5, 2, 6), Rectangle(0, 3, 0, 5))),
    }
    for name, model in models.items():
        for mode in (0, 1):
            head = bytes([4, mode + 4 * chooser.randrange(20), len(model.descriptor)])
            found[f"{name}-{mode}"] = head + model.descriptor + chooser.randbytes(2 * model.parameters + 40)
    flash = native.MemoryFlash(BLOCK)
    native.Ledger.provision(flash, KEY)
    ledger = native.Ledger(flash, KEY, 1000)
    for charges in (0, 3, 9):
        for _ in range(charges):
            ledger.charge(2, 12, 1, 7, 2**31)
        found[f"ledger-{charges}"] = b"\x05\x00\x03" + image(flash)
        found[f"signed-{charges}"] = b"\x05\xff\x03" + image(flash)
    flash = native.MemoryFlash(BLOCK)
    native.Ratchet.provision(flash, bytes(32))
    for boots in (0, 2, 3):
        for _ in range(boots):
            native.Ratchet(flash, bytes(32), b"")
        found[f"ratchet-{boots}"] = b"\x06\x00" + image(flash)
    for kind in (bytes(64), chooser.randbytes(600), bytes([0x55] * 100)):
        found[f"entropy-{len(kind)}"] = b"\x07" + kind
    for width, channels, filters in ((5, 6, 8), (3, 8, 4)):
        layer = bytes([width, 1, filters, 2, 7]) + chooser.randbytes(filters * (width * channels + 1))
        found[f"convolution-{channels}"] = b"\x08" + bytes([40, channels]) + layer
    for slots in (3, 9):
        layout = records.Layout(bytes(8), 2, 50, 4, 8)
        sessions = [
            records.Session(np.arange(2 * n, dtype=np.int16).reshape(n, 2), n % 3) for n in range(5, 4 * slots, 9)
        ]
        head = bytes([1, 3, 7, slots, slots, 1, slots, 0xFF])
        found[f"records-{slots}"] = b"\x09" + head + records.write(layout, sessions)[records.HEADER.size :]
    layers = bytes([5, 1, 2, 2, 7]) + chooser.randbytes(2 * 31) + bytes([3, 1, 1, 2, 6]) + chooser.randbytes(7)
    for name, front in {
        "imu45": bytes([0, 0, 100, 0, 0, 45, 0]),
        "itself": bytes([0, 2, 100, 0, 0, 45, 0]),
        "next": bytes([1, 1, 40, 5, 2, 36, 0]),
        "layers": bytes([2, 0, 100, 5, 0, 3, 0]),
    }.items():
        found[f"front-{name}"] = b"\x0a" + front + layers
    slots = rows_of_slots(chooser)
    for name, front in {
        "imu45": bytes([0, 0, 16, 0, 0, 45, 0, 3]),
        "itself": bytes([0, 2, 16, 0, 0, 45, 0, 0]),
        "next": bytes([1, 1, 16, 4, 1, 18, 0, 2]),
        "layers": bytes([2, 0, 16, 2, 0, 4, 0, 3]),
    }.items():
        filters = layers[: 5 + 2 * 31] if name == "layers" else b""
        found[f"rows-{name}"] = b"\x0d" + front + bytes([0, 6, 6, 1, 0xFF, len(filters)]) + filters + slots
    for name, model in (models | {"head": Model((6, 4, 3), "softmax", (None, Rectangle(0, 3, 0, 4)))}).items():
        for mode in (0, 1):
            head = bytes([11, mode, len(model.descriptor), 3, 8, 16, 0, 20, 1])
            found[f"frozen-{name}-{mode}"] = head + model.descriptor + chooser.randbytes(60)
    for bits, n in ((8, 5), (13, 40), (16, 3), (17, 40), (32, 5)):
        found[f"fields-{bits}"] = bytes([12, 0, bits, n]) + packed(chooser.getrandbits(bits * n), bits * n)
    for threshold in (1, 3, 8):
        points = bytes(chooser.sample(range(1, 256), threshold))
        found[f"shares-{threshold}"] = bytes([12, 1, threshold - 1]) + points + chooser.randbytes(32 * threshold)
    return found


def rows_of_slots(chooser: random.Random) -> bytes:
    """Six slots of a wrist's samples."""
    layout = records.Layout(bytes(8), 6, 50, 7, 7)
    samples = np.array([chooser.randrange(-9000, 9000) for _ in range(6 * 20)], np.int16).reshape(20, 6)
    sessions = [records.Session(samples, 1), records.Session(samples[::-1], 2)]
    return records.write(layout, sessions)[records.HEADER.size :]


def packed(run: int, bits: int) -> bytes:
    """A run of bits, the lowest of each byte first."""
    return run.to_bytes((bits + 7) // 8, "little")


def image(flash: native.Flash) -> bytes:
    """Both blocks."""
    data = bytearray(2 * BLOCK)
    flash.read(0, memoryview(data))
    return bytes(data)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for label, content in seeds().items():
        (target / label).write_bytes(content)
