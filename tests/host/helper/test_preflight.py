"""What `run` asks and counts before boards train under masks, and what it says when a helper is lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandline import Done, picofed
from helper_world import PUBLIC, SECRET, Fleet, InProcess, boards_of, masked, roster_of
from picofed.fleet.provision import Registry
from picofed.helper.judge import Judge
from picofed.learn import jobfile
from picofed.learn.coordinator import Coordinator
from picofed.learn.events import Event
from picofed.learn.worker import Worker
from picofed.link.messages import Info
from picofed.provisioning import Policy, Provision
from picofed.store import Store
from processes import process

JOB = """
name = "masked"
[records]
window = 100
labels = 3
[privacy]
clip_norm = 262144
log2_sigma = 17
[server]
rounds = 2
aggregator = "fedavg"
masked = true
helper = "{url}"
{more}
"""


def site(folder: Path, helper: bytes = PUBLIC, boards: int = 3, **policy: Any) -> None:
    """A site with boards that nobody can reach: whoever tries says so."""
    registry = Registry(folder / "picofed-site" / "boards.json")
    registry.path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(boards):
        given = Policy(bytes([number + 1] * 8), f"watch-{number}", 1 << 30, 1 << 20, helper=helper, **policy)
        registry.add(Provision.new(given, b"test"), f"/dev/nothing-{number}")


def run(folder: Path, url: str, more: str = "") -> Done:
    (folder / "job.toml").write_text(JOB.format(url=url, more=more))
    return picofed("run", "job.toml", cwd=folder)


def refused(done: Done, *words: str) -> None:
    """One line, before any board was sought."""
    assert done.returncode == 2 and not done.stdout, done
    assert len(done.stderr.splitlines()) == 1 and "/dev/nothing" not in done.stderr, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


@pytest.fixture
def helper(fleet: Fleet, tmp_path: Path) -> Iterator[str]:
    """The URL of a helper whose sums are of three boards at least."""
    with process(tmp_path / "helper", roster_of(fleet.boards, 3)) as (url, _):
        yield url


def test_a_helper_that_cannot_do_it_costs_boards_nothing(
    helper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(tmp_path, helper=b"k" * 32)
    refused(run(tmp_path, helper), PUBLIC.hex(), (b"k" * 32).hex(), "watch-0, watch-1, watch-2", "nothing was asked")
    few = tmp_path / "few"
    few.mkdir()
    site(few, boards=2)
    refused(run(few, helper), "2 boards", "needs 3", "the helper's minimum")
    # nobody there, and somebody else
    monkeypatch.setattr("picofed.learn.unmask.PAUSES", (0.01,))
    good = tmp_path / "good"
    good.mkdir()
    site(good)
    unanswered = run(good, "http://127.0.0.1:9")
    refused(unanswered, "does not answer")
    refused(run(good, f"{helper}/elsewhere"), "refused: Not Found")
    # with all in order, boards are what it fails at
    assert "/dev/nothing-0" in run(good, helper).stderr


@pytest.mark.parametrize(
    ("more", "policy", "words"),
    [
        ("honest = 5", {}, ("3 boards", "needs 5", "honest")),
        ("minimum = 4", {}, ("3 boards", "needs 4", "minimum in [server]")),
        ("", {"cohort": 4}, ("3 boards", "needs 4", "cohort in the policy of watch-0")),
    ],
)
def test_too_few_boards_for_any_sum(
    helper: str, tmp_path: Path, more: str, policy: dict[str, int], words: tuple[str, ...]
) -> None:
    site(tmp_path, **policy)
    refused(run(tmp_path, helper, more), *words, "nothing was asked of boards")


def test_boards_that_are_too_few_here_are_not_charged(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """Of those that were expected one is not there: the others would train for a sum that cannot be had."""
    world = make_world(3)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 2))
    plan = replace(world.plan, masked=True, honest=2)
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    coordinator = Coordinator(
        Store(), job, plan, keys, clock=lambda: 0.0, expected=3, helper=InProcess(judge), aggregate=True
    )
    coordinator.need(3, "the helper's minimum")
    workers = [Worker(board, coordinator, f"port-{number}") for number, board in enumerate(boards)]
    heads: list[Info] = [worker.join() for worker in workers[:2]]
    assert not coordinator.stalled  # the third may be there in a moment
    assert [coordinator.assignment(worker.ident) for worker in workers[:2]] == [None, None]
    coordinator.absent("port-2", "no such device")
    assert coordinator.stalled == (
        "0 updates are here and 2 more can come, but a masked sum needs 3 (the helper's minimum)"
    )
    assert [board.hello().spent for board in boards[:2]] == [head.spent for head in heads]
    workers[2].join()
    assert not coordinator.stalled and all(coordinator.assignment(worker.ident) for worker in workers)
    judge.close()


def test_who_waits_in_vain_is_told_before_the_deadline(make_world: Callable[..., Any], tmp_path: Path) -> None:
    world = make_world(3)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    plan = replace(world.plan, masked=True, honest=3, deadline=600.0)
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    coordinator = Coordinator(Store(), job, plan, keys, clock=lambda: 0.0, expected=3, helper=InProcess(judge))
    workers = [Worker(board, coordinator, "simulated") for board in boards]
    for worker in workers:
        worker.join()
    for worker in workers[:2]:
        version = coordinator.assignment(worker.ident)
        assert version is not None
        worker.start(version)
        worker.finish()
    coordinator.leave(workers[2].ident, "its battery is empty")
    assert coordinator.stalled == "2 updates are here and 0 more can come, but a masked sum needs 3 (honest)"
    judge.close()


def test_a_lost_helper_is_not_called_the_end_of_all_versions(make_world: Callable[..., Any], tmp_path: Path) -> None:
    for answers in (1, 3):
        world = make_world(3, 4)
        job, boards = masked(world), boards_of(world)
        judge = Judge(tmp_path / f"{answers}.db", SECRET, roster_of(boards, 3))
        plan = replace(world.plan, masked=True, honest=3)
        keys = {board.provision.policy.board: board.provision.update_key for board in boards}
        events: list[Event] = []
        helper = InProcess(judge, answers)
        coordinator = Coordinator(Store(), job, plan, keys, events.append, clock=lambda: 0.0, expected=3, helper=helper)
        workers = [Worker(board, coordinator, "simulated") for board in boards]
        for worker in workers:
            worker.join()
        while not coordinator.finished:
            for worker in workers:
                if (version := coordinator.assignment(worker.ident)) is not None:
                    worker.start(version)
                    worker.finish()
        assert coordinator.failure is not None and coordinator.version.number == answers + 1
        said = [event.text for event in events if event.kind == "finished"]
        assert said == (["all 4 versions are made"] if answers == 3 else [])
        judge.close()


def test_aggregate_does_not_lose_what_was_collected_to_a_helper_that_is_away(
    helper: str, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picofed.learn.unmask.PAUSES", (0.01,))
    site(tmp_path)
    (tmp_path / "job.toml").write_text(JOB.format(url="http://127.0.0.1:9", more=""))
    job, plan = jobfile.load(tmp_path / "job.toml")
    fleet.job = job
    store = Store(tmp_path / "picofed-site" / "store.db")
    keys = {board.provision.policy.board: board.provision.update_key for board in fleet.boards}
    collecting = Coordinator(store, job, plan, keys, aggregate=False)

    def aggregate() -> Done:
        return picofed("aggregate", "job.toml", cwd=tmp_path)

    for number in range(2):
        update = fleet.release(number)
        collecting.deliver(update.board, update.pack(keys[update.board]))
    refused(aggregate(), "does not answer")
    (tmp_path / "job.toml").write_text(JOB.format(url=helper, more=""))
    refused(aggregate(), "2 boards", "needs 3", "the helper's minimum")
    update = fleet.release(2)
    collecting.deliver(update.board, update.pack(keys[update.board]))
    store.close()
    assert aggregate().stdout == "version 1 from 3 updates\n"
