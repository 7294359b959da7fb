"""The compiled sampler against tests/vectors/noise.json, which comes from an independent implementation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "noise.json").read_text())


def test_table(noise_table: list[int]) -> None:
    assert [f"{entry:016x}" for entry in noise_table] == VECTORS["cdt"]


def test_thresholds(noise_threshold: Callable[[int, int, int], int]) -> None:
    for z, y, m, wanted in VECTORS["thresholds"]:
        assert noise_threshold(z, y, m) == int(wanted, 16), (z, y, m)


@pytest.mark.parametrize("stream", VECTORS["samples"], ids=lambda stream: f"m{stream['m']}-{stream['key'][:4]}")
def test_samples(
    stream: dict[str, object],
    noise_samples: Callable[[bytes, int, int], tuple[npt.NDArray[np.int32], int]],
) -> None:
    wanted = stream["samples"]
    assert isinstance(wanted, list)
    values, words = noise_samples(bytes.fromhex(str(stream["key"])), int(str(stream["m"])), len(wanted))
    assert values.tolist() == wanted
    assert words == stream["words"]


def test_entropy_cutoffs() -> None:
    source = (ROOT / "native" / "src" / "entropy.c").read_text()
    cutoffs = {name: int(value) for name, value in re.findall(r"#define ENTROPY_(\w+) (\d+)u", source)}
    assert cutoffs["RUN_CUTOFF"] == VECTORS["entropy"]["repetition_cutoff"]
    assert cutoffs["WINDOW_CUTOFF"] == VECTORS["entropy"]["proportion_cutoff"]
