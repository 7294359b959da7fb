"""The host killed (-9) at every step of a job: nothing acknowledged is lost, nothing counts twice.

The boards live on in this process, behind pipes; the host runs in a child that kills itself just before, or
just after, its n-th call of the store or of a board, for every n. A second child then goes on with the same
store and boards. With FedAvg the versions must be, to the byte, those of a run that nobody disturbed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from picofed.learn.aggregators import Contribution
from picofed.learn.clients import SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.learn.updates import Update
from picofed.learn.versions import make_aggregator, make_optimiser, next_version
from picofed.store import PENDING, USED, Store
from picofed.update_head import name

BOARD_CALLS = (
    "hello",
    "put",
    "have",
    "job",
    "round",
    "status",
    "get",
    "drop",
    "ledger",
    "selftest",
    "abandon",
)
STORE_CALLS = (
    "add_job",
    "start",
    "seen",
    "add_part",
    "accept",
    "advance",
    "set_aside",
    "event",
    "clear_parts",
)


class RemoteBoard:
    """A board at the other end of a pipe; what the server sees is BoardApi."""

    def __init__(self, name: str, pipe: Connection, step: Callable[..., Any]) -> None:
        self.name = name
        for call in BOARD_CALLS:
            setattr(self, call, partial(step, partial(self._call, pipe, call)))

    @staticmethod
    def _call(pipe: Connection, call: str, *arguments: Any) -> Any:
        pipe.send((call, arguments))
        good, result = pipe.recv()
        if not good:
            raise result
        return result

    def close(self) -> None:
        pass


def serve(board: SimulatedBoard, pipe: Connection, dropped: list[bytes]) -> None:
    """The board's side, until the host is gone."""
    try:
        while True:
            call, arguments = pipe.recv()
            try:
                result = (True, getattr(board, call)(*arguments))
                if call == "drop":
                    dropped.append(arguments[0])
            except Exception as error:
                result = (False, error)
            pipe.send(result)
    except (EOFError, OSError):
        pass


def host(world: Any, path: Path, pipes: list[Connection], others: list[Connection], kill_at: int, after: bool) -> None:
    """The host's process. kill_at: 0 lives to the end."""
    for pipe in others:
        pipe.close()
    lock = threading.Lock()
    count = 0

    def step(run: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        nonlocal count
        with lock:
            count += 1
            mine = count
        if mine == kill_at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = run(*arguments, **named)
        if mine == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    store = Store(path)
    for call in STORE_CALLS:
        setattr(store, call, partial(step, getattr(store, call)))
    boards = world.boards()
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    coordinator = Coordinator(store, world.job, world.plan, keys, expected=len(boards))
    remotes = [RemoteBoard(board.name, pipe, step) for board, pipe in zip(boards, pipes, strict=True)]
    Server(coordinator, {remote.name: (lambda r=remote: r) for remote in remotes}).run()  # type: ignore[misc]
    (path.parent / "steps").write_text(str(count))


def run_host(
    world: Any, path: Path, boards: list[SimulatedBoard], dropped: list[bytes], kill_at: int, after: bool
) -> int | None:
    """Let a host process live its life; returns its exit code."""
    fork = multiprocessing.get_context("fork")
    pairs = [fork.Pipe() for _ in boards]
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    child = fork.Process(target=host, args=(world, path, theirs, ours, kill_at, after))
    child.start()
    for pipe in theirs:
        pipe.close()
    threads = [
        threading.Thread(target=serve, args=(board, pipe, dropped)) for board, pipe in zip(boards, ours, strict=True)
    ]
    for thread in threads:
        thread.start()
    child.join(60)
    for thread in threads:
        thread.join()
    for pipe in ours:
        pipe.close()
    return child.exitcode


def check_nothing_lost(path: Path, world: Any, dropped: list[bytes], where: object) -> None:
    """What a killed host has left: every update that a board was told to drop is there, once."""
    if not path.exists():
        return
    store = Store(path)
    stored = [update.data for update in store.updates(world.job.id, None)] if store.jobs() else []
    store.close()
    assert len(set(stored)) == len(stored)
    lost = set(dropped) - {name(data) for data in stored}
    assert not lost, f"{where}: an acknowledged update is lost"


def check_replay(store: Store, world: Any, where: object) -> None:
    """The store's versions follow from its updates alone: made again from the first one, weights, optimiser's state and
    all are the same to the byte; no update counts twice."""
    updates = {(update.board, update.seq): update for update in store.updates(world.job.id, None)}
    optimiser = make_optimiser(world.plan, world.job.model)
    version = store.version(world.job.id, 0)
    assert version is not None
    seen = []
    for number in range(1, world.plan.rounds + 1):
        rule = make_aggregator(world.plan, number - 1, 0.0, world.job)
        members = store.members(world.job.id, number)
        for board, seq, _ in members:
            stored = updates[board, seq]
            update = Update.parse(stored.data, None)
            given = Contribution(stored.row, board, update.version, update.records, update.values(world.job.model))
            assert rule.offer(given) is None, where
        aggregate = rule.take()
        rows = {updates[board, seq].row: weight for board, seq, weight in members}
        assert dict(aggregate.members) == rows, where
        version = next_version(world.job, world.plan, optimiser, version, aggregate, 0.0)
        assert version == store.version(world.job.id, number), where
        seen += list(rows)
    assert sorted(seen) == sorted(update.row for update in store.updates(world.job.id, USED))
    assert len(seen) == len(set(seen))


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_step(make_world: Callable[..., Any], tmp_path: Path, after: bool) -> None:
    world = make_world(boards=2, rounds=2)
    expected = [version.released for version in simulate(world.job, world.plan, world.boards()).versions]
    assert run_host(world, tmp_path / "whole" / "store.db", world.boards(), [], 0, after) == 0
    steps = int((tmp_path / "whole" / "steps").read_text())
    assert steps > 40
    for kill_at in range(1, steps + 1):
        path = tmp_path / str(kill_at) / "store.db"
        boards = world.boards()
        dropped: list[bytes] = []
        code = run_host(world, path, boards, dropped, kill_at, after)
        # Threads take turns, so a run may have a few steps fewer than the one that was counted.
        assert code == -signal.SIGKILL or (code == 0 and kill_at > steps - 12), kill_at
        check_nothing_lost(path, world, dropped, f"step {kill_at}")
        assert run_host(world, path, boards, dropped, 0, after) == 0, kill_at
        store = Store(path)
        versions = [store.version(world.job.id, number) for number in range(3)]
        assert [version.released for version in versions if version] == expected, kill_at
        used = store.updates(world.job.id, USED)
        members = [entry for number in (1, 2) for entry in store.members(world.job.id, number)]
        assert len(members) == len(set(members)) == len(used) == 4
        assert store.updates(world.job.id, PENDING) == []
        assert all(board._ledger.seq == 2 for board in boards), "a release was charged twice"
        check_replay(store, world, kill_at)
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("aggregator", "optimiser", "rounds"),
    [("fedasync", "adam", 4), ("fedbuff", "yogi", 2), ("ftte", "adam", 2), ("ftte", "sgd", 2)],
)
def test_every_rule_and_optimiser_goes_on_after_a_kill(
    make_world: Callable[..., Any], tmp_path: Path, aggregator: str, optimiser: str, rounds: int
) -> None:
    """Where what is made depends on who comes first, the versions are checked against the store's own updates. A kill
    at every seventh step, before and after it in turn, from another one for each rule."""
    world = make_world(
        boards=3,
        rounds=rounds,
        aggregator=aggregator,
        optimiser=optimiser,
        learning_rate=0.1,
        capacity=3,
        average=0.5,
    )
    assert run_host(world, tmp_path / "whole" / "store.db", world.boards(), [], 0, False) == 0
    steps = int((tmp_path / "whole" / "steps").read_text())
    for kill_at in range(1 + sum(map(ord, aggregator + optimiser)) % 7, steps + 1, 7):
        path = tmp_path / str(kill_at) / "store.db"
        boards = world.boards()
        dropped: list[bytes] = []
        assert run_host(world, path, boards, dropped, kill_at, bool(kill_at % 2)) in (-signal.SIGKILL, 0)
        check_nothing_lost(path, world, dropped, kill_at)
        assert run_host(world, path, boards, dropped, 0, False) == 0, kill_at
        check_nothing_lost(path, world, dropped, kill_at)
        store = Store(path)
        check_replay(store, world, kill_at)
        store.close()
