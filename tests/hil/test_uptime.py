"""A long time without a reset, in virtual time: asked again and again, and learning between. A week, on the
slowest board a day; `--hours 168` is a week there too.
"""

from __future__ import annotations

import contextlib
import time

import pytest
from console import PATIENCE
from dut.emulated import REAL_TIME_ALONE, JumpingDut
from hello import hello
from picofed.fleet.emulation import EmulationError, emulated
from picofed.learn.coordinator import Coordinator
from picofed.learn.server import Server
from picofed.store import Store
from world import SOFTMAX, begin, charge_of, plan

WEEK, DAY = 7 * 24, 24
HOURS = {"xtensa": DAY}


@pytest.mark.slow
@pytest.mark.emulated
@pytest.mark.jumps
def test_uptime_leaves_the_heap_as_it_was(dut: JumpingDut, request: pytest.FixtureRequest) -> None:
    hours = request.config.getoption("--hours") or HOURS.get(dut.kind, WEEK)
    rounds = 7 if hours >= WEEK else 2
    dut.skip_waits()
    given = begin(dut)
    hello(dut)
    used: list[int] = []
    store = Store()
    for number in range(1, rounds + 1):
        until, end = hours * 3600 * number // rounds, time.monotonic() + 10 * PATIENCE
        while dut.uptime < until // 3600 * 3600:
            assert time.monotonic() < end, dut.log
            time.sleep(0.05)  # while nobody asks, an hour or so passes
            assert hello(dut).boot == 1
        run = Coordinator(store, SOFTMAX, plan(number), {given.policy.board: given.update_key}, expected=1)
        Server(run, {"dut": dut.connect}).run()
        assert run.left == {}
        with contextlib.closing(dut.connect()) as client:
            info = client.hello()
        used.append(info.used)
    assert dut.uptime >= hours * 3600 and dut.starts == 1
    assert info.spent == rounds * charge_of(SOFTMAX)
    assert max(used[1:]) <= used[0] + 3000, used


@pytest.mark.parametrize("kind", REAL_TIME_ALONE)
def test_a_kind_that_is_left_out_here_refuses_virtual_time(kind: str) -> None:
    with pytest.raises(EmulationError, match="has no virtual time"):
        emulated(kind, virtual_time=True)
