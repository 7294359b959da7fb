"""Lemma 8 (docs/proofs/masked-sums.md): its constants, its laws, and the numbers that are printed from it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import dp_accounting
import numpy as np
import numpy.typing as npt
import pytest
from mpmath import mp, mpf
from picofed import accounting
from picofed.distributed import DistributedError, epsilon_of_parts, epsilon_of_sums, local_budget, share
from picofed.learn.modulus import GRID

Floats = npt.NDArray[Any]
REACH = 14  # sigmas on either side of 0 that are kept


def gaussian(sigma: float, width: int) -> Floats:
    """The discrete Gaussian on -width..width, in long doubles."""
    x = np.arange(-width, width + 1).astype(np.longdouble)
    law = np.exp(-x * x / (2 * np.longdouble(sigma) ** 2))
    return law / law.sum()


def rounded(law: Floats, shift: int, x: int = 0) -> tuple[Floats, int]:
    """Law of floor((x + N + 2^(shift - 1)) / 2^shift), and its first value."""
    width = len(law) // 2
    values = (np.arange(-width, width + 1) + x + (1 << shift >> 1)) >> shift
    found = np.zeros(values[-1] - values[0] + 1, np.longdouble)
    np.add.at(found, values - values[0], law)
    return found, int(values[0])


def test_lemma_8_constants() -> None:
    with mp.workdps(60):
        assert mpf("2.001") * mp.exp(-32 * mp.pi**2) < mpf(2) ** -454
        one = mpf("2.001") * mp.exp(-8 * mp.pi**2)
        for h in (2, 100, 2**24):
            assert (1 + one) ** (h - 1) - 1 < mpf(2) ** mpf("-112.8") * (h - 1)
        assert mpf("2.001") * mp.exp(-16 * mp.pi**2) < mpf(2) ** -226
        assert mpf(2) ** -83 + 4 * mpf(2) ** mpf("-112.8") * (2**24 - 1) + mpf(2) ** -451 < mpf(2) ** -82
        assert mpf("2.001") * mp.exp(-6 * mp.pi**2) < mpf(2) ** mpf("-84.4")


@pytest.mark.parametrize(("log2_sigma", "shift", "weights"), [(6, 4, [1, 1]), (6, 3, [1, 1, 1]), (6, 2, [1, 2, 4])])
def test_lemma_8_residues_and_sums_have_the_laws_it_says(log2_sigma: int, shift: int, weights: list[int]) -> None:
    """Residues are uniform; given any of them, the weighted sum is a discrete Gaussian on its coset."""
    sigma, step = 1 << log2_sigma, 1 << shift
    law = gaussian(sigma, REACH * sigma)
    cosets = np.array([law[start::step].sum() for start in range(step)])
    assert np.abs(cosets * step - 1).max() < 1e-15
    generator = np.random.default_rng(3)
    for _ in range(5):
        total, first = np.ones(1, np.longdouble), 0
        for weight in weights:
            start = int(generator.integers(step))
            part = law[start::step]
            spread = np.zeros((len(part) - 1) * weight + 1, np.longdouble)
            spread[::weight] = part
            total = np.convolve(total, spread)
            first += weight * (start - REACH * sigma)
        at = (first + step * np.arange(len(total))).astype(np.longdouble)
        squares = sum(weight * weight for weight in weights)
        wanted = np.exp(-at * at / (2 * np.longdouble(sigma) ** 2 * squares))
        near = np.abs(at) < 6 * sigma * math.sqrt(squares)
        ratio = (total / total.sum())[near] / (wanted / wanted.sum())[near]
        assert np.abs(ratio - 1).max() < 1e-13


def hockey_stick(p: Floats, q: Floats, epsilon: float) -> float:
    return float(np.maximum(p - math.exp(epsilon) * q, 0).sum())


@pytest.mark.parametrize("shift", [0, 2, 3, 4])
@pytest.mark.parametrize("boards", [1, 2, 5])
def test_lemma_8_bounds_what_an_observer_of_the_sum_can_tell(boards: int, shift: int) -> None:
    """delta of the very law of a sum of rounded releases, against the Gaussian's; a Gaussian of 4 % more noise would
    promise too much."""
    sigma, clip = 64, 96
    law = gaussian(sigma, REACH * sigma)
    others = np.ones(1, np.longdouble)
    for _ in range(boards - 1):
        others = np.convolve(others, rounded(law, shift)[0])
    without, first = rounded(law, shift)
    tight = 0
    for x in (clip, -clip, clip - 3):
        with_record, start = rounded(law, shift, x)
        offset = start - first
        low, high = min(0, offset), max(len(without), offset + len(with_record))
        p, q = np.zeros(high - low, np.longdouble), np.zeros(high - low, np.longdouble)
        q[-low : -low + len(without)] = without
        p[offset - low : offset - low + len(with_record)] = with_record
        p, q = np.convolve(p, others), np.convolve(q, others)
        mu_squared = clip**2 / (sigma**2 * boards - 3 * 4**shift)
        for epsilon in (0.1, 0.5, 1.0, 2.0):
            for one, other in ((p, q), (q, p)):
                told = hockey_stick(one, other, epsilon)
                assert told <= accounting.delta(mu_squared, epsilon) * (1 + 1e-9) + 1e-15
                tight += told > accounting.delta(mu_squared / 1.04**2, epsilon)
    assert tight or shift == 4  # the coarsest grid shows less than it might


@pytest.mark.parametrize("honest", [1, 2, 10, 100])
@pytest.mark.parametrize("spread", [1, 2])
def test_conditional_epsilon_against_dp_accounting(honest: int, spread: int) -> None:
    clip, log2_sigma, shift, releases = 1 << 18, 20, 13, 12
    units = accounting.charge(clip, log2_sigma) * releases
    found = epsilon_of_sums(units, 0, 1e-5, honest, log2_sigma, shift, spread=spread)
    squares = spread**2 + honest - 1
    sigma = math.sqrt(4.0**log2_sigma * squares - 3 * 4.0**shift) / (spread * clip)
    if honest == 1:  # a board by itself: what its own noise gives
        sigma = math.sqrt(4.0**log2_sigma - 3) / clip
    wanted = dp_accounting.get_epsilon_gaussian(sigma / math.sqrt(releases), 1e-5)
    assert found == pytest.approx(wanted, rel=1e-5) and found >= wanted * (1 - 1e-9)
    local = accounting.epsilon(accounting.mu_squared_of(units), 1e-5)
    assert found <= local
    # what else is in the ledger counts in full
    both = epsilon_of_sums(units, units, 1e-5, honest, log2_sigma, shift, spread=spread)
    assert both > local


def test_what_the_grid_costs() -> None:
    """How far mu^2 is above that of a sum which nobody rounds, in per cent, on the grid that jobs get and on others."""
    cost = {
        below: [round(100 * (float(share(20, 20 - below, honest)) * honest - 1), 1) for honest in (2, 4, 8, 16)]
        for below in (2, GRID, 4, 5)
    }
    assert cost == {2: [10.3, 4.9, 2.4, 1.2], 3: [2.4, 1.2, 0.6, 0.3], 4: [0.6, 0.3, 0.1, 0.1], 5: [0.1, 0.1, 0.0, 0.0]}
    assert round(100 * 4.0**-GRID / 12, 2) == 0.13  # of sigma^2: the variance of rounding


def test_the_briefs_numbers() -> None:
    """Local epsilon 8 at delta 1e-5 with 5, 10, 20, 40, 100 honest boards."""
    units = accounting.budget(8.0, 1e-5)
    found = [epsilon_of_sums(units, 0, 1e-5, honest, 20, 13) for honest in (5, 10, 20, 40, 100)]
    assert found == pytest.approx([3.12, 2.11, 1.44, 0.98, 0.59], abs=0.006)


def test_shares_of_the_noise_add_up_to_the_policys() -> None:
    """Whatever job a policy with `honest` accepts: sums have its least noise, and mu^2 is what lemma 8 says of it."""
    for honest in (2, 3, 4, 5, 15, 16, 17, 63, 64, 1000):
        for floor in range(9, 26):
            least = min(log2 for log2 in range(6, 26) if honest * 4**log2 >= 4**floor)
            for log2_sigma in {least, min(25, least + 1), floor}:
                for shift in (0, log2_sigma - 2):
                    of_board = Fraction(1, 4**log2_sigma - 3)
                    mu_squared = of_board * share(log2_sigma, shift, honest)
                    assert mu_squared == Fraction(1, honest * 4**log2_sigma - 3 * 4**shift)
                    assert mu_squared <= Fraction(32, 29 * 4**floor)


@pytest.mark.parametrize("honest", [2, 5, 40])
def test_budget_of_boards_that_add_their_share(honest: int) -> None:
    """The conditional number against dp-accounting, and that the budget is the largest, but for a part in 10^5."""
    epsilon, log2_sigma, releases = 1.5, 18, 20
    units = local_budget(epsilon, 1e-5, honest, GRID)
    shift = log2_sigma - GRID
    found = epsilon_of_sums(units, 0, 1e-5, honest, log2_sigma, shift)
    assert found <= epsilon < epsilon_of_sums(units + units // 10**5, 0, 1e-5, honest, log2_sigma, shift)
    # so many releases use the budget up; dp-accounting is told of the boards' noise, less what the grid costs
    clip = accounting.plan(accounting.epsilon(accounting.mu_squared_of(units), 1e-5), 1e-5, releases, log2_sigma)
    assert releases * accounting.charge(clip, log2_sigma) <= units
    multiplier = math.sqrt(4.0**log2_sigma * honest - 3 * 4.0**shift) / clip
    wanted = dp_accounting.get_epsilon_gaussian(multiplier / math.sqrt(releases), 1e-5)
    assert epsilon * 0.999 < wanted <= epsilon
    assert local_budget(epsilon, 1e-5, 1, GRID) <= accounting.budget(epsilon, 1e-5)
    for wrong in ((0, GRID), (3, 1)):
        with pytest.raises(DistributedError):
            local_budget(epsilon, 1e-5, *wrong)


def test_rounding_is_against_the_boards(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """Exactly: the shares of any jobs come out no lower than their sum, by no more than a float can be off, and a
    budget buys no more than it says at any sigma."""
    totals: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(accounting, "epsilon", lambda total, *_: totals.append(total))
        for count in rng.integers(0, 6, 300):
            drawn = rng.integers((1, 0, 2, 1), (1 << 40, 16, 64, 3), (count, 4)).tolist()
            jobs = [(units, share(20, shift, honest, spread)) for units, shift, honest, spread in drawn]
            others = int(rng.integers(0, 1 << 40))
            epsilon_of_parts(jobs, others, 1e-5)
            exact = Fraction(accounting.mu_squared_of(others))
            exact += sum(Fraction(accounting.mu_squared_of(units)) * part for units, part in jobs)
            assert exact <= Fraction(totals[-1]) < exact + Fraction(math.ulp(totals[-1]))
    for honest in (2, 3, 7, 40):
        units, allowed = local_budget(1.5, 1e-5, honest, GRID), accounting.budget(1.5, 1e-5)
        assert all(units * share(log2, log2 - GRID, honest) <= allowed for log2 in range(6, 26))


def test_sums_for_which_nothing_is_proven_are_refused() -> None:
    for arguments in ((20, 19, 2), (20, -1, 2), (20, 10, 0), (20, 10, 2, 64), (20, 17, 20, 2), (20, 16, 20, 2)):
        with pytest.raises(DistributedError):
            share(*arguments)
    assert share(20, 18, 1) == 1 and share(20, 15, 20, 2) < 1  # all but one may have the largest weight
