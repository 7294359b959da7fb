"""Dirac canaries through the compiled core: the worst records that a hostile host could hope for, in or out by a coin.

A canary is a record with one input that is not 0, at a place of its own. The host (which may choose the weights) makes
the prediction at that place as wrong as the format allows, upwards in one release and downwards in the next, so that
the record's whole clipped contribution, +C or -C, falls on one coordinate that no other record touches. Turning the
sign makes noise that is used twice cancel. Everything between the record and the released bytes is the core's own code:
seed store and ratchet, ledger, noise, forward and backward pass, clipping, accumulation, payload.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.learn.model import Model, Rectangle
from picofed.privacy.one_run import AuditError

COLUMNS = 1023  # canaries of a board: the widest model
ROWS = 3
WEIGHT = 255 * 64  # a prediction that is exact in Q12, of either sign
_DELTA_MAX = 16383


@dataclass(frozen=True)
class Setting:
    """What is audited. shift: of the payload's rounding (SPEC 7.6)."""

    clip_norm: int
    log2_sigma: int
    releases: int
    shift: int = 0


@dataclass(frozen=True)
class Board:
    """What one simulated board released, and what only the auditor knows.

    values: [releases, canaries] the canaries' coordinates, signs turned back; noise: [releases, places] what was
    released minus what the canaries should have added; units: what the board's ledger was charged.
    """

    included: NDArray[np.bool_]
    values: NDArray[np.float64]
    noise: NDArray[np.float64]
    units: int


def amplitude(clip_norm: int) -> int:
    """The input of a canary. The smaller, the finer the steps in which clipping can reach C; large enough that the
    contribution would be four times C without clipping, where the format allows that."""
    for value in range(1, 128):
        if min(_DELTA_MAX, 255 * value) * value >= 4 * clip_norm:
            return value
    return 127


def contribution(clip_norm: int) -> int:
    """What a canary adds to its coordinate, by SPEC 2.6 (the clipping of one delta of one layer)."""
    value = amplitude(clip_norm)
    delta = min(_DELTA_MAX, 255 * value)
    before = delta * value
    if before > clip_norm:
        delta = delta * ((clip_norm << 15) // before) >> 15
    return delta * value


class Seeds:
    """Secrets of the audited boards: the system's, or from a seed so that an audit repeats to the bit."""

    def __init__(self, seed: int | None) -> None:
        self.repeats = seed is not None
        self._root = secrets.token_bytes(32) if seed is None else native.blake2b(f"picofed audit {seed}".encode())

    def bytes(self, board: int, what: str, size: int = 32) -> bytes:
        return native.blake2b(f"{what} {board}".encode(), size, self._root)

    def coins(self, board: int, n: int) -> NDArray[np.bool_]:
        stream = native.chacha20(self.bytes(board, "coins"), bytes(12), 0, bytes(-(-n // 8)))
        return np.unpackbits(np.frombuffer(stream, np.uint8))[:n].astype(np.bool_)


def boards(setting: Setting, canaries: int, seed: int | None = None) -> Iterator[Board]:
    """Simulated boards, COLUMNS canaries each, until there are at least so many. Raises AuditError, CoreError."""
    added = contribution(setting.clip_norm)
    seeds = Seeds(seed)
    for number in range(-(-canaries // COLUMNS)):
        yield _board(setting, added, seeds, number)


def _board(setting: Setting, added: int, seeds: Seeds, number: int) -> Board:
    model = Model((COLUMNS, ROWS), "squared", (Rectangle(0, ROWS, 0, COLUMNS, bias=False),))
    trainer = native.Trainer(model.descriptor)
    columns = np.concatenate([np.arange(row, COLUMNS, ROWS) for row in range(ROWS)])  # in the order of their places
    places = (columns % ROWS) * COLUMNS + columns
    included = seeds.coins(number, COLUMNS)
    features = np.zeros((COLUMNS, COLUMNS), np.int8)
    features[np.arange(COLUMNS), columns] = amplitude(setting.clip_norm)
    records, targets = features[included], np.zeros((int(included.sum()), ROWS), np.int16)
    expected = np.zeros(ROWS * COLUMNS)
    expected[places[included]] = added

    store = native.MemoryFlash()
    native.Ratchet.provision(store, seeds.bytes(number, "secret"))
    ratchet = native.Ratchet(store, seeds.bytes(number, "entropy"), b"")
    charge = native.charge(setting.clip_norm, setting.log2_sigma)
    ledger_key, flash = seeds.bytes(number, "ledger"), native.MemoryFlash()
    native.Ledger.provision(flash, ledger_key)
    ledger = native.Ledger(flash, ledger_key, charge)

    values = np.empty((setting.releases, COLUMNS))
    noise = np.empty((setting.releases, ROWS * COLUMNS))
    for release in range(setting.releases):
        sign = -1 if release % 2 else 1
        weights = np.zeros(trainer.parameters, np.int16)
        weights[places] = sign * WEIGHT
        trainer.set_weights(weights)
        ledger.charge(setting.clip_norm, setting.log2_sigma, 1, 0, 2**32 - 2)
        trainer.begin(ratchet.next(release), setting.log2_sigma, setting.clip_norm)
        while trainer.fill(512):
            pass
        trainer.examples(records, targets)
        seen = native.update_decode(trainer.encode(setting.shift), ROWS * COLUMNS).astype(np.float64)
        values[release] = sign * seen[places]
        noise[release] = seen - sign * expected
    if not math.isfinite(float(values.sum())):  # cannot be: the payload is integers
        raise AuditError("the core released what is not a number")
    return Board(included, values, noise, ledger.cumulative)
