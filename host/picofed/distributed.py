"""The conditional epsilon of masked jobs: against whoever sees only sums (docs/proofs, lemma 8).

It holds if, in each sum, at least `honest` boards are honest, the helper is, and helper and host do not pool what they
know. If not, what a board's own ledger says still does: that number is never replaced, only joined by this one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from picofed import accounting
from picofed.errors import PicofedError
from picofed.masking import WEIGHT_MAX, weights_mix


class DistributedError(PicofedError):
    """A cohort for which nothing is proven."""


def share(log2_sigma: int, round_shift: int, honest: int, spread: int = 1) -> Fraction:
    """What of a ledger's mu^2 is left in a sum over `honest` honest boards: mu_dist^2 / mu^2, at most 1.

    spread: the largest weight over the smallest. The board with the record is taken to have the largest weight, the
    other honest ones the smallest: whatever the weights were, it is no more than this.
    """
    if honest < 1 or not 1 <= spread <= WEIGHT_MAX or not 0 <= round_shift <= log2_sigma - 2:
        raise DistributedError("nothing is proven for such a sum: see docs/proofs, lemma 8")
    if spread > 1 and not weights_mix([spread] * honest + [1], log2_sigma, round_shift):
        raise DistributedError("with such weights the boards' noise does not hide each other's: lower round_shift")
    squares = spread * spread + honest - 1
    left = Fraction(spread * spread * (4**log2_sigma - 3), 4**log2_sigma * squares - 3 * 4**round_shift)
    return min(Fraction(1), left)


def local_budget(epsilon: float, delta: float, honest: int, round_below: int, samples: int = 0) -> int:
    """Units of a board's own ledger with which epsilon_of_sums() is at most `epsilon`: boards that add their share.

    For jobs with equal weights and round_shift <= log2_sigma - round_below, `round_below` >= 2. samples: of all honest
    boards. At most what a ledger can count.
    """
    if honest < 1 or round_below < 2:
        raise DistributedError("nothing is proven for such a sum: see docs/proofs, lemma 8")
    # 1 / share() >= honest - 3 / 4^round_below for every sigma; the last part is for what is rounded up
    times = max(Fraction(1), honest - Fraction(3, 4**round_below)) * (1 - Fraction(1, 2**20))
    return min(accounting.UNITS_MAX, int(accounting.budget(epsilon, delta, samples) * times))


def epsilon_of_sums(
    masked: int,
    others: int,
    delta: float,
    honest: int,
    log2_sigma: int,
    round_shift: int,
    samples: int = 0,
    spread: int = 1,
) -> float:
    """epsilon of a board whose ledger has `masked` units from a masked job and `others` from everything else.

    Every masked release counts as if its sum had been seen, also one that was dropped. samples: as in
    accounting.epsilon, but of all honest boards in the board's sums.
    """
    return epsilon_of_parts([(masked, share(log2_sigma, round_shift, honest, spread))], others, delta, samples)


def epsilon_of_parts(masked: Sequence[tuple[int, Fraction]], others: int, delta: float, samples: int = 0) -> float:
    """The same for several masked jobs: units of each, and the share() that is left of them, at most 1."""
    exact = Fraction(accounting.mu_squared_of(others))
    exact += sum(Fraction(accounting.mu_squared_of(units)) * part for units, part in masked)
    total = float(exact)
    return accounting.epsilon(total if total >= exact else math.nextafter(total, math.inf), delta, samples)
