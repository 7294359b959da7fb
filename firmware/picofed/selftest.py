"""What a board can check of itself: known answers of the core, and the health of ledger and entropy source."""

import picofed_core as core

from .errors import check
from .platform import entropy

# PF-DG1, key 00..1f, m = 5 (sigma 64) and m = 13 (sigma 2^14): the specification's own vectors
_NOISE = (
    (6, (-46, -61, -26, 130, 39, -22, 17, -100, -21, 277, -17, 5, -75, 43, -11, -33)),
    (14, (-12000, -15686, -6708, 33375, 10112, -5879, 4519, -25715)),
)
_KEY = bytes(range(32))
# one softmax layer, 2 inputs and 2 outputs, everything trained
_MODEL = bytes((1, 0, 1, 0, 2, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0))


def _noise():
    from array import array

    for log2_sigma, wanted in _NOISE:
        out = array("i", wanted)
        for i in range(len(out)):
            out[i] = 0
        check(core.noise(_KEY, log2_sigma, out))
        if tuple(out) != wanted:
            return "sigma 2^%d" % log2_sigma
    return None


def _blake2b():
    # RFC 7693, appendix A
    out = bytearray(64)
    core.blake2b(out, b"", b"abc")
    return None if out[:8] == b"\xba\x80\xa5\x3f\x98\x1c\x4d\x0d" else "wrong digest"


def _chacha20():
    # RFC 8439, 2.3.2
    nonce = b"\0\0\0\x09\0\0\0\x4a\0\0\0\0"
    out = bytearray(64)
    core.chacha20(_KEY, nonce, 1, out)
    return None if out[:8] == b"\x10\xf1\xe7\xe4\xd1\x3b\x59\x15" else "wrong keystream"


def _frame():
    payload = bytes(range(256))
    out = bytearray(600)
    n = check(core.frame_encode(payload, out))
    if b"\x03" in bytes(out[:n]) or out[0] or out[n - 1]:
        return "wrong delimiters"
    inner = bytearray(out[1 : n - 1])
    length = check(core.frame_decode(inner, len(inner)))
    return None if inner[:length] == payload else "wrong payload"


def _training():
    """One record against what SPEC 2 gives by hand: weights 0, so p = 1/2; the noise of the key stays in the sum."""
    from array import array

    mem = bytearray(check(core.trainer_size(_MODEL, 0)))
    check(core.trainer_init(mem, _MODEL, 0))
    noise = array("i", bytes(24))
    check(core.noise(_KEY, 6, noise))
    check(core.trainer_begin(mem, _KEY, 6, (1 << 20) - 1))
    if core.trainer_examples(mem, b"\x40\xc0", b"\1", 1) >= 0:
        return "takes records before the noise"
    while check(core.trainer_fill(mem, 4)):
        pass
    check(core.trainer_examples(mem, b"\x40\xc0", b"\1", 1))
    # deltas +2048 and -2048; activations 64, -64, bias 128. The squared norm 2 2048^2 (2 64^2 + 128^2) is below C^2.
    wanted = [2048 * 64, -2048 * 64, -2048 * 64, 2048 * 64, 2048 * 128, -2048 * 128]
    out = bytearray(64)
    length = check(core.trainer_encode(mem, 0, out))
    core.trainer_wipe(mem)
    found = _decode(out[:length], 6)
    return None if found == [wanted[i] + noise[i] for i in range(6)] else "wrong sums"


def _decode(data, n):
    """Values of a payload (SPEC 7.6) with shift 0."""
    k = data[2]
    at = 24
    values = []
    for _ in range(n):
        high = 0
        while high < 24 and data[at >> 3] >> (at & 7) & 1:
            high += 1
            at += 1
        at += high < 24
        u = 0
        width = k if high < 24 else 32
        for bit in range(width):
            u |= (data[at >> 3] >> (at & 7) & 1) << bit
            at += 1
        if high < 24:
            u |= high << k
        values.append(-(u >> 1) - 1 if u & 1 else u >> 1)
    return values


def _entropy():
    check(core.entropy_condition(entropy(), bytearray(32)))


CHECKS = (
    ("blake2b", _blake2b),
    ("chacha20", _chacha20),
    ("noise", _noise),
    ("training", _training),
    ("frame", _frame),
    ("entropy", _entropy),
)


def run(board=None, checks=CHECKS):
    """[[name, passed, detail]]; board adds its ledger and its start."""
    found = []
    for name, function in checks:
        found.append(_line(name, function))
    if board is not None:
        found.append(_line("ledger", lambda: None if board.ledger_places(0, 1) else "no record"))
        found.append(_line("start", board.ready))
    return found


def _line(name, function):
    try:
        problem = function()
    except Exception as error:
        problem = "%s" % (getattr(error, "text", None) or type(error).__name__)
    return [name, problem is None, problem or "ok"]
