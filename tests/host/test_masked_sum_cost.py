"""What masks cost host and helper, in units of the cipher that there is no way around."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_masks_cost_a_few_times_their_cipher() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "masked_sum.py"
    spec = importlib.util.spec_from_file_location("masked_sum", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ratios = []
    for _ in range(3):
        host, helper, cipher = module.measure(300, 10000, 20)
        ratios.append((helper / cipher, host / cipher))
    assert min(ratio for ratio, _ in ratios) < 5 and min(ratio for _, ratio in ratios) < 4
