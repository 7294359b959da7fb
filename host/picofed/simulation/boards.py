"""What rounds take on each client's board: worked out once where it can be, as every event asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from picofed.learn.updates import TAG

if TYPE_CHECKING:
    from picofed.simulation.engine import Setup

WEIGHTS_HEADER: Final = 16  # bytes before the values of a weights object (SPEC 6.5)
UPDATE_HEADER: Final = 40  # bytes before the payload of an update object (SPEC 6.6)


class Boards:
    """The boards of a fleet, one for each client. kinds: what each is; work: seconds of its processor for a round."""

    def __init__(self, setup: Setup, records: list[int]) -> None:
        """records: of each client."""
        job, fleet, clients = setup.job, setup.fleet, len(records)
        self.kinds = [fleet.profiles[client % len(fleet.profiles)] for client in range(clients)]
        self._shift: list[float] = fleet.shifts(clients, setup.seed).tolist()
        cycles = np.array([kind.cycles(job, number) for kind, number in zip(self.kinds, records, strict=True)])
        clocks = np.array([kind.clock_hz for kind in self.kinds])
        self.work: list[float] = (cycles / clocks * fleet.slowness(clients, setup.seed)).tolist()
        everything, trained = job.model.parameters, len(job.model.trainable)
        self._sleeping = any(not profile.always_awake for profile in fleet.profiles)
        self._batteries = any(profile.battery_joules for profile in fleet.profiles)
        self._floats = setup.parameter_bytes * everything
        self._first_down = WEIGHTS_HEADER + (self._floats or 2 * everything)
        self._down = WEIGHTS_HEADER + (self._floats or 2 * trained)

    def bytes_down(self, first: bool) -> int:
        """Of the weights, of which all are sent once and later those that are trained."""
        return self._first_down if first else self._down

    def bytes_up(self, payload: int) -> int:
        """Of an update."""
        return UPDATE_HEADER + (self._floats or payload) + TAG

    def awake_at(self, client: int, now: float) -> float:
        """The first second from `now` on at which the client's board is awake."""
        return self.kinds[client].awake_at(now, self._shift[client]) if self._sleeping else now

    def empty(self, client: int, joules: float, now: float) -> bool:
        """Whether its battery is used up by `joules` and by what an idle board takes."""
        kind = self.kinds[client]
        return self._batteries and 0 < kind.battery_joules <= joules + kind.idle_watts * now
