# Jobs and policies: each is refused for the right reason.
import struct

from check_provision import POLICY
from harness import refuses
from picofed import cbor
from picofed.errors import ARGUMENT, RANGE
from picofed.errors import POLICY as FORBIDDEN
from picofed.job import Job
from picofed.policy import Policy


def descriptor(*widths, loss=0):
    head = bytes((1, loss, len(widths) - 1, 0)) + b"".join([struct.pack("<H", w) for w in widths])
    for i in range(len(widths) - 1):
        head += struct.pack("<HHHHBB", 0, widths[i + 1], 0, widths[i], 1, 0)
    return head


JOB = {
    "v": 1,
    "name": "gestures",
    "model": descriptor(45, 7),
    "mode": 0,
    "steps": 1,
    "clip": 1024,
    "log2_sigma": 13,
    "round_shift": 4,
    "multiplier": 0,
    "shift": 0,
    "features": "imu45",
    "unit": "window",
    "window": 100,
    "stride": 100,
    "channels": 6,
    "labels": 7,
}


def policy_of(**changes):
    return Policy(bytes(cbor.dumps(dict(POLICY, **changes))))


def make(**changes):
    return Job(cbor.dumps(dict(JOB, **changes)))


def test_a_good_job():
    job = make()
    assert (job.parameters, job.loss, len(job.id), job.charge()) == (322, 0, 8, 262145)
    assert job.trainer_size() > 322 * 6
    policy_of().check(job, job.charge())
    assert make(mode=1, steps=3, multiplier=5, shift=9).charge() == 3 * 262145
    assert make(stride=65535).stride == 65535
    assert make(model=descriptor(45, 16, 7)).parameters == 46 * 16 + 17 * 7


def test_refused_jobs():
    wrong = [
        ("version", {"v": 2}),
        ("overlap", {"stride": 99}),
        ("window", {"window": 15, "stride": 15}),
        ("window", {"window": 129, "stride": 200}),
        ("stride", {"stride": 65536}),
        ("features", {"features": "imu46"}),
        ("unit", {"unit": "session"}),
        ("channels", {"channels": 3}),
        ("outputs", {"labels": 6}),
        ("inputs", {"model": descriptor(44, 7)}),
        ("softmax", {"model": descriptor(45, 7, loss=1)}),
        ("mode", {"mode": 2}),
        ("gradient", {"steps": 2}),
        ("gradient", {"multiplier": 2}),
        ("gradient", {"shift": 1}),
        ("steps", {"mode": 1, "multiplier": 0}),
        ("steps", {"mode": 1, "multiplier": 1, "steps": 0}),
        ("steps", {"mode": 1, "multiplier": 1, "steps": 4096}),
        ("steps", {"mode": 1, "multiplier": 65536}),
        ("steps", {"mode": 1, "multiplier": 1, "shift": 41}),
        ("clip", {"clip": 0}),
        ("clip", {"clip": 1 << 20}),
        ("log2_sigma", {"log2_sigma": 26}),
        ("round_shift", {"round_shift": 31}),
        ("descriptor", {"model": b""}),
        ("descriptor", {"model": b"\2" + descriptor(45, 7)[1:]}),
        ("window", {"window": "100"}),
        ("name", {"name": 5}),
        ("clip", {"clip": -1}),
        ("unknown field", {"extra": 1}),
    ]
    for word, change in wrong:
        text = refuses(ARGUMENT, lambda change=change: make(**change))
        assert word in text, (word, text)
    for name in JOB:
        item = dict(JOB)
        del item[name]
        assert name in refuses(ARGUMENT, Job, cbor.dumps(item))
    for data in (b"", b"\xff", cbor.dumps([1]), cbor.dumps(JOB)[:-1], cbor.dumps(JOB) + b"\0"):
        refuses(ARGUMENT, Job, data)


def test_models_that_the_core_refuses():
    refuses(ARGUMENT, make(model=descriptor(45, 7)[:-1]).trainer_size)
    broken = bytearray(descriptor(45, 7))
    broken[8] = 3
    broken[10] = 2
    refuses(ARGUMENT, make(model=bytes(broken)).trainer_size)
    # the worst case of its clipping leaves 64 bits
    refuses(RANGE, make(model=descriptor(45, *[1000] * 7, 7)).trainer_size)


def test_policy_forbids_and_says_what():
    for word, policy, job in (
        ("log2_sigma", {"min_log2_sigma": 14}, {}),
        ("log2_sigma", {}, {"log2_sigma": 5}),
        ("log2_sigma", {}, {"log2_sigma": 0}),
        ("clip", {"max_clip": 1023}, {}),
        ("parameters", {"max_parameters": 321}, {}),
        ("loss", {"losses": [1]}, {}),
        ("mode", {"modes": [1]}, {}),
        ("features", {"features": []}, {}),
        ("cohort of 2", {"cohort": 2}, {}),
        ("charge", {"max_charge": 262144}, {}),
        ("charge", {}, {"mode": 1, "multiplier": 1, "steps": 2}),
    ):
        job = make(**job)
        text = refuses(FORBIDDEN, policy_of(**policy).check, job, job.charge())
        assert word in text, (word, text)
