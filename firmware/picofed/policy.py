"""What the owner allows this board to do at most (SPEC 6.7)."""

from .errors import ARGUMENT, POLICY, PicofedError, plain

_WORD = 0xFFFFFFFF


def take(item, what, fields):
    """Check that `item` is a map with exactly these fields, {name: type}; ints must be unsigned and below 2^32."""
    if type(item) is not dict:
        raise PicofedError(ARGUMENT, what + " is not a map")
    for name in item:
        if name not in fields:
            raise PicofedError(ARGUMENT, "%s has an unknown field %s" % (what, plain(name)))
    for name, kind in fields.items():
        if name not in item:
            raise PicofedError(ARGUMENT, "%s lacks %s" % (what, name))
        value = item[name]
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
}


class Policy:
    """A checked policy. budget, max_charge: units of 2^-24 mu^2."""

    def __init__(self, item):
        take(item, "policy", _FIELDS)
        if item["v"] != 1:
            raise PicofedError(ARGUMENT, "policy of an unknown version")
        if len(item["board"]) != 8 or len(item["name"]) > 40:
            raise PicofedError(ARGUMENT, "policy: board or name is not as specified")
        if item["max_charge"] > item["budget"]:
            raise PicofedError(ARGUMENT, "policy: max_charge is above the budget")
        for name, kind in (("losses", int), ("modes", int), ("features", str)):
            for value in item[name]:
                if type(value) is not kind:
                    raise PicofedError(ARGUMENT, "policy: %s is not as specified" % name)
        self.item = item
        self.board = item["board"]
        self.name = item["name"]
        self.budget = item["budget"]
        self.max_charge = item["max_charge"]

    def check(self, job, charge):
        """Refuse what the policy forbids, and say what. charge: units that a release of the job costs."""
        item = self.item
        # whatever the policy says, a release below sigma = 2^6 has no proof
        floor = max(6, item["min_log2_sigma"])
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
        if charge > self.max_charge:
            self._forbid("charge %d, at most %d" % (charge, self.max_charge))

    def _forbid(self, what):
        raise PicofedError(POLICY, "the policy forbids " + what)
