"""One board behind a stream as an object with typed requests (SPEC 6.2): retries, sessions, answers checked."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from picofed.link.messages import (
    AUTHENTICATION,
    LEDGER_RECORD,
    PROTOCOL,
    UNKNOWN,
    BoardError,
    Info,
    LinkError,
    MessageError,
    Op,
    SelfTest,
    State,
    Status,
    answer,
    missing,
    octets,
    request,
    selftests,
    state,
    uint,
)
from picofed.link.session import LinkKey, Session
from picofed.link.stream import Stream

TIMEOUTS: Final = (1.5, 3.0, 6.0)  # seconds for each attempt of a request
SELFTEST_TIMEOUTS: Final = (30.0, 30.0)
REVEAL_TIMEOUTS: Final = (20.0, 20.0)  # after a reset a board agrees with all its neighbours again
POLICY_TIMEOUTS: Final = (10.0, 10.0)  # checking a signature takes a small board a second


class _NoSessionError(Exception):
    """The board knows no session of ours: it was reset, or somebody says so."""


class BoardClient:
    """Typed requests over a stream. One thread at a time.

    keys: board id to link key. With a board that has one here, every request and answer is authenticated.
    """

    def __init__(
        self,
        stream: Stream,
        name: str = "",
        timeouts: tuple[float, ...] = TIMEOUTS,
        keys: Mapping[bytes, LinkKey] | None = None,
    ) -> None:
        self.stream = stream
        self.name = name or stream.name
        self._timeouts = timeouts
        self._ident = secrets.randbits(32)
        self._keys = keys or {}
        self._board: bytes | None = None  # whom the session is with
        self._session: Session | None = None
        self.retries = 0

    def request(self, op: Op, *arguments: Any, timeouts: tuple[float, ...] | None = None) -> list[Any]:
        """Send a request until its answer comes, under one id. Raises LinkError when it never does."""
        if self._keys and self._board is None:
            self.authenticate()
        if self._session is None:
            return self.plain(op, *arguments, timeouts=timeouts)
        for _ in range(2):
            body = self._message(op, *arguments)
            try:
                return self._converse(op, self._session.seal(body), self._sealed_answer, timeouts)
            except _NoSessionError:
                self.authenticate()
        raise LinkError(f"{self.name}: its sessions do not last: somebody may be disturbing the link")

    def authenticate(self) -> None:
        """Begin a session if this host holds the board's link key. Raises LinkError for a board that cannot prove who
        it is, or is another one than before.
        """
        info = self._parse_hello(self.plain(Op.HELLO, PROTOCOL))
        if self._board is not None and info.board != self._board:
            raise LinkError(f"{self.name}: another board answers there now")
        key = self._keys.get(info.board)
        if key is None or (key.link == 0 and info.challenge is None):
            self._board = info.board
            return
        if info.challenge is None:
            raise LinkError(f"{self.name}: says that it is {info.board.hex()}, but does not prove it")
        encrypted = max(key.link, info.link) == 2
        session = Session(key.key, info.boot, info.challenge, encrypted)
        proof = octets(self._only(Op.SESSION, self.plain(Op.SESSION, session.nonce, session.proof)))
        if not session.opened(proof):
            raise LinkError(f"{self.name}: says that it is {info.board.hex()}, but has another link key")
        self._board, self._session = info.board, session

    def plain(self, op: Op, *arguments: Any, timeouts: tuple[float, ...] | None = None) -> list[Any]:
        """A request without authentication: whatever is said may come from anybody."""
        return self._converse(op, self._message(op, *arguments), self._plain_answer, timeouts)

    def _message(self, op: Op, *arguments: Any) -> bytes:
        self._ident = (self._ident + 1) & 0xFFFFFFFF
        return request(op, self._ident, *arguments)

    def _plain_answer(self, received: bytes) -> list[Any] | None:
        ident, results = answer(received)
        if ident != self._ident:  # a late answer to an earlier attempt
            return None
        if isinstance(results, BoardError):
            raise results
        return results

    def _sealed_answer(self, received: bytes) -> list[Any] | None:
        assert self._session is not None
        body = self._session.open(received)
        if body is not None:
            return self._plain_answer(body)
        if received[0] >= 0x80:  # in clear: believed only so far as to begin anew
            _, results = answer(received)
            if isinstance(results, BoardError) and results.code == AUTHENTICATION:
                raise _NoSessionError
        return None

    def _converse(
        self,
        op: Op,
        payload: bytes,
        accept: Callable[[bytes], list[Any] | None],
        timeouts: tuple[float, ...] | None,
    ) -> list[Any]:
        refused: MessageError | None = None
        for attempt, timeout in enumerate(timeouts or self._timeouts):
            self.retries += attempt > 0
            self.stream.send(payload)
            deadline = time.monotonic() + timeout
            while (left := deadline - time.monotonic()) > 0:
                received = self.stream.receive(left)
                if received is None:
                    break
                if received == payload:  # a REPL echoes what it is sent
                    continue
                try:
                    results = accept(received)
                except MessageError as error:
                    refused = error
                    continue
                if results is not None:
                    return results
        if refused is not None:
            raise MessageError(f"{self.name}: {refused}; install the same picofed version on host and board")
        raise LinkError(f"{self.name}: no answer to {op.name.lower()}: check the cable, or reset the board")

    def _one(self, op: Op, *arguments: Any, timeouts: tuple[float, ...] | None = None) -> Any:
        return self._only(op, self.request(op, *arguments, timeouts=timeouts))

    def _only(self, op: Op, results: list[Any]) -> Any:
        if len(results) != 1:
            raise MessageError(f"{self.name}: the answer to {op.name.lower()} has the wrong shape")
        return results[0]

    def hello(self) -> Info:
        """Who the board is. Raises LinkError if it speaks another protocol version."""
        info = self._parse_hello(self.request(Op.HELLO, PROTOCOL))
        if self._session is not None and info.board != self._board:
            raise LinkError(f"{self.name}: has another name for itself than its key")
        return info

    def _parse_hello(self, results: list[Any]) -> Info:
        if len(results) != 2:
            raise MessageError(f"{self.name}: the answer to hello has the wrong shape")
        if uint(results[0]) != PROTOCOL:
            raise LinkError(
                f"{self.name}: speaks protocol {results[0]}, this host {PROTOCOL}: update the older of them"
            )
        info = Info.parse(results[1])
        if info.name:
            self.name = info.name
        return info

    def put(self, ident: bytes, total: int, offset: int, data: bytes) -> list[tuple[int, int]]:
        """See BoardApi."""
        return missing(self._one(Op.PUT, ident, total, offset, data), total)

    def have(self, ident: bytes, total: int) -> list[tuple[int, int]]:
        """See BoardApi."""
        return missing(self._one(Op.HAVE, ident, total), total)

    def job(self, ident: bytes) -> bytes:
        """See BoardApi."""
        return octets(self._one(Op.JOB, ident), 8)

    def round(self, job: bytes, weights: bytes) -> State:
        """See BoardApi."""
        return state(self._one(Op.ROUND, job, weights))

    def status(self) -> Status:
        """See BoardApi."""
        return Status.parse(self.request(Op.STATUS))

    def get(self, update: bytes, offset: int, length: int) -> bytes:
        """See BoardApi."""
        data = octets(self._one(Op.GET, update, offset, length))
        if not 0 < len(data) <= length:
            raise MessageError(f"{self.name}: answered with {len(data)} bytes where up to {length} were asked for")
        return data

    def drop(self, update: bytes) -> None:
        """See BoardApi. A board that no longer knows the update has dropped it: the first answer was lost."""
        try:
            self.request(Op.DROP, update)
        except BoardError as error:
            if error.code != UNKNOWN:
                raise

    def ledger(self, skip: int, count: int) -> list[bytes]:
        """See BoardApi."""
        records = self._one(Op.LEDGER, skip, count)
        if not isinstance(records, list) or len(records) > count:
            raise MessageError(f"{self.name}: the answer to ledger has the wrong shape")
        return [octets(record, LEDGER_RECORD) for record in records]

    def selftest(self) -> list[SelfTest]:
        """See BoardApi."""
        results = self.request(Op.SELFTEST, timeouts=SELFTEST_TIMEOUTS)
        if len(results) != 1:
            raise MessageError(f"{self.name}: the answer to selftest has the wrong shape")
        return selftests(results[0])

    def abandon(self) -> State:
        """See BoardApi."""
        return state(self._one(Op.ABANDON))

    def seal(self, cohort: bytes) -> State:
        """See BoardApi."""
        return state(self._one(Op.SEAL, cohort))

    def reveal(self, cohort: bytes, survivors: bytes) -> bytes:
        """See BoardApi."""
        return octets(self._one(Op.REVEAL, cohort, survivors, timeouts=REVEAL_TIMEOUTS))

    def policy(self, data: bytes, signature: bytes) -> int:
        """Give the board a newer policy of its owner; returns the number of the one that it has now."""
        return uint(self._one(Op.POLICY, data, signature, timeouts=POLICY_TIMEOUTS))

    def close(self) -> None:
        """See BoardApi."""
        self.stream.close()
