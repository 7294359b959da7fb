"""The frame scanner: any split, any damage, bounded memory, console text kept."""

from __future__ import annotations

import os
import pty
import tty

import numpy as np
import pytest
from picofed import native
from picofed.link.stream import FRAME_MAX, FrameScanner, PortError, SerialStream


def test_any_split_of_the_stream_gives_the_same_payloads(rng: np.random.Generator) -> None:
    payloads = [rng.bytes(int(n)) for n in (1, 2, 253, 254, 255, 600, 1024)] + [
        b"\0" * 1024,
        b"\x03\x1d" * 512,
    ]
    stream = b"".join(native.frame_encode(payload) for payload in payloads)
    for _ in range(50):
        cuts = sorted(rng.integers(0, len(stream), 30).tolist())
        scanner = FrameScanner()
        found = []
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            found += scanner.feed(stream[begin:end])
        assert found == payloads


def test_every_frame_of_full_size_fits() -> None:
    for payload in (b"\x03" * 1024, b"\x1d" * 1024, bytes(1024)):
        assert len(native.frame_encode(payload)) - 2 <= FRAME_MAX


@pytest.mark.parametrize("fault", ["flip", "drop", "twice"])
def test_one_damaged_byte_loses_at_most_its_own_frame_and_the_next(fault: str) -> None:
    first, second, third = b"first payload\0\x03", b"second\x1d", b"third"
    frame = native.frame_encode(first)
    for at in range(len(frame)):
        damaged = bytearray(frame)
        if fault == "flip":
            damaged[at] ^= 0x41
        elif fault == "drop":
            del damaged[at]
        else:
            damaged.insert(at, damaged[at])
        found = FrameScanner().feed(bytes(damaged) + native.frame_encode(second) + native.frame_encode(third))
        assert found[-1] == third
        assert all(payload in (first, second, third) for payload in found)


def test_console_text_between_frames_is_kept_and_frames_survive_it() -> None:
    scanner = FrameScanner()
    data = (
        b"MicroPython v1.25\r\n>>> " + native.frame_encode(b"a") + b"Traceback\n" + native.frame_encode(b"b") + b">>> "
    )
    assert scanner.feed(data) == [b"a", b"b"]
    assert scanner.console() == "MicroPython v1.25\r\n>>> Traceback\n>>> "


def test_garbage_is_bounded_and_does_not_stop_the_frames_behind_it(rng: np.random.Generator) -> None:
    scanner = FrameScanner()
    for _ in range(200):
        scanner.feed(bytes(rng.integers(1, 256, 10000, np.uint8)))
        assert len(scanner._buffer) <= FRAME_MAX and len(scanner._console) <= 16384
    assert scanner.feed(b"\0" + native.frame_encode(b"still here")) == [b"still here"]
    for _ in range(100):
        scanner.feed(b"text without an end " * 500)
    assert len(scanner.console()) <= 16384 + FRAME_MAX
    assert scanner.feed(b"\0" + native.frame_encode(b"still here")) == [b"still here"]


def test_a_port_opens_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    stream = SerialStream(name)
    try:
        with pytest.raises(PortError, match="in use"):
            SerialStream(name)
        os.write(master, native.frame_encode(b"hello"))
        assert stream.receive(2) == b"hello"
        assert stream.receive(0.01) is None
    finally:
        stream.close()
        os.close(master)


def test_a_port_whose_board_has_gone_says_so() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    stream = SerialStream(os.ttyname(slave))
    os.close(slave)
    os.close(master)
    try:
        with pytest.raises(PortError, match="gone"):
            stream.receive(1)
        with pytest.raises(PortError):
            stream.send(b"x")
    finally:
        stream.close()


def test_wrong_ports_have_clear_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ports")
    plain = folder / "file"
    plain.write_text("not a port")
    with pytest.raises(PortError, match="there is no port"):
        SerialStream(str(folder / "none"))
    with pytest.raises(PortError, match="not a serial port"):
        SerialStream(str(plain))
    with pytest.raises(PortError):
        SerialStream("nonsense://host")
