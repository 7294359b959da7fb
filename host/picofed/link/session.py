"""The host's side of an authenticated link (SPEC 6.9)."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from picofed import native
from picofed.link.messages import PAYLOAD_MAX, LinkError

HEAD: Final = 5
TAG: Final = 16


@dataclass(frozen=True, repr=False)
class LinkKey:
    """A board's link key and the least that is asked of it: 0 what it wants, 1 authenticated, 2 encrypted."""

    key: bytes
    link: int


class Session:
    """Seals requests and opens answers. Its number counts up with each request; a repeat is the same bytes."""

    def __init__(self, key: bytes, boot: int, challenge: bytes, encrypted: bool, nonce: bytes | None = None) -> None:
        self.nonce = nonce or secrets.token_bytes(16)
        data = boot.to_bytes(4, "little") + challenge + self.nonce
        self.proof = native.blake2b(b"picofed open" + data, TAG, key)
        keys = native.blake2b(b"picofed session" + data, 64, key)
        self._key, self._cipher = keys[:32], keys[32:]
        self._kind = 2 if encrypted else 1
        self._seq = 0

    def opened(self, proof: bytes) -> bool:
        """Whether this proof of the board is genuine: it holds the link key, and this is not an old session."""
        return hmac.compare_digest(native.blake2b(b"picofed opened", TAG, self._key), proof)

    def _crypt(self, kind: int, body: bytes) -> bytes:
        if kind % 2:
            return body
        nonce = kind.to_bytes(4, "little") + self._seq.to_bytes(4, "little") + bytes(4)
        return native.chacha20(self._cipher, nonce, 0, body)

    def seal(self, body: bytes) -> bytes:
        """The payload of the next request."""
        self._seq += 1
        head = bytes([self._kind]) + self._seq.to_bytes(4, "little")
        sealed = head + self._crypt(self._kind, body)
        if len(sealed) + TAG > PAYLOAD_MAX:
            raise LinkError(f"a sealed request of {len(sealed) + TAG} bytes does not fit into a frame")
        return sealed + native.blake2b(sealed, TAG, self._key)

    def open(self, payload: bytes) -> bytes | None:
        """The answer to the last request; None for whatever else this is."""
        kind = self._kind + 2
        if len(payload) <= HEAD + TAG or payload[:HEAD] != bytes([kind]) + self._seq.to_bytes(4, "little"):
            return None
        sealed, tag = payload[:-TAG], payload[-TAG:]
        if not hmac.compare_digest(native.blake2b(sealed, TAG, self._key), tag):
            return None
        return self._crypt(kind, sealed[HEAD:])
