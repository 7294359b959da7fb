"""Grid and bits of masked fields (docs/proofs/wrap-around.md): sums do not wrap, or the job is refused in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf
from picofed import masking
from picofed.learn import jobfile
from picofed.learn.job import JobError, fit_noise
from picofed.learn.modulus import DEVIATIONS, WrapError, fit, needed
from picofed.learn.unmask import unwrap


def item(server: dict[str, Any] | None = None, **privacy: Any) -> dict[str, Any]:
    plan = {"masked": True, "aggregator": "fedavg", "helper": "https://helper", "rounds": 2}
    return {
        "name": "masked",
        "records": {"window": 100, "labels": 7},
        "privacy": privacy,
        "server": plan | (server or {}),
    }


def summed(job: Any, releases: list[int], weights: list[int]) -> int:
    """What a host makes of boards' releases: each rounded, all modulo 2^b."""
    half = 1 << job.round_shift >> 1
    fields = sum(w * (value + half >> job.round_shift) for value, w in zip(releases, weights, strict=True))
    return int(unwrap(np.array([fields & (1 << job.mask_bits) - 1], np.uint32), job)[0])


@pytest.mark.parametrize(
    ("records", "boards", "server"),
    [
        (117, 3, {}),
        (1800, 8, {}),
        (40, 2, {}),
        (1000, 30, {"aggregator": "ftte", "variance": False, "staleness": "threshold", "max_staleness": 10}),
    ],
)
def test_a_sum_at_the_edge_is_what_it_seems_and_one_bit_less_wraps(
    records: int, boards: int, server: dict[str, Any]
) -> None:
    """All records pull one coordinate one way, with noise of eight deviations and weights as unlike as they can be."""
    job, plan = jobfile.parse(item(server, epsilon=1.0, records=records, boards=boards))
    spread = 1 if plan.aggregator == "fedavg" else 2
    weights = [spread] * boards
    noise = DEVIATIONS * math.isqrt(boards << 2 * job.log2_sigma) // boards
    share = [records // boards + (number < records % boards) for number in range(boards)]
    for sign in (1, -1):
        releases = [sign * (many * job.clip + noise) for many in share]
        wanted = spread * sum(releases)
        assert abs(summed(job, releases, weights) - wanted) <= spread * boards << job.round_shift
    # as many bits as the bound says are not one too many: a sum of its size needs them
    least = needed(job.clip, job.log2_sigma, job.round_shift, records, boards, spread)
    edge = spread * (records * job.clip + DEVIATIONS * (math.isqrt(boards - 1) + 1 << job.log2_sigma))
    assert 1 << least - 2 <= (edge >> job.round_shift) + boards * spread < 1 << least - 1 or least == 2


def test_a_sum_of_releases_that_all_round_up_does_not_wrap() -> None:
    """Each board releases half a unit of the grid: the sum of what is rounded is twice that of what was released."""
    boards, clip, round_shift = 64, 1 << 15, 16
    rounded = boards * (clip + (1 << round_shift >> 1) >> round_shift)
    assert rounded == boards
    assert rounded < 1 << needed(clip, 6, round_shift, boards, boards) - 1


def test_noise_beyond_eight_deviations() -> None:
    """The tail of a sum of discrete Gaussians, exactly, against the bound of the proof."""
    assert 2 * mp.exp(-(mpf(DEVIATIONS) ** 2) / 2) < mpf(2) ** -45
    assert 10_000 * 1000 * (mpf(2) ** -45 + 100 * mpf(2) ** -59) < mpf("1e-6")
    sigma = 64
    x = np.arange(-40 * sigma, 40 * sigma + 1).astype(np.longdouble)
    law = np.exp(-(x * x) / (2 * np.longdouble(sigma) ** 2))
    law /= law.sum()
    for weights in ([1, 1, 1], [1, 2, 2], [1, 32]):
        norm = math.sqrt(sum(w * w for w in weights))
        t = DEVIATIONS / (sigma * norm)
        moments = [float(np.log((law * np.exp(t * w * x)).sum())) for w in weights]
        assert sum(moments) <= DEVIATIONS**2 / 2 * (1 + 1e-12)  # as of a Gaussian: Chernoff's bound is exp(-32)
    assert float(law[x > DEVIATIONS * sigma].sum()) <= math.exp(-(DEVIATIONS**2) / 2)


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 8.0, 12.0])
@pytest.mark.parametrize("rounds", [2, 20, 100])
def test_grid_and_bits_of_every_job_file(epsilon: float, rounds: int) -> None:
    """SPEC 10.2 holds for what nobody has set, and the bits are enough; where they cannot be, one line says so."""
    made = 0
    for records, boards in ((2, 2), (117, 3), (1812, 8), (100_000, 1000), (0, 0), (117, 0)):
        try:
            job, _ = jobfile.parse(item({"rounds": rounds}, epsilon=epsilon, records=records, boards=boards))
        except WrapError as error:
            assert "log2_sigma" in str(error) and "\n" not in str(error) and records == 100_000
            continue
        except JobError as error:
            assert "more than" in str(error)  # rounds cannot use so much epsilon
            continue
        made += 1
        assert not masking.refusal(job.log2_sigma, job.round_shift, job.mask_bits, 0)
        if records and boards:
            assert job.mask_bits >= needed(job.clip, job.log2_sigma, job.round_shift, records, boards)
        else:
            assert job.mask_bits == 32 - job.round_shift
    assert made


def test_a_job_without_room_for_its_sum_is_refused_in_words() -> None:
    given = {"clip_norm": 1 << 19, "log2_sigma": 22}
    with pytest.raises(WrapError, match="5000 records on 10 boards may need 33 bits, and there are 32"):
        jobfile.parse(item(records=5000, boards=10, **given))
    with pytest.raises(WrapError):
        jobfile.parse(item(records=5000, boards=10, round_shift=12, **given))
    # who says bits, has decided; who says the grid, gets bits for it
    job, _ = jobfile.parse(item(records=5000, boards=10, mask_bits=18, **given))
    assert (job.round_shift, job.mask_bits) == (14, 18)
    job, _ = jobfile.parse(item(records=500, boards=10, round_shift=10, **given))
    assert (job.round_shift, job.mask_bits) == (10, 21)
    with pytest.raises(JobError, match="round_shift is at most 24"):
        jobfile.parse(item(records=500, boards=10, round_shift=25, **given))
    # the pair that the message names fits
    smaller = {"clip_norm": 1 << 18, "log2_sigma": 21}
    assert jobfile.parse(item(records=5000, boards=10, **smaller))[0].mask_bits == 14


def test_epsilon_alone_takes_less_of_both_before_it_is_refused() -> None:
    job, plan = jobfile.parse(item({"rounds": 20}, epsilon=8.0, records=3000, boards=20))
    best = fit_noise(8.0, plan.delta, 20, records=3000, boards=20, parameters=len(job.model.trainable))
    assert job.log2_sigma == best[1] - 1 and abs(2 * job.clip - best[0]) <= 2
    assert job.mask_bits >= needed(job.clip, job.log2_sigma, job.round_shift, 3000, 20)


def test_weights_by_age_take_bits_and_a_finer_grid() -> None:
    given = (1 << 19, 18)
    equal, unequal = (fit(*given, records=400, boards=100, spread=spread) for spread in (1, 8))
    assert equal == (15, needed(*given, 15, 400, 100) + 1)
    weights = [1, *[8] * 99]
    assert masking.weights_mix(weights, 18, unequal[0]) and not masking.weights_mix(weights, 18, 13)
    assert unequal[1] >= needed(*given, unequal[0], 400, 100, 8) > needed(*given, unequal[0], 400, 100)
    # more boards than were foretold, or than anybody said, still mix; on the grid of equal weights five would not
    for shift, _ in (fit(*given, spread=2), fit(*given, records=400, boards=3, spread=2)):
        assert masking.weights_mix([1, *[2] * 50], 18, shift) and not masking.weights_mix([1, *[2] * 4], 18, equal[0])


def test_grid_of_equal_weights() -> None:
    """An eighth of sigma, finer where the rounding of so many boards would take a sum's last bit."""
    assert [22 - fit(1, 22, records=boards, boards=boards)[0] for boards in (2, 50, 1000, 3000)] == [3, 3, 3, 5]
    assert [fit(1 << 17, 20, records=boards, boards=boards) for boards in (2, 8, 50)] == [(17, 10), (17, 10), (17, 12)]


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        ({"clip_norm": 1, "log2_sigma": 10**9}, "log2_sigma 6 to 25"),
        ({"clip_norm": 1 << 30, "log2_sigma": 20}, "clip must be"),
        ({"clip_norm": 1, "log2_sigma": 20, "round_shift": -1}, "round_shift must be 0 to 30"),
        ({"clip_norm": 1, "log2_sigma": 20, "round_shift": 10**9}, "round_shift must be 0 to 30"),
        ({"clip_norm": 1, "log2_sigma": 20, "mask_bits": 7}, "mask_bits must be 8 to 32"),
    ],
)
def test_what_no_board_would_take_is_refused_as_ever(privacy: dict[str, int], words: str) -> None:
    with pytest.raises(JobError, match=words):
        jobfile.parse(item(records=500, boards=10, **privacy))


def test_local_steps_have_no_masks() -> None:
    local = {"local": {"steps": 2, "learning_rate": 0.5, "records": 100}}
    with pytest.raises(JobError, match="masks need gradient mode"):
        jobfile.parse(item(clip_norm=1 << 18, log2_sigma=20) | local)
