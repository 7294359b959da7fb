"""Frozen weights in flash that the processor reads as memory (SPEC 12): written once for a job, not held in RAM."""

import gc
import struct

import picofed_core as core
from micropython import const
from uctypes import bytearray_at

from .errors import FLASH, UNKNOWN, PicofedError, check
from .platform import BLOCK, feed, step

_HEAD = const(32)
_START = const(256)  # of the image: behind the page that says that it is there
_OBJECT = const(16)  # head of a weights object (SPEC 6.5)
_PIECE = const(512)


class Image:
    """The image of a job's frozen weights, and where it goes: what platform.frozen_region says."""

    def __init__(self, job, device, first, blocks, address):
        self._job = job
        self._device = device
        self._first = first
        self._address = address
        self.size = check(core.frozen_size(job.model), "model")
        self.fits = _START + self.size <= blocks * BLOCK

    def view(self):
        return bytearray_at(self._address + _START, self.size)

    def _head(self):
        """What the first page begins with when the image is whole."""
        digest = bytearray(16)
        core.blake2b(digest, self._job.id, self.view())
        return struct.pack("<4sI8s16s", b"PFF1", self.size, self._job.id, digest)

    def valid(self):
        # the cheap part first: most of what is wrong is blank or another job's
        found = bytes(bytearray_at(self._address, _HEAD))
        return found[:16] == struct.pack("<4sI8s", b"PFF1", self.size, self._job.id) and found == self._head()

    def write(self, file):
        """Take all weights from an open weights object of kind 0. A power cut leaves no valid image. Raises FLASH."""
        gc.collect()
        try:
            window = bytearray(BLOCK)
        except MemoryError:
            window = bytearray(1024)
        end = _START + self.size
        # the first page goes first and comes last
        for block in range((end + BLOCK - 1) // BLOCK):
            feed()
            step()
            self._device.ioctl(6, self._first + block)
        view = memoryview(window)
        for at in range(0, self.size, len(window)):
            n = min(len(window), self.size - at)
            self._fill(view[:n], at, file)
            for i in range(n, len(window)):
                window[i] = 0xFF
            self._program(_START + at, view[: (n + 255) & ~255])
        page = bytearray(b"\xff" * 256)
        page[:_HEAD] = self._head()
        self._program(0, page)
        if not self.valid():
            raise PicofedError(FLASH, "flash does not hold the frozen weights that were written")

    def _fill(self, window, at, file):
        """Bytes [at, at + len(window)) of the image."""
        model = self._job.model
        check(core.frozen_clear(window, at, model), "model")
        piece = bytearray(_PIECE)
        view = memoryview(piece)
        total = 2 * self._job.parameters
        file.seek(_OBJECT)
        for offset in range(0, total, _PIECE):
            feed()
            n = min(_PIECE, total - offset)
            if file.readinto(view[:n]) != n:
                raise PicofedError(UNKNOWN, "weights object is cut off")
            check(core.frozen_put(window, at, model, offset // 2, view[:n]), "weights")

    def _program(self, offset, data):
        step()
        # with an offset, writeblocks programs without erasing
        self._device.writeblocks(self._first + offset // BLOCK, data, offset % BLOCK)
