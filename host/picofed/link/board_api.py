"""What the server drives: a real board over a link, an emulated one over its pty, or a simulated one, all alike."""

from __future__ import annotations

from typing import Protocol

from picofed.link.messages import Info, SelfTest, State, Status


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
