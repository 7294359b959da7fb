"""The ARMv6-M build, with its assembly, gives the bits of the host build: training, clipping, features, noise."""

from __future__ import annotations

import ctypes
import os
import random
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from m0 import build as m0_build  # noqa: E402
from m0.cortex_m0 import CortexM0  # noqa: E402
from m0.workload import Model  # noqa: E402

SEED = int(os.environ.get("PICOFED_TEST_SEED", "20240229"), 0)
KEY = bytes(range(32))


@pytest.fixture(scope="module", params=["-O2", "-Os", "-Os one unit"])
def board(request: pytest.FixtureRequest, monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> CortexM0:
    folder = tmp_path_factory.mktemp("m0")
    optimise, *unit = str(request.param).split(" ", 1)
    return CortexM0(m0_build.build(folder, monocypher_dir, optimise, one_unit=bool(unit)).elf)


@pytest.fixture(scope="module")
def host(monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The same bench functions compiled for this machine, with the plain C kernels."""
    library = tmp_path_factory.mktemp("host") / "bench.so"
    command = ["gcc", "-std=c99", "-O2", "-shared", "-fPIC", "-o", str(library), str(m0_build.HERE / "bench.c")]
    command += [f"-I{path}" for path in (*m0_build.INCLUDES, monocypher_dir)]
    command += [str(m0_build.SOURCES / f"{name}.c") for name in m0_build.PARTS]
    subprocess.run([*command, str(monocypher_dir / "monocypher.c")], check=True)
    return ctypes.CDLL(str(library))


class Host:
    """The interface of CortexM0, for the shared object."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def call(self, name: str, *arguments: int) -> int:
        function = getattr(self._library, name)
        function.restype = ctypes.c_uint32
        return int(function(*(ctypes.c_uint32(argument & 0xFFFFFFFF) for argument in arguments)))

    def write(self, place: str, data: bytes) -> None:
        ctypes.memmove(ctypes.addressof(ctypes.c_char.in_dll(self._library, place)), data, len(data))

    def read(self, place: str, size: int) -> bytes:
        return ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(self._library, place)), size)

    def release(self, size: int) -> bytes:
        function = self._library.bench_release
        function.restype = ctypes.c_void_p
        return ctypes.string_at(function(), size)


class Board(Host):
    def __init__(self, board: CortexM0) -> None:
        self._board = board

    def call(self, name: str, *arguments: int) -> int:
        return self._board.call(name, *arguments).result

    def write(self, place: str, data: bytes) -> None:
        self._board.write(place, data)

    def read(self, place: str, size: int) -> bytes:
        return self._board.read(place, size)

    def release(self, size: int) -> bytes:
        return self._board.read(self._board.call("bench_release").result, size)


def random_model(chooser: random.Random, width: int) -> Model:
    layers = chooser.randint(1, 3)
    widths = [chooser.randint(1, width) for _ in range(layers)] + [chooser.randint(2, max(2, width // 2))]
    areas = []
    for inputs, outputs in pairwise(widths):
        row = chooser.randrange(outputs)
        column = chooser.randrange(inputs)
        kind = chooser.randrange(4)
        if kind == 0:
            areas.append(
                (row, chooser.randint(row + 1, outputs), column, chooser.randint(column + 1, inputs), kind & 1)
            )
        elif kind == 1:
            areas.append((0, outputs, 0, 0, 1))
        else:
            areas.append((0, outputs, 0, inputs, kind & 1))
    return Model(tuple(widths), loss=chooser.randint(0, 1), areas=tuple(areas))


def run(machine: Host, model: Model, seed: int, mode: int, count: int, frozen: bool = False) -> list[bytes]:
    """One step of training; what the machine ends up with. frozen: weights that are not trained are in an image."""
    chooser = random.Random(seed)
    extreme = seed % 3 == 0
    descriptor = model.descriptor()
    machine.write("bench_descriptor", descriptor)
    if not frozen:
        assert machine.call("bench_init", len(descriptor), mode) == 0
    reach = 16383 if seed % 2 else 700
    weights = [
        chooser.choice((-16384, 16383)) if extreme else chooser.randint(-reach, reach) for _ in range(model.parameters)
    ]
    inputs = count * model.widths[0]
    features = [chooser.choice((-127, 127)) if extreme else chooser.randint(-127, 127) for _ in range(inputs)]
    machine.write("bench_weights", struct.pack(f"<{len(weights)}h", *weights))
    machine.write("bench_features", struct.pack(f"<{len(features)}b", *features))
    if model.loss == 0:
        targets = bytes(chooser.randrange(model.widths[-1]) for _ in range(count))
    else:
        targets = chooser.randbytes(2 * count * model.widths[-1])
    machine.write("bench_targets", targets)
    machine.write("bench_key", KEY)
    if frozen:
        assert machine.call("bench_frozen_init", len(descriptor), mode, model.parameters) == 0
    assert machine.call("bench_set_weights", model.parameters) == 0
    assert machine.call("bench_begin", chooser.randint(6, 25), 1 << chooser.randint(8, 19)) == 0
    assert machine.call("bench_examples", count) == 0
    assert machine.call("bench_forward") == 0
    if mode == 1:
        assert machine.call("bench_step", chooser.randint(1, 65535), chooser.randint(0, 40)) == 0
    return [
        machine.read("bench_logits", 4 * model.widths[-1]),
        machine.release(4 * model.trainable),
    ]


def test_training_is_bit_identical(board: CortexM0, host: ctypes.CDLL) -> None:
    print(f"PICOFED_TEST_SEED={SEED}")
    chooser = random.Random(SEED)
    for case in range(120):
        model = random_model(chooser, 64 if case % 8 == 0 else 15)
        seed = chooser.randrange(1 << 30)
        mode = case % 2
        count = chooser.randint(1, 9)
        wanted = run(Host(host), model, seed, mode, count)
        assert run(Board(board), model, seed, mode, count) == wanted, (model, seed)
        assert run(Board(board), model, seed, mode, count, frozen=True) == wanted, (model, seed, "frozen")
        assert run(Host(host), model, seed, mode, count, frozen=True) == wanted, (model, seed, "frozen, host")


def test_features_are_bit_identical(board: CortexM0, host: ctypes.CDLL) -> None:
    chooser = random.Random(SEED)
    for samples in (16, 17, 50, 100, 128):
        window = [chooser.randint(-32768, 32767) for _ in range(6 * samples)]
        outcomes = []
        for machine in (Board(board), Host(host)):
            machine.write("bench_window", struct.pack(f"<{len(window)}h", *window))
            assert machine.call("bench_imu", samples) == 0
            outcomes.append(machine.read("bench_imu_features", 45))
        assert outcomes[0] == outcomes[1]


def test_clip_is_bit_identical(board: CortexM0, host: ctypes.CDLL) -> None:
    chooser = random.Random(SEED)
    for clip_norm in (1, 1000, 262144, 1048575):
        deltas = struct.pack("<42h", *(chooser.randint(-16383, 16383) for _ in range(42)))
        outcomes = []
        for machine in (Board(board), Host(host)):
            machine.write("bench_window", deltas)
            assert machine.call("bench_clip", clip_norm) == 0
            outcomes.append((machine.read("bench_window", 84), machine.read("bench_norms", 16)))
        assert outcomes[0] == outcomes[1]


def test_quotients_are_exact(board: CortexM0) -> None:
    chooser = random.Random(SEED)
    for case in range(200):
        divisor = 0xFFFFFFFF - case if case < 8 else chooser.randint(1, 0xFFFFFFFF) >> chooser.randrange(31) or 1
        remainder = divisor - 1 if case % 4 == 0 else chooser.randrange(divisor)
        for following in (0, 1):
            wanted = ((remainder << 15) + 32767 * following) // divisor
            assert board.call("bench_quotient", remainder, divisor, following).result == wanted, (remainder, divisor)


def test_noise_is_bit_identical(board: CortexM0, host: ctypes.CDLL) -> None:
    chooser = random.Random(SEED)
    for log2_sigma in (1, 6, 17, 25, *(chooser.randint(1, 25) for _ in range(4))):
        key = chooser.randbytes(32)
        outcomes = []
        for machine in (Board(board), Host(host)):
            machine.write("bench_key", key)
            assert machine.call("bench_noise_init", log2_sigma) == 0
            machine.call("bench_noise_fill", 2048)
            outcomes.append(machine.read("bench_noise", 4 * 2048))
        assert outcomes[0] == outcomes[1], (key.hex(), log2_sigma)
