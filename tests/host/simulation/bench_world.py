"""What the tests of the benchmark share: a grid that takes seconds, and results that nothing ran for."""

from __future__ import annotations

import math
from dataclasses import replace

from picofed.bench.settings import QUICK, VARIANTS, Setting

PLAIN = Setting(10, 0.9, "iid", math.inf)
SMALL = replace(QUICK, clients=(10,), epsilons=(math.inf,), seeds=(1,), rounds=(3, 3), trials=1)
FEW = tuple(variant for variant in VARIANTS if variant.name in ("fedavg", "fedbuff", "ftte"))


def result(seconds: list[float], accuracies: list[float], size: float = 100.0) -> dict[str, object]:
    """A run's result with this curve."""
    rising = [10.0 * n for n in range(len(seconds))]
    names = ("joules", "bytes_up", "bytes_down", "total")
    curve = {"seconds": seconds, "accuracy": accuracies} | {name: rising for name in names}
    return {
        "curve": curve,
        "accuracy": accuracies[-1],
        "update_bytes": size,
        "memory": size,
        "epsilon": None,
        "trainable": 1,
    }
