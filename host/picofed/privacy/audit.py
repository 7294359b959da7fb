"""The audit: what boards claim to have spent, beside what an attacker can show to have been spent.

Two measurements of the same releases. `one_run` bounds epsilon from below whatever the mechanism is. The direct
estimate takes the noise to be Gaussian and is sharper: mu is the distance between canaries that were in and out, over
the spread, with a standard error of about 2 / sqrt(canaries). It is taken of everything, and of each release, place and
board by itself, so that an error in one corner is not averaged away; and the noise of all releases is compared with one
another, as noise that is used twice can be subtracted. Beside them, without noise in the way, what one record changes
through all layers of a model (`neighbours`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from picofed import accounting
from picofed.learn.job import Job
from picofed.learn.model import Model
from picofed.privacy import neighbours, neighbours_on_board, on_board
from picofed.privacy.canaries import COLUMNS, Board, Setting, boards, contribution
from picofed.privacy.one_run import AuditError, best_guesses

ALARM: Final = 0.05  # of the lower bound: its confidence is 95 %
FALSE_ALARM: Final = 1e-6  # of all other tests together
PLACES: Final = 33  # equal parts of the canaries of a board
PLACE_LEAST: Final = 300  # canaries of a part: with fewer, its spread is no longer as good as known
_COUNTS: Final = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 1 << 30)
_VECTORS_MAX: Final = 1000  # releases whose noise is compared pairwise


@dataclass(frozen=True)
class Measured:
    """mu of some of the canaries: as claimed, as estimated, and the standard error if the claim is true."""

    claimed: float
    estimate: float
    error: float

    def excess(self) -> float:
        """By how many standard errors the estimate is above the claim."""
        return (self.estimate - self.claimed) / self.error


@dataclass(frozen=True)
class Audit:
    """The result. findings: why it failed, in words; none: it passed."""

    setting: Setting
    delta: float
    canaries: int
    units: int
    epsilon_claimed: float
    epsilon_lower_bound: float
    guesses: int
    right: int
    mu: Measured
    worst: Mapping[str, Measured]
    correlation: float
    correlation_limit: float
    neighbours: neighbours.Neighbours | None
    findings: tuple[str, ...]
    seed: int | None
    board: str | None = None
    hidden: tuple[int, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": self.passed,
            "epsilon_claimed": self.epsilon_claimed,
            "epsilon_lower_bound": self.epsilon_lower_bound,
            "confidence": 1 - ALARM,
            "delta": self.delta,
            "mu_claimed": self.mu.claimed,
            "mu_estimate": self.mu.estimate,
            "mu_standard_error": self.mu.error,
            "canaries": self.canaries,
            "guesses": self.guesses,
            "guesses_right": self.right,
            "units": self.units,
            "noise_correlation": self.correlation,
            "noise_correlation_limit": self.correlation_limit,
            "worst": {name: asdict(measured) for name, measured in self.worst.items()},
            "largest_contribution": None if self.neighbours is None else self.neighbours.largest,
            "records_left_out": 0 if self.neighbours is None else self.neighbours.records,
            "models": []
            if self.neighbours is None
            else [
                {"widths": list(widths), "layers_moved": moved, "layers_trained": trained}
                for widths, moved, trained in self.neighbours.models
            ],
            "findings": list(self.findings),
            "seed": self.seed,
            "board": self.board,
            "hidden": list(self.hidden),
            **asdict(self.setting),
        }


def _measure(values: NDArray[np.float64], included: NDArray[np.bool_], claimed: float) -> Measured:
    """mu from the difference of means and the pooled spread; infinite where there is no spread."""
    inside, outside = values[included], values[~included]
    if len(inside) < 2 or len(outside) < 2:
        raise AuditError("too few canaries to estimate anything: use more")
    spread = math.sqrt((float(inside.var(ddof=1)) + float(outside.var(ddof=1))) / 2)
    distance = float(inside.mean() - outside.mean())
    error = math.sqrt(1 / len(inside) + 1 / len(outside) + claimed**2 / (2 * len(values)))
    return Measured(claimed, distance / spread if spread else math.inf if distance else 0.0, error)


def _places(sums: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """The places of a board in equal parts."""
    return np.array_split(np.arange(sums.shape[1]), max(1, min(PLACES, sums.size // PLACE_LEAST)))


def _scores(sums: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """How surely each canary was in (above 0) or out: log-likelihood ratios, with each place's own spread.

    sums: [boards, canaries of a board]. The spread comes from the values alone: they are a mixture whose halves lie
    `gap` apart.
    """
    scores = np.empty_like(sums)
    for part in _places(sums):
        block = sums[:, part] - gap / 2
        variance = max(float((block**2).mean()) - gap**2 / 4, 1e-6 * gap**2)
        scores[:, part] = block * (gap / variance)
    return scores


def _correlation(noise: NDArray[np.float64]) -> float:
    """The largest correlation between the noise of two releases, by absolute value. noise: [releases, places]."""
    centred = noise - noise.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    scaled = centred / np.where(norms > 0, norms, 1)
    products = np.abs(scaled @ scaled.T)
    np.fill_diagonal(products, 0)
    return float(products.max())


def audit(
    setting: Setting,
    delta: float = 1e-5,
    canaries: int = 20_000,
    seed: int | None = None,
    board: str | None = None,
    progress: on_board.Progress | None = None,
    models: Sequence[Model] = neighbours.MODELS,
    hidden: Sequence[int] = (),
    job: Job | None = None,
    job_progress: on_board.Progress | None = None,
) -> Audit:
    """Audit the compiled core; with `board`, the firmware on emulated boards of that kind. canaries: at least so many
    (whole boards of 1023, or of 372 emulated). seed: for an audit that repeats; progress: told of every release of an
    emulated board; models: through which `neighbours` are compared on the compiled core; job: through which they are
    compared on emulated boards (None: they are not), with job_progress told of their releases; hidden: widths of hidden
    layers, for a model and a job that have them in the place of these.

    Raises AuditError, or AccountingError for a setting that makes no sense.
    """
    least = COLUMNS if board is None else on_board.CANARIES
    if not 1 <= setting.releases <= 4096 or not least <= canaries <= 10**6:
        raise AuditError(f"{setting.releases} releases and {canaries} canaries: use 1 to 4096, and {least} to 10^6")
    accounting.epsilon(0.0, delta)
    charge = accounting.charge(setting.clip_norm, setting.log2_sigma)
    if setting.releases * charge > accounting.UNITS_MAX:
        raise AuditError("a ledger cannot count so much: choose fewer releases, more noise or a smaller clipping norm")
    if contribution(setting.clip_norm) < 0.9 * setting.clip_norm:
        raise AuditError(f"a clipping norm of {setting.clip_norm} is too small to audit: choose at least 16")
    per_release = accounting.mu_squared_of(charge)
    everyone = list(
        boards(setting, canaries, seed) if board is None else on_board.boards(board, setting, canaries, seed, progress)
    )
    units = max(board.units for board in everyone)
    mu = math.sqrt(accounting.mu_squared_of(units))
    findings: list[str] = []
    if units != setting.releases * charge:
        findings.append("the ledger was not charged what its formula says")

    included = np.array([board.included for board in everyone])
    sums = np.array([board.values.sum(axis=0) for board in everyone])
    worst = _worst(everyone, included, sums, mu, math.sqrt(per_release))
    overall = _measure(sums.ravel(), included.ravel(), mu)
    tests = 1 + len(_places(sums)) + len(everyone) + setting.releases
    noise = np.concatenate([board.noise for board in everyone])[:_VECTORS_MAX]
    pairs = len(noise) * (len(noise) - 1) // 2
    limit = NormalDist().inv_cdf(1 - FALSE_ALARM / 2 / tests)
    for name, measured in {"all canaries": overall, **worst}.items():
        if measured.excess() > limit:
            findings.append(
                f"{name}: mu is {measured.estimate:.3f} where {measured.claimed:.3f} is claimed, "
                f"{measured.excess():.0f} standard errors too much"
            )
    if overall.excess() < -limit:
        findings.append(f"all canaries: mu is {overall.estimate:.3f}, less than the canaries should show: "
                        "this audit measured nothing")  # fmt: skip
    correlation = _correlation(noise) if pairs else 0.0
    correlation_limit = 1.0
    if pairs:
        correlation_limit = NormalDist().inv_cdf(1 - FALSE_ALARM / 4 / pairs) / math.sqrt(noise.shape[1])
        if correlation > correlation_limit:
            findings.append(f"the noise of two releases is the same or alike (correlation {correlation:.2f})")

    if hidden:
        job = neighbours_on_board.job_of(hidden, setting)
        models = (job.model,)
    through = None
    if board is None:
        through = neighbours.measure(models, setting, seed)
    elif job is not None:
        through = neighbours_on_board.measure(board, job, setting, seed, job_progress)
    findings += through.findings if through is not None else ()

    gap = float(setting.releases * contribution(setting.clip_norm))
    guesses = best_guesses(_scores(sums, gap).ravel(), included.ravel(), delta, ALARM, _COUNTS)
    epsilon = accounting.epsilon(accounting.mu_squared_of(units), delta)
    if guesses.epsilon > epsilon:
        findings.append(f"{guesses.right} of {guesses.made} guesses were right: epsilon is above {guesses.epsilon:.2f}")
    return Audit(
        setting=setting,
        delta=delta,
        canaries=included.size,
        units=units,
        epsilon_claimed=epsilon,
        epsilon_lower_bound=guesses.epsilon,
        guesses=guesses.made,
        right=guesses.right,
        mu=overall,
        worst=worst,
        correlation=correlation,
        correlation_limit=correlation_limit,
        neighbours=through,
        findings=tuple(findings),
        seed=seed,
        board=board,
        hidden=tuple(hidden),
    )


def _worst(
    everyone: list[Board], included: NDArray[np.bool_], sums: NDArray[np.float64], mu: float, mu_release: float
) -> dict[str, Measured]:
    """Of each way to divide the canaries or the releases, the part that is furthest above its claim."""
    parts: dict[str, list[tuple[str, Measured]]] = {"release": [], "place": [], "board": []}
    for release in range(len(everyone[0].values)):
        values = np.array([board.values[release] for board in everyone])
        parts["release"].append((f"release {release + 1}", _measure(values.ravel(), included.ravel(), mu_release)))
    for columns in _places(sums):
        name = f"places {columns[0]} to {columns[-1]}"
        parts["place"].append((name, _measure(sums[:, columns].ravel(), included[:, columns].ravel(), mu)))
    for number in range(len(everyone)):
        parts["board"].append((f"board {number + 1}", _measure(sums[number], included[number], mu)))
    return dict(max(found, key=lambda part: part[1].excess()) for found in parts.values())
