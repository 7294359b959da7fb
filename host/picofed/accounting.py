"""The accountant: from what boards were charged to epsilon, and back. For the host, and for auditors.

Units. A board's ledger counts mu^2 in units of 2^-24 (SPEC 5.2): mu is the parameter of Gaussian differential privacy
(Dong, Roth & Su 2022), and mu^2 adds up over releases, also when each release is chosen after seeing the others and
boards come and go (Smith & Thakurta, arXiv 2210.17520). Adjacency is zero-out: one record's contribution is replaced
by zero, the number of records is public. Replacing one record by another doubles mu.

The lemma behind `charge` (proof with constants: docs/proofs). Let f be an integer vector whose zero-out sensitivity
is at most C in the Euclidean norm, and D the discrete Gaussian on the integers, D(k) ~ exp(-k^2 / 2 sigma^2). Then
f + D is, up to a factor e^(+-2^-83) a coordinate, a randomised function of f + N(0, sigma^2 - 3), so mu-GDP with
mu = C / sqrt(sigma^2 - 3) up to that factor. Idea (Peikert, CRYPTO 2010, theorem 3.1): take y = f + N(0, sigma^2 - 3)
and replace each coordinate by a sample k of the discrete Gaussian with parameter sqrt(3) around y. Its probability of
k is exp(-(k - y)^2 / 6) / g(y), where g(y), the sum of exp(-(j - y)^2 / 6) over all integers j, is constant up to
1 +- 2^-84.3 (Poisson summation: its first harmonic is 2 exp(-6 pi^2)). With a constant g, integrating over y convolves
two Gaussians, which gives probabilities proportional to exp(-(k - f)^2 / 2 sigma^2): the law of f + D.

epsilon() and delta() err on the safe side: floats search, decimals with proven bounds decide (picofed.gaussian_dp).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from picofed.errors import PicofedError
from picofed.gaussian_dp import delta_bound, round_up, search_epsilon
from picofed.reference.ledger import charge

UNIT_BITS = 24
UNITS_MAX = 2**32 - 2  # 2^32 - 1 is where a ledger saturates
LOG2_SAMPLER_DISTANCE = (
    -59
)  # a bound on the total variation of PF-DG1 from the discrete Gaussian, a sample (docs/proofs)
LOG2_LEMMA = -82  # two factors e^(2^-83)
UNEQUAL_WEIGHTS_MAX = 2**10  # a quarter of the least sigma^2: docs/proofs, lemma 6


class AccountingError(PicofedError):
    """A privacy goal that cannot be met, or an argument that makes no sense."""


def mu_squared_of(units: int) -> float:
    """mu^2 of ledger units; exact."""
    if not 0 <= units < 2**53:
        raise AccountingError(f"{units} is not an amount of privacy units")
    return math.ldexp(units, -UNIT_BITS)


def check_delta(delta: float) -> None:
    """Raise AccountingError unless it is a probability that this accountant can work with."""
    if not 1e-300 <= delta < 1:
        raise AccountingError(
            f"delta is {delta}: choose a probability such as 1e-5, below one over the number of records"
        )


def sampler_delta(epsilon: float, samples: int) -> float:
    """What the sampler's distance from its ideal adds to delta: (1 + e^epsilon) 2^-59 a noise sample released."""
    return (1 + math.exp(min(epsilon, 700.0))) * samples * 2.0**LOG2_SAMPLER_DISTANCE


def delta(mu_squared: float, epsilon: float) -> float:
    """The least delta, rounded up, at which mu-GDP is (epsilon, delta)-DP."""
    if not (0 <= mu_squared <= 1e9 and 0 <= epsilon < math.inf):
        raise AccountingError(f"mu^2 {mu_squared} and epsilon {epsilon} must be finite and not negative")
    if mu_squared == 0:
        return 0.0
    return min(1.0, round_up(delta_bound(Decimal(mu_squared), Decimal(epsilon))))


@lru_cache(maxsize=4096)
def _epsilon(mu_squared: float, delta: float) -> float:
    exact, goal = Decimal(mu_squared), Decimal(delta)
    if mu_squared == 0 or delta_bound(exact, Decimal(0)) <= goal:
        return 0.0
    found = search_epsilon(math.sqrt(mu_squared), delta)
    slack = 0.0
    while delta_bound(exact, Decimal(bound := found * (1 + slack))) > goal:
        slack = 4 * slack if slack else 2.0**-50
    return bound


def epsilon(mu_squared: float, delta: float, samples: int = 0) -> float:
    """The least epsilon, rounded up, at which mu-GDP is (epsilon, delta)-DP.

    mu_squared: the sum over releases, e.g. mu_squared_of(a ledger's cumulative units). samples: how many noise samples
    were released in all (trained parameters times releases); given, the imperfections of the sampler and of the lemma
    are included too (10^4 parameters and 10^3 releases add 5e-8 to delta at epsilon 8). Raises AccountingError where
    there is no answer.
    """
    check_delta(delta)
    if not 0 <= mu_squared <= 1e9 or samples < 0:
        raise AccountingError(f"mu^2 is {mu_squared}, samples {samples}: neither may be negative or endless")
    found = _epsilon(mu_squared, delta)
    if samples == 0:
        return found
    while True:  # sampler_delta grows with epsilon: find an epsilon whose own share of delta leaves enough
        share = sampler_delta(found, samples)
        if share >= delta:
            raise AccountingError(f"{samples} samples are too many for delta {delta}: choose a larger delta")
        enough = _epsilon(mu_squared, (delta - share) * (1 - 1e-12))
        if enough <= found:
            return found + samples * 2.0**LOG2_LEMMA
        found = enough * (1 + 1e-9)


def epsilon_distributed(mu_squared: float, delta: float, honest: int | Sequence[float], samples: int = 0) -> float:
    """epsilon against whoever sees only sums over boards (secure aggregation, honest helper): a CONDITIONAL number.

    mu_squared: of one board's ledger. honest: how many boards in each sum are honest, or their weights in it:
    mu_dist^2 = w_max^2 C^2 / (sigma^2 sum of w_i^2), as the honest boards' noise adds up. Without secure aggregation,
    or if host and helper collude, epsilon() holds, not this. Weights are public and whole multiples of the smallest (or
    the noise of one board would not hide that of another: docs/proofs, lemma 6), such as powers of two by age.
    """
    weights = [1.0] * honest if isinstance(honest, int) else [float(w) for w in honest]
    if not weights or not all(0 < w < math.inf for w in weights):
        raise AccountingError("at least one honest board, with a positive weight, is needed")
    total = math.fsum(w * w for w in weights)
    least = min(weights)
    if max(weights) > least and (
        any(Fraction(w) % Fraction(least) for w in weights) or total > UNEQUAL_WEIGHTS_MAX * least * least
    ):
        raise AccountingError(
            "unequal weights of boards must be whole multiples of the smallest, "
            f"with squares that sum to at most {UNEQUAL_WEIGHTS_MAX} of its square"
        )
    share = max(weights) ** 2 / total
    return epsilon(min(mu_squared, math.nextafter(mu_squared * share, math.inf)), delta, samples)


@lru_cache(maxsize=256)
def budget(epsilon: float, delta: float, samples: int = 0) -> int:
    """The largest number of units whose epsilon() at this delta is not above the given one. samples: see epsilon()."""
    check_delta(delta)
    if not 0 < epsilon < math.inf:
        raise AccountingError(f"epsilon is {epsilon}: choose a positive number such as 4")
    if samples:
        delta = (delta - sampler_delta(epsilon, samples)) * (1 - 1e-12)
        epsilon -= samples * 2.0**LOG2_LEMMA
        if not (delta >= 1e-300 and epsilon > 0):
            raise AccountingError(f"{samples} samples are too many for this goal: choose a larger delta")
    low, high = 0, UNITS_MAX + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _epsilon(mu_squared_of(middle), delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low


def plan(epsilon: float, delta: float, releases: int, log2_sigma: int, steps: int = 1, parameters: int = 0) -> int:
    """The largest clipping norm C with which `releases` releases of `steps` steps each fit into budget(epsilon, delta).

    C is in units of the accumulators (SPEC 2.7), like sigma. parameters: how many are trained; given, the imperfections
    of the sampler are paid for too. Raises AccountingError if not even C = 1 fits.
    """
    if releases < 1:
        raise AccountingError(f"{releases} releases: plan at least one")
    units = budget(epsilon, delta, releases * max(steps, 1) * parameters)
    low, high = 0, 2**20
    while high - low > 1:
        middle = (low + high) // 2
        if _fits(middle, log2_sigma, steps, units // releases):
            low = middle
        else:
            high = middle
    if low == 0:
        raise AccountingError(
            f"epsilon {epsilon:g} at delta {delta:g} does not last for {releases} releases: "
            "plan fewer, allow a larger epsilon or raise sigma"
        )
    return low


def _fits(clip_norm: int, log2_sigma: int, steps: int, units: int) -> bool:
    if not 6 <= log2_sigma <= 25 or not 1 <= steps <= 4095:
        raise AccountingError(f"log2 sigma {log2_sigma} must be 6 to 25, steps {steps} 1 to 4095")
    return -(-(clip_norm * clip_norm << UNIT_BITS) // ((1 << 2 * log2_sigma) - 3)) * steps <= units


__all__ = [
    "AccountingError",
    "budget",
    "charge",
    "delta",
    "epsilon",
    "epsilon_distributed",
    "mu_squared_of",
    "plan",
    "sampler_delta",
]
