"""The live server: a thread for each board, so that a slow or vanished board holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from picofed.errors import PicofedError
from picofed.learn.coordinator import Coordinator
from picofed.learn.worker import LeaveError, Worker
from picofed.link.client import BoardApi
from picofed.link.messages import LinkError
from picofed.store import StoreError

TICK: Final = 0.25  # seconds between looks at the deadline
RETRY: Final = 1.0  # seconds before a lost board is tried again
LOSSES: Final = 5
PARTING: Final = 5.0  # seconds that boards get to end what they are at when the run is over

Opener = Callable[[], BoardApi]


class Server:
    """Runs a coordinator over real links. openers: port (or any name) to a function that opens the board
    there.
    """

    def __init__(self, coordinator: Coordinator, openers: Mapping[str, Opener]) -> None:
        self.coordinator = coordinator
        self._openers = dict(openers)
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Until all versions are made, nobody is left, or `coordinator.stop()`. Raises what broke
        (StoreError...).
        """
        for port, opener in self._openers.items():
            thread = threading.Thread(target=self._drive, args=(port, opener), name=f"board {port}", daemon=True)
            self._threads.append(thread)
            thread.start()
        coordinator = self.coordinator
        try:
            while not coordinator.finished and any(thread.is_alive() for thread in self._threads):
                with coordinator.changed:
                    coordinator.changed.wait(TICK)
                coordinator.tick()
                if problem := coordinator.stalled:
                    raise PicofedError(f"stopped at version {coordinator.version.number}: {problem}")
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
        """Connect, work, and connect again after a loss, until the board leaves or the run is over."""
        coordinator = self.coordinator
        ident = b""
        lost_since: float | None = None
        losses = 0  # in a row, with nothing contributed between them
        contributed = -1
        while not coordinator.finished:
            board: BoardApi | None = None
            try:
                board = opener()
                worker = Worker(board, coordinator, port)
                try:
                    worker.join()
                finally:
                    ident = worker.ident or ident
                lost_since = None
                self._work(worker)
                return
            except StoreError:
                raise
            except LeaveError as error:
                self._leave(port, ident, str(error))
                return
            except LinkError as error:
                now = time.monotonic()
                if lost_since is None and ident:  # it was there: the loss may have cost it a release
                    losses = losses + 1 if coordinator.contributed(ident) == contributed else 1
                    contributed = coordinator.contributed(ident)
                lost_since = lost_since or now
                if now - lost_since >= coordinator.plan.patience or losses > LOSSES or not ident:
                    self._leave(port, ident, str(error))
                    return
                coordinator.show("lost", ident, f"lost, trying again: {self._bare(port, ident, str(error))}")
                with coordinator.changed:
                    coordinator.changed.wait(RETRY)
            except PicofedError as error:
                self._leave(port, ident, str(error))
                return
            finally:
                if board is not None:
                    board.close()

    def _leave(self, port: str, ident: bytes, reason: str) -> None:
        reason = self._bare(port, ident, reason)
        if ident:
            self.coordinator.leave(ident, reason)
        else:
            self.coordinator.absent(port, reason)

    def _bare(self, port: str, ident: bytes, reason: str) -> str:
        """A reason without the name in front, which whoever shows it adds."""
        return reason.removeprefix(f"{port}: ").removeprefix(f"{self.coordinator.name(ident)}: ")

    def _work(self, worker: Worker) -> None:
        coordinator = self.coordinator
        while not coordinator.finished:
            version = coordinator.assignment(worker.ident)
            if version is None:
                with coordinator.changed:
                    if coordinator.assignment(worker.ident) is None and not coordinator.finished:
                        coordinator.changed.wait(TICK)
                continue
            worker.start(version)
            worker.finish()
