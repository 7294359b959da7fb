"""Requests of SPEC 6.2: each is checked, done and answered. Nothing that comes over the link raises out of Server."""

import gc

import picofed_core as core
from micropython import const

from . import __version__, cbor, files
from .errors import (
    ARGUMENT,
    AUTHENTICATION,
    BUSY,
    MESSAGE,
    RECORDS,
    UNKNOWN,
    PicofedError,
    explain,
    plain,
)
from .job import LIMIT, Job
from .platform import FOLDER, name, unload
from .session import Session
from .train import FILLING, IDLE, READY, SEALING, TRAINING, WAITING, Round, Trainer

_PROTOCOL = const(1)
_MTU = const(960)  # a request of put around it still fits into a frame
_LEDGER = const(24)  # ledger records in an answer
_JOB = FOLDER + "/job"
_LARGE = const(64)  # byte strings beyond are taken where they came in
_HELLO = const(1)
_PUT = const(2)
_SESSION = const(12)


class Server:
    """board: board.Board; records: records.Records or None; objects: objects.Objects."""

    def __init__(self, board, records, objects):
        self.board = board
        self.records = records
        self.objects = objects
        self.session = Session(board)
        self.job = None
        self.trainer = None
        self.round = None
        self.code = 0
        self.text = ""
        self._dropped = None
        self.used = gc.mem_alloc()  # with objects.heap what is told of memory: nothing is recorded yet
        ident = files.load(_JOB)
        if ident is not None:
            try:
                self._take_job(ident)
            except Exception as error:
                # the policy or the firmware changed since: the host brings the job again
                self.report(error)

    # ---- messages --------------------------------------------------------------------------------------------

    def answer(self, payload):
        """The answer to a payload, as a bytearray; None where nothing says whom to answer."""
        if len(payload) and payload[0] in (1, 2):
            try:
                return self.session.answer(payload, self._respond)
            except Exception as error:
                # what is not genuine says nothing of whom to answer
                code, text = explain(error)
                return cbor.dumps([1, 0, code, text])
        return self._respond(payload)

    def _respond(self, payload, out=None):
        """The answer behind what `out` holds, which a genuine request comes with; else as a bytearray of its own."""
        genuine = out is not None
        start = len(out) if genuine else 0
        ident = None
        try:
            message = cbor.loads(payload, _LARGE)
            if type(message) is not list or len(message) < 2:
                raise PicofedError(MESSAGE)
            if type(message[1]) is int and 0 <= message[1] <= 0xFFFFFFFF:
                ident = message[1]
            answer = self._do(message, ident, genuine)
            answer[:0] = 0, ident
            return cbor.dumps(answer, out)
        except Exception as error:
            if ident is None:
                return None
            if genuine:
                out[start:] = b""
            code, text = explain(error)
            return cbor.dumps([1, ident, code, text], out)

    def _do(self, message, ident, genuine):
        if ident is None or type(message[0]) is not int or not 0 < message[0] < len(self._operations):
            raise PicofedError(MESSAGE, "unknown request")
        if genuine and message[0] == _SESSION:
            raise PicofedError(MESSAGE, "a session within a session")
        if not genuine and self.session.needed and message[0] not in (_HELLO, _SESSION):
            raise PicofedError(AUTHENTICATION)
        operation, kinds = self._operations[message[0]]
        if len(message) != 2 + len(kinds):
            raise PicofedError(MESSAGE, "wrong number of arguments")
        number = message[0]
        message[:2] = []
        for i in range(len(kinds)):
            kind = kinds[i]
            value = message[i]
            if kind is bytes and type(value) is memoryview:
                # others may keep what a frame only holds until the next
                if number != _PUT:
                    message[i] = bytes(value)
            elif type(value) is not kind or (kind is int and not 0 <= value <= 0xFFFFFFFF):
                raise PicofedError(MESSAGE, "argument of the wrong type")
        return operation(self, *message)

    def step(self):
        """Go on with the round; true while one is under way."""
        current = self.round
        if current is None or current.state in (READY, WAITING):
            return False
        try:
            if current.step():
                return True
            if current.cohort is not None:
                unload("peers")
            return False
        except Exception as error:
            self.report(error)
            # an update that is charged is shown, whatever failed behind it
            if current.state not in (READY, WAITING):
                self._give_up()
            return False

    def report(self, error):
        """Remember an error for the next status."""
        self.code, self.text = explain(error)

    def _give_up(self):
        current, self.round = self.round, None
        if current is not None:
            try:
                current.abandon()
            except Exception as error:
                # without a usable trainer there is no job: the host brings it again
                self.report(error)
                self._forget_job()

    def _state(self):
        return self.round.state if self.round else IDLE

    def _is_busy(self):
        return self._state() in (FILLING, TRAINING, SEALING)

    # ---- requests --------------------------------------------------------------------------------------------

    def _hello(self, version):
        # The collector takes for a pointer whatever looks like one: samples would decide what it finds free, and the
        # host what they have to look like. So stock is taken only while nothing of a record lies in the heap.
        clean = self._state() in (IDLE, READY) and not (self.trainer is not None and self.trainer.used)
        if self.records is not None and clean:
            clean = self.records.wipe()
        board = self.board
        policy = board.policy
        current = self.round
        update = current.update if current else None
        gc.collect()
        if clean:
            self.objects.heap, self.used = gc.mem_free(), gc.mem_alloc()
        return [
            _PROTOCOL,
            {
                "board": board.identity,
                "name": policy.name if policy else "",
                "firmware": __version__,
                "core": core.VERSION,
                "machine": plain(name(), 80),
                "mtu": _MTU,
                "heap": self.objects.heap,
                "used": self.used,
                "slots": self.records.count if self.records else 0,
                "seq": board.seq,
                "spent": board.spent,
                "budget": policy.budget if policy else 0,
                "max_charge": policy.max_charge if policy else 0,
                "generation": board.generation,
                "boot": board.boot,
                "state": self._state(),
                "job": self.job.id if self.job else None,
                "update": current.update_id if update is not None else None,
                "update_length": len(update) if update is not None else 0,
                "link": policy.link if policy else 0,
                "policy": policy.number if policy else 0,
                "challenge": self.session.challenge,
            },
        ]

    def _put(self, ident, total, offset, data):
        return [self.objects.put(ident, total, offset, data)]

    def _have(self, ident, total):
        return [self.objects.have(ident, total)]

    def _take_job(self, ident):
        file, length = self.objects.open(ident)
        with file:
            if length > LIMIT:
                raise PicofedError(ARGUMENT, "a job has at most %d bytes" % LIMIT)
            job = Job(file.read(length))
        if self.job is not None and self.job.id == job.id:
            return [job.id]
        if self._is_busy():
            raise PicofedError(BUSY)
        self.board.ready()
        self.board.policy.check(job, job.charge())
        # the old trainer's memory is needed for the new one; an update that waits keeps its own
        self._forget_job()
        self.trainer = Trainer(job)
        self.job = job
        self.objects.pinned = {ident}
        if files.load(_JOB) != ident:
            files.save(_JOB, ident)
        return [job.id]

    def _forget_job(self):
        self.job = self.trainer = None
        self.objects.pinned = set()
        gc.collect()

    def _start_round(self, job_id, ident):
        if self.job is None or self.job.id != job_id:
            raise PicofedError(UNKNOWN, "no such job here")
        current = self.round
        if current is not None:
            # a request that was repeated: its round is under way, or done
            if current.job_id == job_id and current.weights_id == ident:
                return [current.state]
            raise PicofedError(BUSY, "an update waits to be fetched" if current.state == READY else "")
        if self.records is None:
            raise PicofedError(RECORDS, "no record store")
        self.board.check_release(self.job)
        file, length = self.objects.open(ident)
        with file:
            version = self.trainer.load(file, length)
        self.code, self.text = 0, ""
        gc.collect()
        self.round = Round(self.trainer, self.board, self.records, version, ident)
        return [self.round.state]

    def _status(self):
        current = self.round
        if current is None:
            return [IDLE, 0, 0, None, 0, self.code, self.text]
        update = current.update
        return [
            current.state,
            current.done,
            current.total,
            current.update_id,
            len(update) if update is not None else 0,
            self.code,
            self.text,
        ]

    def _held(self, ident):
        current = self.round
        if current is None or current.state != READY or current.update_id != ident:
            raise PicofedError(UNKNOWN, "no such update here")
        return current

    def _get(self, ident, offset, length):
        update = self._held(ident).update
        if offset >= len(update) or not length:
            raise PicofedError(ARGUMENT, "outside the update")
        return [memoryview(update)[offset : offset + min(length, _MTU)]]

    def _drop(self, ident):
        if ident != self._dropped or self._state() == READY:
            self._held(ident)
            self.round = None
            self._dropped = ident
        return []

    def _ledger(self, skip, count):
        board = self.board
        return [cbor.Each(board.ledger_places(skip, min(count, _LEDGER)), board.ledger_record)]

    def _selftest(self):
        if self._is_busy():
            raise PicofedError(BUSY)
        # loaded only when asked for
        from . import selftest

        lines = selftest.run(self.board)
        unload("selftest")
        return [lines]

    def _open_session(self, nonce, proof):
        return [self.session.open(nonce, proof)]

    def _renew_policy(self, data, signature):
        if self._is_busy() or self._state() == WAITING:
            raise PicofedError(BUSY)
        return [self.board.renew(data, signature)]

    def _seal(self, ident):
        current = self.round
        if current is not None and current.cohort == ident:
            return [current.state]
        if current is None or current.state != WAITING:
            raise PicofedError(UNKNOWN, "no update here waits for a cohort")
        self.board.ready()
        # only needed for masks without a helper
        from . import peers

        self.code, self.text = 0, ""
        current.seal(peers.Peers(self.board, self.objects, ident))
        return [current.state]

    def _reveal(self, ident, survivors):
        if self._state() == SEALING:
            raise PicofedError(BUSY)
        self.board.ready()
        from . import peers

        try:
            return [peers.Peers(self.board, self.objects, ident).reveal(survivors)]
        finally:
            unload("peers")

    def _abandon(self):
        self._give_up()
        return [IDLE]

    # by number, from 1. What makes it is forgotten once it is made; bound methods would be an object each
    _operations = (
        None,
        (_hello, (int,)),
        (_put, (bytes, int, int, bytes)),
        (_have, (bytes, int)),
        (_take_job, (bytes,)),
        (_start_round, (bytes, bytes)),
        (_status, ()),
        (_get, (bytes, int, int)),
        (_drop, (bytes,)),
        (_ledger, (int, int)),
        (_selftest, ()),
        (_abandon, ()),
        (_open_session, (bytes, bytes)),
        (_renew_policy, (bytes, bytes)),
        (_seal, (bytes,)),
        (_reveal, (bytes, bytes)),
    )
