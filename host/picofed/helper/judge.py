"""The helper's rules and its log (SPEC 10.6): a header is in one sum at most, whatever the host asks and when."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np

from picofed import native
from picofed.errors import PicofedError
from picofed.helper.request import Request, pack_answer
from picofed.helper.roster import SCHEMA as ROSTER_SCHEMA
from picofed.masking import Header, MaskError, helper_pair, refusal, weights_mix
from picofed.roster import Roster

MALFORMED: Final = 400
FORBIDDEN: Final = 403
USED: Final = 409
UNAVAILABLE: Final = 503
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS request (id BLOB PRIMARY KEY, body BLOB NOT NULL, time REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used (board BLOB NOT NULL, seq INTEGER NOT NULL, request BLOB NOT NULL REFERENCES request,
                                 PRIMARY KEY (board, seq)) WITHOUT ROWID;
"""


class Refused(PicofedError):
    """A request that gets no answer. status: HTTP's; board: whose header is to blame, if it is one's alone."""

    def __init__(self, status: int, text: str, board: bytes = b"") -> None:
        super().__init__(text)
        self.status = status
        self.board = board


class Judge:
    """Answers requests. Thread-safe; several processes may share a log."""

    def __init__(self, log: Path, secret: bytes, roster: Roster) -> None:
        self.roster = roster
        self.public = native.x25519_public(secret)
        self._secret = secret
        self._pairs: dict[bytes, bytes] = {}
        self._lock = threading.Lock()
        self._log = sqlite3.connect(log, isolation_level=None, check_same_thread=False, timeout=30.0)
        self._log.execute("PRAGMA journal_mode = WAL")
        self._log.execute("PRAGMA synchronous = FULL")
        self._log.executescript(_SCHEMA + ROSTER_SCHEMA)

    def close(self) -> None:
        """The log is complete at any moment; this only frees it."""
        self._log.close()

    def answer(self, body: bytes) -> bytes:
        """The answer's bytes. Raises Refused; nothing is logged then."""
        try:
            request = Request.parse(body)
        except MaskError as error:
            raise Refused(MALFORMED, str(error)) from error
        with self._lock:
            self._check(request)
            try:
                self._use(request)
            except sqlite3.Error as error:  # a full disk, say: what is not in the log is not answered
                raise Refused(UNAVAILABLE, f"the helper cannot use its log: {error}") from error
        return self._sum(request)

    def _pair(self, board: bytes) -> bytes:
        if board not in self.roster.boards:
            raise Refused(FORBIDDEN, f"board {board.hex()} is not on the roster", board)
        if board not in self._pairs:
            self._pairs[board] = helper_pair(self._secret, self.roster.boards[board])
        return self._pairs[board]

    def _check(self, request: Request) -> None:
        headers = [header for header, _ in request.members]
        weights = [weight for _, weight in request.members]
        for header in headers:
            if not header.fits(self._pair(header.board)):
                raise Refused(FORBIDDEN, f"a header of board {header.board.hex()} was not made by it", header.board)
        seen: set[bytes] = set()
        for header in headers:
            if header.board in seen:
                raise Refused(FORBIDDEN, f"two headers of board {header.board.hex()}", header.board)
            seen.add(header.board)
        first = headers[0]
        if any(header.common != first.common for header in headers):
            raise Refused(FORBIDDEN, "the headers are not of one job with the same noise and the same fields")
        if reason := refusal(first.log2_sigma, first.round_shift, first.bits, first.mode):
            raise Refused(FORBIDDEN, reason)
        if request.fields & 0xFFFF != first.count:
            raise Refused(FORBIDDEN, "the boards masked another number of fields")
        # What the noise of all weighs against the record of a board with the largest weight (docs/proofs, lemma 8).
        hidden = sum(weight * weight for weight in weights) // max(weights) ** 2
        if hidden < self.roster.minimum:
            raise Refused(
                FORBIDDEN, f"a sum that counts as one of {hidden} boards: the minimum is {self.roster.minimum}"
            )
        if not weights_mix(weights, first.log2_sigma, first.round_shift):
            raise Refused(FORBIDDEN, "with such weights the boards' noise does not hide each other's")

    def _use(self, request: Request) -> None:
        log = self._log
        log.execute("BEGIN IMMEDIATE")
        try:
            self._in_force()
            if log.execute("SELECT 1 FROM request WHERE id = ?", (request.id,)).fetchone() is None:
                for header, _ in request.members:
                    self._fresh(header)
                log.execute("INSERT INTO request VALUES (?, ?, ?)", (request.id, request.body, time.time()))
                used = [(header.board, header.seq, request.id) for header, _ in request.members]
                log.executemany("INSERT INTO used VALUES (?, ?, ?)", used)
            log.execute("COMMIT")
        except BaseException:
            if log.in_transaction:  # some failures have ended it
                log.execute("ROLLBACK")
            raise

    def _in_force(self) -> None:
        """Another process on this log may have begun with a newer roster, which may have revoked a board."""
        newest = self._log.execute("SELECT number FROM roster").fetchone()
        if newest is not None and newest[0] > self.roster.number:
            raise Refused(
                FORBIDDEN, f"roster {newest[0]} is in force, this process has {self.roster.number}: restart it"
            )

    def _fresh(self, header: Header) -> None:
        newest = self._log.execute("SELECT max(seq) FROM used WHERE board = ?", (header.board,)).fetchone()[0]
        if newest is not None and header.seq <= newest:
            text = (
                f"board {header.board.hex()}: header {header.seq} after {newest} was used: each is used once, in order"
            )
            raise Refused(USED, text, header.board)

    def _sum(self, request: Request) -> bytes:
        masks = np.zeros(request.fields, np.uint32)
        bits = request.members[0][0].bits
        for header, weight in request.members:
            native.mask_sum(masks, bits, header.seed(self._pair(header.board)), weight)
        return pack_answer(request, masks, bits)
