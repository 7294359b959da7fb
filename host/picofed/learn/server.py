"""The live server: a thread for each board, so that a slow or vanished board holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from picofed.errors import PicofedError
from picofed.learn.coordinator import Coordinator
from picofed.learn.worker import LeaveError, Worker
from picofed.link.board_api import BoardApi
from picofed.link.messages import LinkError
from picofed.store import StoreError

TICK: Final = 0.25  # seconds between looks at the deadline
RETRY: Final = 1.0  # seconds before a lost board is tried again; doubled up to RETRY_MAX while it stays away
RETRY_MAX: Final = 30.0
LOSSES: Final = 5
PARTING: Final = 5.0  # seconds that boards get to end what they are at when the run is over

Opener = Callable[[], BoardApi]


class _Losses:
    """How a board's link has failed: since when in a row, and how often without an update between."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.count = 0
        self._contributed = -1
        self._pause = RETRY

    def found(self) -> None:
        """The board has answered."""
        self.since = None
        self._pause = RETRY

    def lost(self, contributed: int | None) -> float:
        """Note a failure; returns for how many seconds it has been failing. contributed: the newest version that an
        update of the board was computed on; None: it never joined."""
        now = time.monotonic()
        if self.since is None:
            self.since = now
            if contributed is not None:  # it was there: the loss may have cost it a release
                self.count = self.count + 1 if contributed == self._contributed else 1
                self._contributed = contributed
        return now - self.since

    def pause(self) -> float:
        """Seconds until the next attempt."""
        pause, self._pause = self._pause, min(RETRY_MAX, 2 * self._pause)
        return pause


class Server:
    """Runs a coordinator over real links. openers: port (or any name) to a function that opens the board
    there.
    """

    def __init__(self, coordinator: Coordinator, openers: Mapping[str, Opener]) -> None:
        self.coordinator = coordinator
        self._openers = dict(openers)
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Until all versions are made, nobody is left and nobody comes back, or `coordinator.stop()`. Raises what
        broke (StoreError...).
        """
        for port, opener in self._openers.items():
            thread = threading.Thread(target=self._drive, args=(port, opener), name=f"board {port}", daemon=True)
            self._threads.append(thread)
            thread.start()
        coordinator = self.coordinator
        empty_since: float | None = None
        try:
            while not coordinator.finished and any(thread.is_alive() for thread in self._threads):
                with coordinator.changed:
                    coordinator.changed.wait(TICK)
                coordinator.tick()
                if problem := coordinator.stalled:
                    raise PicofedError(f"stopped at version {coordinator.version.number}: {problem}")
                now = time.monotonic()
                empty_since = (empty_since or now) if coordinator.deserted else None
                patience = coordinator.plan.absence if coordinator.away else 0.0
                if empty_since is not None and now - empty_since >= patience:
                    coordinator.stop()
            coordinator.tick()
        except BaseException as error:
            coordinator.stop(error)
            raise
        finally:
            with coordinator.changed:
                coordinator.changed.notify_all()
            until = time.monotonic() + PARTING  # for all of them: many boards may hang
            for thread in self._threads:
                thread.join(timeout=max(0.0, until - time.monotonic()))
        if coordinator.failure is not None:
            raise coordinator.failure

    def _drive(self, port: str, opener: Opener) -> None:
        try:
            self._serve(port, opener)
        except BaseException as error:  # a disk that is full, a bug: the whole run ends with it
            self.coordinator.stop(error)

    def _serve(self, port: str, opener: Opener) -> None:
        """Connect, work, and connect again after a loss, until the board leaves for good or the run is over."""
        coordinator = self.coordinator
        ident = b""
        away = False
        told = ""  # why it was lost: said once, not at every attempt
        losses = _Losses()
        while not coordinator.finished:
            board: BoardApi | None = None
            try:
                board = opener()
                worker = Worker(board, coordinator, port)
                try:
                    worker.join()
                finally:
                    ident = worker.ident or ident
                losses.found()
                away, told = False, ""
                self._work(worker)
                return
            except StoreError:
                raise
            except LeaveError as error:
                self._leave(port, ident, str(error))
                return
            except LinkError as error:
                lasting = losses.lost(coordinator.contributed(ident) if ident else None)
                if losses.count > LOSSES:
                    self._leave(port, ident, str(error))
                    return
                if not away and (lasting >= coordinator.plan.patience or not ident):
                    # Nobody waits for it any more, but it may come back: asleep, out of reach, out of power.
                    away = bool(ident)
                    self._leave(port, ident, str(error), away)
                elif not away and told != (told := self._bare(port, ident, str(error))):
                    coordinator.show("lost", ident, f"lost, trying again: {told}")
            except PicofedError as error:
                self._leave(port, ident, str(error))
                return
            finally:
                if board is not None:
                    board.close()
            self._pause(losses.pause() if away or not ident else RETRY)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        coordinator = self.coordinator
        with coordinator.changed:
            while not coordinator.finished and (left := until - time.monotonic()) > 0:
                coordinator.changed.wait(min(left, TICK))

    def _leave(self, port: str, ident: bytes, reason: str, away: bool = False) -> None:
        reason = self._bare(port, ident, reason)
        if ident:
            self.coordinator.leave(ident, reason, away)
        else:
            self.coordinator.absent(port, reason)

    def _bare(self, port: str, ident: bytes, reason: str) -> str:
        """A reason without the name in front, which whoever shows it adds."""
        for name in (f"{port}: ", f"{port} ", f"{self.coordinator.name(ident)}: "):
            reason = reason.removeprefix(name)
        return reason

    def _work(self, worker: Worker) -> None:
        coordinator = self.coordinator
        while not coordinator.finished:
            version = coordinator.assignment(worker.ident)
            if version is None:
                if worker.reveal():
                    continue
                with coordinator.changed:
                    if coordinator.assignment(worker.ident) is None and not coordinator.finished:
                        coordinator.changed.wait(TICK)
                continue
            worker.start(version)
            worker.finish()
