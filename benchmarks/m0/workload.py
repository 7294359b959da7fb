"""The models that are measured, and how a measurement runs on the cycle model."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from itertools import pairwise

import masked_fleet

from .cortex_m0 import Call, CortexM0

EXAMPLES = 16
NOISE_SAMPLES = 2048
WINDOW = 100
RECORDS = 200
"""Of a whole round; handed over BATCH at a time, as firmware/picofed/train.py does."""
BATCH = 8
FEATURES = 45
"""Of a window of motion: what the demo's model takes."""
BYTES = 1024
"""What CRYPTO_BYTES of crypto.c is."""
FIELDS = 256
"""What CRYPTO_FIELDS is."""
CLIP_NORM = 1 << 18
LOG2_SIGMA = 21


@dataclass(frozen=True, slots=True)
class Model:
    """A model as SPEC 7.1 describes it. areas: row_begin, row_end, column_begin, column_end, bias of each layer; none:
    everything is trained."""

    widths: tuple[int, ...]
    loss: int = 0
    areas: tuple[tuple[int, int, int, int, int], ...] = field(default=())

    def _areas(self) -> tuple[tuple[int, int, int, int, int], ...]:
        pairs = pairwise(self.widths)
        return self.areas or tuple((0, outputs, 0, inputs, 1) for inputs, outputs in pairs)

    @property
    def parameters(self) -> int:
        return sum((inputs + 1) * outputs for inputs, outputs in pairwise(self.widths))

    @property
    def trainable(self) -> int:
        return sum((r1 - r0) * (c1 - c0 + bias) for r0, r1, c0, c1, bias in self._areas())

    @property
    def products(self) -> int:
        """Multiplications of forward, backward and accumulating together, when everything is trained."""
        forward = sum(inputs * outputs for inputs, outputs in pairwise(self.widths))
        backward = sum(a * b for a, b in pairwise(self.widths[1:]))
        return forward + backward + self.trainable

    def descriptor(self) -> bytes:
        head = struct.pack("<4B", 1, self.loss, len(self.widths) - 1, 0)
        widths = struct.pack(f"<{len(self.widths)}H", *self.widths)
        return head + widths + b"".join(struct.pack("<4HBB", *area, 0) for area in self._areas())


MODELS = {
    "softmax 45-7": Model((45, 7)),
    "softmax 64-10": Model((64, 10)),
    "MLP 64-32-10": Model((64, 32, 10)),
}


MLP = (64, 32, 10)
SUBSETS = {
    "output layer": Model(MLP, areas=((0, 0, 0, 0, 0), (0, 10, 0, 32, 1))),
    "output layer, 8 hidden units": Model(MLP, areas=((0, 8, 0, 64, 1), (0, 10, 0, 32, 1))),
    "output layer, 16 hidden units": Model(MLP, areas=((0, 16, 0, 64, 1), (0, 10, 0, 32, 1))),
    "everything": Model(MLP),
}
"""What is trained of MLP 64-32-10."""


@dataclass(slots=True)
class Training:
    example: Call
    """All EXAMPLES examples in one call."""
    sizes: tuple[int, int]
    """pf_trainer_size in gradient and in local mode."""
    fill: int
    forward: int


def measure_training(machine: CortexM0, model: Model, frozen: bool = False) -> Training:
    """Deterministic: the weights, features and labels come from a fixed seed. frozen: what is not trained is in an
    image, beside the trainer's memory."""
    chooser = random.Random(1)
    descriptor = model.descriptor()
    machine.write("bench_descriptor", descriptor)
    size = "bench_frozen_size" if frozen else "bench_size"
    gradient, local = (machine.call(size, len(descriptor), mode).result for mode in (0, 1))
    weights = (chooser.randint(-500, 500) for _ in range(model.parameters))
    machine.write("bench_weights", struct.pack(f"<{model.parameters}h", *weights))
    features = (chooser.randint(-127, 127) for _ in range(EXAMPLES * model.widths[0]))
    machine.write("bench_features", struct.pack(f"<{EXAMPLES * model.widths[0]}b", *features))
    machine.write("bench_targets", bytes(chooser.randrange(model.widths[-1]) for _ in range(EXAMPLES)))
    machine.write("bench_key", bytes(range(32)))
    if frozen:
        expect(machine.call("bench_frozen_init", len(descriptor), 0, model.parameters))
    else:
        expect(machine.call("bench_init", len(descriptor), 0))
    expect(machine.call("bench_set_weights", model.parameters))
    fill = expect(machine.call("bench_begin", LOG2_SIGMA, CLIP_NORM)).cycles
    example = expect(machine.call("bench_examples", EXAMPLES))
    forward = expect(machine.call("bench_forward")).cycles
    return Training(example, (gradient, local), fill, forward)


@dataclass(slots=True)
class Round:
    """Cycles of a whole round's parts."""

    noise: int
    examples: int
    features: int

    @property
    def total(self) -> int:
        return self.noise + self.examples + self.features


def measure_round(machine: CortexM0, features: int) -> Round:
    """RECORDS records of the model that measure_training left in the machine; features: cycles a record."""
    fill = expect(machine.call("bench_begin", LOG2_SIGMA, CLIP_NORM)).cycles
    examples = sum(expect(machine.call("bench_examples", BATCH)).cycles for _ in range(RECORDS // BATCH))
    return Round(fill, examples, RECORDS * features)


def measure_crypto(machine: CortexM0) -> dict[str, float]:
    """By name; `machine` runs crypto.c."""
    bits = masked_fleet.JOB.mask_bits
    machine.write("crypto_key", bytes(range(32)))
    return {
        "ChaCha20, a byte": machine.call("bench_chacha20").cycles / BYTES,
        "BLAKE2b, a byte": machine.call("bench_blake2b", BYTES).cycles / BYTES,
        "BLAKE2b, a keyed tag of 64 bytes": machine.call("bench_blake2b", 64).cycles,
        "X25519, a shared secret": machine.call("bench_x25519").cycles,
        f"mask under a helper's key, a field of {bits} bits": machine.call("bench_mask_encode", bits).cycles / FIELDS,
        f"mask in a pair, a field of {bits} bits": machine.call("bench_mask_add", bits, 1).cycles / FIELDS,
        "share of a secret, threshold 17": machine.call("bench_share", 17).cycles,
    }


def measure_noise(machine: CortexM0) -> float:
    """Cycles a sample, over NOISE_SAMPLES samples."""
    machine.write("bench_key", bytes(range(32)))
    expect(machine.call("bench_noise_init", LOG2_SIGMA))
    return machine.call("bench_noise_fill", NOISE_SAMPLES).cycles / NOISE_SAMPLES


def measure_features(machine: CortexM0) -> int:
    """Cycles for one window of WINDOW samples."""
    chooser = random.Random(1)
    window = (chooser.randint(-8000, 8000) for _ in range(6 * WINDOW))
    machine.write("bench_window", struct.pack(f"<{6 * WINDOW}h", *window))
    return expect(machine.call("bench_imu", WINDOW)).cycles


BLOCK = 5
CONVOLUTIONS = ((20, 6, (3, 1, 12, 1)), (18, 12, (3, 1, 24, 4)))
"""Steps, channels and (width, stride, filters, pool) of the demo's layers."""


def products(steps: int, channels: int, layer: tuple[int, int, int, int]) -> int:
    """Multiplications of a layer of convolution."""
    width, stride, filters, pool = layer
    places = (steps - width) // stride + 1
    return places // pool * pool * filters * width * channels


def measure_blocks(machine: CortexM0) -> int:
    """Cycles for one window of WINDOW samples; what measure_features left in the machine."""
    return expect(machine.call("bench_blocks", WINDOW, BLOCK)).cycles


def measure_convolution(machine: CortexM0, steps: int, channels: int, layer: tuple[int, int, int, int]) -> int:
    """Cycles of a layer over activations and with weights from a fixed seed."""
    chooser = random.Random(1)
    width, _, filters, _ = layer
    weights = (chooser.randint(-127, 127) for _ in range(filters * (width * channels + 1)))
    data = bytes((*layer, 7)) + bytes(value & 0xFF for value in weights)
    machine.write("bench_layer", data)
    machine.write("bench_features", bytes(chooser.randint(0, 127) for _ in range(steps * channels)))
    return expect(machine.call("bench_convolution", steps, channels, len(data))).cycles


def measure_clip(machine: CortexM0) -> int:
    """Cycles of pf_clip over 42 deltas that need clipping."""
    chooser = random.Random(1)
    machine.write("bench_window", struct.pack("<42h", *(chooser.randint(-4000, 4000) for _ in range(42))))
    return expect(machine.call("bench_clip", CLIP_NORM)).cycles


def expect(call: Call) -> Call:
    if call.result != 0:
        raise RuntimeError(f"a function under measurement answered {call.result:#x}")
    return call
