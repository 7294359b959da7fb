"""A fleet: which client is which kind of board, who is slow, and when each is awake. All of it follows from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed.simulation.profile import DeviceProfile, ProfileError

FACTOR_MAX: Final = 1_000_000
_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True)
class Fleet:
    """profiles: kinds of boards, dealt out in turn. stragglers: the part of the clients that take straggler_factor
    times as long. clock_spread: clients' clocks differ by up to so many hours to either side. at_once: rounds under way
    at one time, and begun for one version, at most; 0: everyone takes part in every version."""

    profiles: tuple[DeviceProfile, ...] = (DeviceProfile(),)
    stragglers: float = 0.0
    straggler_factor: float = 10.0
    clock_spread: float = 0.0
    at_once: int = 0

    def __post_init__(self) -> None:
        if not self.profiles:
            raise ProfileError("a fleet has at least one profile")
        if not 0 <= self.stragglers <= 1 or not 1 <= self.straggler_factor <= FACTOR_MAX:
            raise ProfileError(f"stragglers must be 0 to 1, their factor 1 to {FACTOR_MAX:,}")
        if not 0 <= self.clock_spread <= 12 or self.at_once < 0:
            raise ProfileError("clock_spread must be 0 to 12 hours, at_once 0 or more")

    def slowness(self, clients: int, seed: int) -> NDArray[np.float64]:
        """For each client, how many times as long as its profile's clock says; exactly the share are stragglers."""
        factors = np.array([self.profiles[i % len(self.profiles)].straggler_factor for i in range(clients)], float)
        order = np.random.Generator(np.random.PCG64([seed, 1])).permutation(clients)
        factors[order[: round(self.stragglers * clients)]] *= self.straggler_factor
        return factors

    def shifts(self, clients: int, seed: int) -> NDArray[np.float64]:
        """For each client, seconds that its clock is ahead."""
        draw = np.random.Generator(np.random.PCG64([seed, 2]))
        return draw.uniform(-1, 1, clients) * self.clock_spread * 3600


def chance(seed: int, client: int, attempt: int) -> float:
    """A number in [0, 1) that depends on nothing else: SplitMix64's finaliser (Steele et al. 2014), applied thrice."""
    state = 0
    for part in (seed, client, attempt):
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ state >> 27) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return (state >> 11) * 2.0**-53
