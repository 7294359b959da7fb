"""The numbers in docs/proofs: each certificate computed again, and each lemma tried on the compiled core.

A lemma is proved in its document. Here is what a slip in a constant, or in the code that relies on it, would break.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from mpmath import mp, mpf
from picofed import accounting, native
from picofed.learn.model import Model, Rectangle
from picofed.native_errors import BudgetExceededError, CoreArgumentError
from picofed.reference.noise import cdt

S_SQUARED = 3  # lemma 1's s^2: what the second step takes of the variance
LOG2_H = -83  # lemma 1: h < 2^-83
INT32 = 2**32
KEY = bytes(range(32))
COUNT = 40_000  # records that together leave 32 bits far behind


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    with mp.workprec(400):
        yield


def theta_error(variance: mpf) -> mpf:
    """2 sum over j >= 1 of exp(-2 pi^2 variance j^2): how far a sum over the integers is from the integral."""
    return 2 * mp.fsum(mp.exp(-2 * mp.pi**2 * variance * j * j) for j in range(1, 12))


def log2(value: mpf) -> float:
    return float(mp.log(value, 2))


# ---- lemma 1 -----------------------------------------------------------------------------------------------------


def test_lemma_1_e_is_below_2_to_minus_84_4() -> None:
    e = theta_error(mpf(S_SQUARED))
    print(f"e = 2^{log2(e):.4f}")
    assert e < mpf("2.001") * mp.exp(-6 * mp.pi**2) < mpf(2) ** mpf("-84.4")


def test_lemma_1_h_is_below_2_to_minus_83_for_every_sigma() -> None:
    """The ratio lies between (1 + e') / (1 + e) and (1 + e') / (1 - e), and e' <= e as sigma^2 >= 3."""
    e = theta_error(mpf(S_SQUARED))
    for sigma_squared in (mpf(S_SQUARED), mpf(4), mpf(16), mpf(4) ** 6, mpf(4) ** 25):
        e_sigma = theta_error(sigma_squared)
        assert 0 <= e_sigma <= e
        h = max(mp.log((1 + e_sigma) / (1 - e)), -mp.log((1 + e_sigma) / (1 + e)))
        assert h < mpf(2) ** LOG2_H
    assert theta_error(mpf(4) ** 6) <= mpf(2) ** -34000
    assert log2(mpf(2) * 10**4 * 10**3) + LOG2_H < math.log2(1e-17)  # 2 d T h
    assert accounting.LOG2_LEMMA >= LOG2_H + 1  # two factors


@pytest.mark.parametrize("shift", ["0", "0.1", "0.25", "0.5", "0.777", "123456.5"])
def test_lemma_1_the_normaliser_is_nearly_constant(shift: str) -> None:
    """R(y) / (s sqrt(2 pi)) is 1 +- e; both ends are reached, at whole and at half numbers."""
    y, e = mpf(shift), theta_error(mpf(S_SQUARED))
    middle = int(mp.floor(y))
    total = mp.fsum(mp.exp(-((k - y) ** 2) / (2 * S_SQUARED)) for k in range(middle - 60, middle + 61))
    ratio = total / mp.sqrt(2 * mp.pi * S_SQUARED) - 1
    assert abs(ratio) <= e * (1 + mpf(2) ** -100)
    if y == middle or 2 * y == int(2 * y):
        assert abs(ratio) > e * mpf("0.999")


def two_steps(sigma_squared: mpf, distance: int) -> mpf:
    """Pr[Z = x + distance]: the integral over y of N(x, sigma^2 - 3)'s density and the second step's probability.

    Trapezoids of width 1/8. Their error is about exp(-2 pi 8 v) for an integrand that is analytic up to a distance v
    from the real line; 1/R is up to 3 pi (where 2 exp(-6 pi^2) cos(2 pi y) = -1), so it is below 2^-680 of the whole.
    What is cut off beyond 40 standard deviations of the integrand is below 2^-1100 of it.
    """
    rest = sigma_squared - S_SQUARED
    centre = int(mp.nint(distance * rest / sigma_squared))  # the integrand's peak, x taken as 0
    spread = mp.sqrt(rest * S_SQUARED / sigma_squared)
    reach = int(mp.ceil(40 * spread)) + 1
    steps = 8
    # R has period 1, and the grid has `steps` points in one: so many values serve all of it
    shifted = [mpf(i) / steps for i in range(steps)]
    normaliser = [
        mp.fsum(mp.exp(-((k - y) ** 2) / (2 * S_SQUARED)) for k in range(-45, 47))  # what is left out: below 2^-480
        for y in shifted
    ]
    total = mpf(0)
    for i in range(-reach * steps, reach * steps + 1):
        y = centre + mpf(i) / steps
        exponent = -(y**2) / (2 * rest) - (distance - y) ** 2 / (2 * S_SQUARED)
        total += mp.exp(exponent) / normaliser[i % steps]
    return total / steps / mp.sqrt(2 * mp.pi * rest)


@pytest.mark.parametrize("sigma_squared", ["4", "7.5", "16", "256", "4096"])
def test_lemma_1_ratio_over_a_grid(sigma_squared: str) -> None:
    """The law of the two steps against the discrete Gaussian's; it depends on x and z through z - x alone."""
    variance = mpf(sigma_squared)
    sigma = float(mp.sqrt(variance))
    weight = mp.sqrt(2 * mp.pi * variance) * (1 + theta_error(variance))  # sum over k of exp(-k^2 / 2 sigma^2)
    worst = mpf(0)
    for x, z in [(0, 0), (3, 4), (-2, round(sigma)), (0, -round(2.5 * sigma)), (1000, 1000 + round(7 * sigma))]:
        ideal = mp.exp(-mpf((z - x) ** 2) / (2 * variance)) / weight
        worst = max(worst, abs(mp.log(two_steps(variance, z - x) / ideal)))
    print(f"sigma^2 {sigma_squared}: |log ratio| up to 2^{log2(worst):.2f}")
    assert worst < mpf(2) ** LOG2_H


# ---- lemma 2 -----------------------------------------------------------------------------------------------------


def test_lemma_2_the_crude_count_is_what_the_accountant_uses() -> None:
    unit = mpf(2) ** -64
    weights = [mp.exp(-mpf(k * k) / 8) for k in range(80)]
    total = mp.fsum(weights)
    acceptance = 1 - weights[0] / total / 2
    assert abs(acceptance - mpf("0.8337")) < mpf("5e-5")
    table = cdt()
    assert len(table) == 18
    cumulative = mpf(0)
    for weight, entry in zip(weights, table, strict=False):
        cumulative += weight / total
        assert abs(entry * unit - cumulative) <= unit / 2
    assert mp.fsum(weights[19:]) / total < unit / 2
    bound = (19 * unit + unit / 2 + unit) / acceptance
    print(f"total variation of a sample at most 2^{log2(bound):.3f}")
    assert bound < mpf(2) ** accounting.LOG2_SAMPLER_DISTANCE
    assert accounting.sampler_delta(2.0, 1000) >= float((1 + mp.e**2) * 1000 * bound)


def test_lemma_2_the_product_of_the_two_laws_is_the_gaussian() -> None:
    """exp(-z^2 / 8) exp(-y (y + 2^(m+1) z) / 2 sigma^2) = exp(-(z 2^m + y)^2 / 2 sigma^2), in exact exponents."""
    for m in range(25):
        variance = Fraction(4) ** (m + 1)
        for z in range(19):
            for y in {0, 1, (1 << m) // 3, (1 << m) - 1}:
                exponent = Fraction(z * z, 8) + Fraction(y * (y + (z << (m + 1)))) / (2 * variance)
                assert exponent == Fraction(((z << m) + y) ** 2) / (2 * variance)


# ---- lemma 3 -----------------------------------------------------------------------------------------------------


def test_lemma_3_no_record_exceeds_the_clipping_norm(rng: np.random.Generator) -> None:
    """The norm of what is added, product by product, in Python's integers."""
    clipped = 0
    for _ in range(400):
        layers = int(rng.integers(1, 4))
        amplitude = int(rng.choice([3, 200, 16383]))
        activations = [
            rng.integers(-127 if layer == 0 else 0, 128, int(rng.integers(0, 60))) for layer in range(layers)
        ]
        deltas = [rng.integers(-amplitude, amplitude + 1, int(rng.integers(1, 30))) for _ in range(layers)]
        norm = int(rng.choice([1, rng.integers(1, 5000), rng.integers(1, 2**20)]))
        scaled, before, after = native.clip(activations, deltas, norm)

        def squared(rows: list[np.ndarray], inputs: list[np.ndarray] = activations) -> int:
            total = 0
            for layer, (a, d) in enumerate(zip(inputs, rows, strict=True)):
                a_bias = [*map(int, a), 128 if layer == 0 else 32]
                total += sum((int(delta) * value) ** 2 for delta in d for value in a_bias)
            return total

        assert before == squared(deltas)
        assert after == squared(scaled) <= norm * norm
        for old, new in zip(deltas, scaled, strict=True):
            assert np.all(np.abs(new) <= np.abs(old)) and np.all((new == 0) | (np.sign(new) == np.sign(old)))
        if before <= norm * norm:
            assert all(np.array_equal(old, new) for old, new in zip(deltas, scaled, strict=True))
        else:
            clipped += 1
            q = math.isqrt(before - 1) + 1
            f = min(norm << 15, INT32 << 15) // min(q, INT32 - 1)
            assert f < 1 << 15 and Fraction(before * f * f, 1 << 30) <= norm * norm
    assert 100 < clipped < 400


def test_lemma_3_a_model_whose_norm_could_wrap_is_refused() -> None:
    """(1023 outputs of 16383)^2 times (1023 inputs of 127)^2 reaches 2^64 with enough layers of that size."""
    one = Model.dense([1023, 1023], "squared")
    worst = 1023 * 16383**2 * (1023 * 127**2 + 128**2)
    assert worst < 2**64
    native.Trainer(one.descriptor)
    several = Model.dense([1023] * 6, "squared")
    assert worst + 4 * 1023 * 16383**2 * (1023 * 127**2 + 32**2) >= 2**64
    with pytest.raises(native.CoreError):
        native.Trainer(several.descriptor)


# ---- lemma 4 -----------------------------------------------------------------------------------------------------

MODEL = Model((6, 5, 3), "softmax", (Rectangle(1, 5, 2, 6), Rectangle(0, 3, 0, 5)))


def release(
    model: Model, features: np.ndarray, labels: np.ndarray, cuts: list[int], noise: tuple[int, int], fill: int
) -> tuple[np.ndarray, int]:
    """A release made in pieces: noise `fill` accumulators at a time, examples cut at `cuts`."""
    trainer = native.Trainer(model.descriptor)
    weights = np.random.default_rng(5).integers(-1500, 1500, trainer.parameters)
    trainer.set_weights(weights)
    trainer.begin(KEY if noise[0] else None, *noise)
    while noise[0] and trainer.fill(fill):
        pass
    for begin, end in zip([0, *cuts], [*cuts, len(labels)], strict=True):
        trainer.examples(features[begin:end], labels[begin:end])
    return trainer.release(), trainer.trainable


def test_lemma_4_order_and_pieces_do_not_matter(rng: np.random.Generator) -> None:
    features, labels = rng.integers(-127, 128, (60, 6)), rng.integers(0, 3, 60)
    whole, trainable = release(MODEL, features, labels, [], (20, 50_000), 1 << 20)
    for _ in range(30):
        order = rng.permutation(60)
        cuts = sorted(map(int, rng.integers(0, 61, int(rng.integers(0, 8)))))
        pieces, _ = release(MODEL, features[order], labels[order], cuts, (20, 50_000), int(rng.integers(1, trainable)))
        assert np.array_equal(whole, pieces)


@pytest.mark.parametrize("log2_sigma", [6, 14, 25])
def test_lemma_4_a_release_is_noise_plus_contributions_modulo_2_to_32(
    log2_sigma: int, rng: np.random.Generator
) -> None:
    """The noise alone is what an auditor draws; each record adds the same with noise as by itself."""
    features, labels = rng.integers(-127, 128, (40, 6)), rng.integers(0, 3, 40)
    noise, trainable = release(MODEL, features[:0], labels[:0], [], (log2_sigma, 50_000), 7)
    assert np.array_equal(noise, native.discrete_gaussian(KEY, log2_sigma, trainable))
    total = noise.astype(object)
    for i in range(40):
        alone, _ = release(MODEL, features[i : i + 1], labels[i : i + 1], [], (log2_sigma, 50_000), 7)
        contribution = (alone.astype(object) - noise.astype(object) + INT32 // 2) % INT32 - INT32 // 2
        assert sum(int(value) ** 2 for value in contribution) <= 50_000**2
        total = total + contribution
    together, _ = release(MODEL, features, labels, [13], (log2_sigma, 50_000), 7)
    assert np.array_equal((total - together.astype(object)) % INT32, np.zeros(trainable, object))


def test_lemma_4_sums_wrap(rng: np.random.Generator) -> None:
    """The largest sigma under the largest steps, far beyond 2^31: still the reduction of the exact sum."""
    model = Model.dense([4, 2])
    features, labels = np.full((COUNT, 4), 127), np.zeros(COUNT, np.int64)
    plain, _ = release(model, features, labels, [], (0, 0), 1)
    one, _ = release(model, features[:1], labels[:1], [], (0, 0), 1)
    exact = COUNT * one.astype(object)
    assert max(map(abs, exact)) > 2**31
    assert np.array_equal((exact - plain.astype(object)) % INT32, np.zeros(len(one), object))
    noised, _ = release(model, features, labels, [], (25, 2**20 - 1), 3)
    noise, _ = release(model, features[:0], labels[:0], [], (25, 2**20 - 1), 3)
    clipped, _ = release(model, features[:1], labels[:1], [], (25, 2**20 - 1), 3)
    step = clipped.astype(object) - noise.astype(object)
    assert np.array_equal((noise.astype(object) + COUNT * step - noised.astype(object)) % INT32, 0 * exact)


# ---- lemma 5 -----------------------------------------------------------------------------------------------------


def test_lemma_5_a_charge_is_the_ceiling_of_its_formula(rng: np.random.Generator) -> None:
    compared = 0
    for _ in range(3000):
        clip_norm = int(rng.choice([rng.integers(1, 100), rng.integers(1, 2**20)]))
        log2_sigma, steps = int(rng.integers(6, 26)), int(rng.choice([1, rng.integers(1, 4096)]))
        exact = Fraction(clip_norm * clip_norm << 24, 4**log2_sigma - 3)
        units = math.ceil(exact) * steps
        if units >= INT32 - 1:
            for refusing in (native.charge, accounting.charge):
                with pytest.raises(CoreArgumentError):
                    refusing(clip_norm, log2_sigma, steps)
            continue
        assert native.charge(clip_norm, log2_sigma, steps) == accounting.charge(clip_norm, log2_sigma, steps) == units
        assert Fraction(units, 1 << 24) >= steps * Fraction(clip_norm**2, 4**log2_sigma - 3)
        compared += 1
    assert compared > 1500


def test_lemma_5_a_ledger_refuses_what_does_not_fit(rng: np.random.Generator) -> None:
    """Whatever is asked for, and over restarts: what was charged is the sum of what was let through, within budget."""
    flash = native.MemoryFlash()
    native.Ledger.provision(flash, KEY)
    budget, largest, total, refused = 500_000, 40_000, 0, 0
    ledger = native.Ledger(flash, KEY, largest)
    for _ in range(600):
        if rng.random() < 0.1:
            ledger = native.Ledger(flash, KEY, largest)
        asked = int(rng.integers(1, 60_000)), 20, 1
        units = accounting.charge(*asked)
        if units > largest or total + units > budget:
            with pytest.raises(BudgetExceededError):
                ledger.charge(*asked, 0, budget)
            refused += 1
        else:
            total += units
            assert ledger.charge(*asked, 0, budget) == total
        assert ledger.cumulative == total <= budget
    assert refused > 0 and total > 0.9 * budget
    assert native.Ledger(flash, KEY, largest).cumulative == total


def test_lemma_5_conversion_is_the_published_curve() -> None:
    """delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu), never undercut."""
    for units, delta in ((46_567_813, 1e-5), (1_205_466, 1e-5), (2**24, 1e-9)):
        mu = mp.sqrt(mpf(units) / 2**24)
        epsilon = accounting.epsilon(accounting.mu_squared_of(units), delta)
        exact = mp.ncdf(mu / 2 - epsilon / mu) - mp.exp(mpf(epsilon)) * mp.ncdf(-mu / 2 - epsilon / mu)
        assert exact <= delta < exact * (1 + mpf(10) ** -9)


# ---- lemma 6 -----------------------------------------------------------------------------------------------------


def test_lemma_6_constants() -> None:
    boards = mpf(2) ** 24
    theta = mpf("2.001") * mp.exp(-8 * mp.pi**2)
    assert theta_error(mpf(4)) < theta  # sigma^2 / W >= 4
    e = (1 + theta) ** (boards - 1) - 1
    assert e <= mpf("2.1") * (boards - 1) * mp.exp(-8 * mp.pi**2) < mpf(2) ** mpf("-112.8") * (boards - 1)
    assert mpf(2) ** LOG2_H + 2 * mp.log(1 / (1 - e)) < mpf(2) ** accounting.LOG2_LEMMA
    assert theta_error(mpf(4) ** 6 / 2) <= mpf("2.001") * mp.exp(-(mp.pi**2) * 4**6) < mpf(2) ** -58000
    assert accounting.UNEQUAL_WEIGHTS_MAX == 4**6 // 4


@pytest.mark.parametrize("weights", [(1, 1), (1, 2), (1, 1, 2), (1, 4), (1, 3, 3)])
def test_lemma_6_law_of_weighted_sums(weights: tuple[int, ...]) -> None:
    """The exact law of a weighted sum, by convolution, is the discrete Gaussian's. sigma^2 is 4 W, the least."""
    total = sum(w * w for w in weights)
    variance = mpf(4 * total)
    reach = int(mp.ceil(14 * mp.sqrt(variance)))  # what lies beyond is below e^-98, 2^-141

    def gaussian(k: int, spread: mpf) -> mpf:
        return mp.exp(-mpf(k * k) / (2 * spread))

    law = {0: mpf(1)}
    for weight in weights:
        nxt: dict[int, mpf] = {}
        for at, mass in law.items():
            for k in range(-reach, reach + 1):
                place = at + weight * k
                if abs(place) <= 6 * reach:
                    nxt[place] = nxt.get(place, mpf(0)) + mass * gaussian(k, variance)
        law = nxt
    scale = law[0]
    worst = max(
        abs(mp.log(law[z] / scale / gaussian(z, variance * total)))
        for z in range(int(3 * mp.sqrt(variance * total)))
    )  # fmt: skip
    print(f"weights {weights}: |log ratio| up to 2^{log2(worst):.1f}")
    assert worst < 2 * mpf(2) ** mpf("-112.8") * len(weights)


def test_lemma_6_weights_that_do_not_mix_are_refused() -> None:
    """With 1 and sqrt 2 one number tells both boards' releases; nothing adds up then."""
    for weights in ([1.0, math.sqrt(2)], [2.0, 3.0], [1.0, 1.5], [1.0] + [32.0] * 2, [1.0, 1.0 + 2.0**-40]):
        with pytest.raises(accounting.AccountingError, match="whole multiples"):
            accounting.epsilon_distributed(1.0, 1e-5, weights)
    for weights in ([0.25, 0.5, 1.0], [3.0, 3.0], [0.1] * 5000, [5.0]):
        assert accounting.epsilon_distributed(1.0, 1e-5, weights) <= accounting.epsilon(1.0, 1e-5)


# ---- lemma 7 -----------------------------------------------------------------------------------------------------


def test_lemma_7_constants() -> None:
    largest = max(Fraction(f * (f + 2 * z), 8) for z in range(19) for f in (0, 1))
    assert largest == Fraction(37, 8)
    assert mp.mpf(37) / 8 + mp.log(mpf("19.9") / mpf("9.1")) < mpf("5.5") and math.log(19.9 / 9.1) < 0.79
    share = mpf("19.9") * mp.exp(mpf(37) / 8) / mpf(2) ** 32
    assert share < mpf(2) ** -21 and 2 * -mp.log(1 - share) < mpf(2) ** -19
    assert mpf(2) ** -27 / mpf("0.8337") < mpf(2) ** mpf("-26.7")
    assert 2.8e-5 < 3220 * 2.0**-27 / 0.8337 < 3.2e-5


# ---- the documents -----------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path for path in (ROOT / "docs" / "proofs").glob("*.md") if path.name != "README.md")


def named_tests(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^- ([\w/.-]+)::(\w+)$", text, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_lemma_has_its_parts_and_its_tests_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for heading in ("Statement", "Assumptions", "Proof", "Relied on by, checked by"):
        assert f"\n## {heading}\n" in text, heading
    named = named_tests(text)
    assert len(named) >= 3
    bullets = re.findall(r"^- ", text.split("## Relied on by")[1], re.MULTILINE)
    assert len(bullets) == len(named), "a line does not name a test"
    for path, name in named:
        source = (ROOT / path).read_text("utf-8")
        if path.endswith(".c"):
            assert f"static void {name}(void) {{" in source and f"RUN({name});" in source, name
        else:
            assert name in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}, name


def test_the_index_lists_every_lemma() -> None:
    index = (ROOT / "docs" / "proofs" / "README.md").read_text("utf-8")
    assert len(DOCUMENTS) == 10
    for document in DOCUMENTS:
        number = re.match(r"# Lemma (\d+): ", document.read_text("utf-8"))
        assert number is not None and f"| [{number[1]}]({document.name}) |" in index
