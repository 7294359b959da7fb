"""A week without a reset, in virtual time: asked every few hours, learning every day. On the unix board only: others
would interpret 604,800 passes through an idle loop; they do ten rounds in test_boards.py (docs/boards.md)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from picofed.fleet.emulation import UnixBoard
from picofed.fleet.provision import board_files
from picofed.learn.coordinator import Coordinator
from picofed.learn.server import Server
from picofed.link.connect import connect
from picofed.store import Store
from picofed.toolchain.build import natmod
from world import IDENTITY, SEED, SOFTMAX, charge_of, plan, provision, sessions

pytestmark = pytest.mark.slow

DAY = 24 * 3600


def test_a_week_leaves_the_heap_as_it_was(tmp_path: Path) -> None:
    given = provision(IDENTITY, SOFTMAX, 100)
    board = UnixBoard(tmp_path / "board", board_id=IDENTITY, entropy=SEED.hex(), virtual_time=True)
    board.install(board_files(natmod("x64"), given, sessions()))
    used: list[int] = []
    store = Store()
    with board:
        client = connect(str(board.port))
        for day in range(1, 8):
            while board.uptime < day * DAY:
                time.sleep(0.05)  # while nobody asks, an hour or so passes
                info = client.hello()
                assert info.boot == 1
            client.close()
            run = Coordinator(store, SOFTMAX, plan(day), {IDENTITY: given.update_key}, expected=1)
            Server(run, {"dut": lambda: connect(str(board.port))}).run()
            assert run.left == {}
            client = connect(str(board.port))
            info = client.hello()
            used.append(info.used)
        client.close()
        assert board.uptime >= 7 * DAY and board.boots == 1
    assert info.spent == 7 * charge_of(SOFTMAX)
    assert max(used[1:]) <= used[0] + 3000, used
