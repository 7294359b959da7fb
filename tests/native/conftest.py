"""What the native tests share: Monocypher's source, and the core's noise functions as a shared object."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from picofed.toolchain import sources

NATIVE = Path(__file__).parents[2] / "native"
NOISE_WORDS = 80


@pytest.fixture(scope="session")
def monocypher_dir() -> Path:
    """Folder of monocypher.c: MONOCYPHER_DIR, or the pinned source from the package registry."""
    named = os.environ.get("MONOCYPHER_DIR")
    return Path(named) if named else sources.monocypher_source()


@pytest.fixture(scope="session")
def noise_library(monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The sampler compiled from native/src, with its tables and its threshold visible."""
    library = tmp_path_factory.mktemp("noise") / "noise.so"
    files = [NATIVE / "src" / f"{name}.c" for name in ("noise", "noise_exp", "crypto")]
    command = ["gcc", "-std=c99", "-O2", "-shared", "-fPIC", "-DPF_TABLES_EXTERNAL"]
    command += [f"-I{NATIVE / 'include'}", f"-I{NATIVE / 'src'}", f"-I{monocypher_dir}", "-o", str(library)]
    command += [*map(str, files), str(monocypher_dir / "monocypher.c")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="session")
def noise_table(noise_library: ctypes.CDLL) -> list[int]:
    """The 18 entries of CDT, from the tables in the binary (which hold 2^64 - CDT[i])."""
    wide = (ctypes.c_uint32 * 24).in_dll(noise_library, "pf_noise_wide")
    narrow = (ctypes.c_uint32 * 6).in_dll(noise_library, "pf_noise_narrow")
    entries = [wide[i] | wide[i + 1] << 32 for i in range(0, 24, 2)] + list(narrow)
    return [(1 << 64) - entry for entry in entries]


@pytest.fixture(scope="session")
def noise_threshold(noise_library: ctypes.CDLL) -> Callable[[int, int, int], int]:
    """T(z, y) of SPEC 3 for m, 0 <= T <= 2^64, as the compiled core has it."""

    def threshold(z: int, y: int, m: int) -> int:
        high, low = ctypes.c_uint32(), ctypes.c_uint32()
        always = noise_library.pf_noise_threshold(
            ctypes.c_uint32(z), ctypes.c_uint32(y), ctypes.c_uint32(m), ctypes.byref(high), ctypes.byref(low)
        )
        return 1 << 64 if always else high.value << 32 | low.value

    return threshold


@pytest.fixture(scope="session")
def noise_samples(
    noise_library: ctypes.CDLL,
) -> Callable[[bytes, int, int], tuple[npt.NDArray[np.int32], int]]:
    """Samples by key, m (sigma = 2^(m+1)) and count; and the number of keystream words they took."""

    def samples(key: bytes, m: int, count: int) -> tuple[npt.NDArray[np.int32], int]:
        # pf_noise: key (32 bytes), words, counter, used, m
        state = (ctypes.c_uint32 * (8 + NOISE_WORDS + 3))()
        out = np.empty(count, np.int32)
        assert noise_library.pf_noise_init(state, key, ctypes.c_uint32(m + 1)) == 0
        noise_library.pf_noise_fill(state, ctypes.c_void_p(out.ctypes.data), ctypes.c_size_t(count))
        counter, used = state[8 + NOISE_WORDS], state[8 + NOISE_WORDS + 1]
        return out, counter * 16 - NOISE_WORDS + used

    return samples
