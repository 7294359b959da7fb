"""Frames (SPEC 6.1) on the board's console: stdin and stdout. Whatever else is on the line passes by: typed text
decodes to no frame here, printed text to none on the host, and Ctrl-C stays Ctrl-C."""

import select
import sys

import picofed_core as core
from micropython import const

PAYLOAD = const(1024)
_FRAME = const(2 * (PAYLOAD + 4 + 5 + 2))  # every byte escaped, COBS overhead, delimiters
_TAKE = const(512)  # bytes taken in before the rest of the loop has its turn


class Link:
    """One stream of frames. Memory: about 4 kB, allocated here and nowhere else."""

    def __init__(self, source=None, sink=None, poll=None):
        """Default: the console. poll(ms) -> true if a byte can be read, for other streams."""
        self._source = source or sys.stdin.buffer
        self._sink = sink or sys.stdout.buffer
        if poll is None:
            self._poller = select.poll()
            self._poller.register(sys.stdin, select.POLLIN)
            poll = self._wait
        self._poll = poll
        self._byte = bytearray(1)
        self._in = bytearray(_FRAME)
        self._view = memoryview(self._in)
        self._out = bytearray(_FRAME)
        self._sent = memoryview(self._out)
        self._n = 0
        self._overlong = False

    def _wait(self, ms):
        for _ in self._poller.ipoll(ms):
            return True
        return False

    def receive(self, ms):
        """The next payload, a memoryview that holds until the next call, or None. Waits up to ms for the first byte."""
        byte = self._byte
        buffer = self._in
        # one byte at a time: on several ports read(n) waits for all of n
        for _ in range(_TAKE):
            if not self._poll(ms) or not self._source.readinto(byte):
                return None
            ms = 0
            if byte[0]:
                if self._n == _FRAME:
                    self._overlong = True
                else:
                    buffer[self._n] = byte[0]
                    self._n += 1
                continue
            n, whole = self._n, not self._overlong
            self._n, self._overlong = 0, False
            if n and whole:
                length = core.frame_decode(buffer, n)
                if length > 0:
                    return self._view[:length]
        return None

    def send(self, payload):
        """Send a payload of 1 to 1024 bytes."""
        n = core.frame_encode(payload, self._out)
        if n > 0:
            self._sink.write(self._sent[:n])
