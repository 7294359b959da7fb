"""The firmware's own tests: each check_*.py of on_board/ runs ON MicroPython, its unix port, with the native core."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import cbor2
import pytest
from picofed.toolchain import build

HERE = Path(__file__).parent
PROGRAMS = sorted(path.stem for path in (HERE / "on_board").glob("check_*.py"))
SEED = int(os.environ.get("PICOFED_SEED", "1"))
TIMEOUT = 300
HEAP = {"check_messages": "260k"}  # else 200k: this one is the host too

pytestmark = pytest.mark.slow


def item(rng: random.Random, depth: int = 0) -> object:
    kind = rng.randrange(5 if depth == 4 else 7)
    if kind == 0:
        return rng.choice([0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1, rng.getrandbits(64)])
    if kind == 1:
        return rng.choice([-1, -24, -25, -256, -257, -65537, -(2**32) - 1, -(2**64), -1 - rng.getrandbits(63)])
    if kind == 2:
        return rng.randbytes(rng.choice([0, 1, 23, 24, 300]))
    if kind == 3:
        return "".join(rng.choice("aZ09 é€𝄞߿ࠀ\n") for _ in range(rng.choice([0, 3, 23, 24, 90])))
    if kind == 4:
        return rng.choice([True, False, None])
    if kind == 5:
        return [item(rng, depth + 1) for _ in range(rng.choice([0, 1, 5, 24 if depth > 2 else 3]))]
    return {f"{rng.getrandbits(20)}": item(rng, depth + 1) for _ in range(rng.choice([0, 1, 4]))}


HOSTILE = [
    "",
    "1800",  # 0 in two bytes
    "1817",
    "190018",
    "1900ff",
    "1a0000ffff",
    "1b00000000ffffffff",
    "3817",
    "5800",
    "580161",
    "7817" + "61" * 23,
    "9800",
    "b800",
    "9f01ff",  # indefinite lengths
    "5f4101ff",
    "7f6161ff",
    "bf616101ff",
    "ff",
    "1c",
    "1f",
    "f90000",  # floats, other simple values
    "fa00000000",
    "fb0000000000000000",
    "f7",
    "f814",
    "f8ff",
    "e0",
    "c001",  # tags
    "d9d9f700",
    "a10102",  # keys that are not text, or come twice
    "a1416101",
    "a2616101616102",
    "8181818181" + "01",  # five deep
    "a1616181818180",
    "61ff",  # bad UTF-8: lone byte, overlong, surrogate, beyond, cut off
    "62c080",
    "63e08080",
    "63eda080",
    "64f0808080",
    "64f4908080",
    "62e282",
    "6180",
    "5affffffff",  # lengths beyond the end
    "5bffffffffffffffff",
    "7bffffffffffffffff61",
    "9bffffffffffffffff",
    "bbffffffffffffffff",
    "9affffffff00",
]


@pytest.fixture(scope="session")
def flash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that becomes the board's `/`: the firmware, the native module and the programs."""
    root = tmp_path_factory.mktemp("flash")
    library = root / "lib"
    shutil.copytree(build.firmware_bytecode(), library / "picofed")  # as boards get it
    shutil.copyfile(build.natmod("x64"), library / "picofed_core.mpy")
    for program in (HERE / "on_board").glob("[chs]*.py"):
        shutil.copy(program, library)
    rng = random.Random(SEED)
    with (root / "vectors.txt").open("w", encoding="utf-8") as file:
        for _ in range(300):
            value = item(rng)
            file.write(f"{cbor2.dumps(value).hex()}\t{value!r}\n")
    (root / "hostile.txt").write_text("\n".join(HOSTILE[1:]) + "\n")
    return root


@pytest.mark.parametrize("program", PROGRAMS)
def test_on_micropython(program: str, flash: Path) -> None:
    argv = [str(build.unix_board()), "-X", f"heapsize={HEAP.get(program, '200k')}", str(HERE / "on_board" / "start.py")]
    done = subprocess.run(
        [*argv, str(flash), program, str(SEED)],
        env={**os.environ, "PICOFED_BOARD_ID": "0102030405060708"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"PICOFED_SEED={SEED}\n{done.stdout}{done.stderr}"
    names = [line for line in (HERE / "on_board" / f"{program}.py").read_text().splitlines()]
    assert done.stdout.count("ok test_") == sum(line.startswith("def test_") for line in names)
