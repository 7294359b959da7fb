"""The record store (SPEC 9): recordings of a sensor in a ring of slots, and the windows that rounds learn from."""

import struct

import picofed_core as core
from micropython import const

from . import files
from .errors import ARGUMENT, RECORDS, STATE, PicofedError
from .platform import step

_HEADER = const(32)
_SLOT = const(12)  # bytes of a slot before its samples; its crc32 comes behind them
_BLANK = const(0xFFFFFFFF)
_RESIDUE = const(0x2144DF1C)  # crc32 of anything with its own crc32 behind it
NO_LABEL = const(255)


class Records:
    """The ring of slots in a file. One Records at a time for a file.

    count: slots that exist; version: changes with every slot written. A sensor calls begin(label), append(samples)
    as often as it has some, and end()."""

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
        self._buffer = bytearray(self._slot_bytes)
        self._body = memoryview(self._buffer)[:-4]
        self._reading = bytearray(self._slot_bytes)
        self._recording = False
        self.version = 0
        self._scan()

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

    def _load(self, number):
        """Read slot `number` into self._reading: (seq, session, index, valid, label), or None if no slot there counts.
        Most of the time of a round goes by here."""
        self._file.seek(_HEADER + number * self._slot_bytes)
        buffer = self._reading
        if self._file.readinto(buffer) != self._slot_bytes or core.crc32(buffer) != _RESIDUE:
            return None
        slot = struct.unpack_from("<IIHBB", buffer)
        if slot[0] == _BLANK or slot[0] % self.slots != number or not 1 <= slot[3] <= self.samples:
            return None
        return slot

    def _scan(self):
        """Find the newest slot, and count."""
        self.count = 0
        self._next = 0
        self._session = 0
        stored = (self._file.seek(0, 2) - _HEADER) // self._slot_bytes
        for number in range(min(self.slots, stored)):
            slot = self._load(number)
            if slot is not None:
                self.count += 1
                if slot[0] >= self._next:
                    self._next = slot[0] + 1
                    self._session = slot[1] + 1

    def _write(self, valid):
        buffer = self._buffer
        number = self._next % self.slots
        if self._next == _BLANK or self._session > _BLANK or self._index > 0xFFFF:
            raise PicofedError(RECORDS, "the session or the record store is too long")
        struct.pack_into("<IIHBB", buffer, 0, self._next, self._session, self._index, valid, self._label)
        # what the slot held stops to exist, whether or not this write comes to its end
        replaced = self._load(number) is not None
        for i in range(_SLOT + 2 * self.channels * valid, self._slot_bytes - 4):
            buffer[i] = 0
        struct.pack_into("<I", buffer, self._slot_bytes - 4, core.crc32(self._body))
        half = self._slot_bytes // 2
        at = _HEADER + number * self._slot_bytes
        self.count -= replaced
        step()
        self._file.seek(at)
        self._file.write(memoryview(buffer)[:half])
        step()
        self._file.write(memoryview(buffer)[half:])
        self._file.flush()
        self.count += 1
        self.version += 1
        self._next += 1
        self._index += 1

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
        size = 2 * self.channels
        source = memoryview(self._reading)
        target = memoryview(out)
        per_slot = self.samples
        session = expected = -1
        start = have = label = 0
        mixed = False
        for seq in range(max(0, self._next - self.slots), self._next):
            slot = self._load(seq % self.slots)
            if slot is None or slot[0] != seq:
                expected = -1
                continue
            _, found, index, valid, mark = slot
            if expected != index or session != found:
                session = found
                # on to the first window that starts in this slot or behind it
                start = -(-index * per_slot // stride) * stride
                have = 0
            expected = index + 1 if valid == per_slot else -1
            first = index * per_slot
            while start + have < first + valid:
                if have == 0:
                    label = mark
                    mixed = False
                elif label != mark:
                    mixed = True
                at = start + have - first
                n = min(window - have, valid - at)
                place = _SLOT + at * size
                target[have * size : (have + n) * size] = source[place : place + n * size]
                have += n
                if have < window:
                    break
                have = 0
                start += stride
                if mixed or (label == NO_LABEL and not unlabelled):
                    continue
                version = self.version
                yield label
                # a slot that was recorded meanwhile has gone through the same buffer
                if version != self.version:
                    slot = self._load(seq % self.slots)
                    if slot is None or slot[0] != seq:
                        expected = -1
                        break
