"""The compiled sampler against tests/vectors/noise.json, which comes from an independent implementation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import comb
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from picofed.reference import entropy

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
    assert cutoffs["BIAS_CUTOFF"] == VECTORS["entropy"]["bias_cutoff"] == entropy.bias_cutoff()


def test_bias_cutoff_has_the_error_probabilities_that_it_claims() -> None:
    """Exact binomial tails in whole numbers: false alarms as specified, and biased sources that get through."""
    n, cutoff = entropy.SAMPLE, entropy.bias_cutoff()

    def weight(k: int, share: int, of: int) -> int:
        return comb(n, k) * share**k * (of - share) ** (n - k)

    alarms = sum(weight(k, 11, 16) for k in range(cutoff, n + 1))
    assert alarms << 20 <= 16**n < alarms + weight(cutoff - 1, 11, 16) << 20
    assert sum(weight(k, 3, 4) for k in range(cutoff)) << 48 < 4**n  # missed
    assert sum(weight(k, 9, 10) for k in range(cutoff)) << 900 < 10**n
    assert 2 * sum(weight(k, 1, 2) for k in range(cutoff, n + 1)) << 1000 < 2**n  # false alarms of a good source
