"""Masks without a helper (SPEC 11): a cohort as one of its boards sees it, the update under masks that cancel in the
cohort's sum, and what the board tells of its neighbours afterwards, once.

Loaded when a board seals or reveals. What it must not forget is saved before anything leaves: that it joined a cohort,
and which survivors it answered for."""

import struct

import picofed_core as core
from micropython import const

from . import files
from .errors import ARGUMENT, FLASH, POLICY, UNKNOWN, PicofedError, check
from .keys import derive, update_head
from .platform import FOLDER
from .policy import LARGEST

_SHARE = const(32)
_STATE = FOLDER + "/peers"
_DEGREE = const(24)
_MEMBERS = const(1024)
_HEAD = const(36)
_ENTRY = const(40)
_START = const(92)  # of the masked fields in an update
_ROUND = (1 << 64) - 1


def _forbid(why):
    raise PicofedError(POLICY, "cohort: " + why)


def _load():
    """(number, members' number, C, survivors) of the cohort that this board joined last."""
    data = files.load(_STATE)
    if data is None:
        if files.is_damaged(_STATE):
            # it might join a cohort twice
            raise PicofedError(FLASH, "which cohorts it joined is damaged: no more masks without a helper")
        return 0, 0, b"", b""
    number, members = struct.unpack_from("<II", data)
    return number, members, data[8:40], data[40:]


def _save(number, members, digest, survivors):
    files.save(_STATE, struct.pack("<II", number, members) + digest + survivors)


def _nearest(found, distance, place):
    """Keep the nearest half of a degree in a sorted list."""
    if len(found) < _DEGREE // 2 or distance < found[-1][0]:
        found.append((distance, place))
        found.sort()
        del found[_DEGREE // 2 :]


class Peers:
    """A cohort, and this board's neighbours in it.

    ident: of its object; digest: C; job, version, number; size; minimum: boards that a sum must have; own: this board's
    place; places, names, keys: of the neighbours, keys are r_ij; threshold. These are there when make() is through.
    """

    def __init__(self, board, objects, ident):
        """Raises ARGUMENT for what is no cohort, UNKNOWN where an object is missing."""
        file, length = objects.open(ident)
        with file:
            data = file.read(length) if _HEAD <= length <= _HEAD + 2 * LARGEST else bytes(_HEAD)
        version, zero, size, number, self.version, self.job, members = struct.unpack_from("<BBHII8s16s", data)
        if version != 1 or zero or not 3 <= size <= LARGEST or len(data) != _HEAD + 2 * size:
            raise PicofedError(ARGUMENT, "not a cohort of version 1")
        self.ident = ident
        self.size = size
        self.number = number
        self.minimum = board.policy.peers
        self.digest = derive(b"", b"", 32, data)
        self.keys = None
        self._board = board
        self._objects = objects
        self._data = data
        self._members = members
        self.members = 0  # number of the members object
        if board.peers is not None and board.peers[0] == ident:
            _, self.own, self.places, self.names, self.keys, self.threshold = board.peers
        if not self.minimum:
            _forbid("the policy allows none")

    def _index(self, place):
        return self._data[_HEAD + 2 * place] | self._data[_HEAD + 1 + 2 * place] << 8

    def make(self):
        """Check the members and agree with each neighbour; a generator, for it takes long."""
        board = self._board
        own = bytearray(32)
        board.agree(own, None)
        file, length = self._objects.open(self._members)
        with file:
            count = self._read(file, length, own)
            yield
            self._check(file, count)
            yield
            self._choose(file)
            keys = []
            entry = bytearray(_ENTRY)
            for i in range(len(self.places)):
                file.seek(8 + _ENTRY * self._index(self.places[i]))
                file.readinto(entry)
                keys.append(self._agree(own, bytes(entry[8:]), self.places[i] < self.own))
                self.names.append(bytes(entry[:8]))
                yield
        self.threshold = 2 * len(keys) // 3 + 1
        self.keys = keys

    def _read(self, file, length, own):
        """Go through the members once: their order, this board's index, and the chain that is signed."""
        head = bytearray(8)
        entry = bytearray(_ENTRY)
        chain = bytearray(32)
        file.readinto(head)
        version, zero, count, self.members = struct.unpack("<BBHI", head)
        if version != 1 or zero or not 3 <= count <= _MEMBERS or length != 8 + _ENTRY * count + 64:
            raise PicofedError(ARGUMENT, "not a members object of version 1")
        last = b""
        found = None
        for index in range(count):
            file.readinto(entry)
            name = bytes(entry[:8])
            if name <= last:
                raise PicofedError(ARGUMENT, "members are not in order")
            last = name
            if name == self._board.identity and entry[8:] == own:
                found = index
            core.blake2b(chain, chain, entry)
        if self.members < _load()[1]:
            _forbid("of older members than another")
        if found is None:
            _forbid("its members do not have this board and its key")
        self._signed = b"picofed members" + head + chain
        self._found = found
        return count

    def _check(self, file, count):
        signature = file.read(64)
        if core.eddsa_check(signature, self._board.owner, self._signed) != 0:
            _forbid("its members are not signed by this board's owner")
        self.own = None
        last = -1
        for place in range(self.size):
            index = self._index(place)
            if not last < index < count:
                raise PicofedError(ARGUMENT, "a cohort's indexes are not in order")
            last = index
            if index == self._found:
                self.own = place
        if self.own is None:
            _forbid("without this board")

    def _order(self, file, place):
        file.seek(8 + _ENTRY * self._index(place))
        return int.from_bytes(derive(self.digest, b"", 8, file.read(8)), "little")

    def _choose(self, file):
        """The neighbours of SPEC 11.3, by place."""
        self.names = []
        if self.size <= _DEGREE + 1:
            self.places = [place for place in range(self.size) if place != self.own]
            return
        above, below = [], []
        mine = self._order(file, self.own)
        for place in range(self.size):
            if place != self.own:
                distance = (self._order(file, place) - mine) & _ROUND
                if not distance:
                    _forbid("with no order")
                _nearest(above, distance, place)
                _nearest(below, _ROUND + 1 - distance, place)
        self.places = sorted([place for _, place in above + below])

    def _agree(self, own, other, first):
        shared, key = bytearray(32), bytearray(32)
        self._board.agree(shared, other)
        core.blake2b(key, shared, b"picofed peer" + (other + own if first else bytes(own) + other) + self.digest)
        core.trainer_wipe(shared)
        return key

    def kept(self):
        """What another Peers of this cohort takes over: making it takes longest by far."""
        return self.ident, self.own, self.places, self.names, self.keys, self.threshold

    # ---- sealing

    def check(self, job, version):
        """Refuse to join for a round of this job and version."""
        if self.job != job.id or self.version != version:
            raise PicofedError(ARGUMENT, "the cohort is of another job or version")
        if self.size < self.minimum:
            _forbid("of %d boards, at least %d" % (self.size, self.minimum))
        if self.number <= max(_load()[0], self._board.policy.number):
            _forbid("number %d is not newer than what this board knows" % self.number)

    def join(self):
        """Save that this board is in it. From here on it joins no other of this number or a lower one."""
        _save(self.number, self.members, self.digest, b"")

    def length(self, job, trainable):
        """Bytes of the payload."""
        return _START - 40 + (job.mask_bits * trainable + 7) // 8 + _SHARE * len(self.keys)

    def seal(self, body, trainer, fresh):
        """Write C, widths, masked fields and shares behind the header that stands in `body`; returns the update's head.
        fresh: a key of the ratchet; it is wiped."""
        job = trainer.job
        fields = body[_START : len(body) - _SHARE * len(self.keys)]
        secret, key = bytearray(32), bytearray(32)
        core.blake2b(secret, fresh, b"picofed self")
        struct.pack_into("<32sBBH", body, 40, self.digest, job.mask_bits, job.round_shift, trainer.trainable & 0xFFFF)
        core.blake2b(body[76:_START], secret, b"picofed check")
        core.blake2b(key, secret, b"picofed mask")
        check(core.trainer_mask(trainer.mem, job.round_shift, job.mask_bits, key, fields), "mask")
        for i in range(len(self.keys)):
            core.blake2b(key, self.keys[i], b"picofed mask")
            minus = int(self.places[i] < self.own)
            check(core.mask_add(fields, trainer.trainable, job.mask_bits, key, minus), "mask")
        coefficients = bytearray(_SHARE * (self.threshold - 1))
        core.blake2b(key, fresh, b"picofed shares")
        core.chacha20(key, bytes(12), 0, coefficients)
        at = len(body) - _SHARE * len(self.keys)
        for i in range(len(self.keys)):
            share = body[at : at + _SHARE]
            check(core.shamir_share(share, secret, coefficients, i + 1), "share")
            core.blake2b(key, self.keys[i], b"picofed share" + self._board.identity)
            for k in range(_SHARE):
                share[k] ^= key[k]
            at += _SHARE
        for used in (secret, key, coefficients, fresh):
            core.trainer_wipe(used)
        return update_head(body, _START)

    # ---- revealing

    def reveal(self, survivors):
        """What this board tells for a bitmap of survivors: for each neighbour the pad of its share, or the mask seed.
        Never both: the bitmap is saved first, and no other is answered."""
        number, members, digest, before = _load()
        if digest != self.digest:
            raise PicofedError(UNKNOWN, "this board did not join that cohort last")
        if before and before != survivors:
            _forbid("its survivors were other ones before")
        size = self.size
        if len(survivors) != (size + 7) // 8 or (size & 7 and survivors[-1] >> (size & 7)):
            raise PicofedError(ARGUMENT, "survivors are not a bitmap of the cohort")
        alive = [place for place in range(size) if survivors[place >> 3] >> (place & 7) & 1]
        if len(alive) < self.minimum:
            _forbid("%d survivors, at least %d" % (len(alive), self.minimum))
        if self.keys is None:
            for _ in self.make():
                pass
        if self.own not in alive:
            _forbid("this board is not among the survivors")
        if len([place for place in self.places if place in alive]) < self.threshold:
            _forbid("fewer than %d neighbours survive" % self.threshold)
        if not before:
            _save(number, members, digest, survivors)
        told = bytearray(_SHARE * len(self.keys))
        view = memoryview(told)
        for i in range(len(self.keys)):
            label = b"picofed share" + self.names[i] if self.places[i] in alive else b"picofed mask"
            core.blake2b(view[_SHARE * i : _SHARE * (i + 1)], self.keys[i], label)
        return told
