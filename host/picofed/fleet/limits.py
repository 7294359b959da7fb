"""The largest model that a kind of board can train: from its memory, by the core's own size functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from picofed.errors import PicofedError
from picofed.fleet.catalog import Kind
from picofed.learn.model import WIDTH_MAX, Model
from picofed.link.messages import PAYLOAD_MAX
from picofed.native import Trainer

INPUTS: Final = 45  # imu45
OUTPUTS: Final = 7
_CHANNELS, _WINDOW, _BATCH = 6, 128, 8  # of the firmware's train.py; the longest window
_UPDATE_FIXED: Final = 40 + 3 + 16  # header, payload's head, tag (SPEC 6.6, 7.6)


@dataclass(frozen=True)
class Limit:
    """widths: of the network; parameters: all of them trained; bytes: of heap, while it is trained."""

    widths: tuple[int, ...]
    parameters: int
    bytes: int


def job_bytes(model: Model) -> tuple[int, int]:
    """Heap that a job takes while it runs, and the weights object that must fit into half of what is left then."""
    trainer = Trainer(model.descriptor)
    update = _UPDATE_FIXED + (34 * trainer.trainable + 7) // 8
    buffers = 2 * _CHANNELS * _WINDOW + _BATCH * (trainer.inputs + 1)
    return trainer.size + update + buffers, 16 + 2 * trainer.parameters


def fits(model: Model, kind: Kind) -> bool:
    """Whether a kind of board can train this model."""
    try:
        job, weights = job_bytes(model)
    except PicofedError:  # it leaves the proven ranges
        return False
    memory = kind.memory
    return job <= memory.for_jobs and 2 * weights <= memory.heap - memory.firmware_heap - job


def largest(kind: Kind, inputs: int = INPUTS, outputs: int = OUTPUTS) -> Limit:
    """The largest network with one hidden layer for this kind; without one if that does not fit."""
    low, high = 0, WIDTH_MAX
    while low < high:
        middle = (low + high + 1) // 2
        if fits(Model.dense((inputs, middle, outputs)), kind):
            low = middle
        else:
            high = middle - 1
    widths: Sequence[int] = (inputs, low, outputs) if low else (inputs, outputs)
    model = Model.dense(tuple(widths))
    return Limit(tuple(widths), model.parameters, job_bytes(model)[0])


def frame() -> int:
    """Payload bytes of the largest frame (SPEC 6.1): the same on every board."""
    return PAYLOAD_MAX
