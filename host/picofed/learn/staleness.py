"""Age terms: what an update that is tau versions late counts. All are public functions of public numbers.

A new one is a class with `weight` and keyword-only settings, named in a job file as `module:Class` or found through
the entry-point group `picofed.staleness` (learn.registry).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod


class Staleness(ABC):
    """An age term."""

    @abstractmethod
    def weight(self, staleness: int) -> float:
        """0 to 1 for an update that is `staleness` >= 0 versions late; 0: it shall not count at all."""


class Constant(Staleness):
    """1: age does not matter (Xie et al. 2019, "constant")."""

    def weight(self, staleness: int) -> float:
        """See Staleness."""
        return 1.0


class Polynomial(Staleness):
    """(1 + tau)^-exponent (Xie et al. 2019; Nguyen et al. 2022 with exponent 1/2)."""

    def __init__(self, *, exponent: float = 0.5) -> None:
        self.exponent = exponent

    def weight(self, staleness: int) -> float:
        """See Staleness."""
        return float((1.0 + staleness) ** -self.exponent)


class Exponential(Staleness):
    """e^(-exponent tau) (Chen et al. 2019, "Communication-efficient federated deep learning", with e/2 as base)."""

    def __init__(self, *, exponent: float = 0.5) -> None:
        self.exponent = exponent

    def weight(self, staleness: int) -> float:
        """See Staleness."""
        return math.exp(-self.exponent * staleness)


class Threshold(Staleness):
    """1 up to `threshold` versions, 0 beyond: Xie et al.'s hinge with an infinitely steep slope. Its weights are the
    integers 0 and 1, so that it needs no scaling under masks."""

    def __init__(self, *, threshold: int = 2) -> None:
        self.threshold = threshold

    def weight(self, staleness: int) -> float:
        """See Staleness."""
        return 1.0 if staleness <= self.threshold else 0.0
