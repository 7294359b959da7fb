r"""The variance term: how far an update lies from the others of its buffer, beyond what its noise explains.

For update i with u_i = values / scale (scale: its records in gradient mode, 1 in local mode), d coordinates, and m_i
the coordinate-wise median of the OTHER updates:

    v_i = max(0, |u_i - m_i|^2 / d - n_i - e_i)

n_i = noise.variance / scale_i^2 is the known variance of u_i, and e_i = pi / (2 (sum over j != i of n_j^-1/2)^2) that
of a median of independent normal values (asymptotic; less for few, so that an update is rather left alone). m_i does
not contain u_i, hence the two add. What is left is squared distance between the boards' true gradients.

The linear combination of independent estimates with the least variance weighs each by one over its own. An update
whose excess is no more than the buffer's median s of the v counts in full; another by the ratio of variances:

    w_i = min(1, (s + n_i) / (v_i + n_i)), in (0, 1]

A wrong minority can move neither m_i nor s far. Noise that dwarfs the differences between boards (n >> v) makes all
weights nearly 1: nothing can be told, so nothing is punished. Fewer than 3 updates have no majority: all weigh 1.
The weights are functions of noised values (post-processing, no privacy cost), but they are not public beforehand:
not for masked sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from picofed.learn.aggregators import Contribution
    from picofed.learn.job import Job

MAJORITY: Final = 3


@dataclass(frozen=True)
class Noise:
    """What is known of a released coordinate. variance: of its noise and rounding, in squared units of the release;
    per_record: releases are sums over records (gradient mode), not changes of weights (local mode)."""

    variance: float = 0.0
    per_record: bool = True

    @classmethod
    def of(cls, job: Job) -> Noise:
        """sigma^2 + (grid^2 - 1) / 12, the variance of rounding integers to a grid; without privacy, the latter.

        In local mode the noise of each step, as SPEC 7.5 scales it; that earlier noise moves later gradients is left
        out.
        """
        sigma = 2.0**job.log2_sigma if job.log2_sigma else 0.0
        rounding = (4.0**job.round_shift - 1) / 12
        if job.mode == "gradient":
            return cls(sigma**2 + rounding)
        return cls(job.steps * (sigma * job.multiplier * 2.0**-job.shift) ** 2 + rounding, False)


def medians_of_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each row, the coordinate-wise median of all other rows, from one sort. values: float64[k, d], k >= 2."""
    ordered = np.sort(values, axis=0)
    half = len(values) // 2
    if len(values) % 2 == 0:
        others: NDArray[np.float64] = np.where(values <= ordered[half - 1], ordered[half], ordered[half - 1])
        return others
    below, middle, above = ordered[half - 1 : half + 2]
    rest: NDArray[np.float64] = np.where(
        values < middle, middle + above, np.where(values > middle, below + middle, below + above)
    )
    return rest / 2


def excess(updates: Sequence[Contribution], noise: Noise) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """v and n of the module's formula, float64[k] each; k >= 2."""
    scale = np.array([max(update.records, 1) if noise.per_record else 1 for update in updates], np.float64)
    means = np.stack([update.values for update in updates]) / scale[:, None]
    own = noise.variance / scale**2
    of_median = np.zeros(len(updates))
    if noise.variance > 0:
        precision = scale / math.sqrt(noise.variance)
        of_median = math.pi / 2 / (precision.sum() - precision) ** 2
    squares = ((means - medians_of_others(means)) ** 2).mean(axis=1)
    return np.maximum(0.0, squares - own - of_median), own


def variance_weights(updates: Sequence[Contribution], noise: Noise) -> list[float]:
    """w of the module's formula for each update of a buffer."""
    if len(updates) < MAJORITY:
        return [1.0] * len(updates)
    found, own = excess(updates, noise)
    usual = float(np.median(found))
    return [1.0 if v <= usual else (usual + n) / (v + n) for v, n in zip(found.tolist(), own.tolist(), strict=True)]
