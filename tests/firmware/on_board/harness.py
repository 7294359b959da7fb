# What the check_*.py programs share. main() runs every function of a program whose name begins with test_, each on an
# empty /picofed-data, and prints "ok NAME" or a traceback.
import gc
import os
import sys


class PowerCut(BaseException):
    """The power failed. No `except Exception` of the firmware may survive it."""


class Power:
    """Fails in the n-th step of a write; 0: never. steps: how many there were."""

    def __init__(self):
        self.fail_at = 0
        self.steps = 0

    def __call__(self):
        self.steps += 1
        if self.steps == self.fail_at:
            raise PowerCut

    def arm(self, fail_at=0):
        self.fail_at = fail_at
        self.steps = 0


def cut_everywhere(prepare, work, examine):
    """prepare(), then work() under a power cut in its first step, then examine(cut=True); again for every later step;
    at last without a cut. Returns the number of steps."""
    step = 0
    while True:
        step += 1
        power.arm()
        prepare()
        power.arm(step)
        try:
            work()
            whole = True
        except PowerCut:
            whole = False
        power.arm()
        gc.collect()
        examine(not whole)
        if whole:
            return step - 1


def refuses(code, function, *arguments):
    """Check that a call raises PicofedError with this code; returns its text."""
    from picofed.errors import PicofedError

    try:
        function(*arguments)
    except PicofedError as error:
        assert error.code == code, (error.code, error.text)
        return error.text
    raise AssertionError("was not refused")


def clear(path="/picofed-data"):
    """Remove everything below a folder of the flash, and make it anew."""
    try:
        names = os.listdir(path)
    except OSError:
        names = []
        os.mkdir(path)
    for name in names:
        inner = path + "/" + name
        if os.stat(inner)[0] & 0x4000:
            clear(inner)
            os.rmdir(inner)
        else:
            os.remove(inner)


class Random:
    """xorshift32; the seed is printed when a test fails."""

    def __init__(self, seed):
        self.seed = self.state = seed or 1

    def below(self, n):
        x = self.state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self.state = x
        return x % n

    def bytes(self, n):
        return bytes([self.below(256) for _ in range(n)])


power = Power()


def main(program, seed):
    from picofed import platform

    platform._emulated_step = power
    module = __import__(program)
    module.SEED = seed
    failed = False
    for name in sorted(dir(module)):
        if name.startswith("test_"):
            power.arm()
            clear()
            gc.collect()
            try:
                getattr(module, name)()
                print("ok", name)
            except BaseException as error:
                failed = True
                print("failed", name, "seed", seed)
                sys.print_exception(error)
    sys.exit(1 if failed else 0)
