"""What turns windows into records: input activations, and targets that the window itself holds (SPEC 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.errors import PicofedError
from picofed.learn import convolution

if TYPE_CHECKING:
    from picofed.learn.job import Job

CHANNELS: Final = 6
SHORTEST, LONGEST = 16, 128  # samples of a window
FEATURES: Final = ("imu45", "blocks", "convolution")
TARGETS: Final = ("label", "next", "self")


class FrontError(PicofedError):
    """Features or targets that cannot be."""


def sizes(
    features: str, target: str, window: int, block: int, horizon: int, shapes: Sequence[convolution.Shape] = ()
) -> tuple[int, int]:
    """(inputs, outputs) of a job's records; outputs 0: a class. Raises FrontError in words for the user."""
    if features not in FEATURES:
        raise FrontError(f"features {features!r} are not known: use one of {', '.join(FEATURES)}")
    if target not in TARGETS:
        raise FrontError(f"target {target!r} is not known: use one of {', '.join(TARGETS)}")
    if not SHORTEST <= window <= LONGEST:
        raise FrontError(f"a window of {features} has {SHORTEST} to {LONGEST} samples, not {window}")
    if (target == "next") != (horizon > 0):
        raise FrontError('horizon, blocks to foretell, belongs to target = "next", which needs at least 1')
    if bool(shapes) != (features == "convolution"):
        raise FrontError('features = "convolution" and the layers of a convolution go with each other')
    if features == "imu45":
        if block or horizon:
            raise FrontError("imu45 has no blocks: leave block and horizon out, or choose features = 'blocks'")
        return 45, 45 if target == "self" else 0
    if not 1 <= block <= window or window % block:
        raise FrontError(f"a window of {window} samples must be a whole number of blocks: block {block} does not fit")
    if features == "convolution":
        if target != "label":
            raise FrontError(f"features of a convolution are learnt from with labels, not with target {target!r}")
        try:
            return convolution.outputs(shapes, window // block), 0
        except convolution.ConvolutionError as error:
            raise FrontError(str(error)) from error
    inputs = CHANNELS * (window // block - horizon)
    if inputs <= 0:
        raise FrontError(f"a horizon of {horizon} leaves none of the {window // block} blocks to foretell from")
    return inputs, inputs if target == "self" else CHANNELS * horizon


def record(job: Job, samples: NDArray[np.int16]) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
    """Inputs, and targets in Q12 (none where the target is the label), of one window, by the compiled core."""
    nothing = np.empty(0, np.int16)
    if job.features == "imu45":
        features = native.features_imu(samples)
        return features, native.targets(features) if job.target == "self" else nothing
    points = native.features_blocks(samples, job.block, job.window - job.horizon * job.block)
    if job.features == "convolution":
        channels = CHANNELS
        for layer in job.layers:
            points = native.convolution(points, channels, layer.data)
            channels = layer.shape.filters
        return points, nothing
    inputs = job.model.widths[0]
    if job.target == "next":
        return points[:inputs], native.targets(points[inputs:], points[inputs - CHANNELS : inputs])
    return points, native.targets(points) if job.target == "self" else nothing


def records(job: Job, windows: Sequence[Any]) -> tuple[NDArray[np.int8], NDArray[np.int16] | None]:
    """Inputs [n, inputs] and targets [n, outputs] of many windows."""
    made = [record(job, samples) for samples in windows]
    features = np.array([each for each, _ in made], np.int8).reshape(len(made), job.model.widths[0])
    if job.target == "label":
        return features, None
    return features, np.array([each for _, each in made], np.int16).reshape(len(made), job.model.widths[-1])
