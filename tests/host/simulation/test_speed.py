"""The simulator's speed and the server's, as ratios of two measurements of one run, and in bytes: no clock decides."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.mark.slow
def test_updates_sums_rounds_and_memory_are_within_their_bounds() -> None:
    """What each bound has to do with the targets in seconds is said where it is set."""
    path = Path(__file__).parents[3] / "benchmarks" / "simulation.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_simulation", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.checked()
    print(module.table(found))
    assert module.worse(found) == []
    edge = {name: (0.99 * limit if least else 1.01 * limit, limit, least) for name, (_, limit, least) in found.items()}
    assert module.worse(edge) == list(found)
