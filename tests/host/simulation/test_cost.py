"""What a simulation costs, in function calls: these are counted, and do not depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from picofed.simulation.api import Setup, run
from picofed.simulation.fleet import Fleet

MakeSetup = Callable[..., Setup]


def calls_of(setup: Setup) -> tuple[int, int]:
    """Calls that Python makes in its own thread, and updates."""
    count = 0

    def counted(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        done = run(setup, workers=1)
    finally:
        sys.setprofile(None)
    return count, len(done.updates["client"])


@pytest.mark.parametrize(
    "plan",
    [{"aggregator": "fedavg", "rounds": 4}, {"aggregator": "fedbuff", "capacity": 50}],
    ids=["fedavg", "fedbuff"],
)
def test_cost_grows_linearly_with_clients(plan: dict[str, Any], make_setup: MakeSetup) -> None:
    fleet = Fleet(stragglers=0.3)
    cost = []
    for clients in (200, 2000):
        rounds = plan.get("rounds", 2 * clients // 50)
        count, updates = calls_of(make_setup(clients=clients, fleet=fleet, **{**plan, "rounds": rounds}))
        cost.append(count / updates)
    assert cost[1] < 1.1 * cost[0]
    assert cost[1] < 105


def test_clients_are_run_many_at_a_time(make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    from picofed.native_batch import Batch

    sizes: list[int] = []
    real = Batch.run

    def noted(self: Batch, settings: Any, clients: Any, *rest: Any) -> Any:
        sizes.append(len(clients))
        return real(self, settings, clients, *rest)

    monkeypatch.setattr(Batch, "run", noted)
    run(make_setup(clients=300, rounds=3), workers=1)
    assert sizes == [300] * 3
