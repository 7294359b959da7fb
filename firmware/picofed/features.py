"""From windows of samples to records: input activations, and targets that the window itself holds (SPEC 8)."""

import picofed_core as core

from .errors import ARGUMENT, PicofedError, check

SHORTEST = 16
LONGEST = 128
CHANNELS = 6
LAYERS = 4  # of convolution
NAMES = ("imu45", "blocks", "convolution")
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
    if bool(job.filters) != (job.features == "convolution"):
        _refuse("filters do not go with " + job.features)
    if job.filters:
        if job.target != LABEL or job.horizon:
            _refuse("convolution does not go with target " + job.target)
        return _layers(job)[1][-1], 0
    if (job.target == NEXT) != (job.horizon > 0) or (job.horizon and job.features != "blocks") or inputs <= 0:
        _refuse("horizon of %d blocks does not go with target %s" % (job.horizon, job.target))
    return inputs, inputs if job.target == SELF else CHANNELS * job.horizon


def _layers(job):
    """(steps, channels and bytes of each layer, number of outputs of each) of a job's convolutions (SPEC 8.6)."""
    data = memoryview(job.filters)
    steps, channels = job.window // job.block, CHANNELS
    layers, counts = [], []
    while data:
        end = 5 + data[2] * (data[0] * channels + 1) if len(data) >= 5 else 5
        layer = data[:end]
        if len(layers) == LAYERS or len(layer) < end:
            _refuse("filters are malformed")
        count = core.convolution(None, steps, channels, layer, None)
        if count < 0:
            _refuse("filters are malformed, or too wide for the window")
        layers.append((steps, channels, layer))
        counts.append(count)
        channels = layer[2]
        steps = count // channels
        data = data[end:]
    return layers, counts


def _refuse(why):
    raise PicofedError(ARGUMENT, "job: " + why)


class Front:
    """Makes a job's records. Holds values of the last one until wipe()."""

    def __init__(self, job):
        self._job = job
        self._inputs = sizes(job)[0]
        self._points = bytearray(CHANNELS * (job.window // job.block)) if job.block else b""
        self._inside = memoryview(self._points)
        self._layers, counts = _layers(job) if job.filters else ((), (0,))
        self._between = [bytearray(count) for count in counts[:-1]]  # what one layer hands to the next

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
        if self._layers:
            self._convolve(row)
            return
        inside = self._inside
        n = self._inputs
        row[:] = inside[:n]
        if job.target == NEXT:
            check(core.targets(inside[n:], inside[n - CHANNELS : n], target), "targets")

    def _convolve(self, row):
        values = self._points
        last = len(self._layers) - 1
        for i in range(last + 1):
            steps, channels, layer = self._layers[i]
            out = row if i == last else self._between[i]
            check(core.convolution(values, steps, channels, layer, out), "features")
            values = out

    def wipe(self):
        """Overwrite what came from records."""
        if self._points:
            core.trainer_wipe(self._points)
        for values in self._between:
            core.trainer_wipe(values)
