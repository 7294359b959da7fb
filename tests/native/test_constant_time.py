"""Time on the Cortex-M0+ model: what the core does with records and noise takes the same cycles whatever they are."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from m0 import build as m0_build  # noqa: E402
from m0 import workload  # noqa: E402
from m0.cortex_m0 import CortexM0  # noqa: E402
from m0.workload import Model  # noqa: E402
from picofed import reference  # noqa: E402

EXAMPLES = 11  # a whole batch and a part of one


@pytest.fixture(scope="module", params=["-O2", "-Os one unit"])
def board(request: pytest.FixtureRequest, monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> CortexM0:
    optimise, *unit = str(request.param).split(" ", 1)
    folder = tmp_path_factory.mktemp("m0")
    return CortexM0(m0_build.build(folder, monocypher_dir, optimise, one_unit=bool(unit)).elf)


def cycles(board: CortexM0, model: Model, seed: int) -> int:
    """Of EXAMPLES examples: with weights, features, targets and clipping norms from tiny to extreme."""
    chooser = random.Random(seed)
    descriptor = model.descriptor()
    board.write("bench_descriptor", descriptor)
    workload.expect(board.call("bench_init", len(descriptor), 0))
    reach = (500, 16383, 20, 0)[seed % 4]
    weights = (chooser.randint(-reach, reach) for _ in range(model.parameters))
    board.write("bench_weights", struct.pack(f"<{model.parameters}h", *weights))
    reach = (127, 3, 0)[seed % 3]
    features = (
        chooser.choice((-reach, reach, chooser.randint(-reach, reach))) for _ in range(EXAMPLES * model.widths[0])
    )
    board.write("bench_features", bytes(feature & 0xFF for feature in features))
    targets = (chooser.randrange(model.widths[-1]) for _ in range(EXAMPLES))
    board.write(
        "bench_targets", bytes(targets) if model.loss == 0 else chooser.randbytes(2 * EXAMPLES * model.widths[-1])
    )
    board.write("bench_key", bytes(range(32)))
    workload.expect(board.call("bench_set_weights", model.parameters))
    workload.expect(board.call("bench_begin", 6, (1, 1 << 12, 1 << 18, (1 << 20) - 1)[seed % 4]))
    return workload.expect(board.call("bench_examples", EXAMPLES)).cycles


@pytest.mark.parametrize(
    "model",
    [Model((45, 7)), Model((12, 5, 4)), Model((9, 8, 7), loss=1)],
    ids=["softmax", "hidden layer", "squared error, 64-bit sums"],
)
def test_an_example_takes_the_same_time_whatever_it_is(board: CortexM0, model: Model) -> None:
    assert len({cycles(board, model, seed) for seed in range(12)}) == 1


def write_motion(board: CortexM0, seed: int) -> random.Random:
    """A window of random samples; returns what chose them."""
    chooser = random.Random(seed)
    reach = (8000, 32767, 100, 0)[seed % 4]
    window = (chooser.randint(-reach, reach) for _ in range(6 * workload.WINDOW))
    board.write("bench_window", struct.pack(f"<{6 * workload.WINDOW}h", *window))
    return chooser


def test_features_take_the_same_time_whatever_the_motion(board: CortexM0) -> None:
    seen = set()
    for seed in range(8):
        write_motion(board, seed)
        seen.add(workload.expect(board.call("bench_imu", workload.WINDOW)).cycles)
    assert len(seen) == 1


def test_a_convolution_takes_the_same_time_whatever_the_motion(board: CortexM0) -> None:
    """The means that it is slid over too; 3 filters over 10 steps of 6 channels, the largest of 3 outputs."""
    seen = set()
    for seed in range(8):
        chooser = write_motion(board, seed)
        blocks = workload.expect(board.call("bench_blocks", workload.WINDOW, 10)).cycles
        board.write("bench_layer", bytes((4, 1, 3, 3, 6)) + chooser.randbytes(3 * 25))
        seen.add((blocks, workload.expect(board.call("bench_convolution", 10, 6, 80)).cycles))
    assert len(seen) == 1


@pytest.fixture(scope="module")
def crypto(monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> CortexM0:
    """As a native module has it, with the compiler's library for products of 64 bits."""
    return CortexM0(m0_build.build_crypto(tmp_path_factory.mktemp("m0"), monocypher_dir))


SECRETS = [bytes(32), b"\xff" * 32, bytes(31) + b"\x40", *(random.Random(seed).randbytes(32) for seed in range(5))]
CALLS: list[tuple[str, tuple[int, ...]]] = [
    ("bench_blake2b", (700,)),
    ("bench_chacha20", ()),
    *(("bench_mask_encode", (bits,)) for bits in (8, 15, 17)),
    *(("bench_mask_add", (bits, minus)) for bits, minus in ((13, 0), (19, 1), (32, 1))),
    ("bench_share", (17,)),
    ("bench_differ", (32,)),
]


def crypto_cycles(machine: CortexM0, function: str, secret: bytes, seed: int, *given: int) -> int:
    chooser = random.Random(seed)
    machine.write("crypto_key", secret)
    machine.write("crypto_data", (secret if seed % 2 else chooser.randbytes(32)) + chooser.randbytes(992))
    machine.write("crypto_values", (bytes(1024), b"\xff" * 1024, chooser.randbytes(1024))[seed % 3])
    return machine.call(function, *given).cycles


@pytest.mark.parametrize(("function", "given"), CALLS)
def test_crypto_takes_the_same_time_whatever_the_secrets(
    function: str, given: tuple[int, ...], crypto: CortexM0
) -> None:
    """Keys, what is hashed, encrypted, masked, shared; tags that are equal and others."""
    cycles = [crypto_cycles(crypto, function, secret, seed, *given) for seed, secret in enumerate(SECRETS)]
    assert len(set(cycles)) == 1, cycles


def x25519_cycles(machine: CortexM0, function: str, secrets: list[bytes]) -> set[int]:
    cycles = set()
    for secret in secrets:
        machine.write("crypto_key", secret)
        machine.write("crypto_data", bytes([9]) + bytes(31))
        cycles.add(machine.call(function).cycles)
        assert machine.read("crypto_out", 32) == reference.x25519_public(secret)
    return cycles


@pytest.mark.parametrize("function", ["bench_x25519", "bench_x25519_public"])
def test_x25519_takes_the_same_time_whatever_the_secret(function: str, crypto: CortexM0) -> None:
    assert len(x25519_cycles(crypto, function, [SECRETS[1], SECRETS[2], SECRETS[4]])) == 1


def test_with_the_compilers_product_of_64_bits_it_would_not(monocypher_dir: Path, tmp_path: Path) -> None:
    """Why native modules for ARMv6-M bring their own; and that the method sees a branch."""
    machine = CortexM0(m0_build.build_crypto(tmp_path, monocypher_dir, own_product=False))
    assert len(x25519_cycles(machine, "bench_x25519", [SECRETS[1], SECRETS[2]])) == 2


def test_the_product_of_64_bits(crypto: CortexM0) -> None:
    """Right for every carry, and in the same time."""
    edges = [0, 1, 0xFFFF, 0x10000, 0xFFFFFFFF, 1 << 32, (1 << 64) - 1, 0xFFFF0000FFFF0000]
    chooser = random.Random(8)
    pairs = [(a, b) for a in edges for b in edges] + [
        (chooser.getrandbits(64), chooser.getrandbits(64)) for _ in range(200)
    ]
    cycles = set()
    for a, b in pairs:
        crypto.write("crypto_data", struct.pack("<2Q", a, b))
        cycles.add(crypto.call("bench_product").cycles)
        assert crypto.read("crypto_out", 8) == struct.pack("<Q", a * b % 2**64)
    assert len(cycles) == 1


def test_noise_takes_time_by_the_number_of_trials_alone(board: CortexM0) -> None:
    """Cycles are a constant, one cost a trial and one a refill of the keystream, to the cycle, under every key."""
    rows, times = [], []
    for seed in range(16):
        board.write("bench_key", random.Random(seed).randbytes(32))
        workload.expect(board.call("bench_noise_init", 17))
        times.append(board.call("bench_noise_fill", 400).cycles)
        counter, used = struct.unpack("<2I", board.read("bench_stream", 360)[352:])
        rows.append((1, (16 * counter - 80 + used) // 5, counter // 5))
    matrix = np.array(rows, dtype=float)
    fit, *_ = np.linalg.lstsq(matrix, np.array(times, dtype=float), rcond=None)
    assert len({row[1] for row in rows}) > 3
    assert np.abs(matrix @ fit - times).max() < 0.5
