"""The audit's canaries (privacy.canaries) through emulated boards.

A record is a window of zeros but for one sample, which "blocks" turns into one input that is not 0; "next" asks for no
change after it, so that the prediction, which the weights choose, is the whole error. The last block of inputs would
move the target and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import records
from picofed.learn.job import Job
from picofed.learn.model import Model, Rectangle
from picofed.privacy.audited_board import audited_board
from picofed.privacy.canaries import WEIGHT, Board, Seeds, Setting, amplitude, contribution

WINDOW: Final = 64  # samples, and blocks, of a record
CHANNELS: Final = 6
ROWS: Final = 3  # trained, of the 6 outputs
COLUMNS: Final = CHANNELS * (WINDOW - 1)
CANARIES: Final = COLUMNS - CHANNELS  # of a board

Progress = Callable[[int, int], None]  # releases so far, releases of all boards


def boards(
    kind: str, setting: Setting, canaries: int, seed: int | None = None, progress: Progress | None = None
) -> Iterator[Board]:
    """Emulated boards of a kind, one after the other, CANARIES canaries each, until there are at least so many."""
    seeds, count = Seeds(seed), -(-canaries // CANARIES)
    for number in range(count):

        def tell(done: int, number: int = number) -> None:
            if progress is not None:
                progress(number * setting.releases + done, count * setting.releases)

        tell(0)
        yield _board(kind, setting, seeds, number, tell)


def job_of(setting: Setting) -> Job:
    """What boards are asked to learn."""
    return Job(
        name="audit",
        model=Model((COLUMNS, CHANNELS), "squared", (Rectangle(0, ROWS, 0, COLUMNS, bias=False),)),
        clip=setting.clip_norm,
        log2_sigma=setting.log2_sigma,
        round_shift=setting.shift,
        features="blocks",
        target="next",
        window=WINDOW,
        stride=WINDOW,
        block=1,
        horizon=1,
        labels=0,
    )


def recordings(columns: NDArray[np.int64], value: int) -> records.Session:
    """A record for each of these inputs, in which it alone is `value` (64 counts of a sensor each, SPEC 8.4)."""
    samples = np.zeros((len(columns) * WINDOW, CHANNELS), np.int16)
    samples[np.arange(len(columns)) * WINDOW + columns // CHANNELS, columns % CHANNELS] = 64 * value
    return records.Session(samples, 255)


def _board(kind: str, setting: Setting, seeds: Seeds, number: int, tell: Callable[[int], None]) -> Board:
    job = job_of(setting)
    columns = np.concatenate([np.arange(row, CANARIES, ROWS) for row in range(ROWS)])  # in the order of their places
    places = (columns % ROWS) * COLUMNS + columns
    included = seeds.coins(number, CANARIES)
    expected = np.zeros(ROWS * COLUMNS)
    expected[places[included]] = contribution(setting.clip_norm)

    session = recordings(columns[included], amplitude(setting.clip_norm))
    values = np.empty((setting.releases, CANARIES))
    noise = np.empty((setting.releases, ROWS * COLUMNS))
    secret = seeds.bytes(number, "secret")
    entropy = seeds.bytes(number, "entropy") if seeds.repeats else None
    ident = (number + 1).to_bytes(8, "big")
    with audited_board(kind, ident, job, [session], setting.releases, secret, entropy) as board:
        for release in range(setting.releases):
            sign = -1 if release % 2 else 1
            trained = np.zeros(job.model.parameters, np.int16)
            trained[places] = sign * WEIGHT
            seen = board.release(trained).astype(np.float64)
            values[release] = sign * seen[places]
            noise[release] = seen - sign * expected
            tell(release + 1)
        units = board.spent()
    return Board(included, values, noise, units)
