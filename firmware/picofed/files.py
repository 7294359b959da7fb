"""Small files that hold either the old or the new content, wherever power fails, and not the old one again when flash
decays: two copies of a number, data, and a CRC-32."""

import os
import struct

import picofed_core as core

from .platform import FOLDER, step


def make_folder(path=FOLDER):
    try:
        os.mkdir(path)
    except OSError:
        pass


def exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


def remove(path):
    if exists(path):
        step()
        os.remove(path)


def _checked(path):
    """(number, content), or None."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    if len(data) < 8 or struct.unpack_from("<I", data, len(data) - 4)[0] != core.crc32(memoryview(data)[:-4]):
        return None
    return struct.unpack_from("<I", data)[0], data[4:-4]


def _newest(path):
    """(number, content, which of the two files, whether the other is the same), or None."""
    first, second = _checked(path + ".0"), _checked(path + ".1")
    if first is None or (second is not None and second[0] > first[0]):
        return None if second is None else (second[0], second[1], 1, False)
    return first[0], first[1], 0, first == second


def is_damaged(path):
    """Whether a save() came to its end, and nothing that counts is left of it: the second file is never written before
    the first one is whole."""
    return exists(path + ".1") and _newest(path) is None


def load(path):
    """The content that save() wrote last, or None. If one copy is damaged, or power failed before it was written, it
    is made anew."""
    newest = _newest(path)
    if newest is None:
        return None
    number, data, which, same = newest
    if not same:
        try:
            _write(path, 1 - which, number, data)
        except OSError:
            pass  # flash that takes nothing more can still be read
    return data


def save(path, data):
    """Replace the content at once. The higher number counts: not every file system can rename."""
    newest = _newest(path)
    number, which = (0, 1) if newest is None else (newest[0], newest[2])
    newest = None
    # what counts so far stays until the other copy is whole
    _write(path, 1 - which, number + 1, data)
    _write(path, which, number + 1, data)


def _write(path, which, number, data):
    data = struct.pack("<I", number) + data
    step()
    with open("%s.%d" % (path, which), "wb") as file:
        half = len(data) // 2
        file.write(data[:half])
        file.flush()
        step()
        file.write(data[half:] + struct.pack("<I", core.crc32(data)))
        file.flush()


def overwrite(path):
    """Zeros over the whole file, first byte first, so that what it held is not found by reading the file system."""
    with open(path, "r+b") as file:
        size = file.seek(0, 2)
        file.seek(0)
        zeros = bytes(256)
        while size > 0:
            step()
            size -= file.write(zeros[: min(size, 256)])
            file.flush()
