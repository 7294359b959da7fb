"""What the owner allows this board to do at most, and how a board knows that it was the owner (SPEC 6.7)."""

import picofed_core as core
from micropython import const

from . import cbor
from .errors import ARGUMENT, POLICY, PicofedError, plain
from .keys import is_weak

OPEN = const(0)  # of Policy.link
ENCRYPTED = const(2)
LARGEST = const(512)  # boards of a cohort without a helper

_WORD = 0xFFFFFFFF


def take(item, what, fields, optional=()):
    """Check that `item` is a map with exactly these fields, {name: type}; ints must be unsigned and below 2^32.
    Those that are `optional` may be absent."""
    if type(item) is not dict:
        raise PicofedError(ARGUMENT, what + " is not a map")
    for name in item:
        if name not in fields:
            raise PicofedError(ARGUMENT, "%s has an unknown field %s" % (what, plain(name)))
    for name in fields:
        if name not in item:
            if name in optional:
                continue
            raise PicofedError(ARGUMENT, "%s lacks %s" % (what, name))
    for name, value in item.items():
        kind = fields[name]
        if type(value) is not kind or (kind is int and not 0 <= value <= _WORD):
            raise PicofedError(ARGUMENT, "%s: %s is not as specified" % (what, name))


_FIELDS = {
    "v": int,
    "board": bytes,
    "name": str,
    "budget": int,
    "max_charge": int,
    "min_log2_sigma": int,
    "max_clip": int,
    "max_parameters": int,
    "losses": list,
    "modes": list,
    "features": list,
    "number": int,
    "helper": bytes,
    "cohort": int,
    "link": int,
    "honest": int,
    "peers": int,
}
_OPTIONAL = ("honest", "peers")


def genuine(data, signature, owner):
    """Raise PicofedError unless the owner signed these bytes as a policy."""
    if len(signature) != 64 or core.eddsa_check(signature, owner, b"picofed policy" + data) != 0:
        raise PicofedError(POLICY, "the policy is not signed by this board's owner")


def _refuse(what):
    raise PicofedError(ARGUMENT, "policy: %s is not as specified" % what)


class Policy:
    """A checked policy; data: its bytes. budget, max_charge: units of 2^-24 mu^2."""

    def __init__(self, data):
        try:
            item = cbor.loads(data)
        except PicofedError as error:
            raise PicofedError(ARGUMENT, "policy: " + error.text) from None
        take(item, "policy", _FIELDS, _OPTIONAL)
        if item["v"] != 2:
            raise PicofedError(ARGUMENT, "policy of an unknown version")
        self.honest = item.get("honest", 1)
        peers = item.get("peers", 0)
        if len(item["board"]) != 8 or not 1 <= len(item["name"].encode()) <= 32:
            _refuse("board or name")
        if not 1 <= item["max_charge"] <= item["budget"]:
            _refuse("budget or max_charge")
        if not 6 <= item["min_log2_sigma"] <= 25 or not 1 <= item["max_clip"] < 1 << 20 or not item["max_parameters"]:
            _refuse("min_log2_sigma, max_clip or max_parameters")
        if item["link"] > ENCRYPTED or not item["cohort"]:
            _refuse("link or cohort")
        if len(item["helper"]) not in (0, 32) or (item["helper"] and is_weak(item["helper"])):
            _refuse("helper")
        if "honest" in item and not (2 <= self.honest <= item["cohort"] and item["helper"]):
            _refuse("honest")
        if "peers" in item and not (3 <= peers <= LARGEST and item["link"] != OPEN):
            _refuse("peers")
        for name, kind in (("losses", int), ("modes", int), ("features", str)):
            for value in item[name]:
                if type(value) is not kind or (kind is int and not 0 <= value <= _WORD):
                    _refuse(name)
        self.helper = item["helper"] or None
        self.peers = max(peers, item["cohort"]) if peers else 0  # fewest boards of a cohort without a helper
        self.item = item
        self.data = data
        self.number = item["number"]
        self.link = item["link"]
        self.board = item["board"]
        self.name = item["name"]
        self.budget = item["budget"]
        self.max_charge = item["max_charge"]

    def follows(self, old):
        """Refuse a policy that is not newer than `old` (or None), unless it is the very same."""
        if old is not None and self.data != old.data and self.number <= old.number:
            raise PicofedError(POLICY, "policy %d is not newer than %d" % (self.number, old.number))

    def check(self, job, charge):
        """Refuse what the policy forbids, and say what. charge: units that a release of the job costs."""
        item = self.item
        floor = item["min_log2_sigma"]
        if job.mask_bits and not job.pairwise:
            # a share of the noise: honest 4^log2_sigma >= 4^min_log2_sigma (a helper makes sure of the sum)
            boards = self.honest
            while boards >= 4:
                floor -= 1
                boards >>= 2
        # whatever the policy says, a release below sigma = 2^6 has no proof
        floor = max(6, floor)
        if item["cohort"] > 1 and not job.mask_bits:
            self._forbid("updates outside a cohort of %d: the job has no masks" % item["cohort"])
        if job.log2_sigma < floor:
            self._forbid("log2_sigma %d, at least %d" % (job.log2_sigma, floor))
        if job.clip > item["max_clip"]:
            self._forbid("clip %d, at most %d" % (job.clip, item["max_clip"]))
        if job.parameters > item["max_parameters"]:
            self._forbid("%d parameters, at most %d" % (job.parameters, item["max_parameters"]))
        if job.loss not in item["losses"]:
            self._forbid("loss %d" % job.loss)
        if job.mode not in item["modes"]:
            self._forbid("mode %d" % job.mode)
        if job.features not in item["features"]:
            self._forbid("features " + job.features)
        if job.pairwise:
            if not self.peers:
                self._forbid("pairwise masks: it has no peers")
        elif job.mask_bits and self.helper is None:
            self._forbid("masked jobs: it names no helper")
        if charge > self.max_charge:
            self._forbid("charge %d, at most %d" % (charge, self.max_charge))

    def _forbid(self, what):
        raise PicofedError(POLICY, "the policy forbids " + what)
