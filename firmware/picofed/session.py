"""The authenticated link (SPEC 6.9): which requests are genuine, and answers that nobody else could have given.

Nothing of it is on flash: what may never come twice is tied to the number of the boot, which the seed store keeps."""

import struct

import picofed_core as core
from micropython import const

from .errors import AUTHENTICATION, PicofedError
from .keys import derive
from .link import PAYLOAD
from .policy import ENCRYPTED, OPEN

_REQUEST = const(1)  # first bytes of a sealed payload; plain ones begin with a CBOR array
_ANSWER = const(3)
_HEAD = const(5)
_TAG = const(16)


class Session:
    """board: board.Board. At most one session at a time: a new one ends the one before."""

    def __init__(self, board):
        self.board = board
        self._opened = 0  # sessions so far
        self._key = self._cipher = None
        self._last = 0
        self._request = bytearray(_TAG)
        self._tag = bytearray(_TAG)
        # an answer in the making, then for its request should it come again; empty: none
        self._answer = bytearray(PAYLOAD if self.needed else 0)
        self._answer[:] = b""
        self._nonce = b""
        self._proof = b""

    @property
    def needed(self):
        """Whether this board refuses requests that are not authenticated."""
        policy = self.board.policy
        return policy is not None and policy.link != OPEN

    def _challenge(self, number):
        board = self.board
        return derive(board.link_key, b"picofed challenge", 16, struct.pack("<II", board.boot, number) + board.used)

    @property
    def challenge(self):
        """16 bytes that the next session begins with; None on an open link."""
        return self._challenge(self._opened) if self.needed else None

    def open(self, nonce, proof):
        """Begin a session; returns the board's own proof. The opening of the present session may come again."""
        if not self.needed or len(nonce) != 16 or len(proof) != _TAG:
            raise PicofedError(AUTHENTICATION, "no session can be opened so")
        again = self._key is not None and nonce == self._nonce
        number = self._opened - 1 if again else self._opened
        link_key = self.board.link_key
        data = struct.pack("<I", self.board.boot) + self._challenge(number) + nonce
        if core.differ(derive(link_key, b"picofed open", _TAG, data), proof):
            raise PicofedError(AUTHENTICATION, "wrong link key, or an opening of another session")
        if not again:
            keys = derive(link_key, b"picofed session", 64, data)
            self._key, self._cipher = keys[:32], keys[32:]
            self._nonce = nonce
            self._last = 0
            self._answer[:] = b""
            self._opened += 1
            self._proof = derive(self._key, b"picofed opened", _TAG)
        return self._proof

    def _crypt(self, kind, seq, view):
        core.chacha20(self._cipher, struct.pack("<III", kind, seq, 0), 0, view)

    def answer(self, payload, respond):
        """The sealed answer to a sealed payload, None if it is none; it holds until the next. respond(message, out)
        puts the answer behind what `out` holds, and returns None if there is none."""
        encrypted = self.board.policy is not None and self.board.policy.link == ENCRYPTED
        end = len(payload) - _TAG
        if self._key is None or end <= _HEAD:
            raise PicofedError(AUTHENTICATION, "no session: open one")
        view = memoryview(payload)
        kind, seq = struct.unpack_from("<BI", view)
        core.blake2b(self._tag, self._key, view[:end])
        if core.differ(self._tag, view[end:]):
            raise PicofedError(AUTHENTICATION, "no request of this session")
        out = self._answer
        if encrypted and kind == _REQUEST:
            raise PicofedError(AUTHENTICATION, "not encrypted")
        if seq == self._last and len(out) and not core.differ(self._tag, self._request):
            return out
        if seq <= self._last:
            raise PicofedError(AUTHENTICATION, "a request of the past")
        # emptied, it keeps its memory
        out[:] = b""
        self._last = seq
        view = view[_HEAD:end]
        if kind != _REQUEST:
            self._crypt(kind, seq, view)
        kind += _ANSWER - _REQUEST
        out.extend(struct.pack("<BI", kind, seq))
        if respond(view, out) is None:
            out[:] = b""
            return None
        if kind != _ANSWER:
            self._crypt(kind, seq, memoryview(out)[_HEAD:])
        core.blake2b(self._tag, self._key, out)
        out.extend(self._tag)
        # only now: what an exception left half made, and not encrypted, is no answer to the same request again
        self._request[:] = payload[end:]
        return out
