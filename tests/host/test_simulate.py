"""Whole jobs on simulated boards: learning, budgets, restarts, bad updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed import accounting, native
from picofed.flash import MemoryFlash
from picofed.learn.clients import SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.evaluate import evaluate, float_accuracy, majority, train_float
from picofed.learn.events import Event
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.learn.updates import Update, UpdateError
from picofed.learn.versions import deployed
from picofed.learn.worker import Worker
from picofed.store import SET_ASIDE, USED, ReplayError, Store

MakeWorld = Callable[..., Any]


def test_boards_learn_and_the_private_run_is_near_the_float_one(make_world: MakeWorld) -> None:
    world = make_world(rounds=6)
    done = simulate(world.job, world.plan, world.boards())
    private = evaluate(world.job, deployed(done.versions[-1]), world.people)
    floats = float_accuracy(
        world.job, train_float(world.job, world.plan, list(world.clients.values()))[-1], world.people
    )
    assert floats > 0.9 and private.accuracy > floats - 0.05
    assert majority(list(world.clients.values()), world.people) < 0.6
    assert private.confusion.sum() == private.examples == 200
    charge = accounting.charge(world.job.clip, world.job.log2_sigma, 1)
    assert [row.spent for row in done.store.boards()] == [6 * charge] * 3


def test_without_noise_the_fixed_point_run_is_the_float_run(make_world: MakeWorld) -> None:
    world = make_world(rounds=6)
    bare = replace(world.job, clip=0, log2_sigma=0, round_shift=0)
    done = simulate(bare, world.plan, world.boards())
    floats = train_float(world.job, world.plan, list(world.clients.values()))[-1]
    fixed = np.frombuffer(done.versions[-1].master, "<f8")
    assert np.abs(fixed - floats).max() < 0.02


def test_what_a_board_releases_is_gradient_plus_its_noise(make_world: MakeWorld) -> None:
    """The update of a simulated board, rebuilt step by step from SPEC with the core's parts."""
    world = make_world(boards=1, rounds=1)
    board = world.boards()[0]
    store = simulate(world.job, world.plan, [board]).store
    (stored,) = store.updates(world.job.id, USED)
    given = board.provision
    update = Update.parse(stored.data, given.update_key)
    assert (update.seq, update.version, update.records, update.cumulative) == (1, 0, 40, given.policy.budget)

    import hashlib

    raw = b"".join(hashlib.sha256(b"entropy" + bytes(4) + block.to_bytes(4, "little")).digest() for block in range(32))
    entropy = native.blake2b(raw, 32)
    x = native.blake2b(b"picofed boot" + bytes(4) + entropy + given.policy.board + bytes(8), 64, given.secret)
    key = native.blake2b(b"noise" + bytes(4), 32, x[:32])
    noise = native.discrete_gaussian(key, world.job.log2_sigma, 138).astype(np.int64)
    trainer = native.Trainer(world.job.model.descriptor)
    trainer.set_weights(np.zeros(138, np.int16))
    trainer.begin(key, world.job.log2_sigma, world.job.clip)
    trainer.fill()
    trainer.examples(board.examples.features, board.examples.labels)
    assert update.payload == trainer.encode(16)
    gradient = trainer.release() - noise
    assert 0 < np.linalg.norm(gradient) <= 40 * world.job.clip


def test_the_same_seeds_give_the_same_versions_and_the_order_of_arrival_does_not_matter(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    one = simulate(world.job, world.plan, world.boards())
    two = simulate(world.job, world.plan, world.boards(), seconds=lambda board, version: 5.0 - board)
    assert [v.released for v in one.versions] == [v.released for v in two.versions]
    assert len({v.released for v in one.versions}) == 5


def test_threads_and_virtual_time_give_the_same_versions(make_world: MakeWorld) -> None:
    world = make_world()
    expected = simulate(world.job, world.plan, world.boards())
    boards = world.boards()
    store = Store()
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    coordinator = Coordinator(store, world.job, world.plan, keys, expected=3)
    Server(coordinator, {board.name: (lambda b=board: b) for board in boards}).run()  # type: ignore[misc]
    assert coordinator.version == expected.versions[-1]


def test_fedbuff_does_not_wait_for_a_straggler(make_world: MakeWorld) -> None:
    world = make_world(rounds=8, aggregator="fedbuff", capacity=2)
    slow = simulate(world.job, world.plan, world.boards(), seconds=lambda board, _: 100.0 if board == 2 else 1.0)
    assert slow.seconds < 20
    synchronous = make_world(rounds=8)
    waits = simulate(world.job, synchronous.plan, world.boards(), seconds=lambda board, _: 100.0 if board == 2 else 1.0)
    assert waits.seconds == 800
    fast = make_world(rounds=8, deadline=10.0)
    left_behind = simulate(world.job, fast.plan, world.boards(), seconds=lambda board, _: 100.0 if board == 2 else 1.0)
    assert left_behind.seconds == 80
    assert evaluate(world.job, deployed(slow.versions[-1]), world.people).accuracy > 0.85


def test_a_late_update_is_set_aside_with_its_reason(make_world: MakeWorld) -> None:
    world = make_world(rounds=4, deadline=10.0)
    events: list[Event] = []
    done = simulate(
        world.job,
        world.plan,
        world.boards(),
        seconds=lambda board, _: 15.0 if board == 2 else 1.0,
        events=events.append,
    )
    aside = done.store.updates(world.job.id, SET_ASIDE)
    assert aside and all("late" in update.reason for update in aside)
    assert [event for event in events if event.kind == "refused"]


def test_a_board_without_budget_leaves_and_the_others_go_on(make_world: MakeWorld) -> None:
    world = make_world(rounds=5)
    boards = world.boards(rounds=5)
    boards[1] = world.boards(rounds=2)[1]
    done = simulate(world.job, world.plan, boards)
    assert done.coordinator.version.number == 5
    assert done.coordinator.left == {"board-1": "its privacy budget is used up"}
    assert [len(done.store.members(world.job.id, number)) for number in range(1, 6)] == [3, 3, 2, 2, 2]


def test_when_all_budgets_are_used_up_the_run_ends(make_world: MakeWorld) -> None:
    world = make_world(rounds=5)
    done = simulate(world.job, world.plan, world.boards(rounds=2))
    assert done.coordinator.version.number == 2 and len(done.coordinator.left) == 3


def test_a_run_goes_on_where_it_was_stopped(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(average=0.5)
    expected = simulate(world.job, world.plan, world.boards())
    boards = world.boards()
    for rounds in (1, 2, 4):
        store = Store(tmp_path / "store.db")
        done = simulate(world.job, replace(world.plan, rounds=rounds, average=0.0), boards, store=store)
        assert done.coordinator.version.number == rounds
        store.close()
    assert done.coordinator.version.master == expected.versions[-1].master
    assert done.coordinator.version.optimiser == expected.versions[-1].optimiser
    masters = [np.frombuffer(version.master, "<f8") for version in expected.versions]
    average = np.frombuffer(expected.versions[-1].average or b"", "<f8")
    assert average == pytest.approx((masters[3] + masters[4]) / 2)


def test_collecting_and_aggregating_apart_is_the_same(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(rounds=2)
    expected = simulate(world.job, world.plan, world.boards())
    boards = world.boards()
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    store = Store()
    for _ in range(2):
        collector = Coordinator(store, world.job, world.plan, keys, aggregate=False, expected=3)
        Server(collector, {board.name: (lambda b=board: b) for board in boards}).run()  # type: ignore[misc]
        assert len(store.updates(world.job.id)) == 3
        assert Coordinator(store, world.job, world.plan, keys).flush()
    latest = store.latest(world.job.id)
    assert latest == expected.versions[-1]


@pytest.fixture
def delivery(make_world: MakeWorld) -> tuple[Coordinator, SimulatedBoard, bytes]:
    world = make_world(boards=2)
    board, other = world.boards()
    keys = {b.provision.policy.board: b.provision.update_key for b in (board, other)}
    coordinator = Coordinator(Store(), world.job, world.plan, keys, expected=2)
    worker = Worker(board, coordinator, "p")
    worker.join()
    worker.start(coordinator.version)
    status = board.status()
    assert status.update is not None
    return coordinator, board, board.get(status.update, 0, status.update_length)


def test_bad_updates_change_nothing(delivery: tuple[Coordinator, SimulatedBoard, bytes]) -> None:
    coordinator, board, data = delivery
    ident, key = board.provision.policy.board, board.provision.update_key
    good = Update.parse(data, key)
    wrong = [
        ("key", data[:-1] + bytes([data[-1] ^ 1])),
        ("another board", replace(good, board=b"\2" * 8).pack(key)),
        ("does not know", replace(good, job=b"whatever").pack(key)),
        ("another mode", replace(good, mode=1).pack(key)),
        ("not clipped", replace(good, clip_norm=5).pack(key)),
        ("not clipped", replace(good, log2_sigma=good.log2_sigma + 1).pack(key)),
        ("not clipped", replace(good, steps=2).pack(key)),
        ("does not exist", replace(good, version=1).pack(key)),
        ("claims 0 records", replace(good, records=0).pack(key)),
        ("claims 65537 records", replace(good, records=65537).pack(key)),
        ("payload", replace(good, payload=good.payload[:-1]).pack(key)),
    ]
    for words, bad in wrong:
        with pytest.raises(UpdateError, match=words):
            coordinator.deliver(ident, bad)
    with pytest.raises(UpdateError, match="does not hold"):
        coordinator.deliver(b"stranger", data)
    assert coordinator.store.updates(coordinator.job.id, None) == []
    coordinator.deliver(ident, data)
    coordinator.deliver(ident, data)  # the board did not hear that it may drop it
    assert coordinator.aggregator.held == 1
    with pytest.raises(ReplayError):
        coordinator.deliver(ident, replace(good, records=1).pack(key))


def test_entropy_of_the_emulator_passes_the_health_tests() -> None:
    from picofed.learn.clients import emulated_entropy

    raw = emulated_entropy(b"seed", 3, 1024)
    assert len(native.entropy_condition(raw)) == 32
    assert raw[:32] != emulated_entropy(b"seed", 4, 32)
    native.Ratchet.provision(MemoryFlash(), bytes(32))
