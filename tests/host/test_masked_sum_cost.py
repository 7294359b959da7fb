"""What masks cost host and helper, in units of the cipher that there is no way around."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import masked_fleet
import masked_sum

pytestmark = pytest.mark.slow


def test_masks_cost_a_few_times_their_cipher() -> None:
    bits = masked_fleet.JOB.mask_bits
    ratios = []
    for _ in range(3):
        host, helper, cipher = masked_sum.measure(300, 10000, bits)
        ratios.append((helper / cipher, host / cipher))
    assert min(ratio for ratio, _ in ratios) < 5 and min(ratio for _, ratio in ratios) < 4
