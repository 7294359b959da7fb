"""Random models for the tests that hold reference, compiled core and native module together; and lets these import what
lies beside them.

PICOFED_SEED=n repeats or varies a run; it is printed in the header, and each test draws from its own generator.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from picofed.reference import Layer, Loss, Model

sys.path.append(str(Path(__file__).parent))

SEED = os.environ.get("PICOFED_SEED", "1")


def pytest_report_header() -> str:
    return f"agreement tests: PICOFED_SEED={SEED}"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """This test's generator."""
    print(f"PICOFED_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.nodeid.rpartition('::')[2]}")


def _random_model(rng: random.Random, width: int = 12, layers: int = 4) -> Model:
    """Any loss, any rectangles, frozen layers, bias-only layers."""
    count = rng.randint(1, layers)
    widths = [rng.randint(1, width) for _ in range(count + 1)]
    loss = Loss(rng.randrange(2))
    if loss is Loss.SOFTMAX:
        widths[-1] = max(2, min(255, widths[-1]))
    while True:
        found = []
        for i in range(count):
            rows, columns, bias = range(0), range(0), False
            if rng.random() < 0.65:
                begin = rng.randrange(widths[i + 1])
                rows = range(begin, rng.randint(begin + 1, widths[i + 1]))
                begin = rng.randrange(widths[i])
                columns = range(begin, rng.randint(begin + 1, widths[i]))
                bias = rng.random() < 0.6
                if bias and rng.random() < 0.1:
                    columns = range(0)
            found.append(Layer(widths[i], widths[i + 1], rows, columns, bias, i == 0))
        if any(layer.trained for layer in found):
            return Model(loss, tuple(found))


@pytest.fixture
def random_model() -> Callable[..., Model]:
    """random_model(rng, width, layers)."""
    return _random_model
