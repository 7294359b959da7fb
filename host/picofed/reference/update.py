"""Tag and name of an update (SPEC 6.6, 10.3, 11.6)."""

from __future__ import annotations

from picofed.native_errors import CoreArgumentError
from picofed.reference.crypto import blake2b


def _head(data: bytes) -> bytes:
    match data[0]:
        case 4:  # plain: behind the header comes the payload
            return data[:40] + blake2b(data[40:-16])
        case 5:  # masked for a helper: the MAC for it stands before the tag
            return data[:60] + blake2b(data[60:-32]) + data[-32:-16]
        case 6:  # sealed in a cohort
            return data[:92] + blake2b(data[92:-16])
    raise CoreArgumentError("update")


def update_tag(data: bytes, key: bytes) -> bytes:
    """What the last 16 bytes of an update must be, under its board's update key."""
    return blake2b(_head(data), 16, key)


def update_id(data: bytes) -> bytes:
    """Its name."""
    return blake2b(_head(data) + data[-16:], 16)


def helper_mac(data: bytes, header_key: bytes) -> bytes:
    """What the 16 bytes before the tag of an update under a helper's mask must be."""
    return blake2b(_head(data)[:-16], 16, header_key)
