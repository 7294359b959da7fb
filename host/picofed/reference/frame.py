"""Frames (SPEC 6.1): CRC-32, COBS (Cheshire & Baker 1999), and escapes that keep 0x03 off the wire."""

from __future__ import annotations

from picofed.native_errors import CoreArgumentError, MalformedError

PAYLOAD_MAX = 1024
_ESCAPES = {0x03: b"\x1d\x23", 0x1D: b"\x1d\x3d"}


def crc32(data: bytes, crc: int = 0) -> int:
    """CRC-32 of IEEE 802.3, reflected, as zlib's; pass the previous result as `crc` to go on."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def cobs(data: bytes) -> bytes:
    """Consistent overhead byte stuffing, no delimiter. A last full group of 254 is not followed by an empty one."""
    out = bytearray()
    rest = data + b"\0"
    while rest:
        zero = rest.index(0)
        if zero < 254:
            out += bytes([zero + 1]) + rest[:zero]
            rest = rest[zero + 1 :]
        else:
            out += b"\xff" + rest[:254]
            rest = rest[254:]
            if rest == b"\0":  # the zero is the phantom one behind the end
                break
    return bytes(out)


def uncobs(data: bytes) -> bytes:
    """Inverse of cobs; MalformedError if there is none."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        group = data[at + 1 : at + code]
        if code == 0 or len(group) != code - 1 or 0 in group:
            raise MalformedError("frame")
        out += group
        at += code
        if code != 255 and at < len(data):
            out.append(0)
    return bytes(out)


def frame_encode(payload: bytes) -> bytes:
    """A frame with its delimiters. payload: 1 to 1024 bytes."""
    if not 1 <= len(payload) <= PAYLOAD_MAX:
        raise CoreArgumentError("frame")
    stuffed = cobs(bytes(payload) + crc32(payload).to_bytes(4, "little"))
    return b"\0" + b"".join(_ESCAPES.get(byte, bytes([byte])) for byte in stuffed) + b"\0"


def frame_decode(data: bytes) -> bytes:
    """The payload of what stood between two delimiters; MalformedError if it is not a frame."""
    stuffed = bytearray()
    at = 0
    while at < len(data):
        byte = data[at]
        if byte == 0x1D:
            escaped = [plain for plain, code in _ESCAPES.items() if data[at : at + 2] == code]
            if not escaped:
                raise MalformedError("frame")
            stuffed.append(escaped[0])
            at += 2
        elif byte in (0x00, 0x03):
            raise MalformedError("frame")
        else:
            stuffed.append(byte)
            at += 1
    whole = uncobs(bytes(stuffed))
    payload, crc = whole[:-4], whole[-4:]
    if not 1 <= len(payload) <= PAYLOAD_MAX or crc32(payload) != int.from_bytes(crc, "little"):
        raise MalformedError("frame")
    return payload
