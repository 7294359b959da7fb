"""Messages of the link (SPEC 6.2): a strict CBOR subset, the table of requests, and the shapes of their
answers.

What comes from a board is not trusted: `loads` walks the bytes before the CBOR library sees them, and every
answer is checked against the shape that its request promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import cbor2

from picofed.errors import PicofedError

PROTOCOL: Final = 1
PAYLOAD_MAX: Final = 1024  # bytes of one frame's payload (SPEC 6.1)
DEPTH_MAX: Final = 4
RANGES_MAX: Final = 16  # ranges in a `missing` list

LEDGER_RECORD: Final = 32
BOARD_ID: Final = 8
JOB_ID: Final = 8
OBJECT_ID: Final = 16
CHALLENGE: Final = 16


class Op(IntEnum):
    """Requests of SPEC 6.2."""

    HELLO = 1
    PUT = 2
    HAVE = 3
    JOB = 4
    ROUND = 5
    STATUS = 6
    GET = 7
    DROP = 8
    LEDGER = 9
    SELFTEST = 10
    ABANDON = 11
    SESSION = 12
    POLICY = 13
    SEAL = 14
    REVEAL = 15


class State(IntEnum):
    """What a board is doing."""

    IDLE = 0
    FILLING = 1
    TRAINING = 2
    READY = 3
    WAITING = 4
    SEALING = 5


CODES: Final[Mapping[int, str]] = {
    -1: "ARGUMENT",
    -2: "RANGE",
    -3: "MEMORY",
    -4: "STATE",
    -5: "BUDGET",
    -6: "BLANK",
    -7: "FLASH",
    -8: "ENTROPY",
    -9: "FRAME",
    -10: "CORRUPT",
    -20: "MESSAGE",
    -21: "POLICY",
    -22: "UNKNOWN",
    -23: "BUSY",
    -24: "RECORDS",
    -25: "SPACE",
    -26: "AUTHENTICATION",
}

BUDGET: Final = -5
BLANK: Final = -6
CORRUPT: Final = -10
POLICY: Final = -21
UNKNOWN: Final = -22
BUSY: Final = -23
AUTHENTICATION: Final = -26

_ADVICE: Final[Mapping[int, str]] = {
    -3: "the model is too large for this board: train fewer parameters",
    -5: "its privacy budget does not allow another release; it takes no further part",
    -6: "it was never provisioned, or its flash was erased: provision it again",
    -7: "its flash does not hold what is written: reset the board; if that does not help, replace it",
    -8: "its entropy source failed a health test: do not use this board",
    -10: "its ledger was not written with this board's key: provision it again",
    -20: "host and board speak different protocols: install the same picofed version on both",
    -21: "ask the board's owner, or change the job to what the policy allows",
    -24: "it holds no usable records for this job: record some, or check window, labels and channels",
    -25: "its storage or memory is full: free some, or use a smaller model",
    -26: "this site does not hold its link key: choose the --site that does, or ask the board's owner for it",
}
_CHARGE: Final = (
    "more rounds or a smaller epsilon make a release cheaper; its owner allows dearer ones with "
    "`picofed flash --max-charge` or `picofed provision policy --releases`"
)


class LinkError(PicofedError):
    """The link to a board does not work: wrong port, no answer, nonsense."""


class MessageError(LinkError):
    """A board sent something that is not a message of this protocol."""


class BoardError(PicofedError):
    """A board refused a request. code is a negative error code of SPEC 1.3 or 6.2, text the board's own
    words.
    """

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        name = CODES.get(code, f"error {code}")
        advice = _CHARGE if code == POLICY and "forbids charge" in text else _ADVICE.get(code)
        super().__init__(f"the board refused: {name}: {text}" + (f" ({advice})" if advice else ""))


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument and next offset of the CBOR head at `at`; refuses what SPEC 6.2 does not allow."""
    if at >= len(data):
        raise MessageError("a message ends too early")
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    if low < 24:
        value = low
    elif low <= 27 and major != 7:
        size = 1 << (low - 24)
        if at + size > len(data):
            raise MessageError("a message ends too early")
        value = int.from_bytes(data[at : at + size], "big")
        at += size
        if value < 24 or (size > 1 and value >> (4 * size) == 0):
            raise MessageError("a number in a message is not in its shortest form")
    else:
        raise MessageError("a message holds a float, an indefinite length or a reserved byte")
    return major, value, at


def _walk(data: bytes, at: int, depth: int) -> int:
    """Check one CBOR item and return the offset behind it. Depth counts the arrays and maps around it."""
    major, value, at = _head(data, at)
    if major in (0, 1):
        return at
    if major in (2, 3):
        if value > len(data) - at:
            raise MessageError("a string in a message is longer than the message")
        return at + value
    if major in (4, 5):
        if depth == DEPTH_MAX:
            raise MessageError(f"a message is nested more than {DEPTH_MAX} deep")
        if value > len(data) - at:
            raise MessageError("a list in a message is longer than the message")
        for _ in range(value):
            if major == 5:
                if at >= len(data) or data[at] >> 5 != 3:
                    raise MessageError("a key in a message is not text")
                at = _walk(data, at, depth + 1)
            at = _walk(data, at, depth + 1)
        return at
    if major == 7 and value in (20, 21, 22):
        return at
    raise MessageError("a message holds a tag, a float or another type that the protocol does not know")


def loads(data: bytes) -> Any:
    """Decode one item of the CBOR subset of SPEC 6.2. Raises MessageError for anything else."""
    if _walk(data, 0, 0) != len(data):
        raise MessageError("bytes follow a message")
    try:
        item = cbor2.loads(data)
    except (cbor2.CBORDecodeError, UnicodeDecodeError, ValueError) as error:
        raise MessageError("a message cannot be decoded") from error
    if cbor2.dumps(item) != data:  # a map with the same key twice
        raise MessageError("a message holds a key twice")
    return item


def dumps(item: Any) -> bytes:
    """Encode an item of the CBOR subset: shortest forms, definite lengths, maps in their given order."""
    return cbor2.dumps(item)


def request(op: Op, ident: int, *arguments: Any) -> bytes:
    """The payload of a request. Raises LinkError if it does not fit into a frame."""
    payload = dumps([int(op), ident, *arguments])
    if len(payload) > PAYLOAD_MAX:
        raise LinkError(f"a {op.name.lower()} request of {len(payload)} bytes does not fit into a frame")
    return payload


def answer(payload: bytes) -> tuple[int, list[Any] | BoardError]:
    """Split an answer into the id of its request and its results, or the board's error."""
    item = loads(payload)
    if not isinstance(item, list) or len(item) < 2 or not _is_uint(item[1], 32):
        raise MessageError("an answer has the wrong shape")
    if item[0] == 0 and not isinstance(item[0], bool):
        return item[1], item[2:]
    if item[0] == 1 and not isinstance(item[0], bool) and len(item) == 4:
        code, text = item[2], item[3]
        if isinstance(code, int) and not isinstance(code, bool) and -1000 < code < 0 and isinstance(text, str):
            return item[1], BoardError(code, one_line(text))
    raise MessageError("an answer has the wrong shape")


def one_line(text: str, limit: int = 200) -> str:
    """Text from a board, safe for one line of a terminal: no control characters, limited length."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])


def _is_uint(value: object, bits: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << bits


def uint(value: object, bits: int = 32) -> int:
    """Check for an unsigned integer of at most `bits` bits."""
    if isinstance(value, int) and _is_uint(value, bits):
        return value
    raise MessageError("an answer holds something else where a number is due")


def octets(value: object, size: int | None = None) -> bytes:
    """Check for a byte string, of `size` bytes if given."""
    if isinstance(value, bytes) and (size is None or len(value) == size):
        return value
    raise MessageError("an answer holds something else where a byte string is due")


def text(value: object) -> str:
    """Check for a text; it comes back fit for one line of a terminal."""
    if isinstance(value, str):
        return one_line(value)
    raise MessageError("an answer holds something else where a text is due")


def state(value: object) -> State:
    """Check for a board state."""
    number = uint(value, 8)
    if number > State.SEALING:
        raise MessageError(f"a board reports the unknown state {number}")
    return State(number)


def missing(value: object, total: int) -> list[tuple[int, int]]:
    """Check a `missing` list: at most 16 [offset, length] ranges within an object of `total` bytes."""
    if not isinstance(value, list) or len(value) > RANGES_MAX:
        raise MessageError("an answer holds something else where missing ranges are due")
    ranges = []
    for item in value:
        if not isinstance(item, list) or len(item) != 2:
            raise MessageError("a missing range has the wrong shape")
        offset, length = uint(item[0]), uint(item[1])
        if length == 0 or offset + length > total:
            raise MessageError("a missing range lies outside the object")
        ranges.append((offset, length))
    return ranges


@dataclass(frozen=True)
class Info:
    """What a board says about itself in answer to hello (SPEC 6.2). Charges are in units of 2^-24 mu^2."""

    board: bytes
    name: str
    firmware: str
    core: int
    machine: str
    mtu: int  # bytes of the largest data field
    heap: int  # bytes free
    used: int  # bytes of heap that the firmware held at most since boot
    slots: int
    seq: int
    spent: int
    budget: int
    max_charge: int
    generation: int
    boot: int
    state: State
    job: bytes | None
    update: bytes | None
    update_length: int
    link: int = 0  # 0 open, 1 authenticated, 2 encrypted
    policy: int = 0  # its number
    challenge: bytes | None = None  # for the next session

    @classmethod
    def parse(cls, item: object) -> Info:
        """Check the info map. Keys that are not known here are left for later versions."""
        if not isinstance(item, dict):
            raise MessageError("hello was not answered with a map")
        try:
            mtu = uint(item["mtu"])
            if not 16 <= mtu < 1 << 24:
                raise MessageError(f"a board offers data fields of {mtu} bytes")
            numbers = ["core", "heap", "used", "slots", "seq", "spent", "budget", "max_charge", "generation", "boot"]
            numbers += ["link", "policy"]
            return cls(
                board=octets(item["board"], BOARD_ID),
                name=text(item["name"]),
                firmware=text(item["firmware"]),
                machine=text(item["machine"]),
                mtu=mtu,
                state=state(item["state"]),
                job=None if item["job"] is None else octets(item["job"], JOB_ID),
                update=None if item["update"] is None else octets(item["update"], OBJECT_ID),
                update_length=uint(item["update_length"]),
                challenge=None if item["challenge"] is None else octets(item["challenge"], CHALLENGE),
                **{name: uint(item[name]) for name in numbers},
            )
        except KeyError as error:
            raise MessageError(f"the answer to hello lacks {error.args[0]!r}") from error


@dataclass(frozen=True)
class Status:
    """Progress of a round: `done` of `total` units (accumulators filled, then records seen)."""

    state: State
    done: int
    total: int
    update: bytes | None
    update_length: int
    error: int
    error_text: str

    @classmethod
    def parse(cls, results: list[Any]) -> Status:
        """Check the results of a status request."""
        if len(results) != 7:
            raise MessageError("the answer to status has the wrong shape")
        code = results[5]
        if not isinstance(code, int) or isinstance(code, bool) or not -1000 < code <= 0:
            raise MessageError("the answer to status holds no error code")
        update = None if results[3] is None else octets(results[3], OBJECT_ID)
        return cls(
            state(results[0]),
            uint(results[1]),
            uint(results[2]),
            update,
            uint(results[4]),
            code,
            text(results[6]),
        )


@dataclass(frozen=True)
class SelfTest:
    """One line of a board's self-test."""

    name: str
    passed: bool
    detail: str


def selftests(value: object) -> list[SelfTest]:
    """Check the results of a self-test."""
    if not isinstance(value, list):
        raise MessageError("the answer to selftest has the wrong shape")
    lines = []
    for item in value:
        if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], bool):
            raise MessageError("the answer to selftest has the wrong shape")
        lines.append(SelfTest(text(item[0]), item[1], text(item[2])))
    return lines
