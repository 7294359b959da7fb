# Jobs with a convolution in front of the model (SPEC 8.6): what is refused, and what becomes of a window.
from check_jobs import descriptor, make, policy_of
from harness import refuses
from picofed.errors import ARGUMENT
from picofed.errors import POLICY as FORBIDDEN
from picofed.features import Front

# 25 steps of 6 channels -> 21 places, the larger of two: 10 steps of 2 -> 8 places: 4 steps of 3
FIRST = bytes((5, 1, 2, 2, 6)) + bytes(range(2 * 31))
SECOND = bytes((3, 1, 3, 2, 3)) + bytes(range(3 * 7))
JOB = {"features": "convolution", "block": 4, "filters": FIRST + SECOND, "model": descriptor(12, 7)}


def test_refused_convolutions():
    job = make(**JOB)
    assert (job.filters, job.parameters) == (FIRST + SECOND, 7 * 13)
    assert make().filters == b""
    for word, change in (
        ("filters", {"filters": b""}),
        ("filters", {"features": "blocks", "model": descriptor(150, 7)}),
        ("filters", {"features": "imu45", "block": 0, "model": descriptor(45, 7)}),
        ("malformed", {"filters": FIRST + SECOND[:-1]}),
        ("malformed", {"filters": FIRST + SECOND + b"\1"}),
        ("malformed", {"filters": FIRST[:4] + b"\x10" + FIRST[5:] + SECOND}),
        ("malformed", {"filters": bytes((1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)) + bytes((1, 1, 1, 1, 0, 0, 0)) * 4}),
        ("too wide", {"block": 25}),
        ("inputs", {"model": descriptor(13, 7)}),
        ("multiple", {"block": 0}),
        ("target", {"target": "self", "model": descriptor(12, 12, loss=1)}),
        ("target", {"target": "next", "horizon": 1, "labels": 0, "model": descriptor(12, 6, loss=1)}),
        ("not as specified", {"filters": "text"}),
        ("outputs", {"labels": 6}),
    ):
        text = refuses(ARGUMENT, lambda change=change: make(**dict(JOB, **change)))
        assert word in text, (word, text)


def test_the_policy_must_name_convolutions():
    job = make(**JOB)
    text = refuses(FORBIDDEN, policy_of(features=["imu45", "blocks"]).check, job, job.charge())
    assert "convolution" in text
    policy_of(features=["convolution"]).check(job, job.charge())


def test_a_window_becomes_activations_and_leaves_no_trace():
    """A filter of one weight is the identity of one channel, here of wx; the largest of two neighbours is kept."""
    one = bytes((1, 1, 1, 2, 0)) + bytes((0, 0, 0, 1, 0, 0, 0))
    job = make(**dict(JOB, filters=one + bytes((1, 1, 1, 1, 1, 1, 0)), model=descriptor(12, 7)))
    front = Front(job)
    window, row = bytearray(1200), bytearray(12)
    for t in range(100):
        value = 64 * (t // 4)
        window[12 * t + 6] = value & 0xFF
        window[12 * t + 7] = value >> 8
    front.record(window, row, bytearray(1))
    assert list(row) == [(2 * i + 1) // 2 for i in range(12)], list(row)
    assert any(front.scratch[:150]) and any(front.scratch[150:])
    front.wipe()
    assert not any(front.scratch)
