"""The privacy curve of the Gaussian mechanism, twice: in floats to search, in decimals with proven bounds to decide.

With t = epsilon/mu - mu/2, the Gaussian mechanism of parameter mu has (Balle & Wang 2018, theorem 8; Dong, Roth & Su
2022, corollary 2.13)

    delta(epsilon) = Phi(-t) - e^epsilon Phi(-t - mu) = phi(t) (M(t) - M(t + mu)),   M(x) = Phi(-x) / phi(x),

because e^epsilon phi(t + mu) = phi(t). M, the Mills ratio, is smooth where Phi underflows. For x > 0 it is the
continued fraction 1/(x + 1/(x + 2/(x + 3/(x + ...)))), whose convergents lie alternately above and below it.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache

_CONTEXT = Context(prec=80, Emin=-(10**9), Emax=10**9, rounding=ROUND_HALF_EVEN)
_SERIES_BELOW = 2  # the continued fraction converges slowly for small x
_MARGIN = Decimal(10) ** -40  # relative; both ways of computing M are good to 10^-45
_SQRT_HALF_PI = math.sqrt(math.pi / 2)


@cache
def _sqrt_two_pi() -> Decimal:
    """Machin: pi = 16 atan(1/5) - 4 atan(1/239)."""

    def arctangent(inverse: int) -> Decimal:
        total, power, k, sign = Decimal(0), 1 / Decimal(inverse), 1, 1
        while power > Decimal(10) ** -85:
            total += sign * power / k
            power /= inverse * inverse
            k, sign = k + 2, -sign
        return total

    with localcontext(_CONTEXT):
        return (2 * (16 * arctangent(5) - 4 * arctangent(239))).sqrt()


def _density(x: Decimal) -> Decimal:
    """phi(x)."""
    return (x * x / -2).exp() / _sqrt_two_pi()


def _fraction(x: Decimal, terms: int) -> Decimal:
    value = x
    for k in range(terms, 0, -1):
        value = x + k / value
    return 1 / value


def mills(x: Decimal) -> Decimal:
    """M(x), x > -2, to a relative 10^-45."""
    with localcontext(_CONTEXT):
        if x >= _SERIES_BELOW:
            terms = 32
            while True:
                above, below = _fraction(x, terms), _fraction(x, terms + 1)  # they enclose M(x)
                if abs(above - below) < below * Decimal(10) ** -46:
                    return above
                terms *= 2
        if x <= -_SERIES_BELOW:
            raise ValueError("the Mills ratio is asked for only where it is of use")
        # Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/15 + ...), all terms of one sign; |x| < 2: at most two digits cancel.
        term = total = x
        k = 3
        while abs(term) > Decimal(10) ** -75:
            term *= x * x / k
            total += term
            k += 2
        return Decimal("0.5") / _density(x) - total


def delta_bound(mu_squared: Decimal, epsilon: Decimal) -> Decimal:
    """An upper bound of delta: exact arguments, and at most 10^-25 of itself too large."""
    with localcontext(_CONTEXT):
        mu = mu_squared.sqrt()
        t = epsilon / mu - mu / 2
        high = mills(t + mu)
        if t <= -_SERIES_BELOW:  # Phi(-t) = 1 - phi(t) M(-t)
            return 1 - _density(t) * (mills(-t) + high) * (1 - _MARGIN)
        low = mills(t)
        return _density(t) * (low - high + low * _MARGIN) * (1 + _MARGIN)


def round_up(value: Decimal) -> float:
    """The least float that is not below value, or its successor."""
    rounded = Context(prec=25, rounding=ROUND_CEILING, Emin=-(10**9)).plus(value)
    nearest = float(rounded)
    return nearest if Decimal(nearest) >= rounded else math.nextafter(nearest, math.inf)


def _mills_float(x: float) -> float:
    if x < 4.0:
        return _SQRT_HALF_PI * math.exp(x * x / 2) * math.erfc(x / math.sqrt(2))
    value = x
    for k in range(100, 0, -1):
        value = x + k / value
    return 1 / value


def log_delta(mu: float, epsilon: float) -> float:
    """log delta in floats, for searching only: not a bound."""
    t = epsilon / mu - mu / 2
    if t < -30:  # Phi(-t) is 1, and M would overflow
        return math.log1p(-math.exp(-t * t / 2) * _mills_float(t + mu) / math.sqrt(2 * math.pi))
    difference = _mills_float(t) - _mills_float(t + mu)
    return -t * t / 2 - math.log(2 * math.pi) / 2 + (math.log(difference) if difference > 0 else -math.inf)


def search_epsilon(mu: float, delta: float) -> float:
    """epsilon in floats, good to about 10^-12 where the difference of log_delta is; not a bound."""
    goal = math.log(delta)
    low, high = 0.0, 1.0
    while log_delta(mu, high) > goal:
        low, high = high, 2 * high
    while high - low > 1e-15 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if log_delta(mu, middle) > goal:
            low = middle
        else:
            high = middle
    return high
