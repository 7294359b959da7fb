"""What one record changes in a release (privacy.neighbours), through emulated boards and their firmware.

A board draws fresh noise for each release, but an emulated one draws that of another if both have the same id, secret
and entropy. So a board with all records releases under some weights, and a board for each record that is left out
releases under the same: what differs is the record's share, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import accounting
from picofed.learn.job import Job
from picofed.learn.model import Model
from picofed.privacy.audited_board import audited_board
from picofed.privacy.canaries import Seeds, Setting
from picofed.privacy.neighbours import RECORDS, Neighbours, difference, hostile_weights, judge
from picofed.privacy.one_run import AuditError
from picofed.records import NO_LABEL, Session

ROUNDS: Final = 8  # of each board, each under weights of its own
_LABELS: Final = 7
_WINDOW: Final = 64
_INPUTS: Final = 45


def job_of(hidden: Sequence[int], setting: Setting) -> Job:
    """The usual job with hidden layers of these widths."""
    return Job(
        name="audit",
        model=Model.dense((_INPUTS, *hidden, _LABELS)),
        clip=setting.clip_norm,
        log2_sigma=setting.log2_sigma,
        window=_WINDOW,
        stride=_WINDOW,
        labels=_LABELS,
    )


def rounds(setting: Setting) -> int:
    """Of each board: fewer where a ledger cannot count ROUNDS."""
    return min(ROUNDS, accounting.UNITS_MAX // accounting.charge(setting.clip_norm, setting.log2_sigma))


def measure(
    kind: str, job: Job, setting: Setting, seed: int | None, progress: Callable[[int, int], None] | None = None
) -> Neighbours:
    """Through this job's model, features and targets, its releases in the clear and not rounded: masks and rounding
    come after what is compared. progress: told of every release and how many there are."""
    job = replace(
        job,
        clip=setting.clip_norm,
        log2_sigma=setting.log2_sigma,
        round_shift=0,
        mode="gradient",
        steps=1,
        multiplier=0,
        shift=0,
        mask_bits=0,
        masks="",
    )
    seeds = Seeds(seed)
    generator = np.random.default_rng(list(seeds.bytes(0, "neighbours on boards")))
    sessions = _recordings(job, generator)
    weights = [hostile_weights(job.model, generator, turn) for turn in range(rounds(setting))]
    done, total = 0, (RECORDS + 1) * len(weights) + 1

    if progress is not None:
        progress(0, total)

    def released(sessions: Sequence[Session], weights: Sequence[NDArray[np.int64]]) -> list[NDArray[np.uint32]]:
        nonlocal done
        secret, entropy = (seeds.bytes(0, f"neighbours' {what}") for what in ("secret", "entropy"))
        found = []
        with audited_board(kind, bytes(8), job, sessions, rounds(setting), secret, entropy) as board:
            for each in weights:
                found.append(board.release(each).view(np.uint32))
                done += 1
                if progress is not None:
                    progress(done, total)
        return found

    whole = released(sessions, weights)
    without = [released(sessions[:one] + sessions[one + 1 :], weights) for one in range(RECORDS)]
    if not np.array_equal(released(sessions, weights[:1])[0], whole[0]):
        raise AuditError(f"two {kind} boards with the same entropy release different noise: nothing can be subtracted")
    changes = [difference(*pair) for releases in without for pair in zip(whole, releases, strict=True)]
    return judge([(job.model, changes)], setting.clip_norm)


def _recordings(job: Job, generator: np.random.Generator) -> list[Session]:
    """A window each: nothing, all that a sensor can say, one channel alone, and ordinary ones, weak to strong."""
    shape = (RECORDS, job.window, job.channels)
    samples = generator.normal(0, 1, shape) * 2.0 ** generator.uniform(4, 14, (RECORDS, 1, job.channels))
    samples[0] = 0
    samples[1] = np.where(samples[1] < 0, -32768, 32767)
    samples[2, :, 1:] = 0
    labels = generator.integers(0, job.labels, RECORDS) if job.labels else np.full(RECORDS, NO_LABEL)
    limited = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return [Session(window, int(label)) for window, label in zip(limited, labels, strict=True)]
