"""The record store (SPEC 9): recordings of a sensor in a ring of slots, and the windows that rounds learn from."""

import struct
from array import array

import picofed_core as core
from micropython import const

from . import files
from .errors import ARGUMENT, RECORDS, STATE, PicofedError, check
from .platform import step

_HEADER = const(32)
_SLOT = const(12)  # bytes of a slot before its samples; its crc32 comes behind them
_BLANK = const(0xFFFFFFFF)
_READ = const(4096)  # bytes of slots that are read at once
_MORE = const(256)  # the core's answer where it needs further slots
NO_LABEL = const(255)
# words of the core's pf_ring and pf_walk
_COUNT = const(3)
_NEXT = const(4)
_SESSION = const(5)
_SEQ = const(3)
_PLACE = const(4)
_WALK = const(11)


class Records:
    """The ring of slots in a file. One Records at a time for a file, and nobody else writes to it: a slot is checked
    once, at the start or when it was written.

    count: slots that exist; ring: words of the core's pf_ring; slots_read: what a Walk read, by seek() and readinto()
    of the file. A sensor calls begin(label), append(samples) as often as it has some, and end()."""

    def __init__(self, path, ident, channels=6, rate=50, samples=20, slots=1024):
        """Open the store, or make one. ident: 8 bytes of the provisioning; a store of another ident is wiped.
        rate: Hz; samples: samples a slot, 1 to 255; a store that exists keeps the layout it was made with."""
        if not files.exists(path):
            self._make(path, ident, channels, rate, samples, slots)
        elif not self._read_header(path, ident):
            files.overwrite(path)
            files.remove(path)
            self._make(path, ident, channels, rate, samples, slots)
        self._file = open(path, "r+b")
        self.seek, self.readinto = self._file.seek, self._file.readinto
        self._buffer = bytearray(self._slot_bytes)
        self._body = memoryview(self._buffer)[:-4]
        self._reader = None  # the Walk that what was read last is for
        self._at_once = max(1, min(self.slots, _READ // self._slot_bytes))
        self.slots_read = bytearray(self._at_once * self._slot_bytes)
        self.checked = bytearray(self.slots // 8 + 1)
        self.ring = array("I", (self.channels, self.samples, self.slots, 0, 0, 0))
        self._recording = False
        self._scan()
        self.wipe()

    def _make(self, path, ident, channels, rate, samples, slots):
        size = _SLOT + 2 * channels * samples + 4
        if not (1 <= channels <= 255 and 1 <= samples <= 255 and 1 <= slots < 1 << 31 and size <= 0xFFFF):
            raise PicofedError(ARGUMENT, "record store: channels, samples or slots are out of range")
        header = struct.pack("<4sBBHHHI8sI", b"PFR1", 1, channels, rate, samples, size, slots, ident, 0)
        step()
        with open(path, "wb") as file:
            file.write(header)
            step()
            file.write(struct.pack("<I", core.crc32(header)))
        self._read_header(path, ident)

    def _read_header(self, path, ident):
        with open(path, "rb") as file:
            header = file.read(_HEADER)
        if len(header) < _HEADER or struct.unpack_from("<I", header, 28)[0] != core.crc32(header[:28]):
            return False
        magic, version, channels, rate, samples, size, slots, found = struct.unpack_from("<4sBBHHHI8s", header)
        if magic != b"PFR1" or version != 1 or found != ident or not (channels and samples and slots):
            return False
        if samples > 255 or size != _SLOT + 2 * channels * samples + 4:
            return False
        self.channels, self.rate, self.samples, self.slots = channels, rate, samples, slots
        self._slot_bytes = size
        return True

    # ---- slots -----------------------------------------------------------------------------------------------

    def _load(self, number, n):
        """Read slots into self.slots_read, at most n from `number` on and without a gap in the file: how many. The core
        marks those that do not exist."""
        n = min(n, self._at_once, self.slots - number)
        self._reader = None
        buffer = self.slots_read
        if n < self._at_once:
            buffer = memoryview(buffer)[: n * self._slot_bytes]
        self.seek(_HEADER + number * self._slot_bytes)
        got = self.readinto(buffer)
        self._found = core.slots_check(self.ring, number, n, buffer, got, self.checked)
        if self._found < 0:
            check(self._found, "slots")
        return n

    def _scan(self):
        """Find the newest slot, and count."""
        stored = min(self.slots, (self._file.seek(0, 2) - _HEADER) // self._slot_bytes)
        number = 0
        while number < stored:
            number += self._load(number, stored - number)
        ring = self.ring
        self.count = ring[_COUNT]
        self._next = ring[_NEXT]
        self._session = ring[_SESSION] + 1 if self.count else 0

    def _write(self, valid):
        buffer = self._buffer
        number = self._next % self.slots
        if self._next == _BLANK or self._session > _BLANK or self._index > 0xFFFF:
            raise PicofedError(RECORDS, "the session or the record store is too long")
        struct.pack_into("<IIHBB", buffer, 0, self._next, self._session, self._index, valid, self._label)
        # what the slot held stops to exist, whether or not this write comes to its end
        self._load(number, 1)
        for i in range(_SLOT + 2 * self.channels * valid, self._slot_bytes - 4):
            buffer[i] = 0
        struct.pack_into("<I", buffer, self._slot_bytes - 4, core.crc32(self._body))
        half = self._slot_bytes // 2
        at = _HEADER + number * self._slot_bytes
        self.count -= self._found
        self.checked[number >> 3] &= ~(1 << (number & 7))
        step()
        self._file.seek(at)
        self._file.write(memoryview(buffer)[:half])
        step()
        self._file.write(memoryview(buffer)[half:])
        self._file.flush()
        self.count += 1
        self._next += 1
        self._index += 1

    def wipe(self):
        """Overwrite what was read or recorded; False while there is a recording, of which samples wait here."""
        self._reader = None
        core.trainer_wipe(self.slots_read)
        if self._recording:
            return False
        core.trainer_wipe(self._buffer)
        return True

    # ---- recording -------------------------------------------------------------------------------------------

    def begin(self, label=NO_LABEL):
        """Begin a session. label: class 0..254, or NO_LABEL."""
        if not 0 <= label <= NO_LABEL:
            raise PicofedError(ARGUMENT, "label is not 0 to 255")
        if self._recording:
            self.end()
        self._recording = True
        self._label = label
        self._index = 0
        self._held = 0

    def append(self, samples):
        """Add whole samples: a buffer of int16, interleaved. A slot is written whenever one is full."""
        if not self._recording:
            raise PicofedError(STATE, "append without begin")
        data = memoryview(samples if isinstance(samples, (bytes, bytearray)) else bytes(samples))
        size = 2 * self.channels
        if len(data) % size:
            raise PicofedError(ARGUMENT, "not whole samples")
        done = 0
        while done < len(data):
            n = min(len(data) - done, (self.samples - self._held) * size)
            at = _SLOT + self._held * size
            self._buffer[at : at + n] = data[done : done + n]
            done += n
            self._held += n // size
            if self._held == self.samples:
                self._held = 0
                self._write(self.samples)

    def end(self):
        """End the session; what is left becomes its last slot."""
        if self._recording:
            self._recording = False
            if self._held:
                self._write(self._held)
            self._session += 1

    # ---- windows ---------------------------------------------------------------------------------------------

    def windows(self, out, window, stride, unlabelled=False):
        """Iterate over the windows that exist: each fills `out` (bytearray, 2 * channels * window bytes) with int16
        samples and yields its label. Windows across labels are passed over, and those without one unless `unlabelled`.
        What is recorded meanwhile is not seen; what it overwrites is gone."""
        walk = Walk(self, window, stride, unlabelled)
        while walk.load():
            label = check(core.windows_next(walk.words, self.ring, walk.held[0], self.slots_read, out), "windows")
            if label != _MORE:
                yield label


class Walk:
    """A walk over the slots that exist now, for the core: it puts windows together from the slots that load() read, or
    that it reads itself, from claim() on.

    words: of the core's pf_walk; held: slots that were read, seq at which it ends."""

    def __init__(self, records, window, stride, unlabelled=False):
        self.words = words = array("I", bytes(4 * _WALK))
        words[0] = window
        words[1] = stride
        words[2] = unlabelled
        words[_SEQ] = max(0, records._next - records.slots)
        self.held = array("I", (0, records._next))
        self._records = records

    def claim(self):
        """Make sure that records.slots_read holds nothing but what was read for this walk."""
        records = self._records
        if records._reader is not self:
            self.words[_PLACE] = self.held[0] = 0
            records._reader = self

    def load(self):
        """Make sure that records.slots_read holds the slots to go on with. False at the end."""
        self.claim()
        records = self._records
        words = self.words
        if words[_PLACE] == self.held[0]:
            seq = words[_SEQ]
            end = self.held[1]
            if seq >= end:
                return False
            self.held[0] = records._load(seq % records.slots, end - seq)
            words[_PLACE] = 0
            records._reader = self
        return True
