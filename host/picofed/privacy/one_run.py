"""Auditing in one run (Steinke, Nasr & Jagielski 2023, arXiv 2305.08846): how far guesses bound epsilon from below.

m records are each in or out by a fair coin. Whoever sees everything that was released, but no coin, guesses r of the
coins and is right v times. Were the releases (epsilon, delta)-DP, v would be no larger than a binomial(r, q) count with
q = e^epsilon / (1 + e^epsilon), up to delta: for every v (theorem 5.2 there)

    Pr[at least v right] <= beta + 2 m delta alpha,
    beta = Pr[binomial >= v],   alpha = max over i = 1..v of Pr[v - i <= binomial < v] / i.

The lower bound is the largest epsilon at which what was seen has a probability below `alarm`: in at most that share of
audits does it lie above a true epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError

EPSILON_MAX = 64.0  # an answer, not a limit of the method: guesses that no epsilon explains


class AuditError(PicofedError):
    """An audit that cannot be made, or an argument that makes no sense."""


@dataclass(frozen=True)
class Guesses:
    """r guesses of which v were right, and the epsilon that they prove."""

    made: int
    right: int
    epsilon: float


def _log_choose(n: int) -> NDArray[np.float64]:
    """log of n over k, for k = 0..n."""
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1, dtype=np.float64)))])
    result: NDArray[np.float64] = factorial[-1] - factorial - factorial[::-1]
    return result


def _probability(log_choose: NDArray[np.float64], canaries: int, right: int, epsilon: float, delta: float) -> float:
    made = len(log_choose) - 1
    k = np.arange(made + 1)
    log_q, log_p = -math.log1p(math.exp(-epsilon)), -epsilon - math.log1p(math.exp(-epsilon))
    mass = np.exp(log_choose + k * log_q + (made - k) * log_p)
    beta = float(mass[right:].sum())
    if right == 0:
        return 1.0
    alpha = float(np.max(np.cumsum(mass[:right][::-1]) / np.arange(1, right + 1)))
    return min(1.0, beta + 2 * canaries * delta * alpha)


def probability(canaries: int, made: int, right: int, epsilon: float, delta: float) -> float:
    """At most this likely are so many right guesses if everything released is (epsilon, delta)-DP."""
    if not 0 <= right <= made <= canaries or not 0 <= delta < 1 or not 0 <= epsilon < math.inf:
        raise AuditError(f"{right} right of {made} guesses over {canaries} canaries, delta {delta}: not an audit")
    return _probability(_log_choose(made), canaries, right, epsilon, delta)


def epsilon_lower_bound(canaries: int, made: int, right: int, delta: float, alarm: float = 0.05) -> float:
    """epsilon is above this, or what was seen had a probability below `alarm`. 0 if nothing is shown."""
    if not 0 < alarm < 1:
        raise AuditError(f"the chance of a false alarm is {alarm}: choose a probability such as 0.05")
    probability(canaries, made, right, 0.0, delta)  # refuses what makes no sense
    log_choose = _log_choose(made)
    low, high = 0.0, 1.0
    while _probability(log_choose, canaries, right, high, delta) < alarm:
        low, high = high, 2 * high
        if low >= EPSILON_MAX:
            return EPSILON_MAX
    for _ in range(40):
        middle = (low + high) / 2
        if _probability(log_choose, canaries, right, middle, delta) < alarm:
            low = middle
        else:
            high = middle
    return low


def best_guesses(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], delta: float, alarm: float, counts: Sequence[int]
) -> Guesses:
    """Guess the `count` surest canaries (largest |score|; above 0 means "in"), for each of `counts`, and keep the best.

    Choosing the best of several is paid for: each gets an equal part of `alarm` (union bound).
    """
    canaries = len(scores)
    surest = np.argsort(-np.abs(scores), kind="stable")
    right = (scores[surest] > 0) == truth[surest]
    allowed = sorted({min(count, canaries) for count in counts})
    found = []
    for made in allowed:
        correct = int(right[:made].sum())
        bound = epsilon_lower_bound(canaries, made, correct, delta, alarm / len(allowed))
        found.append(Guesses(made, correct, bound))
    return max(found, key=lambda guesses: guesses.epsilon)
