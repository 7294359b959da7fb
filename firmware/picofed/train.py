"""A round (SPEC 2 to 5): fill with noise, pass over the records, charge the ledger, and only then show the update.

Trainer holds the memory of one job; Round is one round on it, in small steps so that link and sensor get their turn."""

import gc
import struct
from array import array

import picofed_core as core
from micropython import const

from .errors import ARGUMENT, RECORDS, SPACE, STATE, UNKNOWN, PicofedError, check
from .features import LABEL, SELF, Front
from .job import LOCAL
from .keys import update_head
from .platform import frozen_region
from .records import Walk

IDLE = const(0)
FILLING = const(1)
TRAINING = const(2)
READY = const(3)
WAITING = const(4)
SEALING = const(5)

_NOISE = const(256)  # accumulators filled in a step, for about what a step of training takes
_BATCH = const(8)  # records that the core makes and learns from at once (PF_ROWS)
_ROWS = const(7)  # word of front.words: how many it made
_MORE = const(256)  # the core's answer at the end of the walk
_HEADER = const(40)
_TAG = const(16)
_PIECE = const(512)
_SPARE = const(2048)  # heap for what follows a charge


def _bytearray(size):
    gc.collect()
    try:
        return bytearray(size)
    except MemoryError:
        raise PicofedError(SPACE, "no memory for %d bytes" % size) from None


class Trainer:
    """The core's trainer for a job, and room for its update. Raises PicofedError: RANGE, SPACE."""

    def __init__(self, job):
        self.job = job
        size = job.trainer_size()
        self.parameters, self.trainable = job.parameters, job.trainable()
        self.inputs, self.outputs = job.inputs, job.outputs
        self.image = self._find_image()
        self.mem = _bytearray(job.trainer_size(True) if self.image else size)
        self.made = self.image is None or self.image.valid()
        if self.made:
            self._make()
        # Rice coding with k = 30 takes at most 34 bits a value, and the encoder takes the shortest (SPEC 7.6)
        size = _HEADER + 3 + (34 * self.trainable + 7) // 8 + _TAG
        if job.mask_bits:
            size = _HEADER + 20 + (job.mask_bits * self.trainable + 7) // 8 + 2 * _TAG  # SPEC 10.3
        if job.pairwise:
            size += 32 + 24 * 32  # SPEC 11.6: 36 + 16 bytes in place of 20, no MAC, up to 24 shares
        self.update = _bytearray(size)
        self.window = _bytearray(2 * job.channels * job.window)
        self.features = _bytearray(_BATCH * self.inputs)
        self.front = Front(job)
        self.targets = _bytearray(_BATCH * (1 if job.target == LABEL else 2 * self.outputs))
        self.row = memoryview(self.features)[: self.inputs]
        self.used = False  # there may be something of records in these buffers
        self.whole = self.image is not None and self.made  # frozen weights are here
        self.loaded = False  # all weights are

    def _find_image(self):
        """Where frozen weights are to be read, if not from RAM."""
        if self.trainable == self.parameters:
            return None
        region = frozen_region()
        if region is None:
            return None
        from .frozen import Image

        image = Image(self.job, *region)
        return image if image.fits else None

    def _make(self):
        if self.image is not None:
            check(core.trainer_frozen_init(self.mem, self.job.model, self.job.mode, self.image.view()), "model")
        else:
            check(core.trainer_init(self.mem, self.job.model, self.job.mode), "model")
        self.made = True

    def load(self, file, length):
        """Take weights from an open weights object (SPEC 6.5); returns the version number."""
        header = file.read(16)
        if len(header) < 16:
            raise PicofedError(ARGUMENT, "weights object is too short")
        version, kind, zero, number, job = struct.unpack("<BBHI8s", header)
        if version != 1 or kind > 1 or zero:
            raise PicofedError(ARGUMENT, "not a weights object of version 1")
        if job != self.job.id:
            raise PicofedError(ARGUMENT, "weights are for another job")
        if length != 16 + 2 * (self.trainable if kind else self.parameters):
            raise PicofedError(ARGUMENT, "weights object has the wrong length for the model")
        if kind and not self.whole:
            raise PicofedError(UNKNOWN, "all weights are needed once after a start")
        give = core.trainer_set_subset if kind else core.trainer_set_weights
        self.whole = self.loaded = False
        code = self._give(file, length, give) if self.made else STATE
        if code == STATE and kind == 0 and self.image is not None:
            # not those whose image is in flash
            self.made = False
            self.image.write(file)
            self._make()
            code = self._give(file, length, give)
        check(code, "weights")
        self.whole = self.loaded = True
        return number

    def _give(self, file, length, give):
        """Hand the core the weights of an open object; what it says to the first piece that it refuses, or 0."""
        piece = bytearray(_PIECE)
        file.seek(16)
        for at in range(16, length, _PIECE):
            n = min(_PIECE, length - at)
            if file.readinto(piece) < n:
                raise PicofedError(UNKNOWN, "weights object is cut off")
            code = give(self.mem, (at - 16) // 2, memoryview(piece)[:n])
            if code < 0:
                return code
        return 0

    def score(self, window):
        """How strange a window of samples (as in `window`) is to an auto-encoder that holds its weights: the sum of
        squared deltas (SPEC 8.5). It stays here: nothing sends it."""
        if self.job.target != SELF or not self.loaded:
            raise PicofedError(UNKNOWN, "a score needs a job with target self, and its weights")
        logits = array("i", [0] * self.outputs)
        self.used = True
        self.front.record(window, self.row, self.targets)
        check(core.trainer_logits(self.mem, self.row, logits), "score")
        down = 6 if len(self.job.model) == 18 else 4  # one layer: Q18, else Q16
        score = 0
        for i in range(self.outputs):
            target = self.targets[2 * i] | self.targets[2 * i + 1] << 8
            delta = (logits[i] >> down) - ((target ^ 0x8000) - 0x8000)
            score += min(abs(delta), 16383) ** 2
        return score

    def wipe(self):
        """Overwrite everything that came from records. Weights stay if a later subset may build on them."""
        kept = None
        self.loaded = False
        if self.image is not None:
            self._wipe()
            if self.made:
                self._make()
            return
        if self.whole and self.trainable < self.parameters:
            try:
                kept = bytearray(2 * self.parameters)
                check(core.trainer_get_weights(self.mem, 0, kept))
            except (MemoryError, PicofedError):
                kept = None
        self._wipe()
        self.whole = False
        self._make()
        if kept is not None:
            check(core.trainer_set_weights(self.mem, 0, kept), "weights")
            self.whole = self.loaded = True

    def _wipe(self):
        core.trainer_wipe(self.mem)
        core.trainer_wipe(self.window)
        core.trainer_wipe(self.features)
        core.trainer_wipe(self.targets)
        self.front.wipe()
        self.used = False


class Round:
    """One round of a trainer that holds its weights.

    state, done, total: progress (accumulators filled, then records seen); update: memoryview of the update object and
    update_id, once state is READY. step() raises whatever goes wrong; call abandon() then."""

    def __init__(self, trainer, board, records, version, weights_id):
        """board: policy, ratchet and ledger (board.Board). Raises BUDGET, POLICY, RECORDS before anything is spent."""
        job = trainer.job
        board.check_release(job)
        self.expected = records.count * records.samples // job.stride
        if records.channels != job.channels:
            raise PicofedError(RECORDS, "records have %d channels" % records.channels)
        if not records.count:
            raise PicofedError(RECORDS)
        self.trainer = trainer
        trainer.used = True
        self.job_id = job.id
        self.weights_id = weights_id
        self.version = version
        self.state = FILLING
        self.done = 0
        self.total = job.steps * (trainer.trainable + self.expected)
        self.update = None
        self.update_id = None
        self._board = board
        self._records = records
        self._left = job.steps
        self._seen = 0  # records of the first pass
        self._windows = self._rows = None
        self.cohort = None  # id of the cohort that it is sealed for
        self._peers = self._making = None
        self._begin()

    def _begin(self):
        job = self.trainer.job
        key = self._board.noise_key()
        try:
            check(core.trainer_begin(self.trainer.mem, key, job.log2_sigma, job.clip), "round")
        finally:
            core.trainer_wipe(key)
        self._waiting = self.trainer.trainable
        self.state = FILLING

    def step(self):
        """Do a little; returns True while the round is under way."""
        if self.state == FILLING:
            waiting = check(core.trainer_fill(self.trainer.mem, _NOISE), "noise")
            self.done += self._waiting - waiting
            self._waiting = waiting
            if waiting == 0:
                job = self.trainer.job
                unlabelled = job.target != LABEL and not job.labels
                self._windows = Walk(self._records, job.window, job.stride, unlabelled)
                self._rows = self._arguments()
                self._pass = 0
                self.state = TRAINING
        elif self.state == TRAINING:
            if not self._batch():
                self._end_of_pass()
        elif self.state == SEALING:
            self._agree()
        return self.state not in (READY, WAITING)

    def seal(self, peers):
        """Begin to hide this round's update, which waits, among a cohort (peers.Peers)."""
        peers.check(self.trainer.job, self.version)
        self.cohort = peers.ident
        self._peers = peers
        self._making = peers.make()
        self.state = SEALING

    def _agree(self):
        try:
            next(self._making)
        except StopIteration:
            self._finish()
        except Exception:
            # nothing has left, nothing is charged: there may come a better cohort
            self.cohort = self._peers = self._making = None
            self.state = WAITING
            raise

    def _arguments(self):
        """Of front_rows(), the same in all of a pass."""
        trainer, walk, records = self.trainer, self._windows, self._records
        front = trainer.front
        return (
            front.words,
            front.filters,
            walk.words,
            walk.held,
            records.ring,
            records.seek,
            records.readinto,
            records.slots_read,
            trainer.window,
            trainer.features,
            trainer.targets,
            front.scratch,
            records.checked,
        )

    def _batch(self):
        """Learn from a few records; False at the end of the pass."""
        trainer = self.trainer
        words = trainer.front.words
        words[_ROWS] = 0
        self._windows.claim()
        more = check(core.front_rows(*self._rows), "features")
        n = words[_ROWS]
        if n:
            check(core.trainer_examples(trainer.mem, trainer.features, trainer.targets, n), "records")
            self._pass += n
            self.done = min(self.done + n, self.total)
        return more != _MORE

    def _end_of_pass(self):
        job = self.trainer.job
        self._windows = self._rows = None
        if not self._pass:
            raise PicofedError(RECORDS)
        if self._left == job.steps:
            self._seen = self._pass
        if job.mode == LOCAL:
            check(core.trainer_step(self.trainer.mem, job.multiplier, job.shift), "step")
        self._left -= 1
        if self._left:
            self._begin()
        elif job.pairwise:
            self.state = WAITING
        else:
            self._finish()

    def _finish(self):
        """Charge, then show. What needs memory comes before the charge: a shortage must not cost budget for nothing."""
        trainer = self.trainer
        job = trainer.job
        board = self._board
        update = trainer.update
        whole = memoryview(update)
        peers = self._peers
        if peers is not None:
            # before all else: whatever happens now, it never joins this cohort again
            peers.join()
            fresh = board.noise_key()
            length = peers.length(job, trainer.trainable)
        elif job.mask_bits:
            from . import mask

            pair, nonce = board.mask_pair(), board.noise_key()
            length = len(update) - _HEADER - _TAG
        else:
            length = check(core.trainer_encode(trainer.mem, job.round_shift, whole[_HEADER:-_TAG]), "update")
        body = whole[: _HEADER + length]
        tag = whole[_HEADER + length : _HEADER + length + _TAG]
        ident = bytearray(16)
        # given up at once: what follows finds it free, or the collector does
        bytearray(_SPARE)
        seq, cumulative = board.charge(job)
        struct.pack_into(
            "<BBBBIIIII8s8s",
            update,
            0,
            6 if peers is not None else 5 if job.mask_bits else 4,
            job.mode,
            job.log2_sigma,
            0,
            seq,
            self.version,
            self._seen,
            job.clip | job.steps << 20,
            cumulative,
            job.id,
            board.policy.board,
        )
        if peers is not None:
            head = peers.seal(body, trainer, fresh)
            board.peers = peers.kept()
            self._peers = self._making = None
        elif job.mask_bits:
            head = mask.seal(body, trainer, pair, nonce, self.version, seq)
        else:
            head = update_head(body, _HEADER)
        core.blake2b(tag, board.update_key, head)
        core.blake2b(ident, b"", head + tag)
        self.update = whole[: _HEADER + length + _TAG]
        self.update_id = bytes(ident)
        self.done = self.total
        self.state = READY
        trainer.wipe()

    def abandon(self):
        """Give up. What was charged stays charged."""
        self.state = IDLE
        self.update = None
        self.update_id = None
        self._windows = self._rows = None
        self.cohort = self._peers = self._making = None
        core.trainer_wipe(self.trainer.update)
        self.trainer.wipe()
