"""From windows of samples to records: input activations, and targets that the window itself holds (SPEC 8)."""

from array import array

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
        return _layers(job)[-1], 0
    if (job.target == NEXT) != (job.horizon > 0) or (job.horizon and job.features != "blocks") or inputs <= 0:
        _refuse("horizon of %d blocks does not go with target %s" % (job.horizon, job.target))
    return inputs, inputs if job.target == SELF else CHANNELS * job.horizon


def _layers(job):
    """Number of outputs of each of a job's layers of convolution (SPEC 8.6)."""
    data = memoryview(job.filters)
    steps, channels = job.window // job.block, CHANNELS
    counts = []
    while data:
        end = 5 + data[2] * (data[0] * channels + 1) if len(data) >= 5 else 5
        layer = data[:end]
        if len(counts) == LAYERS or len(layer) < end:
            _refuse("filters are malformed")
        count = core.convolution(None, steps, channels, layer, None)
        if count < 0:
            _refuse("filters are malformed, or too wide for the window")
        counts.append(count)
        channels = layer[2]
        steps = count // channels
        data = data[end:]
    return counts


def _refuse(why):
    raise PicofedError(ARGUMENT, "job: " + why)


class Front:
    """Makes a job's records. words: of the core's pf_front, the last is how many records it put together. Holds values
    of one until wipe()."""

    def __init__(self, job):
        inputs = sizes(job)[0]
        self.filters = job.filters
        self.words = array(
            "I",
            (
                NAMES.index(job.features),
                TARGETS.index(job.target),
                job.window,
                job.block,
                job.horizon,
                inputs,
                job.labels,
                0,
            ),
        )
        between = sum(_layers(job)[:-1]) if job.filters else 0
        # what blocks are, and what one layer hands to the next
        self.scratch = bytearray(CHANNELS * (job.window // job.block) + between if job.block else 0)

    def record(self, window, row, target):
        """window: bytes of int16 samples; row: room for the inputs; target: room for the outputs, if there are any."""
        check(core.front_record(self.words, self.filters, window, row, target, self.scratch), "features")

    def wipe(self):
        """Overwrite what came from records."""
        core.trainer_wipe(self.scratch)
