"""Many clients, and many updates, in one call of the compiled core (SPEC 7.7). The calls let go of Python's lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picofed._native import ffi, lib
from picofed.native import Loss, Mode, Trainer
from picofed.native_arguments import u32
from picofed.native_errors import CoreArgumentError, check


@dataclass(frozen=True)
class Round:
    """What all clients of a call do. log2_sigma = 0 with clip_norm = 0: no noise, no clipping; multiplier, shift: the
    step of local mode (SPEC 7.5); round_shift: payloads are multiples of 2^round_shift."""

    log2_sigma: int
    clip_norm: int
    steps: int = 1
    multiplier: int = 0
    shift: int = 0
    round_shift: int = 0


@dataclass(frozen=True)
class Released:
    """values: int32[n, trainable], as a server decodes them; lengths: uint32[n], bytes of the payloads; payloads: the
    payloads themselves where they were asked for."""

    values: NDArray[np.int32]
    lengths: NDArray[np.uint32]
    payloads: list[bytes]


class Batch:
    """One trainer that many clients share, one after the other. For one thread at a time."""

    def __init__(self, descriptor: bytes, mode: int = Mode.GRADIENT) -> None:
        self._trainer = Trainer(descriptor, mode)
        self.parameters, self.trainable = self._trainer.parameters, self._trainer.trainable
        self.inputs, self.outputs = self._trainer.inputs, self._trainer.outputs

    def run(
        self,
        settings: Round,
        clients: NDArray[np.uint32],
        weights: NDArray[np.int16],
        features: NDArray[np.int8],
        targets: NDArray[Any],
        keys: NDArray[np.uint8],
        *,
        payloads: bool = False,
    ) -> Released:
        """What each client would release alone, bit for bit.

        clients: uint32[n, 3]: index among `weights`, first record, number of records; weights: int16[versions,
        parameters]; features: int8[records, inputs]; targets: classes uint8[records], or int16 Q12 [records, outputs];
        keys: uint8[n, 32 * steps], any where there is no noise. Raises CoreError.
        """
        clients = _dense(clients, "<u4", (len(clients), 3), "clients")
        weights = _dense(weights, "<i2", (len(weights), self.parameters), "weights")
        features = _dense(features, "i1", (len(features), self.inputs), "features")
        softmax = self._trainer.loss is Loss.SOFTMAX
        shape = (len(features),) if softmax else (len(features), self.outputs)
        targets = _dense(targets, "u1" if softmax else "<i2", shape, "targets")
        keys = _dense(keys, "u1", (len(clients), 32 * settings.steps), "keys")
        n = len(clients)
        last = clients[:, 1].astype(np.int64) + clients[:, 2]
        if n and (int(clients[:, 0].max()) >= len(weights) or int(last.max()) > len(features)):
            raise CoreArgumentError("a client's weights or records are not there")
        values = np.empty((n, self.trainable), np.int32)
        lengths = np.zeros(n, np.uint32)
        size = 16 + 7 * self.trainable if payloads else 0
        room = np.empty((n, size), np.uint8)
        fields = [u32(value, name) for name, value in vars(settings).items()]
        status = lib.pf_batch_run(
            self._trainer._trainer,
            ffi.new("pf_batch_round *", fields),
            ffi.cast("pf_batch_client *", ffi.from_buffer(clients)),
            n,
            ffi.from_buffer("uint8_t[]", weights),
            ffi.from_buffer("int8_t[]", features),
            ffi.from_buffer("uint8_t[]", targets),
            ffi.from_buffer("uint8_t[]", keys),
            ffi.from_buffer("int32_t[]", values),
            ffi.from_buffer("uint8_t[]", room) if payloads else ffi.NULL,
            size,
            ffi.from_buffer("uint32_t[]", lengths),
        )
        check(status, "batch")
        found = [row[:length].tobytes() for row, length in zip(room, lengths.tolist(), strict=True)] if payloads else []
        return Released(values, lengths, found)

    def logits(self, weights: NDArray[np.int16], features: NDArray[np.int8]) -> NDArray[np.int32]:
        """Pre-activations of the last layer, int32[records, outputs], under one vector of weights."""
        self._trainer.set_weights(weights)
        features = _dense(features, "i1", (len(features), self.inputs), "features")
        out = np.empty((len(features), self.outputs), np.int32)
        status = lib.pf_batch_logits(
            self._trainer._trainer,
            ffi.from_buffer("int8_t[]", features),
            len(features),
            ffi.from_buffer("int32_t[]", out),
        )
        check(status, "logits")
        return out


def sum_vectors(vectors: Sequence[NDArray[np.int32] | bytes], n: int) -> NDArray[np.int64]:
    """The exact sum of vectors of n int32 each, little-endian: arrays or plain bytes. Raises CoreArgumentError."""
    total = np.zeros(n, np.int64)
    pointers = []
    for vector in vectors:
        pointer = ffi.from_buffer("uint8_t[]", vector)
        if len(pointer) != 4 * n or (isinstance(vector, np.ndarray) and vector.dtype != np.dtype("<i4")):
            raise CoreArgumentError("a vector is not as long as the others, or not int32")
        pointers.append(pointer)
    lib.pf_batch_sum(ffi.from_buffer("int64_t[]", total), n, ffi.new("uint8_t *[]", pointers), len(pointers))
    return total


def _dense(array: NDArray[Any], dtype: str, shape: tuple[int, ...], what: str) -> NDArray[Any]:
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise CoreArgumentError(f"{what} of shape {array.shape}, {array.dtype} instead of {shape}, {np.dtype(dtype)}")
    return np.ascontiguousarray(array)
