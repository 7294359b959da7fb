"""Requests to the helper and its answers, as bytes (SPEC 10.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import cbor2
import numpy as np
import numpy.typing as npt

from picofed import native
from picofed.masking import COHORT_MIN, WEIGHT_MAX, Header, MaskError

VERSION: Final = 1
BOARD: Final = "picofed-board"  # HTTP header of a refusal: whose header is to blame
BODY_MAX: Final = 1 << 23
FIELDS_MAX: Final = 1 << 20
Uint32 = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Request:
    """Headers with their weights, and how many fields are to be summed."""

    fields: int
    members: tuple[tuple[Header, int], ...]

    @classmethod
    def of(cls, fields: int, members: Iterable[tuple[Header, int]]) -> Request:
        """With members in their order."""
        return cls(fields, tuple(sorted(members, key=lambda member: member[0].data)))

    @cached_property
    def body(self) -> bytes:
        """The CBOR map."""
        return cbor2.dumps(
            {"v": VERSION, "fields": self.fields, "members": [[header.data, weight] for header, weight in self.members]}
        )

    @property
    def id(self) -> bytes:
        """H(16, -, body)."""
        return native.blake2b(self.body, 16)

    @classmethod
    def parse(cls, body: bytes) -> Request:
        """Raises MaskError for anything that `body` of a request would not give."""
        item = _map(body, {"v", "fields", "members"})
        fields, members = item["fields"], item["members"]
        if type(fields) is not int or not 1 <= fields <= FIELDS_MAX or not isinstance(members, list) or not members:
            raise MaskError(f"a request has 1 to {FIELDS_MAX} fields and at least one member")
        found = []
        for member in members:
            if not isinstance(member, list) or len(member) != 2 or type(member[0]) is not bytes:
                raise MaskError("a member of a request is a header and a weight")
            weight = member[1]
            if type(weight) is not int or not 1 <= weight <= WEIGHT_MAX or weight & (weight - 1):
                raise MaskError(f"weights are powers of two from 1 to {WEIGHT_MAX}")
            found.append((Header(member[0]), weight))
        request = cls(fields, tuple(found))
        if min(weight for _, weight in found) != 1:
            raise MaskError("the smallest weight is 1")
        if request.body != body or [header.data for header, _ in found] != sorted(header.data for header, _ in found):
            raise MaskError("a request has its members in order, and no second spelling")
        return request


def pack_answer(request: Request, masks: Uint32, bits: int) -> bytes:
    """The answer's bytes."""
    packed = _pack(masks, bits)
    return cbor2.dumps({"v": VERSION, "request": request.id, "masks": packed})


def parse_answer(request: Request, body: bytes) -> Uint32:
    """The sum of masks. Raises MaskError if this is not the answer to the request."""
    item = _map(body, {"v", "request", "masks"})
    if item["request"] != request.id or type(item["masks"]) is not bytes:
        raise MaskError("the helper answered something else than it was asked")
    try:
        return native.mask_unpack(item["masks"], request.fields, request.members[0][0].bits)
    except native.CoreError as error:
        raise MaskError("the helper's answer has the wrong length") from error


def pack_about(key: bytes, minimum: int) -> bytes:
    """What a helper says of itself."""
    return cbor2.dumps({"v": VERSION, "key": key, "minimum": minimum})


def parse_about(body: bytes) -> tuple[bytes, int]:
    """A helper's public key, and its minimum. Raises MaskError if a helper does not say this."""
    item = _map(body, {"v", "key", "minimum"})
    key, minimum = item["key"], item["minimum"]
    if type(key) is not bytes or len(key) != 32 or type(minimum) is not int or minimum < COHORT_MIN:
        raise MaskError("this is not a helper's key and minimum")
    return key, minimum


def _map(body: bytes, keys: set[str]) -> dict[str, Any]:
    try:
        item = cbor2.loads(body)
    except (cbor2.CBORDecodeError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise MaskError("this is not CBOR") from error
    if not isinstance(item, dict) or set(item) != keys or type(item["v"]) is not int or item["v"] != VERSION:
        raise MaskError("this is not a message of version 1 of the helper's protocol")
    return item


def _pack(fields: Uint32, bits: int) -> bytes:
    run = np.unpackbits(fields.astype("<u4").view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")[:, :bits]
    return np.packbits(run.reshape(-1), bitorder="little").tobytes()
