"""Small files that hold either the old or the new content, wherever power fails: a number, data, and a CRC-32."""

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
    """(number, content, which of the two files), or None."""
    newest = None
    for which in (0, 1):
        found = _checked("%s.%d" % (path, which))
        if found is not None and (newest is None or found[0] > newest[0]):
            newest = found[0], found[1], which
    return newest


def is_saved(path):
    """Whether save() was ever called, even if nothing that counts is left."""
    return exists(path + ".0") or exists(path + ".1")


def load(path):
    """The content that save() wrote last, or None."""
    newest = _newest(path)
    return None if newest is None else newest[1]


def save(path, data):
    """Replace the content at once. Two files in turn, the higher number counts: not every file system can rename."""
    newest = _newest(path)
    number, which = (0, 1) if newest is None else (newest[0], newest[2])
    data = struct.pack("<I", number + 1) + data
    step()
    with open("%s.%d" % (path, 1 - which), "wb") as file:
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
