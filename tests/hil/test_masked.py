"""Masked updates from end to end: emulated boards, a helper's process, the live server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dut.emulated import EmulatedDut
from picofed.fleet.provision import board_files
from picofed.helper.roster import roster_of
from picofed.helper.secret import secret_key
from picofed.learn.coordinator import Coordinator
from picofed.learn.job import Plan
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.learn.unmask import HttpHelper
from picofed.learn.updates import Update
from picofed.native import x25519_public
from picofed.provisioning import Policy, Provision, emulated_owner
from picofed.roster import Roster
from picofed.store import Store
from picofed.toolchain.build import natmod
from world import SEED, SOFTMAX, charge_of, sessions, simulated

pytestmark = pytest.mark.slow

MASKED = replace(SOFTMAX, name="masked", round_shift=15, mask_bits=17)
PLAN = Plan(rounds=2, aggregator="fedavg", masked=True, honest=3, patience=120.0)


@contextmanager
def helper(folder: Path, roster: Roster) -> Iterator[HttpHelper]:
    """A helper's process."""
    file = folder / "roster.cbor"
    owner = emulated_owner(SEED)
    roster.save(file, owner)
    command = [sys.executable, "-c", "from picofed.cli import main; main()", "helper", "serve", "--port", "0"]
    command += ["--state", str(folder), "--roster", str(file), "--owner", owner.public.hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the helper did not start"
            yield HttpHelper(found[0])
        finally:
            process.terminate()


def test_three_boards_a_helper_and_a_host(tmp_path: Path) -> None:
    """The host's sum is the sum of what the boards would have sent without masks, and their updates say nothing."""
    public = x25519_public(secret_key(tmp_path / "helper", make=True))
    charge = charge_of(MASKED)
    given = [
        Provision.new(Policy(bytes([n] * 8), f"dut-{n}", 10 * charge, charge, helper=public), SEED) for n in (1, 2, 3)
    ]
    store = Store()
    with ExitStack() as stack:
        boards = []
        for one in given:
            board = EmulatedDut("unix", tmp_path / one.policy.name, one.policy.board, SEED)
            stack.callback(board.close)
            board.begin(board_files(natmod(board.natmod_arch), one, sessions()))
            boards.append(board)
        with helper(tmp_path / "helper", roster_of(given, 3)) as asked:
            keys = {one.policy.board: one.update_key for one in given}
            coordinator = Coordinator(store, MASKED, PLAN, keys, expected=3, helper=asked)
            Server(coordinator, {board.port: board.connect for board in boards}).run()
    assert coordinator.version.number == 2
    plain = replace(MASKED, mask_bits=0)
    other = simulate(plain, replace(PLAN, masked=False, helper=""), [simulated(one, plain) for one in given])
    assert len(store.members(MASKED.id, 1)) == 3
    assert store.version(MASKED.id, 1).master == other.versions[1].master  # type: ignore[union-attr]
    for stored in store.updates(MASKED.id, None):
        update = Update.parse(stored.data, None)
        assert update.masked
        fields = update.values(MASKED.model).view(np.uint32)
        assert (
            len(np.unique(fields >> 14)) == 8
        )  # spread over all of 17 bits, where a release is within a few sigma of 0
