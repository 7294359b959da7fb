"""One board's share of a job: bring it job and weights, start its round, wait, fetch its update, let it drop
it.

`Worker` knows no threads. The live server runs one in a thread for each board; the simulator runs all of them
in turn.
"""

from __future__ import annotations

import time
from typing import Final

from picofed.accounting import charge as charge_of
from picofed.learn import weights
from picofed.learn.cohorts import Task
from picofed.learn.coordinator import Coordinator
from picofed.learn.updates import UpdateError
from picofed.link.board_api import BoardApi
from picofed.link.messages import BUDGET, BUSY, UNKNOWN, BoardError, Info, LinkError, State, Status
from picofed.link.transfer import download, upload
from picofed.store import BoardParts, ReplayError, Version

PAUSE: Final = 0.25  # seconds between looks at what others do


class LeaveError(LinkError):
    """The board takes no further part; the text says why."""


class Worker:
    """Drives one board. Raises LinkError when the board does not answer, LeaveError when it is out."""

    def __init__(self, board: BoardApi, coordinator: Coordinator, port: str = "") -> None:
        self.board = board
        self.coordinator = coordinator
        self.job = coordinator.job
        self.port = port
        self.ident = b""
        self._mtu = 0
        self._has_all_since = -1  # boot in which it was given all parameters
        self._given: int | None = None  # version of the round that this worker started
        self._policy = 0  # number of the board's

    def join(self) -> Info:
        """Meet the board, take over an update that it still holds, give it the job."""
        info = self.board.hello()
        self.ident, self._mtu = info.board, info.mtu
        self.coordinator.join(info, self.port)
        if not info.name:
            raise LeaveError("it was never provisioned: its owner has to give it a policy and keys first")
        if self.coordinator.key(info.board) is None:
            raise LeaveError(
                "this site has no valid update key of it: choose another --site, or ask its owner (revoked?)"
            )
        if problem := self.coordinator.fallen_back(info):
            raise LeaveError(problem)
        if info.update is not None:
            self._fetch(info.update, info.update_length)  # of an earlier run, perhaps of another job
        elif info.state == State.SEALING:
            status = self._until(State.READY)
            assert status.update is not None
            self._fetch(status.update, status.update_length)
        elif info.state == State.WAITING and info.job != self.job.id:
            self.board.abandon()
        elif info.state in (State.FILLING, State.TRAINING) and not (self.job.masks and info.job == self.job.id):
            self.coordinator.show("training", info.board, "was at work already")
            self.finish()
            info = self.board.hello()
        if info.job != self.job.id:
            ident = upload(self.board, self.job.body, self._mtu)
            if self.board.job(ident) != self.job.id:
                raise LeaveError("it understood another job than it was sent: install the same picofed version on it")
        return info

    def start(self, version: Version) -> None:
        """Bring the weights and start a round. Raises LeaveError when the budget is used up."""
        info = self.board.hello()
        charge = charge_of(self.job.clip, self.job.log2_sigma, self.job.steps) if self.job.private else 0
        if info.spent + charge > info.budget:
            small = "smaller than one release of this job costs"
            raise LeaveError(f"its privacy budget is {'used up' if info.spent else small}")
        model = self.job.model
        partial = len(model.trainable) < model.parameters and self._has_all_since == info.boot
        data = weights.pack(self.job, version, weights.SUBSET if partial else weights.ALL)
        ident = upload(self.board, data, self._mtu)
        try:
            self.board.round(self.job.id, ident)
        except BoardError as error:
            if error.code == BUDGET:
                raise LeaveError("its privacy budget is used up") from error
            if error.code == UNKNOWN:
                raise LinkError("it has lost job or weights: it was reset") from error
            if error.code != BUSY:
                raise
            if not self.job.masks:
                self._given = None
                return  # `finish` waits for the round that it is busy with
            self.board.abandon()  # of another version; nothing was charged for it
            self.board.round(self.job.id, ident)
        self._has_all_since = info.boot
        self._given = version.number
        self._policy = info.policy
        self.coordinator.show("training", info.board, f"training on version {version.number}", version=version.number)

    def poll(self) -> Status:
        """Progress of the round, shown. Raises BoardError when the round failed, LinkError when the board
        forgot it.
        """
        status = self.board.status()
        if (status.state == State.READY and status.update is not None) or status.state == State.WAITING:
            return status
        if status.state in (State.IDLE, State.READY):
            if status.error == BUDGET:
                raise LeaveError("its privacy budget is used up")
            if status.error:
                raise BoardError(status.error, status.error_text)
            raise LinkError("it has lost its round: it was reset")
        self.coordinator.show("training", self.ident, status.state.name.lower(), done=status.done, total=status.total)
        return status

    def finish(self) -> None:
        """Wait for the update, fetch it, make it durable, let the board drop it."""
        status = self._until(State.READY, State.WAITING)
        if status.state == State.WAITING:
            if not self._seal():
                return
            status = self._until(State.READY)
        if status.state != State.READY or status.update is None:
            return
        if problem := self._fetch(status.update, status.update_length):
            # Another round would be charged and refused in the same way.
            raise LeaveError(f"its update was not used: {problem}")

    def _until(self, *wanted: State) -> Status:
        """Wait for a state, or for the run to be stopped."""
        pause = 0.02
        moved = time.monotonic()
        before: tuple[State, int] | None = None
        while (status := self.poll()).state not in wanted:
            if (status.state, status.done) != before:
                before = (status.state, status.done)
                moved = time.monotonic()
            elif time.monotonic() - moved > self.coordinator.plan.patience:
                self.board.abandon()
                raise LeaveError("its round does not get on: reset the board and look at `picofed selftest`")
            if self.coordinator.stopped:
                break
            time.sleep(pause)
            pause = min(0.25, pause * 1.5)
        return status

    def _seal(self) -> bool:
        """Wait for a cohort and hide the board's update in it; False where none comes: nothing was charged then."""
        coordinator, version = self.coordinator, self._given
        cohorts = coordinator.cohorts
        if cohorts is None:
            raise LeaveError("its update waits for a cohort, and there is none in this job")
        with coordinator.changed:
            cohorts.wait(self.ident, self._policy)
            coordinator.tick()
            while (task := cohorts.task(self.ident)) != Task.SEAL:
                if coordinator.finished or coordinator.version.number != version:
                    break
                coordinator.changed.wait(PAUSE)
            else:
                cohort, members, _ = cohorts.objects()
        if task != Task.SEAL:
            self.board.abandon()
            return False
        try:
            ident = upload(self.board, cohort, self._mtu)  # first: a board gives up the oldest object for a new one
            upload(self.board, members, self._mtu)
            self.board.seal(ident)
            if self._until(State.READY, State.WAITING).state == State.READY:
                return True
            problem = self.board.status().error_text
        except BoardError as error:
            problem = str(error)
        with coordinator.changed:
            cohorts.give_up(self.ident)
        coordinator.note("refused", self.ident, f"it does not join the cohort: {problem}")
        with coordinator.changed:
            while not coordinator.finished and coordinator.version.number == version:
                coordinator.changed.wait(PAUSE)
        self.board.abandon()
        return False

    def reveal(self) -> bool:
        """Ask the board for what opens its cohort's sum, if that is what is missing."""
        coordinator = self.coordinator
        cohorts = coordinator.cohorts
        if cohorts is None:
            return False
        with coordinator.changed:
            if cohorts.task(self.ident) != Task.REVEAL:
                return False
            version = cohorts.version
            cohort, members, survivors = cohorts.objects()
        try:
            ident = upload(self.board, cohort, self._mtu)
            upload(self.board, members, self._mtu)
            answer = self.board.reveal(ident, survivors)
        except BoardError as error:
            coordinator.note("refused", self.ident, f"it does not open the cohort's sum: {error}")
            answer = b""
        with coordinator.changed:
            if cohorts.version == version:
                if answer:
                    cohorts.told(self.ident, answer)
                else:
                    cohorts.give_up(self.ident)
            coordinator.tick()
        return True

    def _fetch(self, update: bytes, length: int) -> str:
        """Take over an update; returns why it was refused, or ""."""
        if length > self.coordinator.longest_update:
            raise LeaveError(f"it announces an update of {length} bytes, more than any job of this host has")
        parts = BoardParts(self.coordinator.store, self.ident)
        data = download(self.board, update, length, self._mtu, parts)
        problem = ""
        try:
            made = self.coordinator.deliver(self.ident, data)
            if self._given not in (None, made.version):
                problem = f"it was given version {self._given} and answered with one of version {made.version}"
        except (UpdateError, ReplayError) as error:
            problem = str(error)
            parts.clear(update)
            self.coordinator.note("refused", self.ident, f"an update was not used: {problem}")
        self._given = None
        # Only now: what `deliver` took is on disk; what it refused will never be wanted.
        self.board.drop(update)
        return problem
