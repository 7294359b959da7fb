"""Boards and files that do what they should not: nobody else is held up, and no number gets better than the truth."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed import accounting, native
from picofed.cli import common
from picofed.errors import PicofedError
from picofed.fleet.provision import Registry, RegistryError
from picofed.learn import data, jobfile
from picofed.learn.aggregators import Contribution, FedBuff
from picofed.learn.coordinator import Coordinator
from picofed.learn.job import JobError
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.learn.updates import Update, UpdateError, longest
from picofed.learn.worker import LeaveError, Worker
from picofed.link.messages import BUSY, BoardError
from picofed.link.stream import PortError, SerialStream
from picofed.report.facts import epsilon_of_ledger
from picofed.simulation.dataset import DatasetError
from picofed.store import PENDING, SET_ASIDE, Store

MakeWorld = Callable[..., Any]


def coordinate(world: Any, boards: list[Any], **options: Any) -> Coordinator:
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    store = options.pop("store", None) or Store()
    return Coordinator(store, world.job, world.plan, keys, expected=len(boards), **options)


def forge(world: Any, board: Any, seq: int, version: int, **changes: Any) -> bytes:
    """An update as a participant with its own key can make it."""
    job = changes.pop("job", world.job)
    version = changes.pop("number", version)
    made = Update(
        mode=0,
        log2_sigma=job.log2_sigma,
        seq=seq,
        version=version,
        records=40,
        clip_norm=job.clip,
        steps=1,
        cumulative=1,
        job=job.id,
        board=board.provision.policy.board,
        payload=native.update_encode(np.zeros(len(job.model.trainable), np.int32), 0),
    )
    return replace(made, **changes).pack(board.provision.update_key)


@pytest.mark.parametrize("records", [0, 1 << 20, 2**32 - 1])
def test_counts_of_records_that_would_drown_or_blow_up_the_mean_are_refused(
    make_world: MakeWorld, records: int
) -> None:
    world = make_world(boards=1)
    boards = world.boards()
    run = coordinate(world, boards)
    with pytest.raises(UpdateError, match="records"):
        run.deliver(boards[0].provision.policy.board, forge(world, boards[0], 1, 0, records=records))
    assert run.store.updates(world.job.id, None) == []


def test_a_bad_update_for_another_job_does_not_block_that_job(make_world: MakeWorld) -> None:
    world = make_world(boards=1)
    other = replace(world.job, name="other")
    boards = world.boards()
    ident = boards[0].provision.policy.board
    store = Store()
    coordinate(world, boards, store=store)
    run = coordinate(replace(world, job=other), boards, store=store)
    for changes in ({"payload": b"\x01\x00\x00junk"}, {"log2_sigma": 6}, {"number": 7}):
        with pytest.raises(UpdateError):
            run.deliver(ident, forge(world, boards[0], 1, 0, **changes))
    # one that an earlier picofed may have stored unchecked is set aside, not fatal
    bad = forge(world, boards[0], 1, 0, payload=b"\x01\x00\x00junk")
    store.accept(board=ident, seq=1, update_id=bytes(16), job=world.job.id, version=0, spent=1, data=bad)
    assert coordinate(world, boards, store=store).aggregator.held == 0
    assert [update.state for update in store.updates(world.job.id, None)] == [SET_ASIDE]


def test_a_board_counts_once_a_version_and_cannot_go_back(make_world: MakeWorld) -> None:
    world = make_world(boards=2, rounds=9, aggregator="fedbuff", capacity=1)
    boards = world.boards()
    ident = boards[0].provision.policy.board
    run = coordinate(world, boards)
    for number in range(3):
        run.deliver(ident, forge(world, boards[0], number + 1, number))
    assert run.version.number == 3
    for seq, version in ((4, 0), (5, 1), (6, 2)):
        run.deliver(ident, forge(world, boards[0], seq, version))
    assert run.version.number == 3 and run.store.updates(world.job.id, PENDING) == []
    assert len(run.store.updates(world.job.id, SET_ASIDE)) == 3


def test_a_board_that_answers_with_an_old_update_leaves(make_world: MakeWorld) -> None:
    world = make_world(boards=1, rounds=3)
    boards = world.boards()
    run = coordinate(world, boards)
    worker = Worker(boards[0], run)
    worker.join()
    worker.start(run.version)
    kept = boards[0]._update
    worker.finish()
    assert run.version.number == 1
    worker.start(run.version)
    boards[0]._update = kept
    with pytest.raises(LeaveError, match="given version 1 and answered with one of version 0"):
        worker.finish()
    assert len(run.store.updates(world.job.id, None)) == 1


def test_a_busy_board_is_waited_for_once(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(boards=1, rounds=3)
    boards = world.boards()
    run = coordinate(world, boards)
    worker = Worker(boards[0], run)
    worker.join()
    begin = boards[0].round

    def busy(job: bytes, weights: bytes) -> None:
        begin(job, weights)
        raise BoardError(BUSY, "")

    monkeypatch.setattr(boards[0], "round", busy)
    worker.start(run.version)
    worker.finish()
    assert run.version.number == 1


def test_a_ledger_that_fell_back_is_noticed(make_world: MakeWorld) -> None:
    world = make_world(boards=1, rounds=3)
    store = Store()
    boards = world.boards()
    simulate(world.job, replace(world.plan, rounds=2), boards, store=store)
    with pytest.raises(LeaveError, match="provision it again"):
        Worker(world.boards()[0], coordinate(world, boards, store=store)).join()


def test_an_update_longer_than_any_jobs_is_not_fetched(make_world: MakeWorld) -> None:
    world = make_world(boards=1)
    boards = world.boards()
    run = coordinate(world, boards)
    worker = Worker(boards[0], run)
    worker.join()
    assert run.longest_update == longest(138)
    with pytest.raises(LeaveError, match="more than any job"):
        worker._fetch(bytes(16), run.longest_update + 1)


@pytest.mark.parametrize("live", [True, False])
def test_too_few_boards_for_the_minimum_end_the_run(make_world: MakeWorld, live: bool) -> None:
    world = make_world(boards=2, minimum=3)
    boards = world.boards()
    if not live:
        done = simulate(world.job, world.plan, boards)
        assert "a version needs 3" in done.coordinator.stalled
        return
    run = coordinate(world, boards)
    caught: list[BaseException] = []

    def serve() -> None:
        try:
            Server(run, {board.name: (lambda b=board: b) for board in boards}).run()  # type: ignore[misc]
        except PicofedError as error:
            caught.append(error)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive() and "a version needs 3" in str(caught[0])
    assert len(run.store.updates(world.job.id, PENDING)) == 2


def test_many_boards_that_hang_do_not_hold_up_the_end(make_world: MakeWorld) -> None:
    world = make_world(boards=8)
    boards = world.boards()
    run = coordinate(world, boards)
    never = threading.Event()
    waits: list[float] = []

    class Watched(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            waits.append(timeout or 0.0)
            time.sleep(0.01)

    server = Server(run, {board.name: (lambda: never.wait() or None) for board in boards})  # type: ignore[misc,dict-item]
    run.stop()
    server._threads = [Watched() for _ in range(50)]
    server.run()
    never.set()
    assert waits[0] <= 5.0 and waits[49] < 4.6


def test_fedbuff_goes_on_at_its_deadline() -> None:
    rule = FedBuff(0, 100.0, capacity=4, deadline=30.0)
    assert rule.due() is None and not rule.ready(1e9, 1)
    rule.offer(Contribution(1, b"a", 0, 10, np.ones(3, np.int32)))
    assert rule.due() == 130.0 and not rule.ready(129.9, 1) and rule.ready(130.0, 1)


def test_epsilon_has_no_bound_where_none_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert epsilon_of_ledger(2**32 - 1, 1e-5, 0) == math.inf  # a saturated ledger
    assert epsilon_of_ledger(1000, 1e-5, 300 * (2**32 - 1)) < math.inf
    assert epsilon_of_ledger(2**32 - 2, 1e-5, 300 * (2**32 - 1)) == math.inf
    with pytest.raises(accounting.AccountingError):
        epsilon_of_ledger(1000, math.nan, 0)
    assert common.epsilon_text(math.inf) == "no bound"
    common.print_json({"epsilon": math.inf, "list": [1.5, (math.inf,)]})
    assert "Infinity" not in capsys.readouterr().out


HEAD = 'name = "x"\n[records]\nwindow = 100\nlabels = 3\n[privacy]\n'


@pytest.mark.parametrize(
    "text",
    [
        "clip_norm = 0\nlog2_sigma = 0",
        "epsilon = 8.0\nrecords = 10\nboards = -1",
        "epsilon = 8.0\nrecords = -10\nboards = 2",
        f"epsilon = 8.0\nboards = 2\nrecords = 1{'0' * 400}",
        f"epsilon = 8.0\n[server]\ndeadline = 1{'0' * 400}",
        f"epsilon = 8.0\n[server]\nrounds = 1{'0' * 5000}",
        "epsilon = 8.0\n[server]\nlearning_rate = inf",
        "epsilon = 8.0\n[server]\ntau = inf",
        "epsilon = 8.0\n[local]\nsteps = 2\nlearning_rate = nan\nrecords = 9",
        "epsilon = 8.0\n[local]\nsteps = 2\nlearning_rate = inf\nrecords = 9",
        "epsilon = 8.0\n[local]\nsteps = 2\nlearning_rate = 1e-320\nrecords = 9",
        f"epsilon = 8.0\n[local]\nsteps = 2\nlearning_rate = 1.0\nrecords = 1{'0' * 400}",
        "a = " + "[" * 5000 + "]" * 5000,
    ],
    ids=range(13),
)
def test_job_files_with_mad_numbers_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.toml").write_text(HEAD + text)
    with pytest.raises(JobError):
        jobfile.load(tmp_path / "job.toml")


@pytest.mark.parametrize("text", ["[" * 100000, '{"name": "\\ud800"}'])
def test_odd_json_job_files_are_refused(tmp_path: Path, text: str) -> None:
    whole = text.replace("}", ', "records": {"window": 100, "labels": 3}, "privacy": {"epsilon": 8.0}}')
    (tmp_path / "job.json").write_text(whole)
    with pytest.raises(JobError):
        jobfile.load(tmp_path / "job.json")


def test_a_port_pattern_that_is_none() -> None:
    with pytest.raises(PortError, match="cannot open"):
        SerialStream("hwgrep://(")


def test_damaged_data_and_registries_are_refused(tmp_path: Path, make_world: MakeWorld) -> None:
    job = make_world().job
    np.save(tmp_path / "bare.npy", np.zeros(4))
    (tmp_path / "bare.npy").rename(tmp_path / "bare.dat")
    np.savez_compressed(tmp_path / "good.npz", labels=np.arange(500) % 3)
    damaged = bytearray((tmp_path / "good.npz").read_bytes())
    damaged[60:100] = bytes(40)
    (tmp_path / "zlib.npz").write_bytes(damaged)
    for name in ("bare.dat", "zlib.npz"):
        with pytest.raises(DatasetError):
            data.load(tmp_path / name, job)
    policy = '{"board": "0011223344556677", "name": 5, "losses": [], "modes": [], "features": []}'
    for text in ('{"format": 2, "boards": [{"policy": ' + policy + "}]}", "[" * 100000):
        (tmp_path / "boards.json").write_text(text)
        (tmp_path / "boards.json").chmod(0o600)
        with pytest.raises(RegistryError, match="damaged"):
            Registry(tmp_path / "boards.json")
