"""The compiled core (native/include/picofed.h), typed, on numpy arrays. With picofed.accounting: the auditors' API.

Formats (SPEC 2): features int8 Q7, weights int16 Q11, deltas int16 Q12, logits int32 Q18 (one layer) or Q16; releases
int32, Q19 or Q17 in gradient mode, Q23 in local mode. Errors are the subclasses of picofed.native_errors.CoreError.
picofed.reference has the same functions in slow Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from picofed._native import ffi, lib
from picofed.flash import FileFlash, Flash, MemoryFlash
from picofed.native_arguments import U32_MAX, exactly, u32, within
from picofed.native_convolution import convolution
from picofed.native_errors import (
    CoreArgumentError,
    CoreError,
    CoreStateError,
    check,
)
from picofed.native_masks import mask_add, mask_encode, mask_sum, mask_unpack, shamir_combine, shamir_share
from picofed.native_stores import Ledger, Ratchet, charge

Int8 = npt.NDArray[np.int8]
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Ints = npt.ArrayLike

FEATURES_IMU: Final = int(lib.PF_IMU_FEATURES)
LOG2_SIGMA_MIN: Final = int(lib.PF_LOG2_SIGMA_MIN)
LOG2_SIGMA_MAX: Final = int(lib.PF_LOG2_SIGMA_MAX)
CLIP_NORM_MAX: Final = int(lib.PF_CLIP_NORM_MAX)
WEIGHT_MIN: Final = -16384
WEIGHT_MAX: Final = 16383


class Loss(IntEnum):
    """PF_LOSS_*."""

    SOFTMAX = 0
    SQUARED = 1


class Mode(IntEnum):
    """PF_MODE_*."""

    GRADIENT = 0
    LOCAL = 1


# ---- primitives --------------------------------------------------------------------------------------------------


def blake2b(data: bytes, size: int = 32, key: bytes = b"") -> bytes:
    """H(size, key, data) of SPEC: BLAKE2b (RFC 7693), size 1..64 bytes, key 0..64 bytes."""
    if not 1 <= size <= 64 or len(key) > 64:
        raise CoreArgumentError("blake2b")
    out = ffi.new("uint8_t[]", size)
    lib.pf_blake2b(out, size, ffi.from_buffer(key), len(key), ffi.from_buffer(data), len(data))
    return bytes(ffi.buffer(out))


def chacha20(key: bytes, nonce: bytes, counter: int, data: bytes) -> bytes:
    """data XOR the ChaCha20 keystream (RFC 8439) from block `counter`. key: 32 bytes, nonce: 12 bytes."""
    key, nonce = exactly(key, 32, "key"), exactly(nonce, 12, "nonce")
    out = bytearray(len(data))
    lib.pf_chacha20(
        ffi.from_buffer(out), ffi.from_buffer(data), len(data), key, nonce, u32(counter, "chacha20 counter")
    )
    return bytes(out)


def x25519(secret: bytes, public: bytes) -> bytes:
    """Raw shared secret (RFC 7748), 32 bytes: hash it before use. Raises CoreArgumentError for a weak public key, with
    which it is 0 (SPEC 10.1)."""
    out = ffi.new("uint8_t[32]")
    lib.pf_x25519(out, exactly(secret, 32, "secret"), exactly(public, 32, "public key"))
    shared = bytes(ffi.buffer(out))
    if shared == bytes(32):
        raise CoreArgumentError("x25519 with a weak public key")
    return shared


def x25519_public(secret: bytes) -> bytes:
    """The public key of a 32-byte secret."""
    out = ffi.new("uint8_t[32]")
    lib.pf_x25519_public(out, exactly(secret, 32, "secret"))
    return bytes(ffi.buffer(out))


def eddsa_public(seed: bytes) -> bytes:
    """The public key of a 32-byte signing seed (EdDSA with BLAKE2b, Monocypher's)."""
    secret, public = ffi.new("uint8_t[64]"), ffi.new("uint8_t[32]")
    lib.pf_eddsa_key_pair(secret, public, exactly(seed, 32, "seed"))
    lib.pf_wipe(secret, 64)
    return bytes(ffi.buffer(public))


def eddsa_sign(seed: bytes, data: bytes) -> bytes:
    """The signature of data, 64 bytes."""
    secret, public, out = ffi.new("uint8_t[64]"), ffi.new("uint8_t[32]"), ffi.new("uint8_t[64]")
    lib.pf_eddsa_key_pair(secret, public, exactly(seed, 32, "seed"))
    lib.pf_eddsa_sign(out, secret, ffi.from_buffer(data), len(data))
    lib.pf_wipe(secret, 64)
    return bytes(ffi.buffer(out))


def eddsa_check(signature: bytes, public: bytes, data: bytes) -> bool:
    """Whether the signature is genuine."""
    signature, public = exactly(signature, 64, "signature"), exactly(public, 32, "public key")
    return int(lib.pf_eddsa_check(signature, public, ffi.from_buffer(data), len(data))) == 0


def crc32(data: bytes, crc: int = 0) -> int:
    """CRC-32 of IEEE 802.3, as zlib's; pass the previous result as `crc` to go on."""
    return int(lib.pf_crc32(u32(crc, "crc"), ffi.from_buffer(data), len(data)))


def entropy_condition(raw: bytes) -> bytes:
    """32 conditioned bytes of at least 1024 raw ones (SPEC 4.1); EntropyError if a health test fails."""
    out = ffi.new("uint8_t[32]")
    check(lib.pf_entropy_condition(out, ffi.from_buffer(raw), len(raw)), "entropy")
    return bytes(ffi.buffer(out))


def discrete_gaussian(key: bytes, log2_sigma: int, n: int) -> Int32:
    """n samples of the discrete Gaussian PF-DG1 (SPEC 3), sigma = 2^log2_sigma, 1 <= log2_sigma <= 25: int32[n].

    key: 32 bytes, for one stream only: the same key gives the same samples.
    """
    noise = ffi.new("pf_noise *")
    check(lib.pf_noise_init(noise, exactly(key, 32, "key"), u32(log2_sigma, "log2 sigma")), "noise")
    out = np.empty(n, np.int32)
    lib.pf_noise_fill(noise, ffi.from_buffer("int32_t[]", out), n)
    return out


# ---- frames and payloads ---------------------------------------------------------------------------------------


def frame_encode(payload: bytes) -> bytes:
    """A frame with its delimiters (SPEC 6.1). payload: 1 to 1024 bytes."""
    size = int(lib.pf_frame_bound(len(payload)))
    out = ffi.new("uint8_t[]", size)
    n = check(lib.pf_frame_encode(out, size, ffi.from_buffer(payload), len(payload)), "frame")
    return bytes(ffi.buffer(out, n))


def frame_decode(data: bytes) -> bytes:
    """The payload of what stood between two delimiters; MalformedError if it is not a frame."""
    buffer = bytearray(data)
    n = check(lib.pf_frame_decode(ffi.from_buffer(buffer), len(buffer)), "frame")
    return bytes(buffer[:n])


def update_encode(values: Ints, shift: int) -> bytes:
    """The payload of a release (SPEC 7.6), rounded to multiples of 2^shift (0..30). values: int32 or uint32 each."""
    words = within(values, -(2**31), U32_MAX, "values").astype(np.uint32)
    size = 16 + 7 * words.size  # 24 + 32 bits a value at worst
    out = ffi.new("uint8_t[]", size)
    n = lib.pf_update_encode(out, size, ffi.from_buffer("uint32_t[]", words), words.size, u32(shift, "shift"))
    return bytes(ffi.buffer(out, check(n, "update")))


def update_decode(data: bytes, n: int) -> Int32:
    """n values of a payload, already multiplied by 2^shift; MalformedError if it is anything else."""
    if n < 0:
        raise CoreArgumentError("update")
    out = np.empty(n, np.int32)
    check(lib.pf_update_decode(ffi.from_buffer("int32_t[]", out), n, ffi.from_buffer(data), len(data)), "update")
    return out


# ---- features --------------------------------------------------------------------------------------------------


def features_imu(samples: Ints) -> Int8:
    """45 input activations, int8 Q7, of one window: int16[n, 6], 16 <= n <= 512 (SPEC 8)."""
    array = within(samples, -(2**15), 2**15 - 1, "samples").astype(np.int16)
    if array.ndim != 2 or array.shape[1] != lib.PF_IMU_AXES:
        raise CoreArgumentError(f"samples of shape {array.shape} instead of (n, {lib.PF_IMU_AXES})")
    out = np.empty(FEATURES_IMU, np.int8)
    status = lib.pf_features_imu(
        ffi.from_buffer("int8_t[]", out), ffi.from_buffer("int16_t[]", np.ascontiguousarray(array)), len(array)
    )
    check(status, "features")
    return out


def features_blocks(samples: Ints, block: int, seen: int) -> Int8:
    """Means of every `block` samples as input activations, int8 Q7 [n / block * 6], of one window: int16[n, 6] (SPEC
    8.4). seen: the first so many samples decide which wrist it is."""
    array = within(samples, -(2**15), 2**15 - 1, "samples").astype(np.int16)
    if array.ndim != 2 or array.shape[1] != lib.PF_IMU_AXES:
        raise CoreArgumentError(f"samples of shape {array.shape} instead of (n, {lib.PF_IMU_AXES})")
    out = np.empty(array.size // max(1, block), np.int8)
    window = ffi.from_buffer("int16_t[]", np.ascontiguousarray(array))
    status = lib.pf_features_blocks(
        ffi.from_buffer("int8_t[]", out), window, len(array), u32(block, "block"), u32(seen, "seen")
    )
    check(status, "features")
    return out


def targets(values: Ints, from_: Ints = ()) -> Int16:
    """Targets of the squared error, int16 Q12, from activations (SPEC 8.5): 32 times each value, less that of `from_`,
    which is used over and over."""
    given = within(values, -127, 127, "values").astype(np.int8)
    base = within(from_, -127, 127, "values").astype(np.int8)
    out = np.empty(given.size, "<i2")
    lib.pf_targets(
        ffi.from_buffer("uint8_t[]", out.data.cast("B")) if given.size else ffi.NULL,
        ffi.from_buffer("int8_t[]", np.ascontiguousarray(given)),
        given.size,
        ffi.from_buffer("int8_t[]", np.ascontiguousarray(base)),
        base.size,
    )
    return out.astype(np.int16)


# ---- training --------------------------------------------------------------------------------------------------


def clip(activations: Sequence[Ints], deltas: Sequence[Ints], clip_norm: int) -> tuple[list[Int16], int, int]:
    """Clip one record as training does (SPEC 2.6): (scaled deltas, squared norm before, squared norm after).

    activations: per layer, the trained columns' activations in [-127, 127], without the bias; every bias counts as
    trained, with 128 in the first layer and 32 in the others. deltas: per layer, the trained rows' deltas, Q12.
    """
    if len(activations) != len(deltas) or not 1 <= len(deltas) <= lib.PF_LAYERS_MAX:
        raise CoreArgumentError("clip")
    squares = []
    for layer, inputs in enumerate(activations):
        a = within(inputs, -127, 127, "activations")
        squares.append(int((a * a).sum()) + (128 if layer == 0 else 32) ** 2)
    scaled = [within(delta, -16383, 16383, "deltas").astype(np.int16) for delta in deltas]
    pointers = [ffi.from_buffer("int16_t[]", delta) for delta in scaled]
    before, after = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    status = lib.pf_clip(
        ffi.new("int16_t *[]", pointers),
        ffi.new("uint16_t[]", [delta.size for delta in scaled]),
        ffi.new("uint32_t[]", squares),
        len(scaled),
        u32(clip_norm, "clipping norm"),
        before,
        after,
    )
    check(status, "clip")
    return scaled, int(before[0]), int(after[0])


def trainer_size(descriptor: bytes, mode: int = Mode.GRADIENT, frozen_in_flash: bool = False) -> int:
    """Bytes that a trainer of this model takes, with the pointers and the kernels of this machine; 0 if the core does
    not take the descriptor. frozen_in_flash: without the frozen weights, which a board reads from its flash (SPEC 12).
    A board of 32 bits takes a little less (pointers) or, with ARMv6-M's kernels, a little more."""
    size = lib.pf_trainer_frozen_size if frozen_in_flash else lib.pf_trainer_size
    return int(size(descriptor, len(descriptor), mode))


def frozen_size(descriptor: bytes) -> int:
    """Bytes of the image of a model's frozen weights (SPEC 12); 0 if the core does not take the descriptor."""
    return int(lib.pf_frozen_size(descriptor, len(descriptor)))


def frozen_image(descriptor: bytes, weights: Ints) -> bytes:
    """The image of a model's frozen weights for this machine (SPEC 12). weights: all of them, in the order of 7.2."""
    descriptor = bytes(descriptor)
    data = within(weights, WEIGHT_MIN, WEIGHT_MAX, "weights").astype("<i2").tobytes()
    out = bytearray(frozen_size(descriptor))
    window = ffi.from_buffer("uint8_t[]", out)
    check(lib.pf_frozen_clear(window, 0, len(out), descriptor, len(descriptor)), "model")
    status = lib.pf_frozen_put(window, 0, len(out), descriptor, len(descriptor), 0, data, len(data) // 2)
    check(status, "weights")
    return bytes(out)


class Trainer:
    """One board's trainer (SPEC 2, 7): weights in, records in, a noised release out."""

    def __init__(self, descriptor: bytes, mode: int = Mode.GRADIENT, image: bytes | None = None) -> None:
        """descriptor: SPEC 7.1. CoreArgumentError if it is malformed, CoreRangeError if it leaves the proven ranges.
        image: of its frozen weights (frozen_image), which the trainer then reads there; CorruptStoreError if it is
        another model's."""
        descriptor = bytes(descriptor)
        if mode not in (Mode.GRADIENT, Mode.LOCAL):
            raise CoreArgumentError("trainer")
        size = trainer_size(descriptor, mode, image is not None)
        self._memory = ffi.new("uint64_t[]", (size + 7) // 8 or 1)  # size 0: init says why
        if image is None:
            status = lib.pf_trainer_init(self._memory, size, descriptor, len(descriptor), mode)
        else:
            self._image = ffi.new("uint64_t[]", (len(image) + 7) // 8 or 1)
            ffi.memmove(self._image, image, len(image))
            words = ffi.cast("uint8_t *", self._image)
            status = lib.pf_trainer_frozen_init(
                self._memory, size, descriptor, len(descriptor), mode, words, len(image)
            )
        check(status, "model")
        self._trainer = ffi.cast("pf_trainer *", self._memory)
        self.size = size
        self.mode = Mode(mode)
        self.loss = Loss(descriptor[1])
        self.parameters = int(lib.pf_trainer_parameters(self._trainer))
        self.trainable = int(lib.pf_trainer_trainable(self._trainer))
        self.inputs = int(lib.pf_trainer_inputs(self._trainer))
        self.outputs = int(lib.pf_trainer_outputs(self._trainer))

    def set_weights(self, weights: Ints, offset: int = 0) -> None:
        """Write parameters [offset, offset + n) in the order of SPEC 7.2; int16 Q11 in [-16384, 16383]."""
        data = within(weights, WEIGHT_MIN, WEIGHT_MAX, "weights").astype("<i2").tobytes()
        check(lib.pf_trainer_set_weights(self._trainer, u32(offset, "offset"), data, len(data) // 2), "weights")

    def set_subset(self, values: Ints, offset: int = 0) -> None:
        """The same for the trained parameters in the order of SPEC 7.3."""
        data = within(values, WEIGHT_MIN, WEIGHT_MAX, "weights").astype("<i2").tobytes()
        check(lib.pf_trainer_set_subset(self._trainer, u32(offset, "offset"), data, len(data) // 2), "weights")

    def get_weights(self, offset: int = 0, n: int | None = None) -> Int16:
        """Parameters [offset, offset + n), all from offset on if n is None: int16 Q11."""
        n = max(0, self.parameters - offset) if n is None else n
        if n < 0 or n > self.parameters:
            raise CoreArgumentError("weights")
        out = np.empty(n, "<i2")
        buffer = ffi.from_buffer("uint8_t[]", out.data.cast("B")) if n else ffi.NULL
        check(lib.pf_trainer_get_weights(self._trainer, u32(offset, "offset"), buffer, n), "weights")
        return out.astype(np.int16)

    def begin(self, key: bytes | None, log2_sigma: int, clip_norm: int) -> None:
        """Begin a round or a local step under a fresh 32-byte noise key, sigma = 2^log2_sigma (6..25).

        log2_sigma = 0 with clip_norm = 0 is a baseline without privacy: no noise, no clipping. Boards refuse it.
        """
        key = bytes(32) if key is None and log2_sigma == 0 else exactly(key or b"", 32, "key")
        norm = u32(clip_norm, "clipping norm")
        check(lib.pf_trainer_begin(self._trainer, key, u32(log2_sigma, "log2 sigma"), norm), "begin")

    def fill(self, n: int | None = None) -> int:
        """Fill up to n accumulators with noise (all if None); returns how many still wait."""
        return check(lib.pf_trainer_fill(self._trainer, self.trainable if n is None else u32(n, "fill")), "fill")

    def examples(self, features: Ints, targets: Ints) -> None:
        """Clip and accumulate records. features: int8[n, inputs]; targets: classes [n], or int16 Q12 [n, outputs]."""
        rows = self._features(features)
        if self.loss is Loss.SOFTMAX:
            wanted = within(targets, 0, self.outputs - 1, "classes")
            shape: tuple[int, ...] = (len(rows),)
            data = wanted.astype(np.uint8).tobytes()
        else:
            wanted = within(targets, -(2**15), 2**15 - 1, "targets")
            shape = (len(rows), self.outputs)
            data = wanted.astype("<i2").tobytes()
        if wanted.shape != shape:
            raise CoreArgumentError(f"targets of shape {wanted.shape} instead of {shape}")
        pointer = ffi.from_buffer("int8_t[]", rows)
        check(lib.pf_trainer_examples(self._trainer, pointer, data, len(rows)), "examples")

    def _features(self, features: Ints) -> Int8:
        rows = within(features, -127, 127, "features").astype(np.int8)
        if rows.ndim != 2 or rows.shape[1] != self.inputs:
            raise CoreArgumentError(f"features of shape {rows.shape} instead of (n, {self.inputs})")
        return np.ascontiguousarray(rows)

    def step(self, multiplier: int, shift: int) -> None:
        """Local mode: weights -= accumulators * multiplier / 2^shift (SPEC 7.5), 0 < multiplier < 2^16, shift <= 40."""
        check(lib.pf_trainer_step(self._trainer, u32(multiplier, "multiplier"), u32(shift, "shift")), "step")

    def release(self) -> Int32:
        """What leaves the board, int32[trainable]: accumulators (gradient mode) or changes in Q23 (local mode)."""
        pointer = lib.pf_trainer_release(self._trainer)
        if pointer == ffi.NULL:
            raise CoreStateError("release")
        return np.frombuffer(ffi.buffer(pointer, 4 * self.trainable), np.int32).copy()

    def encode(self, shift: int) -> bytes:
        """The payload of the release (SPEC 7.6)."""
        return update_encode(self.release(), shift)

    def mask(self, shift: int, bits: int, seed: bytes) -> bytes:
        """The masked fields of the release (SPEC 10.4)."""
        return mask_encode(self.release(), shift, bits, seed)

    def logits(self, features: Ints) -> Int32:
        """Pre-activations of the last layer for one record [inputs] or many [n, inputs]: int32, Q18 or Q16."""
        array = np.asarray(features)
        rows = self._features(array.reshape(1, -1) if array.ndim == 1 else array)
        out = np.empty((len(rows), self.outputs), np.int32)
        for row, result in zip(rows, out, strict=True):
            status = lib.pf_trainer_logits(
                self._trainer, ffi.from_buffer("int8_t[]", row), ffi.from_buffer("int32_t[]", result)
            )
            check(status, "logits")
        return out[0] if array.ndim == 1 else out


__all__ = [
    "CoreError",
    "FileFlash",
    "Flash",
    "Ledger",
    "Loss",
    "MemoryFlash",
    "Mode",
    "Ratchet",
    "Trainer",
    "blake2b",
    "chacha20",
    "charge",
    "clip",
    "convolution",
    "crc32",
    "discrete_gaussian",
    "eddsa_check",
    "eddsa_public",
    "eddsa_sign",
    "entropy_condition",
    "features_blocks",
    "features_imu",
    "frame_decode",
    "frame_encode",
    "frozen_image",
    "frozen_size",
    "mask_add",
    "mask_encode",
    "mask_sum",
    "mask_unpack",
    "shamir_combine",
    "shamir_share",
    "targets",
    "trainer_size",
    "update_decode",
    "update_encode",
    "x25519",
    "x25519_public",
]
