"""The modulus of masked sums: grid and bits of a field, together, so that a sum is what it stands for (docs/proofs,
lemma 4)."""

from __future__ import annotations

import math
from typing import Final

from picofed import masking
from picofed.learn.job import JobError

DEVIATIONS: Final = 8  # of the sum's noise that have room: beyond them 2^-45 of all sums of a coordinate
GRID: Final = 3  # of sigma / 2^3: two honest boards' mu^2 (lemma 8) is 2.4 % above whole sums'; 2^2: a bit less, 10.3 %
GRID_BY_AGE: Final = 5  # or finer, where weights differ: leaves room for a sum of squares of 4^5 / 4 (SPEC 10.6)


class WrapError(JobError):
    """There are not enough bits for a sum."""


def needed(clip: int, log2_sigma: int, round_shift: int, records: int, boards: int, spread: int = 1) -> int:
    """Bits in which a sum of all boards' releases does not wrap, whatever their records: each moves a coordinate by at
    most `clip`, noise by DEVIATIONS of its own, rounding by half a unit a board. spread: the largest weight."""
    root = math.isqrt(boards - 1) + 1  # of the boards, rounded up
    whole = spread * (records * clip + DEVIATIONS * (root << log2_sigma))
    fields = -(-whole >> round_shift) + -(-boards * spread // 2)
    return fields.bit_length() + 1


def fit(
    clip: int,
    log2_sigma: int,
    *,
    records: int = 0,
    boards: int = 0,
    spread: int = 1,
    round_shift: int | None = None,
    bits: int | None = None,
) -> tuple[int, int]:
    """round_shift and mask_bits of a job, as far as they are not given. records: of all boards, roughly, which is why
    one bit more is taken where there is one; 0 or no boards: not known, then as many bits as there can be.

    Raises WrapError where a sum could wrap in all bits that there are, JobError where round_shift leaves too few.
    """
    known = records > 0 and boards > 0
    if round_shift is None:
        grid = GRID if spread == 1 else max(GRID_BY_AGE, _mixing(boards, spread) if known else 0)
        round_shift = max(0, min(log2_sigma - grid, 32 - (bits or masking.BITS[0])))
        while (
            bits is None and known and round_shift and not _fits(clip, log2_sigma, round_shift, records, boards, spread)
        ):
            round_shift -= 1
    if bits is not None:
        return round_shift, bits
    most = 32 - round_shift
    if most < masking.BITS[0]:
        coarsest = 32 - masking.BITS[0]
        raise JobError(f"under masks round_shift is at most {coarsest}: a field has {masking.BITS[0]} bits or more")
    if not known:
        return round_shift, most
    least = needed(clip, log2_sigma, round_shift, records, boards, spread)
    if least > most:
        raise WrapError(
            f"under masks a sum of {records} records on {boards} boards may need {least + round_shift} bits, and there "
            f"are 32: take a smaller log2_sigma and clip_norm (such as {max(6, log2_sigma - (least - most))}; epsilon "
            "and log2_sigma fix clip_norm), or say mask_bits yourself, if records do not all pull the same way"
        )
    return round_shift, min(most, max(masking.BITS[0], least + 1))


def _fits(clip: int, log2_sigma: int, round_shift: int, records: int, boards: int, spread: int) -> bool:
    bits = max(masking.BITS[0], needed(clip, log2_sigma, round_shift, records, boards, spread))
    return bits + round_shift <= 32


def _mixing(boards: int, spread: int) -> int:
    """Bits below sigma of a grid on which weights that differ by `spread` mix the boards' noise (SPEC 10.6)."""
    squares = 4 * (1 + (boards - 1) * spread * spread)
    return -(-(squares - 1).bit_length() // 2)
