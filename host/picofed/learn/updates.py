"""Update objects (SPEC 6.6): what a board releases, checked against its key before anything is made of it."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import masking, native, peers, update_head
from picofed.errors import PicofedError
from picofed.learn.model import Model

TAG: Final = update_head.TAG
_HEADER: Final = struct.Struct("<BBBBIIIII8s8s")
_MASK: Final = masking.PREFIX - _HEADER.size  # nonce and what follows it
_VALUE_MAX: Final = 7  # bytes of a value's longest code (SPEC 7.6): 24 ones and 32 bits


class UpdateError(PicofedError):
    """An update that is malformed, forged, or not of this job."""


def longest(parameters: int) -> int:
    """Bytes of the longest update of a job that trains so many parameters."""
    return masking.PREFIX + _VALUE_MAX * parameters + peers.START + peers.SHARE * peers.DEGREE + TAG


@dataclass(frozen=True)
class Update:
    """One release. Charges are in units of 2^-24 mu^2; payload is SPEC 7.6, of a masked update SPEC 10.3."""

    mode: int
    log2_sigma: int
    seq: int
    version: int
    records: int
    clip_norm: int
    steps: int
    cumulative: int
    job: bytes
    board: bytes
    payload: bytes
    masked: bool = False  # fields are hidden: from whom, `sealed` says
    sealed: bool = False  # by a cohort (SPEC 11); else for a helper

    def pack(self, key: bytes) -> bytes:
        """The object with its tag."""
        return self._start() + self.payload + update_head.tag(self._head, key)

    @cached_property
    def _head(self) -> bytes:
        return update_head.head(self._start() + self.payload)

    def _start(self) -> bytes:
        return _HEADER.pack(
            update_head.SEALED if self.sealed else update_head.MASKED if self.masked else update_head.PLAIN,
            self.mode,
            self.log2_sigma,
            0,
            self.seq,
            self.version,
            self.records,
            self.clip_norm | self.steps << 20,
            self.cumulative,
            self.job,
            self.board,
        )

    def mask(
        self, pair: bytes, nonce: bytes, bits: int, round_shift: int, n: int, encode: Callable[[bytes], bytes]
    ) -> Update:
        """This update under a mask. pair: k_i; encode: a seed to n masked fields."""
        masked = replace(self, masked=True)
        fields = encode(masking.seed(pair, self.job, self.version, self.seq, nonce))
        start = nonce + struct.pack("<BBH", bits, round_shift, n & 0xFFFF)
        mac = masking.header_mac(pair, masked._start() + start + native.blake2b(fields, update_head.DIGEST))
        return replace(masked, payload=start + fields + mac)

    def seal(self, payload: peers.Sealed) -> Update:
        """This update under a cohort's masks."""
        return replace(self, masked=True, sealed=True, payload=payload.payload)

    @property
    def header(self) -> masking.Header:
        """What the helper sees of a masked update."""
        return masking.Header(self._head)

    @classmethod
    def parse(cls, data: bytes, key: bytes | None) -> Update:
        """Check the tag (unless key is None: for looking only) and take the object apart. Raises
        UpdateError.
        """
        if len(data) < _HEADER.size + 3 + TAG:
            raise UpdateError("the update is too short")
        version, mode, log2_sigma, zero, seq, number, records, norm, cumulative, job, board = _HEADER.unpack_from(data)
        body = data[:-TAG]
        if zero or not update_head.known(body):
            raise UpdateError("the update has a format that this picofed does not know: update picofed")
        if key is not None and not hmac.compare_digest(update_head.tag(update_head.head(body), key), data[-TAG:]):
            raise UpdateError("the update does not carry this board's key: forged, or the board was provisioned anew")
        return cls(
            mode,
            log2_sigma,
            seq,
            number,
            records,
            norm & 0xFFFFF,
            norm >> 20,
            cumulative,
            job,
            board,
            body[_HEADER.size :],
            version != update_head.PLAIN,
            version == update_head.SEALED,
        )

    def values(self, model: Model) -> NDArray[np.int32]:
        """The release as int32, one for each trainable parameter; of a masked update the masked fields. Raises
        UpdateError."""
        try:
            if self.sealed:
                sealed = peers.Sealed.parse(self.payload, len(model.trainable))
                return native.mask_unpack(sealed.fields, len(model.trainable), sealed.bits).view(np.int32)
            if self.masked:
                fields = native.mask_unpack(self.payload[_MASK : -masking.MAC], len(model.trainable), self.header.bits)
                return fields.view(np.int32)
            return native.update_decode(self.payload, len(model.trainable))
        except PicofedError as error:
            raise UpdateError("the update's payload does not fit the model") from error
