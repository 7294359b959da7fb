"""FedAsync and the FTTE-style rule: FedBuff with an age term of one's choice, and with a variance term."""

from __future__ import annotations

import math
from collections.abc import Sequence

from picofed.learn.aggregators import Contribution, FedBuff
from picofed.learn.staleness import Polynomial, Staleness
from picofed.learn.variance import Noise, variance_weights


class Ftte(FedBuff):
    """FTTE-style: fires at `capacity`; an update counts its age term times its variance term (learn.variance).

    FTTE (arXiv 2510.03165) says that age and variance make the weights, not how; these terms are our own. With
    variance off and the polynomial age term it is FedBuff.
    """

    name = "ftte"

    def __init__(
        self,
        version: int,
        now: float,
        *,
        capacity: int = 4,
        staleness: Staleness | None = None,
        variance: bool = True,
        noise: Noise | None = None,
        max_staleness: int = 10,
        deadline: float = math.inf,
    ) -> None:
        super().__init__(version, now, capacity=capacity, max_staleness=max_staleness, deadline=deadline)
        self.age = staleness or Polynomial()
        self.noise = noise or Noise()
        self.variance = variance
        self.public_weights = not variance

    def refuse(self, update: Contribution) -> str | None:
        """Too old is out, and so is what the age term gives no weight: it would only damp the others."""
        late = self.staleness(update)
        if (reason := super().refuse(update)) is None and self.age.weight(late) <= 0:
            return f"stale by {late} versions, to which the age term gives no weight"
        return reason

    def weights(self, updates: Sequence[Contribution]) -> list[float]:
        """Age term x variance term."""
        ages = [self.age.weight(self.staleness(update)) for update in updates]
        if not self.variance:
            return ages
        return [age * term for age, term in zip(ages, variance_weights(updates, self.noise), strict=True)]


class FedAsync(Ftte):
    """Each update makes a version at once (Xie et al. 2019): x <- x - learning_rate * s(tau) * change.

    Their mixing (1 - a s) x + a s x_client is this with a = learning_rate in local mode, without momentum. Here: a
    buffer of one with the age term as its weight. Updates that were collected beforehand make one version together.
    """

    name = "fedasync"

    def __init__(
        self, version: int, now: float, *, staleness: Staleness | None = None, max_staleness: int = 10
    ) -> None:
        super().__init__(version, now, capacity=1, staleness=staleness, variance=False, max_staleness=max_staleness)
