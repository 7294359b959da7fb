"""One board as an object with typed requests (SPEC 6.2). BoardApi is what the server drives: a real board
over a link, an emulated one over its pty, or learn.simulate's boards, all alike."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from picofed.link.messages import (
    AUTHENTICATION,
    BLANK,
    BUSY,
    LEDGER_RECORD,
    OBJECT_ID,
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
from picofed.link.stream import SerialStream, Stream

TIMEOUTS: Final = (1.5, 3.0, 6.0)  # seconds for each attempt of a request
SELFTEST_TIMEOUTS: Final = (30.0, 30.0)
_START_SECONDS: Final = 15.0  # a slow board compiles the firmware's source text first
POWER_ON_SECONDS: Final = 150.0  # what the slowest board may take, an emulated one on a busy machine
REVEAL_TIMEOUTS: Final = (20.0, 20.0)  # after a reset a board agrees with all its neighbours again
POLICY_TIMEOUTS: Final = (10.0, 10.0)  # checking a signature takes a small board a second


class BoardApi(Protocol):
    """The requests of SPEC 6.2. Every method may raise BoardError (refused) or LinkError (no answer)."""

    name: str

    def hello(self) -> Info:
        """Who the board is, and its state."""

    def put(self, ident: bytes, total: int, offset: int, data: bytes) -> list[tuple[int, int]]:
        """Give a piece of an object; returns the ranges still missing, [] when complete and verified."""

    def have(self, ident: bytes, total: int) -> list[tuple[int, int]]:
        """Ranges of an object that the board still misses."""

    def job(self, ident: bytes) -> bytes:
        """Make a complete object the current job; returns the job id."""

    def round(self, job: bytes, weights: bytes) -> State:
        """Start a round on a complete weights object."""

    def status(self) -> Status:
        """Progress of the round."""

    def get(self, update: bytes, offset: int, length: int) -> bytes:
        """A piece of the finished update."""

    def drop(self, update: bytes) -> None:
        """The update is durable here: the board may forget it."""

    def ledger(self, skip: int, count: int) -> list[bytes]:
        """Ledger records, newest first."""

    def selftest(self) -> list[SelfTest]:
        """Run the board's self-test."""

    def abandon(self) -> State:
        """Give up the current round. What was charged stays charged."""

    def seal(self, cohort: bytes) -> State:
        """Hide the update that waits among a cohort, a complete object."""

    def reveal(self, cohort: bytes, survivors: bytes) -> bytes:
        """What the board tells of its neighbours once the cohort's updates are here."""

    def close(self) -> None:
        """Release the link."""


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


def connect(
    port: str,
    name: str = "",
    interrupt: bool = True,
    keys: Mapping[bytes, LinkKey] | None = None,
    patience: float = 0.0,
) -> BoardClient:
    """Open a port and find the firmware behind it, from the REPL if need be.

    interrupt: a board that does not answer may be stopped with Ctrl-C and soft-reset, as it sits at a REPL or
    runs another program; patience: but not in these seconds, if it was powered on just now. keys: see BoardClient.
    Raises PortError or LinkError in words for the user.
    """
    stream = SerialStream(port)
    try:
        client = BoardClient(stream, name or port, keys=keys)
        if _answers(client, (0.5, 1.0, 1.5)):
            return client
        if patience and comes_up(stream, client, patience):
            return client
        if not interrupt:
            raise LinkError(f"{port}: no picofed board answers")
        _start_firmware(stream, client)
        return client
    except BaseException:
        stream.close()
        raise


def _answers(client: BoardClient, timeouts: tuple[float, ...]) -> bool:
    try:
        client.plain(Op.HELLO, PROTOCOL, timeouts=timeouts)
    except BoardError:
        return True  # it speaks; hello() will say what is wrong
    except MessageError:
        raise
    except LinkError as error:
        if type(error) is not LinkError:  # the port has gone
            raise
        return False
    return True


def _start_firmware(stream: SerialStream, client: BoardClient) -> None:
    """Ctrl-C until a prompt shows, Ctrl-D for a soft reset; if that does not start the firmware, import
    it.
    """
    if not _prompt(stream):
        raise LinkError(
            f"{stream.name}: nothing answers there, neither picofed nor MicroPython: is this the right port?"
        )
    stream.forget()
    stream.write(b"\x04")
    if comes_up(stream, client, _START_SECONDS, "soft reboot"):
        return
    if not _prompt(stream):
        raise LinkError(f"{stream.name}: the board does not come back from a soft reset: press its reset button")
    stream.forget()
    stream.write(b"import picofed.main; picofed.main.run()\r\n")
    if comes_up(stream, client, _START_SECONDS, "picofed.main.run()"):
        return
    text = stream.console
    if "ImportError" in text or "no module named" in text.lower():
        raise LinkError(
            f"{stream.name}: a MicroPython board without the picofed firmware: `picofed flash` puts it there"
        )
    lines = [line.strip() for line in text.splitlines() if "Error" in line]
    said = f": it says {lines[0]!r}" if lines else ""
    raise LinkError(f"{stream.name}: the firmware on this board does not start{said}: install it again")


def comes_up(stream: SerialStream, client: BoardClient, patience: float, start: str = "") -> bool:
    """Does the firmware answer before a prompt shows (nothing runs there) or `patience` seconds have passed?

    start: what the board says first. A prompt before it is an answer to what was sent earlier, by a slow board.
    """
    deadline = time.monotonic() + patience
    wait = 0.5
    while time.monotonic() < deadline:
        console = stream.console
        if ">>> " in (console.partition(start)[2] if start else console):
            return False
        if _answers(client, (wait,)):
            return True
        wait = min(1.5 * wait, 10.0)  # a board slower than this would only ever answer the question before
    return False


def _prompt(stream: SerialStream) -> bool:
    for _ in range(3):
        stream.forget()
        stream.write(b"\r\x03\x03")
        stream.listen(0.3, ">>> ")
        stream.write(b"\x02")  # from a raw REPL back to the friendly one
        if ">>> " in stream.listen(0.7, ">>> "):
            return True
    return False


__all__ = [
    "BLANK",
    "BUSY",
    "OBJECT_ID",
    "POWER_ON_SECONDS",
    "UNKNOWN",
    "BoardApi",
    "BoardClient",
    "BoardError",
    "Info",
    "LinkError",
    "MessageError",
    "Op",
    "SelfTest",
    "State",
    "Status",
    "connect",
]
