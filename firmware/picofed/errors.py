"""The one exception of the firmware, and the error codes of SPEC 1.3 (core) and 6.2 (link)."""

from micropython import const

ARGUMENT = const(-1)
RANGE = const(-2)
MEMORY = const(-3)
STATE = const(-4)
BUDGET = const(-5)
BLANK = const(-6)
FLASH = const(-7)
ENTROPY = const(-8)
FRAME = const(-9)
CORRUPT = const(-10)
MESSAGE = const(-20)
POLICY = const(-21)
UNKNOWN = const(-22)
BUSY = const(-23)
RECORDS = const(-24)
SPACE = const(-25)
AUTHENTICATION = const(-26)

_TEXTS = {
    ARGUMENT: "argument out of range",
    RANGE: "model leaves the proven ranges",
    MEMORY: "buffer too small",
    STATE: "out of order",
    BUDGET: "privacy budget used up",
    BLANK: "not provisioned",
    FLASH: "flash did not hold what was written",
    ENTROPY: "entropy source failed its health test",
    FRAME: "malformed data",
    CORRUPT: "flash was not written with this board's key",
    MESSAGE: "not a message of this protocol",
    POLICY: "forbidden by the policy",
    UNKNOWN: "not known here",
    BUSY: "a round is under way",
    RECORDS: "no usable records for this job",
    SPACE: "storage or memory is full",
    AUTHENTICATION: "not authenticated",
}
_ENOSPC = const(28)


class PicofedError(Exception):
    """code: a negative number of the tables above; text: one line for people."""

    def __init__(self, code, text=""):
        super().__init__(code, text)
        self.code = code
        self.text = text or _TEXTS.get(code, "error")


def check(result, what=""):
    """`result` of a function of picofed_core; raises PicofedError if it is an error code."""
    if type(result) is int and result < 0:
        text = _TEXTS.get(result, "error")
        raise PicofedError(result, what + ": " + text if what else text)
    return result


def plain(text, limit=40):
    """Foreign text made fit for an error message: printable ASCII, at most `limit` characters."""
    # by bytes: MicroPython keeps every character that was ever a string of its own
    data = bytearray(text[:limit].encode())
    for i in range(len(data)):
        if not 32 <= data[i] < 127:
            data[i] = 63
    return data.decode()


def explain(error):
    """(code, text) for any exception, for an answer on the link."""
    if isinstance(error, PicofedError):
        return error.code, error.text
    if isinstance(error, MemoryError):
        return SPACE, "out of memory"
    if isinstance(error, OSError):
        if error.errno == _ENOSPC:
            return SPACE, "the file system is full"
        return FLASH, "file error %s" % error.errno
    return STATE, plain("%s: %s" % (type(error).__name__, error), 80)
