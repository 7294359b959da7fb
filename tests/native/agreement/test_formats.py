"""Frames, update payloads and features: reference, compiled core and, for COBS, the `cobs` package."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from cobs import cobs as oracle
from picofed import native, reference
from picofed.native_errors import CoreArgumentError, CoreError, MalformedError
from picofed.reference.codec import update_length

BOTH = pytest.mark.parametrize("core", [native, reference], ids=["native", "reference"])
LENGTHS = [
    1,
    2,
    3,
    4,
    5,
    100,
    249,
    250,
    251,
    252,
    253,
    254,
    255,
    256,
    503,
    504,
    505,
    508,
    509,
    1000,
    1023,
    1024,
]


def outcome(run: Callable[[], Any]) -> Any:
    """The result, or the error's class."""
    try:
        result = run()
    except CoreError as error:
        return type(error)
    return result if isinstance(result, bytes) else [int(value) for value in result]


def payloads(rng: random.Random) -> list[bytes]:
    out = []
    for n in LENGTHS:
        out += [bytes(n), b"\xff" * n, rng.randbytes(n), bytes(1 + i % 255 for i in range(n))]
        out.append(bytes(rng.choice([0, 3, 0x1D, 0x23, 0x3D, 65]) for _ in range(n)))
    return out


def test_frames(rng: random.Random) -> None:
    for payload in payloads(rng):
        frame = native.frame_encode(payload)
        assert frame == reference.frame_encode(payload)
        assert frame[0] == frame[-1] == 0
        assert not {0, 3} & set(frame[1:-1])
        plain = frame[1:-1].replace(b"\x1d\x23", b"\x03").replace(b"\x1d\x3d", b"\x1d")
        assert plain == oracle.encode(payload + zlib.crc32(payload).to_bytes(4, "little"))
        assert native.frame_decode(frame[1:-1]) == reference.frame_decode(frame[1:-1]) == payload


def test_damaged_frames_have_one_verdict(rng: random.Random) -> None:
    for payload in payloads(rng):
        for _ in range(6):
            frame = bytearray(native.frame_encode(payload)[1:-1])
            how = rng.randrange(4)
            if how == 0:
                frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
            elif how == 1:
                del frame[rng.randrange(len(frame)) :]
            elif how == 2:
                frame.insert(rng.randrange(len(frame)), rng.choice([0, 3, 0x1D, 0x23, 255]))
            else:
                frame = bytearray(rng.randbytes(rng.randrange(60)))
            data = bytes(frame)
            got = outcome(lambda d=data: native.frame_decode(d))  # type: ignore[misc]
            assert got == outcome(lambda d=data: reference.frame_decode(d))  # type: ignore[misc]


@BOTH
@pytest.mark.parametrize("n", [0, 1025, 4000])
def test_frames_refuse_lengths(core: ModuleType, n: int) -> None:
    with pytest.raises(CoreArgumentError):
        core.frame_encode(bytes(n))
    with pytest.raises(MalformedError):
        core.frame_decode(b"A" * (n or 4))


def values(rng: random.Random) -> list[int]:
    scale = rng.choice([0, 1, 5, 12, 21, 26, 31])
    out = [max(-(2**31), min(2**31 - 1, round(rng.gauss(0, 2**scale)))) for _ in range(rng.randrange(60))]
    for extreme in (-(2**31), 2**31 - 1, 0, -1, 1):
        if out and rng.random() < 0.2:
            out[rng.randrange(len(out))] = extreme
    return out


def test_payloads(rng: random.Random) -> None:
    for _ in range(300):
        sent, shift = values(rng), rng.randrange(31)
        data = native.update_encode(sent, shift)
        assert data == reference.update_encode(sent, shift)
        assert len(data) == update_length(sent, shift)
        assert data == native.update_encode([v % 2**32 for v in sent], shift)
        back = native.update_decode(data, len(sent)).tolist()
        assert back == reference.update_decode(data, len(sent))
        assert all(abs(a - b) <= (1 << shift) // 2 for a, b in zip(sent, back, strict=True))
        if shift == 0:
            assert back == sent


def test_damaged_payloads_have_one_verdict(rng: random.Random) -> None:
    accepted = 0
    for _ in range(600):
        sent = values(rng) or [0]
        data = bytearray(native.update_encode(sent, rng.randrange(31)))
        if rng.random() < 0.7:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.3:
            data += bytes(rng.randrange(3))
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        if rng.random() < 0.2:
            data = bytearray([1, rng.randrange(32), rng.randrange(32)]) + rng.randbytes(rng.randrange(30))
        n = max(0, len(sent) + rng.choice([0, 0, 0, -1, 1]))
        got = outcome(lambda d=bytes(data), n=n: native.update_decode(d, n))  # type: ignore[misc]
        assert got == outcome(lambda d=bytes(data), n=n: reference.update_decode(d, n))  # type: ignore[misc]
        accepted += got is not MalformedError
    assert 10 < accepted < 590


def test_only_one_encoding_is_accepted() -> None:
    """A plain value behind the escape that has a shorter code, and a code beyond 32 bits."""
    escaped = bytes([1, 0, 0, 0xFF, 0xFF, 0xFF, 5, 0, 0, 0])
    beyond = bytes([1, 0, 30, 0xFF, 0xFF, 0x7F]) + bytes(4)
    for core in (native, reference):
        for data in (escaped, beyond):
            with pytest.raises(MalformedError):
                core.update_decode(data, 1)


def test_features(rng: random.Random) -> None:
    for _ in range(200):
        n = rng.choice([16, 17, 50, 100, 127, 128, rng.randint(16, 128)])
        amplitude = rng.choice([0, 3, 500, 8000, 32767])
        offset = [rng.randint(-32768 + amplitude, 32767 - amplitude) for _ in range(6)]
        window = [[o + rng.randint(-amplitude, amplitude) for o in offset] for _ in range(n)]
        if rng.random() < 0.2:
            window = [[rng.choice([-32768, 32767]) for _ in range(6)] for _ in range(n)]
        assert native.features_imu(window).tolist() == reference.features_imu(window)
    square = [[32767 if t // 4 % 2 else -32768] * 6 for t in range(128)]
    assert native.features_imu(square).tolist() == reference.features_imu(square)


@BOTH
@pytest.mark.parametrize("n", [0, 15, 129, 513])
def test_features_refuse_lengths(core: ModuleType, n: int) -> None:
    with pytest.raises(CoreArgumentError):
        core.features_imu([[0] * 6] * n)


def test_blocks_and_targets(rng: random.Random) -> None:
    for _ in range(400):
        block = rng.randint(1, 40)
        n = block * rng.randint(-(-16 // block), 128 // block)
        top = rng.choice([60, 3000, 32767])
        window = [[rng.randint(-top - 1, top) for _ in range(6)] for _ in range(n)]
        seen = rng.randint(1, n)
        points = native.features_blocks(window, block, seen).tolist()
        assert points == reference.features_blocks(window, block, seen) and len(points) == 6 * n // block
        base = points[: rng.choice([0, 1, 6])]
        assert native.targets(points, base).tolist() == reference.targets(points, base)


@BOTH
@pytest.mark.parametrize(
    ("n", "block", "seen"), [(15, 5, 5), (129, 3, 5), (20, 3, 5), (20, 0, 5), (20, 21, 5), (20, 5, 0), (20, 5, 21)]
)
def test_blocks_refuse_sizes(core: ModuleType, n: int, block: int, seen: int) -> None:
    with pytest.raises(CoreArgumentError):
        core.features_blocks([[0] * 6] * n, block, seen)


def layer_of(rng: random.Random, steps: int, channels: int) -> bytes:
    width, stride, filters = rng.randint(1, min(steps, 9)), rng.randint(1, 4), rng.randint(1, 6)
    pool = rng.randint(1, (steps - width) // stride + 1)
    head = bytes([width, stride, filters, pool, rng.randint(0, 15)])
    return head + rng.randbytes(filters * (width * channels + 1))


def test_convolution(rng: random.Random) -> None:
    for _ in range(200):
        steps, channels = rng.randint(1, 30), rng.randint(1, 9)
        layer = layer_of(rng, steps, channels)
        values = [rng.randint(-127, 127) for _ in range(steps * channels)]
        assert native.convolution(values, channels, layer).tolist() == reference.convolution(values, channels, layer)


@BOTH
def test_convolution_refuses_what_does_not_fit(core: ModuleType) -> None:
    layer = bytes([2, 1, 2, 1, 7]) + bytes(2 * 13)
    assert list(core.convolution([0] * 60, 6, layer)) == [0] * 18
    for place, value in ((0, 0), (0, 3), (1, 0), (2, 0), (2, 3), (3, 0), (3, 10), (4, 16)):
        wrong = layer[:place] + bytes([value]) + layer[place + 1 :]
        with pytest.raises(CoreArgumentError):
            core.convolution([0] * 60, 6, wrong)
    for steps, channels, given in ((10, 5, layer), (10, 6, layer[:-1]), (1, 6, layer), (129, 6, layer), (10, 0, layer)):
        with pytest.raises(CoreArgumentError):
            core.convolution([0] * (steps * channels), channels, given)


def test_features_do_not_know_the_wrist(rng: random.Random) -> None:
    """The mirror image of a recording (x of acceleration, y and z of rotation negated) differs by rounding at most."""
    window = [[rng.randint(-3000, 3000) + 2000 * (i == 0) for i in range(6)] for _ in range(100)]
    mirrored = [[-v if i in (0, 4, 5) else v for i, v in enumerate(row)] for row in window]
    pairs = zip(native.features_imu(window), native.features_imu(mirrored), strict=True)
    assert max(abs(int(a) - int(b)) for a, b in pairs) <= 2
