"""Update objects (SPEC 6.6): what a board releases, checked against its key before anything is made of it."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import masking, native, peers
from picofed.errors import PicofedError
from picofed.learn.model import Model

VERSION: Final = 1
TAG: Final = 16
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
        body = self._start() + self.payload
        return body + native.blake2b(body, TAG, key)

    def _start(self) -> bytes:
        return _HEADER.pack(
            peers.VERSION if self.sealed else masking.VERSION if self.masked else VERSION,
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
        mac = masking.header_mac(pair, masked._start() + start + native.blake2b(fields, 32))
        return replace(masked, payload=start + fields + mac)

    def seal(self, payload: peers.Sealed) -> Update:
        """This update under a cohort's masks."""
        return replace(self, masked=True, sealed=True, payload=payload.payload)

    @property
    def header(self) -> masking.Header:
        """What the helper sees of a masked update."""
        fields = native.blake2b(self.payload[_MASK : -masking.MAC], 32)
        return masking.Header(self._start() + self.payload[:_MASK] + fields + self.payload[-masking.MAC :])

    @classmethod
    def parse(cls, data: bytes, key: bytes | None) -> Update:
        """Check the tag (unless key is None: for looking only) and take the object apart. Raises
        UpdateError.
        """
        if len(data) < _HEADER.size + 3 + TAG:
            raise UpdateError("the update is too short")
        if key is not None and not hmac.compare_digest(native.blake2b(data[:-TAG], TAG, key), data[-TAG:]):
            raise UpdateError("the update does not carry this board's key: forged, or the board was provisioned anew")
        version, mode, log2_sigma, zero, seq, number, records, norm, cumulative, job, board = _HEADER.unpack_from(data)
        if version not in (VERSION, masking.VERSION, peers.VERSION) or zero:
            raise UpdateError("the update has a format that this picofed does not know: update picofed")
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
            data[_HEADER.size : -TAG],
            version != VERSION,
            version == peers.VERSION,
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
