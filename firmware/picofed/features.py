"""From windows of samples to records: input activations, and targets that the window itself holds (SPEC 8)."""

import picofed_core as core

from .errors import ARGUMENT, PicofedError, check

SHORTEST = 16
LONGEST = 128
CHANNELS = 6
NAMES = ("imu45", "blocks")
LABEL = "label"
NEXT = "next"
SELF = "self"
TARGETS = (LABEL, NEXT, SELF)


def sizes(job):
    """(inputs, outputs) of a job's records; outputs 0: a class. Raises PicofedError for features that cannot be."""
    if job.features == "imu45":
        if job.block:
            _refuse("imu45 has no blocks")
        inputs = 45
    elif not job.block or job.window % job.block:
        _refuse("window of %d samples is no multiple of block %d" % (job.window, job.block))
    else:
        inputs = CHANNELS * (job.window // job.block - job.horizon)
    if (job.target == NEXT) != (job.horizon > 0) or (job.horizon and job.features != "blocks") or inputs <= 0:
        _refuse("horizon of %d blocks does not go with target %s" % (job.horizon, job.target))
    return inputs, inputs if job.target == SELF else CHANNELS * job.horizon


def _refuse(why):
    raise PicofedError(ARGUMENT, "job: " + why)


class Front:
    """Makes a job's records. Holds values of the last one until wipe()."""

    def __init__(self, job):
        self._job = job
        self._inputs = sizes(job)[0]
        self._points = bytearray(self._inputs + CHANNELS * job.horizon) if job.features == "blocks" else b""
        self._inside = memoryview(self._points)

    def record(self, window, row, target):
        """window: bytes of int16 samples; row: room for the inputs; target: room for the outputs, if there are any."""
        job = self._job
        if job.features == "imu45":
            check(core.features_imu(window, job.window, row), "features")
        else:
            self._blocks(window, row, target)
        if job.target == SELF:
            check(core.targets(row, b"", target), "targets")

    def _blocks(self, window, row, target):
        job = self._job
        seen = job.window - job.horizon * job.block
        check(core.features_blocks(window, job.window, job.block, seen, self._points), "features")
        inside = self._inside
        n = self._inputs
        row[:] = inside[:n]
        if job.target == NEXT:
            check(core.targets(inside[n:], inside[n - CHANNELS : n], target), "targets")

    def wipe(self):
        """Overwrite what came from records."""
        if self._points:
            core.trainer_wipe(self._points)
