"""The accountant: against published numbers, two libraries, and its own promises (monotone, never too small)."""

from __future__ import annotations

import math
from decimal import Decimal

import dp_accounting
import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picofed import accounting
from picofed.accounting import AccountingError
from picofed.gaussian_dp import delta_bound, log_delta, mills

MU_SQUARED = st.floats(1e-6, 300.0)
DELTA = st.floats(-12.0, -1.0).map(lambda x: 10.0**x)
EPSILON = st.floats(1e-3, 60.0)


def exact_delta(mu_squared: float, epsilon: float) -> mpmath.mpf:
    """Phi(mu/2 - e/mu) - e^e Phi(-mu/2 - e/mu) at 100 digits."""
    with mpmath.workdps(100):
        mu, e = mpmath.sqrt(mpmath.mpf(mu_squared)), mpmath.mpf(epsilon)
        return mpmath.ncdf(mu / 2 - e / mu) - mpmath.exp(e) * mpmath.ncdf(-mu / 2 - e / mu)


@pytest.mark.parametrize(("epsilon", "units"), [(1, 1205466), (2, 4220377), (4, 14352860), (8, 46567813)])
def test_budgets(epsilon: float, units: int) -> None:
    assert accounting.budget(epsilon, 1e-5) == units
    assert accounting.epsilon(accounting.mu_squared_of(units), 1e-5) <= epsilon
    assert accounting.epsilon(accounting.mu_squared_of(units + 1), 1e-5) > epsilon


@pytest.mark.parametrize(
    ("clip_norm", "log2_sigma", "charge", "releases", "delta", "epsilon"),
    [
        (4096, 14, 1048577, 10, 1e-5, 3.341411),
        (274317, 21, 287056, 50, 1e-5, 3.999990),
        (1024, 13, 262145, 50, 1e-6, 4.248561),
    ],
)
def test_charges_and_their_epsilon(
    clip_norm: int, log2_sigma: int, charge: int, releases: int, delta: float, epsilon: float
) -> None:
    assert accounting.charge(clip_norm, log2_sigma) == charge
    assert accounting.charge(clip_norm, log2_sigma, 3) == 3 * charge
    found = accounting.epsilon(accounting.mu_squared_of(releases * charge), delta)
    assert found == pytest.approx(epsilon, abs=6e-7)


@pytest.mark.parametrize(
    ("mu_squared", "delta", "epsilon"),
    [
        (1.0, 1e-5, 4.377178),
        (0.625, 1e-5, 3.341409),
        (0.78125, 1e-6, 4.248552),
        (0.5, 1e-6, 3.307601),
        (0.8, 1e-3, 2.735408),
        (10.0, 1e-5, 17.856587),
        (5.0, 1e-5, 11.480022),
    ],
)
def test_published_epsilons(mu_squared: float, delta: float, epsilon: float) -> None:
    assert accounting.epsilon(mu_squared, delta) == pytest.approx(epsilon, abs=2e-6)


def test_charge_is_rounded_up() -> None:
    for clip_norm in (1, 77, 1000, 50_000):
        for log2_sigma in (12, 20, 25):
            exact = Decimal(clip_norm) ** 2 * 2**24 / (Decimal(4) ** log2_sigma - 3)
            assert 0 <= accounting.charge(clip_norm, log2_sigma) - exact < 1


@settings(deadline=None, max_examples=150)
@given(MU_SQUARED, DELTA)
def test_epsilon_is_conservative_and_tight(mu_squared: float, delta: float) -> None:
    epsilon = accounting.epsilon(mu_squared, delta)
    assert exact_delta(mu_squared, epsilon) <= delta
    if epsilon > 0:
        assert exact_delta(mu_squared, epsilon * (1 - 1e-9)) > delta


@settings(deadline=None, max_examples=150)
@given(MU_SQUARED, EPSILON)
def test_delta_is_conservative_and_tight(mu_squared: float, epsilon: float) -> None:
    exact = exact_delta(mu_squared, epsilon)
    delta = accounting.delta(mu_squared, epsilon)
    assert delta >= exact
    if exact > mpmath.mpf(10) ** -300:
        assert delta <= exact * (1 + mpmath.mpf(2) ** -50)


@settings(deadline=None, max_examples=60)
@given(MU_SQUARED, st.floats(1.001, 4.0), DELTA)
def test_epsilon_is_monotone(mu_squared: float, factor: float, delta: float) -> None:
    epsilon = accounting.epsilon(mu_squared, delta)
    assert accounting.epsilon(mu_squared * factor, delta) >= epsilon
    assert accounting.epsilon(mu_squared, min(0.9, delta * factor)) <= epsilon


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 20.0), st.floats(-9.0, -2.0).map(lambda x: 10.0**x))
def test_budget_is_the_largest(epsilon: float, delta: float) -> None:
    units = accounting.budget(epsilon, delta)
    assert accounting.epsilon(accounting.mu_squared_of(units), delta) <= epsilon
    if units < accounting.UNITS_MAX:
        assert accounting.epsilon(accounting.mu_squared_of(units + 1), delta) > epsilon


@settings(deadline=None, max_examples=30)
@given(st.floats(0.5, 10.0), st.integers(1, 300), st.integers(8, 25), st.sampled_from([1, 1, 5]))
def test_plan_fits_and_is_the_largest(epsilon: float, releases: int, log2_sigma: int, steps: int) -> None:
    units = accounting.budget(epsilon, 1e-5)
    try:
        clip_norm = accounting.plan(epsilon, 1e-5, releases, log2_sigma, steps)
    except AccountingError:
        assert releases * accounting.charge(1, log2_sigma, steps) > units
        return
    assert releases * accounting.charge(clip_norm, log2_sigma, steps) <= units
    if clip_norm < 2**20 - 1:
        assert releases * accounting.charge(clip_norm + 1, log2_sigma, steps) > units


def test_plan_of_the_brief() -> None:
    assert accounting.plan(4, 1e-5, 50, 21) == 274317


@pytest.mark.parametrize("mu_squared", [0.01, 0.3, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-8])
def test_dp_accounting_agrees(mu_squared: float, delta: float) -> None:
    ours = accounting.epsilon(mu_squared, delta)
    assert ours == pytest.approx(dp_accounting.get_epsilon_gaussian(mu_squared**-0.5, delta), rel=1e-8)


@pytest.mark.parametrize(("releases", "noise_multiplier"), [(10, 4.0), (50, 8.0)])
def test_composition_agrees_with_a_pld_accountant(releases: int, noise_multiplier: float) -> None:
    """mu^2 adds up: against numerical composition of privacy loss distributions, zero-out adjacency."""
    accountant = dp_accounting.pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(dp_accounting.GaussianDpEvent(noise_multiplier), releases)
    ours = accounting.epsilon(releases / noise_multiplier**2, 1e-6)
    assert ours == pytest.approx(accountant.get_epsilon(1e-6), rel=2e-3)


def test_distributed_epsilon_of_the_brief() -> None:
    mu_squared = accounting.mu_squared_of(accounting.budget(8, 1e-5))
    found = [round(accounting.epsilon_distributed(mu_squared, 1e-5, honest), 2) for honest in (5, 10, 20, 40, 100)]
    assert found == [3.12, 2.11, 1.44, 0.98, 0.59]
    assert accounting.epsilon_distributed(mu_squared, 1e-5, 1) == accounting.epsilon(mu_squared, 1e-5)


def test_unequal_weights_help_less() -> None:
    equal = accounting.epsilon_distributed(1.0, 1e-5, [1, 1, 1, 1])
    unequal = accounting.epsilon_distributed(1.0, 1e-5, [4, 1, 1, 1])
    assert equal == accounting.epsilon_distributed(1.0, 1e-5, 4) < unequal < accounting.epsilon(1.0, 1e-5)
    assert unequal == pytest.approx(accounting.epsilon(16 / 19, 1e-5), rel=1e-9)


def test_samples_are_paid_for() -> None:
    plain = accounting.epsilon(2.0, 1e-6)
    small, large = (accounting.epsilon(2.0, 1e-6, samples) for samples in (10**4, 10**8))
    assert plain < small < large < plain * 1.1
    share = accounting.sampler_delta(large, 10**8)
    assert exact_delta(2.0, large - 10**8 * 2.0**-82) + share <= 1e-6
    with pytest.raises(AccountingError, match="samples"):
        accounting.epsilon(2.0, 1e-12, 10**8)


def test_edges() -> None:
    assert accounting.epsilon(0.0, 1e-5) == 0.0
    assert accounting.delta(0.0, 0.0) == 0.0
    assert accounting.epsilon(1e-12, 1e-5) == 0.0
    assert accounting.delta(300.0, 0.0) <= 1.0
    assert accounting.epsilon(1e8, 1e-5) == pytest.approx(dp_accounting.get_epsilon_gaussian(1e-4, 1e-5), rel=1e-9)
    assert accounting.mu_squared_of(2**24) == 1.0


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, 1e-301, math.nan])
def test_senseless_deltas(delta: float) -> None:
    with pytest.raises(AccountingError, match="delta"):
        accounting.epsilon(1.0, delta)


def test_senseless_arguments() -> None:
    for call in (
        lambda: accounting.epsilon(-1.0, 1e-5),
        lambda: accounting.epsilon(math.inf, 1e-5),
        lambda: accounting.epsilon(math.nan, 1e-5),
        lambda: accounting.budget(0, 1e-5),
        lambda: accounting.budget(math.nan, 1e-5),
        lambda: accounting.plan(1, 1e-5, 0, 20),
        lambda: accounting.plan(1, 1e-5, 10, 5),
        lambda: accounting.plan(0.01, 1e-9, 10**6, 6),
        lambda: accounting.mu_squared_of(-1),
        lambda: accounting.epsilon_distributed(1.0, 1e-5, 0),
        lambda: accounting.epsilon_distributed(1.0, 1e-5, [1.0, -1.0]),
        lambda: accounting.delta(1.0, -1.0),
    ):
        with pytest.raises(AccountingError) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_the_two_ways_of_computing_the_curve_agree() -> None:
    for mu in (0.01, 0.3, 1.0, 5.0, 40.0):
        for epsilon in (0.0, 0.01, 1.0, 10.0, mu * mu / 2 + 3 * mu, mu * mu / 2 + 20 * mu):
            if (bound := delta_bound(Decimal(mu) ** 2, Decimal(epsilon))) > Decimal("1e-300"):
                assert math.exp(log_delta(mu, epsilon)) == pytest.approx(float(bound), rel=1e-9)


@pytest.mark.parametrize("x", ["-1.9", "-0.5", "0", "0.7", "1.999", "2", "2.1", "5", "37", "1000"])
def test_mills_ratio(x: str) -> None:
    with mpmath.workdps(90):
        value = mpmath.mpf(x)
        exact = mpmath.ncdf(-value) / mpmath.npdf(value)
        assert abs(mpmath.mpf(str(mills(Decimal(x)))) / exact - 1) < mpmath.mpf(10) ** -44


def test_the_sampler_and_the_lemma_cost_what_the_proofs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lemma 2: (1 + e^epsilon) 2^-59 of delta a sample; lemma 1: 2^-82 of epsilon a sample."""
    assert accounting.sampler_delta(0.0, 3) == 6 * 2.0**-59
    samples = 1 << 36
    whole = accounting.epsilon(0.25, 0.01, samples)
    monkeypatch.setattr(accounting, "LOG2_LEMMA", -1000)
    assert whole == accounting.epsilon(0.25, 0.01, samples) + 2.0**-46 > accounting.epsilon(0.25, 0.01)
