"""Messages: what is allowed passes unchanged, everything else is refused, and nothing that comes in does
harm.
"""

from __future__ import annotations

from typing import Any

import cbor2
import numpy as np
import pytest
from picofed.link import messages as m

INFO: dict[str, Any] = {
    "board": bytes(8),
    "name": "w1",
    "firmware": "0.1.0",
    "core": 1,
    "machine": "unix",
    "mtu": 512,
    "heap": 100000,
    "used": 5,
    "slots": 12,
    "seq": 3,
    "spent": 4,
    "budget": 5,
    "max_charge": 1,
    "generation": 1,
    "boot": 2,
    "state": 0,
    "job": None,
    "update": None,
    "update_length": 0,
    "link": 1,
    "policy": 3,
    "challenge": bytes(16),
}


@pytest.mark.parametrize(
    "item",
    [
        [0, 7],
        [1, 2, -5, "no"],
        [0, 1, [[0, 5], [9, 1]]],
        [0, 1, 1, INFO],
        [-1, True, False, None, b"\xff", ""],
    ],
)
def test_what_is_allowed_passes_unchanged(item: Any) -> None:
    assert m.loads(m.dumps(item)) == item


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("nothing", b""),
        ("two items", b"\x01\x02"),
        ("float", cbor2.dumps([0, 1, 1.5])),
        ("half float", b"\x82\x00\xf9\x3c\x00"),
        ("tag", b"\xc1\x01"),
        ("shared reference", b"\xd8\x1c\x81\xd8\x1d\x00"),
        ("regular expression", cbor2.dumps(cbor2.CBORTag(35, "(a+)+$"))),
        ("big number", cbor2.dumps(1 << 70)),
        ("indefinite list", b"\x9f\x01\xff"),
        ("indefinite string", b"\x5f\x41\x00\xff"),
        ("break", b"\xff"),
        ("undefined", b"\xf7"),
        ("simple value", b"\xe5"),
        ("long form of 1", b"\x18\x01"),
        ("longer form of 200", b"\x19\x00\xc8"),
        ("long form of a length", b"\x58\x01a"),
        ("reserved length", b"\x1c"),
        ("five deep", b"\x81\x81\x81\x81\x81\x00"),
        ("very deep", b"\x81" * 1000 + b"\x00"),
        ("huge list", b"\x9a\xff\xff\xff\xff"),
        ("huge string", b"\x5b" + b"\xff" * 8),
        ("number as key", b"\xa1\x01\x02"),
        ("same key twice", b"\xa2\x61a\x01\x61a\x02"),
        ("not UTF-8", b"\x62\xff\xfe"),
        ("cut off", cbor2.dumps([0, 1, b"abcdef"])[:-1]),
    ],
)
def test_everything_else_is_refused(what: str, data: bytes) -> None:
    with pytest.raises(m.MessageError):
        m.loads(data)


def test_random_bytes_never_do_worse_than_an_error(rng: np.random.Generator) -> None:
    base = m.dumps([0, 9, 1, INFO])
    for _ in range(20000):
        data = bytearray(base if rng.random() < 0.7 else rng.bytes(rng.integers(1, 40)))
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        try:
            _, results = m.answer(bytes(data))
            if isinstance(results, list) and len(results) == 2:
                m.Info.parse(results[1])
        except m.MessageError:
            pass


def test_info_is_checked_field_by_field() -> None:
    assert m.Info.parse(INFO).name == "w1"
    assert m.Info.parse(INFO | {"later": 1}).slots == 12
    wrong = {
        "board": bytes(7),
        "name": 5,
        "firmware": b"x",
        "core": -1,
        "machine": None,
        "mtu": 0,
        "heap": True,
        "used": -1,
        "slots": 1 << 32,
        "seq": "1",
        "spent": -1,
        "budget": None,
        "max_charge": [],
        "generation": {},
        "boot": b"",
        "state": 6,
        "job": bytes(7),
        "update": bytes(15),
        "update_length": -1,
        "link": -1,
        "policy": "x",
        "challenge": bytes(15),
    }
    assert wrong.keys() == INFO.keys()
    for key, value in wrong.items():
        with pytest.raises(m.MessageError):
            m.Info.parse(INFO | {key: value})
        with pytest.raises(m.MessageError, match=key):
            m.Info.parse({name: value for name, value in INFO.items() if name != key})


@pytest.mark.parametrize(
    "item",
    [
        [],
        [0],
        5,
        [2, 1],
        [0, -1],
        [0, 1 << 32],
        [False, 1],
        [1, 1, -5],
        [1, 1, 5, "x"],
        [1, 1, -5, b"x"],
        [1, 1, True, ""],
    ],
)
def test_answers_of_the_wrong_shape_are_refused(item: Any) -> None:
    with pytest.raises(m.MessageError):
        m.answer(m.dumps(item))


@pytest.mark.parametrize("item", [None, 5, [[0]], [[0, 0]], [[0, 11]], [[10, 1]], [[-1, 2]], [[0, 1]] * 17, [[0, "1"]]])
def test_missing_ranges_must_lie_in_the_object(item: Any) -> None:
    with pytest.raises(m.MessageError):
        m.missing(item, 10)


def test_status_and_selftest_are_checked() -> None:
    assert m.Status.parse([3, 1, 1, bytes(16), 40, 0, ""]).state == m.State.READY
    for wrong in ([], [3, 1, 1, bytes(15), 40, 0, ""], [9, 1, 1, None, 0, 0, ""], [0, 1, 1, None, 0, 5, ""]):
        with pytest.raises(m.MessageError):
            m.Status.parse(wrong)
    assert m.selftests([["core", True, ""]]) == [m.SelfTest("core", True, "")]
    with pytest.raises(m.MessageError):
        m.selftests([["core", 1, ""]])


def test_text_from_a_board_cannot_drive_the_terminal() -> None:
    error = m.answer(m.dumps([1, 1, -21, "bad\x1b[2J\r\n" + "x" * 500]))[1]
    assert isinstance(error, m.BoardError)
    assert "\x1b" not in str(error) and "\n" not in str(error) and len(str(error)) < 400


def test_a_request_that_does_not_fit_is_refused() -> None:
    assert len(m.request(m.Op.PUT, 1, bytes(16), 2000, 0, bytes(900))) < 1024
    with pytest.raises(m.LinkError):
        m.request(m.Op.PUT, 1, bytes(16), 2000, 0, bytes(1024))


def test_every_error_code_has_a_name() -> None:
    for code, name in m.CODES.items():
        assert name in str(m.BoardError(code, "text"))
    assert "error -99" in str(m.BoardError(-99, "text"))
