"""Lemma 7 (docs/proofs/timing.md): what time depends on, by valgrind on x86-64, by cycles on the M0+ model.

The lists of what is not constant are complete: another branch or address that depends on a secret fails the test, and
so does an entry that is no longer there.
"""

from __future__ import annotations

import random
import re
import struct
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "native"
sys.path.insert(0, str(ROOT / "benchmarks"))

from m0 import build as m0_build  # noqa: E402
from m0.cortex_m0 import STACK_TOP, CortexM0  # noqa: E402
from m0.workload import MODELS  # noqa: E402

# Function, and what its line says. Each is explained in docs/proofs/timing.md.
NOT_CONSTANT = {
    "noise": {
        ("pf_noise_fill", "if (high - p + PF_NOISE_MARGIN < 2 * PF_NOISE_MARGIN) {"),  # the exact threshold
        ("pf_noise_fill", "while (done < n) {"),  # accepted or not
        ("pf_noise_fill", "out[done] = "),
    },
    "training": {
        ("pf_trainer_examples", "if (pf_outside("),  # refuses what no record store can hold
        ("pf_trainer_examples", "if (targets[k] >= outputs) {"),
        ("pf_softmax_exp", "entry["),  # an address: no data cache on an M0+
        ("pf_softmax_delta", "out[label] -= 4096;"),
        ("pf_sqrt_ceil", "if (high >> 24 == 0) {"),  # a squared norm of 2^56 or more
    },
    "clip": {
        ("pf_clip", "if (outside != 0) {"),  # refuses
        ("pf_sqrt_ceil", "if (high >> 24 == 0) {"),
    },
    "crypto": set(),
    "convolution": set(),
    "ratchet": {("pf_equal", "")},  # read-back: equal, or the flash is broken
    "branch": {("run_branch", "if (key[0] & 1u) {")},  # that the method finds one
}


@pytest.fixture(scope="module")
def ctgrind(monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("ctgrind") / "ctgrind"
    sources = sorted(path for path in (NATIVE / "src").glob("*.c") if path.name != "unit.c")
    command = ["gcc", "-std=gnu99", "-g", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program)]
    command += [f"-I{path}" for path in (NATIVE / "include", NATIVE / "src", NATIVE / "tests", monocypher_dir)]
    files = [NATIVE / "tests" / "ctgrind.c", *sources, monocypher_dir / "monocypher.c"]
    subprocess.run([*command, *map(str, files)], check=True)
    return program


def found(program: Path, part: str) -> set[tuple[str, str, str]]:
    """Where memcheck complains: function, file, and the text of the line."""
    command = ["valgrind", "--quiet", "--error-limit=no", "--num-callers=4", str(program), part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "suppressed" not in done.stderr and "Invalid" not in done.stderr, done.stderr
    places = re.findall(r"== +at 0x[0-9A-F]+: (\w+) \((\S+):(\d+)\)", done.stderr)
    complaints = len(re.findall(r"depends on uninit|Use of uninit|points to uninit", done.stderr))
    assert complaints == len(places), done.stderr
    result = set()
    for function, name, line in places:
        [path] = [folder / name for folder in (NATIVE / "src", NATIVE / "tests") if (folder / name).is_file()]
        result.add((function, name, path.read_text("utf-8").splitlines()[int(line) - 1].strip()))
    return result


@pytest.mark.slow
@pytest.mark.parametrize("part", NOT_CONSTANT)
def test_nothing_but_what_is_listed_depends_on_secrets(part: str, ctgrind: Path) -> None:
    expected = set(NOT_CONSTANT[part])
    seen = set()
    for function, name, line in found(ctgrind, part):
        known = {entry for entry in expected if entry[0] == function and entry[1] in line}
        assert known, f"{name}, {function}: time depends on a secret: {line}"
        seen |= known
    assert seen == expected, "an exception that is no longer one"


# ---- cycles ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["-O2", "-Os one unit"])
def built(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def machine(built: str, monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> CortexM0:
    optimise, *unit = built.split(" ", 1)
    folder = tmp_path_factory.mktemp("m0")
    return CortexM0(m0_build.build(folder, monocypher_dir, optimise, one_unit=bool(unit)).elf)


def integers(chooser: random.Random, kind: str, n: int, largest: int) -> bytes:
    return struct.pack(f"<{n}{kind}", *(chooser.randint(-largest, largest) for _ in range(n)))


@pytest.mark.parametrize("clip_norm", [1, 1 << 12, 1 << 18, (1 << 20) - 1])
def test_clipping_takes_the_same_cycles_whatever_is_clipped(clip_norm: int, machine: CortexM0) -> None:
    """But for the carries of pf_clip, which auditors call; boards clip in the training below."""
    chooser, cycles = random.Random(clip_norm), set()
    for largest in [0, 1, 30, 4000, 16383] * 8:
        machine.write("bench_window", integers(chooser, "h", 42, largest))
        call = machine.call("bench_clip", clip_norm)
        assert call.result == 0
        cycles.add(call.cycles)
    assert max(cycles) - min(cycles) <= 8, cycles


@pytest.mark.parametrize("name", MODELS)
def test_training_takes_the_same_cycles_whatever_the_records_are(name: str, built: str, machine: CortexM0) -> None:
    """Compiled for size, a comparison of two logits is a branch: at most a cycle for each, and one for a carry."""
    model, chooser, cycles = MODELS[name], random.Random(5), set()
    machine.write("bench_descriptor", model.descriptor())
    assert machine.call("bench_init", len(model.descriptor()), 0).result == 0
    for norm in (1 << 10, 1 << 19):
        for weight in (0, 700, 16383):
            machine.write("bench_weights", integers(chooser, "h", model.parameters, weight))
            assert machine.call("bench_set_weights", model.parameters).result == 0
            machine.write("bench_key", chooser.randbytes(32))
            assert machine.call("bench_begin", 21, norm).result == 0
            for largest in (0, 2, 127, 127):
                machine.write("bench_features", integers(chooser, "b", 4 * model.widths[0], largest))
                machine.write("bench_targets", bytes(chooser.randrange(model.widths[-1]) for _ in range(4)))
                call = machine.call("bench_examples", 4)
                assert call.result == 0
                cycles.add(call.cycles)
    assert max(cycles) - min(cycles) <= (0 if built == "-O2" else 4 * (2 * model.widths[-1] + 1)), cycles


def test_noise_takes_cycles_by_the_number_of_trials_only(machine: CortexM0) -> None:
    cycles: dict[int, set[int]] = defaultdict(set)
    chooser = random.Random(6)
    for _ in range(300):
        machine.write("bench_key", chooser.randbytes(32))
        assert machine.call("bench_noise_init", chooser.choice([6, 7, 14, 21, 25])).result == 0
        call = machine.call("bench_noise_fill", 1)
        words = struct.unpack("<II", machine.read(machine.symbols["bench_stream"] + 32 + 4 * 80, 8))
        cycles[words[1] // 5].add(call.cycles)
    assert len(cycles) >= 3 and all(len(same) == 1 for same in cycles.values()), cycles
    steps = {max(cycles[n + 1]) - max(cycles[n]) for n in cycles if n + 1 in cycles}
    assert len(steps) == 1, steps


def test_the_exact_threshold_takes_the_same_cycles_for_all_arguments(monocypher_dir: Path, tmp_path: Path) -> None:
    machine = CortexM0(m0_build.build(tmp_path, monocypher_dir).elf)
    chooser, cycles = random.Random(7), set()
    place = machine.symbols["bench_noise"]
    for fraction in [0, 1 << 8, 0xFFFFFF00, *(chooser.getrandbits(24) << 8 for _ in range(100))]:
        cycles.add(machine.call("pf_noise_exact", place, chooser.randrange(19), fraction).cycles)
    assert len(cycles) == 1, cycles
    machine.write(STACK_TOP, struct.pack("<I", place + 4))  # the fifth argument
    answers = {y: machine.call("pf_noise_threshold", 5, y, 20, place) for y in (0, 1, 77, (1 << 20) - 1)}
    assert [call.result for call in answers.values()] == [1, 0, 0, 0]
    assert len({call.cycles for call in answers.values()}) == 1
