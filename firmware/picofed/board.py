"""The board's secrets and what guards them: policy, ledger, ratchet. The only way to a noise key or to a release."""

import struct

import picofed_core as core
from micropython import const

from . import files
from .errors import ARGUMENT, BLANK, BUDGET, POLICY, PicofedError, check, explain
from .keys import agree
from .platform import UNIT, Uninterrupted, clock, entropy, flash_regions, hardware_id, unload

_RECORD = const(32)
_CUT = const(12)  # bytes in it


class Board:
    """Raises nothing when made. failure: the PicofedError that keeps this board from taking part, or None; refused:
    the one that says what is wrong with a provisioning file; seq, spent, generation: head of the ledger; boot: number
    of this boot."""

    def __init__(self):
        self.policy = None
        self.records_id = None
        self.update_key = self.link_key = b""
        self.used = b""
        self.failure = None
        self.seq = self.spent = self.generation = self.boot = 0
        self._ledger = bytearray(core.ledger_size())
        self._ratchet = bytearray(core.ratchet_size())
        self._record = bytearray(_RECORD)
        self._keys = 0
        self._opened = False
        # What the file UNIT holds; zeros: nothing. Made here, as what a round keeps for good lies between the buffers
        # of its job, and the next job finds no room in one piece.
        self._cut = bytearray(_CUT)
        self._pair = None
        self.peers = None  # of the cohort that it sealed for since the start (peers.Peers.kept)
        self.owner = None
        self.refused = None
        try:
            with Uninterrupted():
                self._start()
        except Exception as error:
            self.failure = PicofedError(*explain(error))

    def _start(self):
        # only needed here: main unloads it
        from . import provision

        files.make_folder()
        self._ledger_flash, self._seed_flash = flash_regions()
        try:
            state = provision.take_in(self._ledger_flash, self._seed_flash)
        except PicofedError as error:
            # a file that is refused changes nothing: the board goes on as what it was before
            self.refused = error
            state = provision.State.load()
            if state is None or not state.done:
                raise
        if state is None:
            raise PicofedError(BLANK)
        self.policy = state.policy
        self.records_id = state.records
        self.update_key = state.update_key
        self.link_key = state.link_key
        self.used = state.used
        self.owner = state.owner
        self._ledger_key = state.ledger_key
        self._mask_secret = state.mask_secret
        self._cut[:] = files.load(UNIT) or bytes(_CUT)
        self._open_ledger()
        raw = entropy()
        conditioned = bytearray(32)
        check(core.entropy_condition(raw, conditioned), "start")
        context = self.policy.board + clock()
        self.boot = check(core.ratchet_boot(self._ratchet, self._seed_flash, conditioned, context), "seed store")
        core.trainer_wipe(conditioned)
        if files.is_damaged(UNIT):
            # not "no release yet": the next job could cut one record into several, each charged as one
            raise PicofedError(BLANK, "what its releases called a record is damaged: provision this board again")

    def _open_ledger(self):
        self._opened = False
        check(core.ledger_open(self._ledger, self._ledger_flash, self._ledger_key, self.policy.max_charge), "ledger")
        self._opened = True
        self._head()

    def _head(self):
        self.seq, self.spent, self.generation, self._offset = core.ledger_head(self._ledger)

    @property
    def identity(self):
        """8 bytes: the policy's board, before that the chip's."""
        return self.policy.board if self.policy else hardware_id() or bytes(8)

    def ready(self):
        """Raise what keeps this board from a round."""
        if self.failure is not None:
            raise self.failure
        if not self._opened:
            with Uninterrupted():
                self._open_ledger()

    def renew(self, data, signature):
        """Take a newer policy that the owner signed."""
        # what is torn is charged under the policy of its time
        self.ready()
        from . import provision

        with Uninterrupted():
            self.policy = provision.renew(data, signature)
            self._pair = None  # the helper may be another one now
            self.peers = None
            self._open_ledger()
        unload("provision")
        return self.policy.number

    def check_release(self, job):
        """Refuse a job that the policy forbids or whose release the budget cannot pay. Nothing is spent yet."""
        self.ready()
        charge = job.charge()
        if self.spent + charge > self.policy.budget:
            raise PicofedError(
                BUDGET, "budget %d, spent %d, this release %d" % (self.policy.budget, self.spent, charge)
            )
        self.policy.check(job, charge)
        unit = self._cut
        if unit[:8] == self.records_id and unit != self._unit(job):
            cut = struct.unpack("<HH", unit[8:])
            raise PicofedError(POLICY, "a record here is a window of %d samples every %d" % cut)

    def _unit(self, job):
        """What a record is. Charges add up only over releases that cut the same store into the same records."""
        return self.records_id + struct.pack("<HH", job.window, job.stride)

    def noise_key(self):
        """A fresh key of the ratchet, 32 bytes; the caller wipes it."""
        self.ready()
        key = bytearray(32)
        check(core.ratchet_next(self._ratchet, self._keys, key), "noise key")
        self._keys += 1
        return key

    def mask_pair(self):
        """What this board shares with the policy's helper (SPEC 10.1). Made once: it takes the longest by far."""
        if self._pair is None:
            # only needed for masked jobs: others have no memory to spare for it
            from . import mask

            self._pair = mask.pair(self._mask_secret, self.policy.helper)
        return self._pair

    def agree(self, out, public):
        """The raw X25519 secret with another board, into `out`; with None, this board's public key."""
        self.ready()
        if public is None:
            check(core.x25519(out, self._mask_secret, None), "pair")
        else:
            agree(out, self._mask_secret, public)

    def charge(self, job):
        """Charge a release of the job; returns (seq, cumulative) of its record. Only after this may it be shown."""
        self.ready()
        ident = struct.unpack_from("<I", job.id)[0]
        unit = self._unit(job)
        if self._cut != unit:
            files.save(UNIT, unit)
            self._cut[:] = unit
        # closed while it is written: after a failure, ready() opens it again, which charges what is torn
        self._opened = False
        budget = self.policy.budget
        with Uninterrupted():
            result = core.ledger_charge(
                self._ledger, self._ledger_flash, job.clip, job.log2_sigma, job.steps, ident, budget
            )
        # refused before anything was written
        self._opened = result in (0, ARGUMENT, BUDGET)
        check(result, "ledger")
        self._head()
        return self.seq, self.spent

    def ledger_record(self, place):
        """The record at a place; it holds until the next call."""
        self._ledger_flash.read(place, self._record)
        return self._record

    def ledger_places(self, skip, count):
        """Where up to `count` records lie, newest first, after skipping `skip`."""
        if not self._opened:
            self.ready()
        found = []
        size = self._ledger_flash.block_size
        current = (self._offset - _RECORD) // size
        tag = bytearray(8)
        view = memoryview(self._record)
        tagged, given = view[:24], view[24:]
        for block in (current, 1 - current):
            end = self._offset if block == current else (block + 1) * size
            for offset in range(end - _RECORD, block * size - 1, -_RECORD):
                if len(found) == count:
                    return found
                self.ledger_record(offset)
                core.blake2b(tag, self._ledger_key, tagged)
                if core.differ(tag, given):
                    continue
                if skip:
                    skip -= 1
                else:
                    found.append(offset)
        return found
