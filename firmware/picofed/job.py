"""What the host asks boards to learn (SPEC 6.4), checked."""

import struct

import picofed_core as core

from . import cbor
from .errors import ARGUMENT, MESSAGE, PicofedError, check, plain
from .features import CHANNELS, LABEL, LONGEST, NAMES, SHORTEST, TARGETS, sizes
from .policy import take

LIMIT = 2048  # bytes of a job
_FIELDS = {
    "v": int,
    "name": str,
    "model": bytes,
    "mode": int,
    "steps": int,
    "clip": int,
    "log2_sigma": int,
    "round_shift": int,
    "multiplier": int,
    "shift": int,
    "features": str,
    "unit": str,
    "window": int,
    "stride": int,
    "channels": int,
    "labels": int,
    "target": str,
    "block": int,
    "horizon": int,
    "mask_bits": int,
    "masks": str,
    "filters": bytes,
}
# and what they are when absent
_OPTIONAL = {"mask_bits": 0, "masks": "", "target": LABEL, "block": 0, "horizon": 0, "filters": b""}
GRADIENT = 0
LOCAL = 1


def _widths(model):
    """Widths of the layers of a descriptor (SPEC 7.1); what is wrong deeper inside, the core finds."""
    if len(model) < 8 or model[0] != 1 or not 1 <= model[2] <= 8 or len(model) < 6 + 2 * model[2]:
        _refuse("model descriptor is malformed")
    return [model[i] | model[i + 1] << 8 for i in range(4, 6 + 2 * model[2], 2)]


def _refuse(why):
    raise PicofedError(ARGUMENT, "job: " + why)


class Job:
    """A checked job; the attributes have the names of SPEC 6.4. id: 8 bytes; loss: 0 softmax, 1 squared error;
    parameters: of the whole model."""

    def __init__(self, data):
        try:
            item = cbor.loads(data)
        except PicofedError as error:
            if error.code == MESSAGE:
                _refuse(error.text)
            raise
        take(item, "job", _FIELDS, _OPTIONAL)
        if item["v"] != 1:
            _refuse("unknown version")
        ident = bytearray(8)
        core.blake2b(ident, b"", data)
        self.id = bytes(ident)
        self.model = item["model"]
        self.mode = item["mode"]
        self.steps = item["steps"]
        self.clip = item["clip"]
        self.log2_sigma = item["log2_sigma"]
        self.round_shift = item["round_shift"]
        self.multiplier = item["multiplier"]
        self.shift = item["shift"]
        self.features = item["features"]
        self.window = item["window"]
        self.stride = item["stride"]
        self.channels = item["channels"]
        self.labels = item["labels"]
        self.mask_bits = item.get("mask_bits", 0)
        self.pairwise = "masks" in item  # no helper (SPEC 11)
        self.target = item.get("target", LABEL)
        self.block = item.get("block", 0)
        self.horizon = item.get("horizon", 0)
        self.filters = item.get("filters", b"")
        self._check(item["unit"])
        if "mask_bits" in item:
            self._check_masks()
        if self.pairwise and (item["masks"] != "pairwise" or not self.mask_bits):
            _refuse("masks are pairwise, and come with mask_bits")

    def _check(self, unit):
        if self.features not in NAMES:
            _refuse("unknown features " + plain(self.features))
        if unit != "window":
            _refuse("unknown unit " + plain(unit))
        if self.target not in TARGETS:
            _refuse("unknown target " + plain(self.target))
        widths = _widths(self.model)
        self.loss = self.model[1]
        self.inputs, self.outputs = widths[0], widths[-1]
        self.parameters = sum([(widths[i] + 1) * widths[i + 1] for i in range(len(widths) - 1)])
        if self.channels != CHANNELS:
            _refuse("%s takes %d channels" % (self.features, CHANNELS))
        if not SHORTEST <= self.window <= LONGEST:
            _refuse("window of %d samples, %s takes %d to %d" % (self.window, self.features, SHORTEST, LONGEST))
        inputs, outputs = sizes(self)
        if widths[0] != inputs:
            _refuse("%s gives %d inputs, the model takes %d" % (self.features, inputs, widths[0]))
        if self.target == LABEL:
            if widths[-1] != self.labels:
                _refuse("%d outputs for %d labels" % (widths[-1], self.labels))
            if self.loss != 0:
                # a label is a class; it is no target for squared error
                _refuse("only the softmax loss can be learnt from labels")
        elif widths[-1] != outputs:
            _refuse("%d outputs, target %s has %d" % (widths[-1], self.target, outputs))
        elif self.loss != 1:
            _refuse("target %s is learnt with squared error" % self.target)
        if self.stride < self.window:
            _refuse("windows overlap, but the window is the unit of privacy")
        if self.stride > 0xFFFF:
            _refuse("stride is above 65535")
        if self.round_shift > 30:
            _refuse("round_shift is above 30")
        if self.mode == GRADIENT:
            if self.steps != 1 or self.multiplier or self.shift:
                _refuse("gradient mode has 1 step, no multiplier and no shift")
        elif self.mode == LOCAL:
            if not 1 <= self.steps <= 4095 or not 1 <= self.multiplier <= 0xFFFF or self.shift > 40:
                _refuse("steps, multiplier or shift are out of range")
        else:
            _refuse("unknown mode")
        if not 1 <= self.clip < 1 << 20 or self.log2_sigma > 25:
            _refuse("clip or log2_sigma is out of range")

    def _check_masks(self):
        if not 8 <= self.mask_bits <= 32 or self.mask_bits + self.round_shift > 32:
            _refuse("mask_bits, or its sum with round_shift, is out of range")
        if self.round_shift + 2 > self.log2_sigma or self.mode != GRADIENT:
            _refuse("masks need gradient mode and a round_shift of at most log2_sigma - 2")

    def trainer_size(self, frozen=False):
        """Bytes that a trainer needs; refuses a model that the core refuses. frozen: with the weights that are not
        trained in an image (frozen.Image)."""
        size = core.trainer_frozen_size if frozen else core.trainer_size
        return check(size(self.model, self.mode), "job: model")

    def trainable(self):
        """Number of trained parameters, of a model that trainer_size took (SPEC 7.1)."""
        total = 0
        for at in range(6 + 2 * self.model[2], len(self.model), 10):
            top, bottom, left, right, bias = struct.unpack_from("<4HB", self.model, at)
            total += (bottom - top) * (right - left + bias)
        return total

    def charge(self):
        """Units of 2^-24 mu^2 that one release of this job costs; 2^32 - 1 if no budget could hold it."""
        return core.charge(self.clip, self.log2_sigma, self.steps)
