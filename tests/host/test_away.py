"""Boards that are out of reach for a while: nobody waits for them, and they may come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from picofed.learn import server
from picofed.learn.clients import SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.events import Event
from picofed.learn.server import Server
from picofed.link.messages import LinkError
from picofed.store import Store

MakeWorld = Callable[..., Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts in quick succession: nothing here is about how long they take."""
    monkeypatch.setattr(server, "RETRY", 0.01)
    monkeypatch.setattr(server, "RETRY_MAX", 0.02)


class Link:
    """A simulated board whose link breaks in its n-th round, and then fails `fails` times to open."""

    def __init__(self, board: SimulatedBoard, breaks: int = 0, fails: int = 0) -> None:
        self._board, self._breaks, self._fails = board, breaks, fails
        self._rounds = 0

    def open(self) -> Link:
        if self._rounds >= self._breaks and self._fails:
            self._fails -= 1
            raise LinkError("no answer")
        return self

    def round(self, job: bytes, weights: bytes) -> Any:
        self._rounds += 1
        if self._rounds == self._breaks and self._fails:
            raise LinkError("no answer")
        return self._board.round(job, weights)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)


def start(world: Any, boards: list[SimulatedBoard], links: list[Link]) -> tuple[Coordinator, list[Event]]:
    events: list[Event] = []
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    run = Coordinator(Store(), world.job, world.plan, keys, events.append, expected=len(boards))
    Server(run, {board.name: link.open for board, link in zip(boards, links, strict=True)}).run()  # type: ignore[misc]
    return run, events


def test_a_board_that_comes_back_after_patience_takes_part_again(make_world: MakeWorld) -> None:
    """No version is made of fewer than three updates, and two boards alone would not be stalled: one may come back."""
    world = make_world(boards=3, rounds=4, patience=0.001, minimum=3)
    boards = world.boards()
    run, events = start(world, boards, [Link(boards[0]), Link(boards[1]), Link(boards[2], breaks=2, fails=8)])
    told = [(event.kind, event.text) for event in events if event.board == "board-2"]
    assert ("left", "away: no answer") in told and ("joined", "is back") in told
    assert sum(kind == "left" for kind, _ in told) == 1  # said once, not at every attempt
    assert run.version.number == 4 and run.left == {}
    assert all(len(run.store.members(world.job.id, number)) == 3 for number in range(1, 5))


def test_the_others_go_on_while_a_board_is_away(make_world: MakeWorld) -> None:
    world = make_world(boards=3, rounds=4, patience=0.001, aggregator="ftte", capacity=3)
    boards = world.boards()
    run, _ = start(world, boards, [Link(boards[0]), Link(boards[1]), Link(boards[2], breaks=2, fails=1 << 30)])
    assert run.version.number == 4 and run.left == {"board-2": "no answer"} and run.away == 1
    assert [len(run.store.members(world.job.id, number)) for number in (1, 4)] == [3, 2]


def test_a_board_that_is_asleep_at_the_start_joins_later(make_world: MakeWorld) -> None:
    """The other one makes version 1 alone, and takes its time over version 2 until the sleeper is there."""
    awake = threading.Event()

    class Sleeper(Link):
        def job(self, ident: bytes) -> Any:  # what comes after it has joined
            awake.set()
            return self._board.job(ident)

    class Patient(Link):
        def round(self, job: bytes, weights: bytes) -> Any:
            assert self._rounds == 0 or awake.wait(60)
            return super().round(job, weights)

    world = make_world(boards=2, rounds=3)
    boards = world.boards()
    run, events = start(world, boards, [Patient(boards[0]), Sleeper(boards[1], fails=5)])
    assert run.version.number == 3 and run.left == {}
    assert [event.kind for event in events if event.board == "board-1"][:2] == ["left", "joined"]
    assert [len(run.store.members(world.job.id, number)) for number in (1, 3)] == [1, 2]


def test_a_run_without_boards_ends_after_absence(make_world: MakeWorld) -> None:
    world = make_world(boards=2, rounds=3, patience=0.001, absence=0.05)
    boards = world.boards()
    run, _ = start(world, boards, [Link(board, breaks=2, fails=1 << 30) for board in boards])
    assert run.version.number == 1 and run.stopped
    assert run.left == {"board-0": "no answer", "board-1": "no answer"}


def test_a_run_ends_at_once_if_no_board_was_ever_there(make_world: MakeWorld) -> None:
    world = make_world(boards=2, rounds=3)  # absence is a day: it is for boards that are known
    boards = world.boards()
    run, _ = start(world, boards, [Link(board, fails=1 << 30) for board in boards])
    assert run.version.number == 0 and set(run.left) == {"board-0", "board-1"}
