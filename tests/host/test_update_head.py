"""Tag and name of an update fit one payload only, though both are made of a digest of it (SPEC 6.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from picofed import masking, native, reference, update_head
from picofed.learn.updates import Update, UpdateError
from picofed.link.messages import LinkError
from picofed.link.transfer import download
from picofed.peers import Sealed

KEY = bytes(range(32))
PAIR = bytes(range(32, 64))
PLAIN = Update(0, 13, 7, 3, 40, 1024, 1, 99, bytes([1] * 8), bytes([2] * 8), native.update_encode([5, -9, 1 << 20], 3))
BITS, COUNT = 17, 3
KINDS = {
    "plain": PLAIN,
    "masked": PLAIN.mask(PAIR, bytes(16), BITS, 3, COUNT, lambda seed: native.mask_encode([5, -9, 77], 3, BITS, seed)),
    "sealed": PLAIN.seal(Sealed(bytes(32), BITS, 3, COUNT, bytes(16), bytes(7), (bytes(32), bytes(range(32))))),
}


class Sender:
    """A board that sends `data`, whatever update it is asked for."""

    name = "sender"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def get(self, update: bytes, offset: int, length: int) -> bytes:
        """See BoardApi."""
        return self.data[offset : offset + length]


class Pieces:
    """Keeps none."""

    cleared = 0

    def load(self, update: bytes, total: int) -> bytes:
        return b""

    def add(self, update: bytes, total: int, offset: int, data: bytes) -> None:
        pass

    def clear(self, update: bytes) -> None:
        self.cleared += 1


@pytest.fixture(params=sorted(KINDS))
def update(request: pytest.FixtureRequest) -> Update:
    return KINDS[request.param]


def test_the_reference_says_the_same(update: Update) -> None:
    data = update.pack(KEY)
    assert reference.update_tag(data, KEY) == data[-16:]
    assert reference.update_id(data) == update_head.name(data)
    assert Update.parse(data, KEY) == update
    if update.masked and not update.sealed:
        key = native.blake2b(b"picofed header", 32, PAIR)
        assert reference.helper_mac(data, key) == data[-32:-16]
        assert update.header.fits(PAIR)
        assert update.header.data == data[:60] + reference.blake2b(data[60:-32], 32) + data[-32:-16]


def test_every_byte_is_bound(update: Update) -> None:
    data = update.pack(KEY)
    names = {update_head.name(data)}
    for place in range(len(data)):
        bad = bytearray(data)
        bad[place] ^= 1
        names.add(update_head.name(bytes(bad)))
        with pytest.raises(UpdateError):
            Update.parse(bytes(bad), KEY)
    for other in (data[:-1], data + b"\0", data[:-17] + data[-16:], data[:-16] + b"\0" + data[-16:]):
        names.add(update_head.name(other))
        with pytest.raises(UpdateError):
            Update.parse(other, KEY)
    assert len(names) == len(data) + 5


def test_fields_of_another_update_do_not_fit_a_header() -> None:
    one, other = (
        KINDS["masked"],
        replace(PLAIN, seq=8).mask(
            PAIR, bytes(16), BITS, 3, COUNT, lambda seed: native.mask_encode([6, -9, 77], 3, BITS, seed)
        ),
    )
    start, mac = masking.PREFIX - 40, masking.MAC
    swapped = replace(one, payload=one.payload[:start] + other.payload[start:-mac] + one.payload[-mac:])
    assert other.header.fits(PAIR) and not swapped.header.fits(PAIR)


def test_a_transfer_that_changed_the_payload_is_noticed(update: Update) -> None:
    data = update.pack(KEY)
    parts = Pieces()
    assert download(Sender(data), update_head.name(data), len(data), 50, parts) == data  # type: ignore[arg-type]
    bad = bytearray(data)
    bad[len(data) - 40] ^= 8
    with pytest.raises(LinkError, match="damaged on the way"):
        download(Sender(bytes(bad)), update_head.name(data), len(data), 50, parts)  # type: ignore[arg-type]
    assert parts.cleared == 1


@pytest.mark.parametrize("version", [0, 1, 2, 3, 7, 255])
def test_other_versions_are_named_as_objects_and_refused(update: Update, version: int) -> None:
    data = bytes([version]) + update.pack(KEY)[1:]
    assert update_head.name(data) == reference.blake2b(data, 16)
    with pytest.raises(UpdateError, match="format that this picofed does not know"):
        Update.parse(data, KEY)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 60, 91, 107])
def test_what_is_too_short_has_a_name_too(length: int) -> None:
    data = bytes([update_head.SEALED]) * length
    assert len(update_head.name(data)) == 16
    with pytest.raises(UpdateError):
        Update.parse(data, KEY)
