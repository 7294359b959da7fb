"""The law of the compiled sampler: exactly, from its table and thresholds; statistically, from its samples.

The thresholds come from the C code. That the sampler decides by them is proven in native/src/noise_exp.h and
checked for every argument by `make -C native/tests exhaustive`, for some in native/tests/test_noise.c.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log2

import numpy as np
import numpy.typing as npt
import pytest
from mpmath import mp, mpf
from scipy import stats

Samples = Callable[[bytes, int, int], tuple[npt.NDArray[np.int32], int]]
Threshold = Callable[[int, int, int], int]

UNIT = 1 << 64
# All chi-square tests of this file together fail a correct sampler with this probability over the choice of
# the keys, which are fixed.
ERROR = 1e-6
TESTS = 9


@pytest.fixture(autouse=True)
def precision() -> None:
    mp.prec = 300


def step_probabilities(table: list[int]) -> list[int]:
    """P(z) in units of 2^-64."""
    return [upper - lower for lower, upper in zip([0, *table], [*table, UNIT], strict=True)]


def exact_pmf(table: list[int], threshold: Threshold, m: int) -> dict[int, mpf]:
    """The sampler's law under a uniform keystream: the chances that a trial ends in (z, y, s), normalized."""
    weights: dict[int, int] = {}
    for z, share in enumerate(step_probabilities(table)):
        for y in range(1 << m):
            weight = share * threshold(z, y, m)  # z = y = 0 with s = 1 is rejected
            for x in {(z << m) + y, -(z << m) - y}:
                weights[x] = weights.get(x, 0) + weight
    total = sum(weights.values())
    return {x: mpf(weight) / total for x, weight in weights.items()}


def discrete_gaussian(m: int, reach: int = 40) -> dict[int, mpf]:
    """exp(-x^2 / (2 sigma^2)), normalized; what lies beyond 40 sigma has less than 2^-1000."""
    sigma = 2 << m
    half = [mp.exp(-mpf(x * x) / (2 * sigma * sigma)) for x in range(reach * sigma + 1)]
    total = 2 * mp.fsum(half) - half[0]
    return {x: half[abs(x)] / total for x in range(-reach * sigma, reach * sigma + 1)}


@pytest.mark.parametrize("m", [3, 5, 7])
def test_exact_law_within_2_to_minus_60(m: int, noise_table: list[int], noise_threshold: Threshold) -> None:
    law, ideal = exact_pmf(noise_table, noise_threshold, m), discrete_gaussian(m)
    distance = mp.fsum(abs(law.get(x, mpf(0)) - share) for x, share in ideal.items()) / 2
    variance = mp.fsum(share * x * x for x, share in law.items())
    print(f"m {m}: total variation 2^{log2(distance):.2f}")
    assert set(law) <= set(ideal)
    assert distance < mpf(2) ** -60
    assert abs(variance / mpf(4) ** (m + 1) - 1) < mpf(2) ** -50


def test_bound_for_every_m(noise_table: list[int]) -> None:
    """Total variation per sample <= 2^-60.8 for any m, given that every threshold is a floor.

    A trial ends in (z, y, s) with P(z) a(z, y) / 2^(m+1), a = exp(-x). The binary's P' differs by
    D = sum |P' - P| altogether, its a' = T / 2^64 by less than 2^-64 each: the measures are D + 2^-64 apart
    in L1. Their masses (the acceptance) differ by at most as much, so the normalized laws are at most
    (D + 2^-64) / acceptance apart in total variation.
    """
    weights = [mp.exp(-mpf(k * k) / 8) for k in range(200)]
    total = mp.fsum(weights)
    binary = [mpf(share) / UNIT for share in step_probabilities(noise_table)] + [mpf(0)] * 181
    difference = mp.fsum(abs(p - weight / total) for p, weight in zip(binary, weights, strict=True))
    # exact for m = 0; for m > 0 the same up to 2^-100 (Poisson summation)
    acceptance = 1 - weights[0] / total / 2
    bound = (difference + mpf(2) ** -64) / acceptance
    print(f"D = 2^{log2(difference):.2f}, total variation at most 2^{log2(bound):.2f}")
    assert bound < mpf(2) ** mpf("-60.8")


def check_counts(counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> None:
    """Chi-square over cells whose expected counts are at least 50 (neighbours are put together)."""
    expected = shares * counts.sum()
    starts, content = [0], 0.0
    for i, value in enumerate(expected):
        if content >= 50:
            starts.append(i)
            content = 0.0
        content += value
    if content < 50:
        starts.pop()
    observed_cells, expected_cells = np.add.reduceat(counts, starts), np.add.reduceat(expected, starts)
    statistic = float(((observed_cells - expected_cells) ** 2 / expected_cells).sum())
    limit = float(stats.chi2.isf(ERROR / TESTS, len(starts) - 1))
    print(f"chi-square {statistic:.1f} over {len(starts)} cells, limit {limit:.1f}")
    assert statistic < limit


@pytest.mark.parametrize("m", [0, 3, 5, 7])
def test_small_sigma_fits(m: int, noise_samples: Samples) -> None:
    values, _ = noise_samples(bytes([m]) * 32, m, 1_000_000)
    ideal = discrete_gaussian(m, 10)
    counts = np.bincount(values - min(ideal), minlength=len(ideal))
    check_counts(counts, np.array([float(ideal[x]) for x in sorted(ideal)]))


@pytest.mark.parametrize("m", [13, 24])
def test_large_sigma_fits(m: int, noise_samples: Samples) -> None:
    """Cells of equal probability under the continuous law, here the discrete one up to 1e-3 of a cell."""
    sigma = 2 << m
    values, _ = noise_samples(bytes([m]) * 32, m, 1_000_000)
    edges = np.floor(stats.norm.ppf(np.arange(1, 1000) / 1000) * sigma) + 0.5
    shares = np.diff(np.concatenate([[0.0], stats.norm.cdf(edges / sigma), [1.0]]))
    check_counts(np.bincount(np.searchsorted(edges, values), minlength=1000), shares)


@pytest.mark.parametrize("m", [13, 24])
def test_low_bits_are_uniform(m: int, noise_samples: Samples) -> None:
    values, _ = noise_samples(bytes([100 + m]) * 32, m, 1_000_000)
    check_counts(np.bincount(values & 1023, minlength=1024), np.full(1024, 1 / 1024))


def test_neighbours_are_independent(noise_samples: Samples) -> None:
    values, _ = noise_samples(bytes([200]) * 32, 13, 1_000_000)
    octile = np.searchsorted(stats.norm.ppf(np.arange(1, 8) / 8) * (2 << 13), values)
    check_counts(np.bincount(octile[:-1:2] * 8 + octile[1::2], minlength=64), np.full(64, 1 / 64))


def test_acceptance_and_words(noise_samples: Samples) -> None:
    """Five words a trial; 0.8337 of the trials end with a sample (deviation over a million: 3.7e-4)."""
    _, words = noise_samples(bytes([201]) * 32, 10, 833_701)
    assert words % 5 == 0
    assert abs(833_701 / (words / 5) - 0.8337008) < 6 * 3.8e-4
