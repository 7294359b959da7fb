"""Objects on their way to the board (SPEC 6.3): pieces in any order, kept over a reset, verified against their name.

An object is two files: its bytes, and a journal of the pieces that are in them (a header, then offset, length and
crc32 of each piece, appended after the piece's bytes). A journal that ends torn has lost a piece, no more. The last
piece of all is noted as one of the object's full length, and only once the whole has the right hash."""

import gc
import os
import struct

import picofed_core as core
from micropython import const

from . import files
from .errors import ARGUMENT, SPACE, UNKNOWN, PicofedError
from .platform import FOLDER, step

KEPT = const(3)  # objects on the board: the job, the last weights, one in transfer
_RANGES = const(16)
_HEADER = const(16)
_ENTRY = const(12)
_ENTRIES = const(200)  # in a journal before it is written anew
_PIECE = const(512)


def object_id(data):
    ident = bytearray(16)
    core.blake2b(ident, b"", data)
    return bytes(ident)


class _Object:
    """One object. pieces: sorted, disjoint [start, end) that are here."""

    def __init__(self, folder, ident):
        self.ident = ident
        self.path = folder + "/" + ident.hex()
        self.journal = self.path + ".map"
        self.total = 0
        self.stamp = 0
        self.complete = False
        self.pieces = []
        self.entries = 0

    def load(self):
        """Read the journal; False if it is none."""
        try:
            with open(self.journal, "rb") as file:
                header = file.read(_HEADER)
                if len(header) < _HEADER:
                    return False
                magic, total, stamp, crc = struct.unpack("<4sIII", header)
                if magic != b"PFO1" or crc != core.crc32(header[:12], core.crc32(self.ident)):
                    return False
                self.total, self.stamp = total, stamp
                entry = bytearray(_ENTRY)
                while file.readinto(entry) == _ENTRY:
                    offset, length, crc = struct.unpack("<III", entry)
                    if crc != core.crc32(memoryview(entry)[:8], stamp) or offset + length > total:
                        break
                    self.entries += 1
                    self._add(offset, offset + length)
                whole = file.seek(0, 2) == _HEADER + _ENTRY * self.entries
            size = os.stat(self.path)[6]
        except OSError:
            return False
        # a piece counts only if its bytes can be there
        self.pieces = [(a, b) for a, b in self.pieces if b <= size]
        self.complete = self.pieces == [(0, total)]
        if not whole:
            # what is appended behind a torn entry would not be found
            self._rewrite()
        return True

    def create(self, total, stamp):
        """The journal, without a piece; the first one makes the other file."""
        self.total, self.stamp, self.complete, self.pieces, self.entries = total, stamp, False, [], 0
        self._rewrite()

    def _rewrite(self):
        """The journal anew, as short as can be."""
        header = struct.pack("<4sII", b"PFO1", self.total, self.stamp)
        step()
        with open(self.journal, "wb") as file:
            file.write(header)
            file.write(struct.pack("<I", core.crc32(header, core.crc32(self.ident))))
            for start, end in self.pieces:
                file.write(self._entry(start, end - start))
        self.entries = len(self.pieces)

    def _entry(self, offset, length):
        entry = struct.pack("<II", offset, length)
        return entry + struct.pack("<I", core.crc32(entry, self.stamp))

    def remove(self):
        files.remove(self.journal)
        files.remove(self.path)

    def _note(self, offset, length):
        step()
        with open(self.journal, "ab") as file:
            file.write(self._entry(offset, length))
        self.entries += 1

    def _add(self, start, end):
        merged = []
        for a, b in self.pieces:
            if b < start or a > end:
                merged.append((a, b))
            else:
                start, end = min(a, start), max(b, end)
        merged.append((start, end))
        merged.sort()
        self.pieces = merged

    def _holds(self, start, end):
        for a, b in self.pieces:
            if a <= start and end <= b:
                return True
        return False

    def put(self, offset, data):
        end = offset + len(data)
        if self.complete or self._holds(offset, end):
            return
        before = self.pieces
        self._add(offset, end)
        # 15 pieces leave at most 16 holes. One more is not kept: the answer says that it is missing, and it comes again
        if len(self.pieces) >= _RANGES:
            self.pieces = before
            return
        try:
            step()
            with open(self.path, "r+b" if before else "wb") as file:
                size = file.seek(0, 2)
                if offset > size:
                    _fill(file, offset - size)
                file.seek(offset)
                file.write(data)
            if self.pieces == [(0, self.total)]:
                self._finish()
            elif self.entries < _ENTRIES:
                self._note(offset, len(data))
            else:
                self._rewrite()
        except Exception:
            self.pieces = before
            raise

    def _finish(self):
        gc.collect()
        if object_id(self.read()) != self.ident:
            self.create(self.total, self.stamp)
            return
        self._note(0, self.total)
        self.complete = True

    def read(self):
        """All bytes."""
        data = bytearray(self.total)
        with open(self.path, "rb") as file:
            file.readinto(data)
        return data

    def missing(self):
        """At most 16 [offset, length]."""
        if self.complete:
            return []
        found = []
        at = 0
        for start, end in self.pieces:
            if start > at:
                found.append([at, start - at])
            at = end
        if at < self.total:
            found.append([at, self.total - at])
        return found[:_RANGES]


def _fill(file, gap):
    """Not every file system seeks beyond a file's end."""
    zeros = bytes(64)
    while gap > 0:
        gap -= file.write(zeros if gap >= 64 else zeros[:gap])


class Objects:
    """All objects of the board, in a folder. pinned: ids that are never given up for another object."""

    def __init__(self, folder=FOLDER + "/objects"):
        files.make_folder(folder)
        self._folder = folder
        gc.collect()
        self.heap = gc.mem_free()  # what the board says of it (server.Server)
        self.pinned = set()
        self._all = []
        for name in os.listdir(folder):
            if not name.endswith(".map"):
                if name + ".map" not in os.listdir(folder):
                    files.remove(folder + "/" + name)
                continue
            try:
                ident = bytes.fromhex(name[:-4])
            except ValueError:
                ident = b""
            found = _Object(folder, ident) if len(ident) == 16 else None
            if found is not None and found.load():
                self._all.append(found)
            else:
                files.remove(folder + "/" + name)
                files.remove(folder + "/" + name[:-4])

    def _find(self, ident):
        for found in self._all:
            if found.ident == ident:
                return found
        return None

    def _limit(self):
        """Bytes of the largest object that can come: it must fit the file system, and RAM to be verified."""
        gc.collect()
        status = os.statvfs(self._folder)
        return min(status[0] * status[3] - 4096, self.heap // 2)

    def _check(self, ident, total):
        if len(ident) != 16 or total < 1:
            raise PicofedError(ARGUMENT, "an object has an id of 16 bytes and at least one byte")
        found = self._find(ident)
        if found is None and total > self._limit():
            raise PicofedError(SPACE, "no room for an object of %d bytes" % total)
        if found is not None and found.total != total:
            if found.complete:
                raise PicofedError(ARGUMENT, "this object has %d bytes" % found.total)
            self._remove(found)
            return self._check(ident, total)
        return found

    def have(self, ident, total):
        """Ranges of an object that are missing."""
        found = self._check(ident, total)
        return [[0, total]] if found is None else found.missing()

    def put(self, ident, total, offset, data):
        """Take in a piece; returns what is missing then."""
        if not data or offset + len(data) > total:
            raise PicofedError(ARGUMENT, "piece is empty or outside the object")
        found = self._check(ident, total)
        if found is None:
            found = self._create(ident, total)
        found.put(offset, data)
        return found.missing()

    def _create(self, ident, total):
        while len(self._all) >= KEPT:
            oldest = None
            for other in self._all:
                if other.ident not in self.pinned and (oldest is None or other.stamp < oldest.stamp):
                    oldest = other
            if oldest is None:
                raise PicofedError(SPACE, "all objects are in use")
            self._remove(oldest)
        created = _Object(self._folder, ident)
        created.create(total, max([other.stamp for other in self._all] + [0]) + 1)
        self._all.append(created)
        # the journal's buffers go before the piece needs its own
        gc.collect()
        return created

    def _remove(self, found):
        found.remove()
        self._all.remove(found)

    def open(self, ident):
        """The complete object's file, open for reading, and its length. Raises UNKNOWN."""
        found = self._find(ident)
        if found is None or not found.complete:
            raise PicofedError(UNKNOWN, "no such object here")
        return open(found.path, "rb"), found.total
