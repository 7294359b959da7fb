"""From slots to records in one call of the core, against the host's windows and records of the same store (SPEC 8)."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from picofed import records
from picofed._native import ffi, lib
from picofed.learn import convolution, fronts
from picofed.learn.clients import Examples
from picofed.learn.job import Job
from picofed.learn.model import Model

LAYERS = bytes((5, 1, 8, 2, 7)), bytes((3, 1, 4, 2, 6))
WEIGHTS = 8 * (5 * 6 + 1), 4 * (3 * 8 + 1)


def job_of(features: str, target: str, window: int, labels: int, **more: Any) -> Job:
    """A job whose model fits; labels: classes that are learnt from."""
    shapes = [layer.shape for layer in convolution.parse(more["filters"])] if "filters" in more else []
    inputs, outputs = fronts.sizes(features, target, window, more.get("block", 0), more.get("horizon", 0), shapes)
    model = Model.dense([inputs, outputs or labels], "softmax" if target == "label" else "squared")
    return Job("front", model, 1000, 12, window, window + 7, labels, features=features, target=target, **more)


def jobs(chooser: random.Random) -> dict[str, Job]:
    filters = b"".join(head + chooser.randbytes(size) for head, size in zip(LAYERS, WEIGHTS, strict=True))
    return {
        "imu45": job_of("imu45", "label", 100, 3),
        "short": job_of("imu45", "label", 17, 3),
        "imu45 itself": job_of("imu45", "self", 33, 0),
        "blocks": job_of("blocks", "label", 60, 3, block=4),
        "next": job_of("blocks", "next", 40, 0, block=5, horizon=2),
        "next of a class": job_of("blocks", "next", 40, 2, block=5, horizon=3),
        "itself": job_of("blocks", "self", 48, 0, block=16),
        "convolution": job_of("convolution", "label", 100, 3, block=2, filters=filters),
    }


def store(chooser: random.Random) -> bytes:
    """Three classes and movements without one; some of it damaged."""
    sessions = []
    for _ in range(14):
        size = (chooser.randrange(1, 400), 6)
        samples = np.frombuffer(chooser.randbytes(12 * size[0]), np.int16).reshape(size) // chooser.choice((1, 8, 200))
        sessions.append(records.Session(samples.astype(np.int16), chooser.choice((0, 1, 2, 3, 255))))
    data = bytearray(records.write(records.Layout(bytes(8), 6, 50, 20, 200), sessions))
    for _ in range(3):
        data[chooser.randrange(32, len(data))] ^= 1
    return bytes(data)


def front_of(job: Job) -> Any:
    values = {
        "features": fronts.FEATURES.index(job.features),
        "target": fronts.TARGETS.index(job.target),
        "window": job.window,
        "block": job.block,
        "horizon": job.horizon,
        "inputs": job.model.widths[0],
        "labels": job.labels,
    }
    return ffi.new("pf_front *", values)


def rows(job: Job, data: bytes, at_once: int) -> tuple[bytes, bytes, list[int]]:
    """All inputs, all targets, how many records each batch had: what firmware/picofed/train.py does."""
    layout = records.Layout.parse(data)
    front = front_of(job)
    size = lib.pf_front_target_bytes(front)
    ring = ffi.new("pf_ring *", {"channels": 6, "samples": layout.samples, "slots": layout.slots})
    unlabelled = job.target != "label" and not job.labels
    walk = ffi.new("pf_walk *", {"window": job.window, "stride": job.stride, "unlabelled": unlabelled})
    samples = ffi.new("int16_t[]", 6 * job.window)
    inputs, targets = ffi.new("int8_t[]", 8 * front.inputs), ffi.new("uint8_t[]", 8 * size)
    scratch = ffi.new("int8_t[]", 2000)
    found, wanted, counts = b"", b"", []
    while walk.seq < layout.slots:
        n = min(at_once, layout.slots - walk.seq)
        at = records.HEADER.size + walk.seq * layout.slot_bytes
        buffer = ffi.from_buffer(bytearray(data[at : at + n * layout.slot_bytes]))
        lib.pf_slots_check(ring, walk.seq, n, buffer, n * layout.slot_bytes)
        walk.place = 0
        more = lib.PF_OK
        while more == lib.PF_OK:
            more = lib.pf_front_rows(
                front, job.filters, len(job.filters), walk, ring, n, buffer, samples, inputs, targets, scratch, 2000
            )
            assert more in (lib.PF_OK, lib.PF_WALK_MORE)
            if more == lib.PF_OK or walk.seq == layout.slots:
                found += bytes(ffi.buffer(inputs))[: front.rows * front.inputs]
                wanted += bytes(ffi.buffer(targets))[: front.rows * size]
                counts.append(front.rows)
                front.rows = 0
    return found, wanted, counts


def test_rows_are_the_hosts_records() -> None:
    seen: dict[str, int] = {}
    for number in range(12):
        chooser = random.Random(number)
        data = store(chooser)
        for name, job in jobs(chooser).items():
            examples = Examples.from_records(data, job)
            found, targets, counts = rows(job, data, chooser.randrange(1, 20))
            assert found == examples.features.tobytes(), name
            assert targets == examples.wanted.astype(examples.wanted.dtype.newbyteorder("<")).tobytes(), name
            assert all(count == 8 for count in counts[:-1]) and sum(counts) == len(examples.labels)
            seen[name] = seen.get(name, 0) + len(examples.labels)
    assert min(seen.values()) > 30


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("imu45", {"block": 1}),
        ("imu45", {"inputs": 44}),
        ("imu45", {"horizon": 1}),
        ("imu45", {"features": 3}),
        ("imu45", {"target": 3}),
        ("blocks", {"block": 0}),
        ("blocks", {"block": 7}),
        ("blocks", {"window": 12, "inputs": 18}),
        ("blocks", {"window": 132, "inputs": 198}),
        ("blocks", {"inputs": 84}),
        ("blocks", {"target": 1}),
        ("next", {"horizon": 8, "inputs": 0}),
        ("next", {"horizon": 0}),
        ("next", {"target": 2}),
        ("convolution", {"target": 2}),
        ("convolution", {"horizon": 1, "target": 1}),
        ("convolution", {"inputs": 1024}),
        ("convolution", {"inputs": 0}),
    ],
)
def test_fronts_that_cannot_be_are_refused(name: str, change: dict[str, int]) -> None:
    job = jobs(random.Random(1))[name]
    front = front_of(job)
    assert lib.pf_front_target_bytes(front) > 0
    for field, value in change.items():
        setattr(front, field, value)
    assert lib.pf_front_target_bytes(front) == 0
    nothing = ffi.new("int8_t[]", 2000)
    window = ffi.new("int16_t[]", 6 * 132)
    targets = ffi.new("uint8_t[]", 4000)
    arguments = (front, job.filters, len(job.filters), window, nothing, targets, nothing, 2000)
    assert lib.pf_front_record(*arguments) == lib.PF_E_ARGUMENT


def test_filters_and_rooms_are_checked() -> None:
    job = jobs(random.Random(1))["convolution"]
    front = front_of(job)
    row = ffi.new("int8_t[]", front.inputs)
    window = ffi.new("int16_t[]", 600)

    def status(filters: bytes, room: int) -> int:
        scratch = ffi.new("int8_t[]", max(room, 1))
        target = ffi.new("uint8_t[]", 1)
        return int(lib.pf_front_record(front, filters, len(filters), window, row, target, scratch, room))

    steps = 50
    between = (steps - 5 + 1) // 2 * 8
    assert status(job.filters, 6 * steps + between) == lib.PF_OK
    assert status(job.filters, 6 * steps + between - 1) == lib.PF_E_MEMORY
    assert status(job.filters, 6 * steps - 1) == lib.PF_E_MEMORY
    for filters in (job.filters[:-1], job.filters + b"\0", job.filters[: 5 + WEIGHTS[0]], b"", job.filters[:3]):
        assert status(filters, 2000) in (lib.PF_E_ARGUMENT, lib.PF_E_MEMORY)
    front.inputs -= 1
    assert status(job.filters, 2000) == lib.PF_E_MEMORY
