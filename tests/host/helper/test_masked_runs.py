"""A host's runs with a helper: versions, updates that are set aside, a helper that is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import program
from helper_world import SECRET, Fleet, InProcess, boards_of, masked, roster_of
from picofed import accounting, native
from picofed.distributed import share
from picofed.helper import roster as helper_roster
from picofed.helper.judge import Judge
from picofed.helper.request import Request
from picofed.learn import jobfile
from picofed.learn.admission import Admission
from picofed.learn.aggregators import Contribution
from picofed.learn.clients import SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.job import Job, JobError, Plan
from picofed.learn.simulate import simulate
from picofed.learn.sums import UNIT
from picofed.learn.unmask import Helper, HelperLost, Unmasker, check_plan, weight_spread, whole_weights
from picofed.learn.updates import UpdateError
from picofed.learn.worker import Worker
from picofed.masking import MaskError
from picofed.peers import Sealed
from picofed.privacy import page
from picofed.privacy.statement import state
from picofed.report.sums import Conditional, figures, of_job, words
from picofed.store import SET_ASIDE, Store


def cli(*words: str) -> str:
    done = program(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def drive(store: Store, job: Job, plan: Plan, boards: list[SimulatedBoard], helper: Helper) -> Coordinator:
    """Boards in turn, until the run ends."""
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    coordinator = Coordinator(store, job, plan, keys, clock=lambda: 0.0, expected=len(boards), helper=helper)
    workers = [Worker(board, coordinator, "simulated") for board in boards]
    for worker in workers:
        worker.join()
    while not coordinator.finished:
        assert not coordinator.stalled
        for worker in workers:
            version = coordinator.assignment(worker.ident)
            if version is not None:
                worker.start(version)
                worker.finish()
    return coordinator


@pytest.mark.parametrize("settings", [{}, {"aggregator": "ftte", "variance": False, "staleness": "threshold"}])
def test_masked_run_makes_the_versions_of_an_unmasked_one(
    make_world: Callable[..., Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    world = make_world(3, 4, capacity=3, **settings)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    store = Store()
    made = drive(store, job, replace(world.plan, masked=True, honest=3), boards, InProcess(judge))
    assert made.failure is None and made.version.number == 4
    plain = replace(job, mask_bits=0)
    other = simulate(plain, world.plan, [SimulatedBoard(b.provision, b.examples, b"entropy") for b in boards])
    # the nonce of a masked update takes a key of the ratchet, so that noise is the same in the first round only
    assert store.version(job.id, 1).master == other.versions[1].master  # type: ignore[union-attr]
    judge.close()


def test_the_conditional_epsilon_stands_beside_the_boards_own(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """In picofed budget, in the privacy report and in a job's report: the number that `run` prints. What a ledger holds
    beyond masked updates counts in full; boards without masked updates have none."""
    world = make_world(3, 3, capacity=3)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    store, plan = Store(tmp_path / "store.db"), replace(world.plan, masked=True, honest=3)
    assert drive(store, job, plan, boards, InProcess(judge)).failure is None
    judge.close()
    wanted = figures(store, job, plan).ever_sums
    rows = store.boards()
    found = [Conditional(store, plan.delta, 3).epsilon(row) for row in rows]
    assert max(one for one in found if one is not None) == pytest.approx(wanted, rel=1e-12)
    # no more boards are taken to be honest than a sum had members
    more = Conditional(store, plan.delta, 50).epsilon(rows[0])
    assert more is not None and found[0] is not None and more == pytest.approx(found[0], rel=1e-4)
    charge = accounting.charge(job.clip, job.log2_sigma)
    full = replace(rows[0], spent=rows[0].spent + charge)
    assert Conditional(store, plan.delta, 3).epsilon(full) > accounting.epsilon(  # type: ignore[operator]
        accounting.mu_squared_of(charge), plan.delta
    )
    store.seen(board=bytes(8), name="idle", port="", seq=1, spent=0, budget=5)
    told = cli("budget", "--site", str(tmp_path), "--honest", "3")
    assert "with 3 honest" in told and "nothing masked" in told and "the helper is" in " ".join(told.split())
    item = json.loads(cli("budget", "--site", str(tmp_path), "--honest", "3", "--json"))
    by_name = {board["name"]: board for board in item["boards"]}
    assert by_name.pop("idle")["epsilon_distributed"] is None and item["honest"] == 3
    assert [one["epsilon_distributed"] for one in by_name.values()] == found
    assert all(0 < one["epsilon_distributed"] < 0.7 * one["epsilon_spent"] for one in by_name.values())
    statement = state(store, plan.delta, None, 3)
    assert [board.sums for board in statement.boards if board.name != "idle"] == found
    text = page.render(statement)
    assert "in sums: if 3 boards of each are honest" in text and "Seen in sums" in text
    assert "that it keeps what it knows from the host" in text
    store.close()


def test_the_two_epsilons_say_what_they_cover_and_agree(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """Two masked jobs on one site, and a run that released nothing: `run`, `report`, `budget` and the privacy report
    have one number for everything a board ever released, and each job its own."""
    world = make_world(3, 3, capacity=3)
    first, second, idle = (replace(masked(world, clip=1 << 16), name=name) for name in ("first", "second", "idle"))
    boards = boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    store, plan = Store(tmp_path / "store.db"), replace(world.plan, masked=True, honest=3)
    for job in (first, second):
        assert drive(store, job, plan, boards, InProcess(judge)).failure is None
    judge.close()
    row = store.boards()[0]
    found = figures(store, second, plan)
    assert figures(store, first, plan) == found  # as many releases each
    assert found.ever_sums == Conditional(store, plan.delta, 3).epsilon(row) and found.ever == pytest.approx(
        accounting.epsilon(accounting.mu_squared_of(row.spent), plan.delta), rel=1e-6
    )
    assert found.job_sums < found.job < found.ever and found.job_sums < found.ever_sums < found.ever
    item = json.loads(cli("budget", "--site", str(tmp_path), "--honest", "3", "--json"))
    assert {one["epsilon_distributed"] for one in item["boards"]} == {found.ever_sums}
    assert {one["epsilon_spent"] for one in item["boards"]} == {found.ever}
    assert {one.sums for one in state(store, plan.delta, None, 3).boards} == {found.ever_sums}
    said = words(found, plan)
    assert said[0].startswith("this job alone: epsilon ") and said[1].startswith("everything a board ever released")
    assert "if 3 boards in each are honest" in said[2]
    store.add_job(idle.id, idle.name, idle.body)
    nothing = figures(store, idle, plan)
    assert (nothing.job, nothing.job_sums) == (0.0, 0.0) and nothing.ever_sums == found.ever_sums
    assert words(nothing, plan)[0] == "this job alone: nothing was released"
    # what is not masked counts in full: with as much again, sums of the rest are of little help
    more = replace(row, spent=3 * row.spent)
    assert Conditional(store, plan.delta, 3).epsilon(more) > found.ever  # type: ignore[operator]
    store.close()


MASKED_JOB = """
name = "masked"
[records]
window = 100
labels = 3
[privacy]
epsilon = 4.0
records = 126
boards = 3
[server]
rounds = 3
aggregator = "fedavg"
masked = true
helper = "https://helper.example"
honest = 3
"""


def test_a_simulation_of_a_masked_job_has_both_epsilons(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """Without masks and without a helper, which a simulation needs neither of: both epsilons of the job as it is."""
    world = make_world(3)
    (tmp_path / "job.toml").write_text(MASKED_JOB)
    names = np.repeat(list(world.clients), [len(one.labels) for one in world.clients.values()])
    features, labels = (
        np.concatenate([getattr(one, part) for one in world.clients.values()]) for part in ("features", "labels")
    )
    np.savez(tmp_path / "data.npz", features=features, labels=labels, clients=names)
    command = ["simulate", str(tmp_path / "job.toml"), "--data", str(tmp_path / "data.npz")]
    job, plan = jobfile.load(tmp_path / "job.toml")
    part = share(job.log2_sigma, job.round_shift, 3)
    wanted = of_job(job, plan.delta, 3, 3, part)
    for more in ([], ["--evaluate-every", "3"]):  # the second: a fleet in virtual time
        item = json.loads(cli(*command, *more, "--json"))
        assert (item["epsilon"], item["epsilon_distributed"], item["honest"]) == (*wanted, 3)
        told = cli(*command, *more)
        assert "this job alone: epsilon" in told and "against a host that saw masked sums only, if 3 boards" in told
    assert wanted[1] < 0.7 * wanted[0] <= 0.7 * 4.0
    # and in the report of a run of the same job
    boards = boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    store = Store(tmp_path / "store.db")
    assert drive(store, job, plan, boards, InProcess(judge)).failure is None
    judge.close()
    store.close()
    page = ["--site", str(tmp_path), "--output", str(tmp_path / "report.html"), "--json"]
    item = json.loads(cli("report", str(tmp_path / "job.toml"), *page))
    assert (item["epsilon"], item["epsilon_distributed"], item["honest"]) == pytest.approx((*wanted, 3), rel=1e-9)
    assert item["notes"][0].startswith("Masked updates. This job alone: epsilon ") and len(item["notes"]) == 1
    html = (tmp_path / "report.html").read_text()
    assert "Everything a board ever released: epsilon" in html and "if 3 boards in each are honest" in html


def test_lost_helper_drops_the_buffer_and_nothing_else(make_world: Callable[..., Any], tmp_path: Path) -> None:
    world = make_world(3, 4)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    plan = replace(world.plan, masked=True, honest=3)
    store = Store()
    made = drive(store, job, plan, boards, InProcess(judge, 1))
    assert isinstance(made.failure, HelperLost)
    assert str(made.failure) == "the helper is away: 3 updates were dropped, and what they cost stays spent"
    assert made.version.number == 2 and store.members(job.id, 2) == []
    assert store.version(job.id, 2).master == store.version(job.id, 1).master  # type: ignore[union-attr]
    assert [update.state for update in store.updates(job.id, None)].count(SET_ASIDE) == 3
    spent = {board.spent for board in store.boards()}
    again = drive(store, job, plan, boards, InProcess(judge))
    assert again.failure is None and again.version.number == 4
    assert {board.spent for board in store.boards()} == {2 * units for units in spent}
    judge.close()


def test_host_that_asks_twice_for_what_was_used_loses_it(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """Killed between the helper's answer and its own commit, a host asks again; another set of updates gets nothing."""
    world = make_world(4, 3, minimum=3, deadline=0.5)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    plan = replace(world.plan, masked=True, honest=3)

    class Killed(Exception):
        pass

    class Kills(InProcess):
        def unmask(self, request: Request) -> Any:
            super().unmask(request)
            raise Killed

    store = Store()
    with pytest.raises(Killed):
        drive(store, job, plan, boards, Kills(judge))
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    same = Coordinator(store, job, plan, keys, clock=lambda: 0.0, helper=InProcess(judge))
    assert same.flush() and same.version.number == 1 and len(store.members(job.id, 1)) == 4
    judge.close()


def test_header_that_is_refused_costs_the_other_boards_nothing(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """A board whose key the roster does not have, and updates that a killed host had unmasked already."""
    world = make_world(5, 2)
    job, boards = masked(world), boards_of(world)
    stranger = boards[3].provision
    boards[3] = SimulatedBoard(replace(stranger, key=b"k" * 32), boards[3].examples, b"entropy")
    keys_known = [replace(board.provision) for board in boards]
    keys_known[3] = stranger
    judge = Judge(tmp_path / "log.db", SECRET, helper_roster.roster_of(keys_known, 3))
    plan = replace(world.plan, masked=True, honest=3)
    store = Store()
    made = drive(store, job, plan, boards, InProcess(judge))
    assert made.failure is None and made.version.number == 2
    assert len(store.members(job.id, 1)) == len(store.members(job.id, 2)) == 4
    aside = [update for update in store.updates(job.id, None) if update.state == SET_ASIDE]
    assert {update.board for update in aside} == {stranger.policy.board} and len(aside) == 2
    assert "was not made by it" in aside[0].reason
    judge.close()


def test_plans_that_masks_do_not_fit_are_refused(make_world: Callable[..., Any]) -> None:
    world = make_world(3)
    job = masked(world)
    keys: dict[bytes, bytes] = {}
    helper: Any = object()
    for settings in ({"aggregator": "fedbuff"}, {"aggregator": "ftte", "variance": False}):
        with pytest.raises(JobError, match="powers of two"):
            Coordinator(Store(), job, replace(world.plan, masked=True, rounds=30, **settings), keys, helper=helper)
    for wrong in ((job, world.plan), (world.job, replace(world.plan, masked=True))):
        with pytest.raises(JobError, match="mask_bits"):
            Coordinator(Store(), *wrong, keys, helper=helper)
    with pytest.raises(JobError, match="need a helper"):
        Coordinator(Store(), job, replace(world.plan, masked=True), keys)
    for changes in ({"mask_bits": 7}, {"mask_bits": 21}, {"round_shift": 16, "mask_bits": 16}, {"mask_bits": 33}):
        with pytest.raises(JobError):
            masked(world, **changes)
    with pytest.raises(JobError, match="gradient"):
        masked(world, mode="local", multiplier=1)
    assert Job.parse(job.body) == job and Job.parse(world.job.body) == world.job
    assert whole_weights([0.25, 1.0, 0.0]) == ([1, 4, 0], 0.25)
    for bad in ([0.0], [1.0, 0.75], [1.0, 1 / 64]):
        with pytest.raises(MaskError):
            whole_weights(bad)


def test_weights_by_age_that_go_under_masks(make_world: Callable[..., Any]) -> None:
    """Halved with each version that an update is late: known before any comes, and no more apart than noise hides."""
    world = make_world(3)
    rule = {"aggregator": "ftte", "variance": False, "staleness": "helper_world:Halves"}
    plan = replace(world.plan, masked=True, rounds=30, max_staleness=5, **rule)
    coarse, fine = masked(world), masked(world, round_shift=10)
    with pytest.raises(JobError, match="lower round_shift"):
        check_plan(coarse, plan)
    check_plan(fine, plan)
    assert weight_spread(fine, plan) == 32
    assert weight_spread(fine, replace(plan, rounds=2)) == 4
    with pytest.raises(JobError, match="factor of 32"):
        check_plan(fine, replace(plan, max_staleness=6))


def test_no_helper_is_asked_for_one_update(fleet: Fleet) -> None:
    update = fleet.release(0)
    one = Contribution(1, update.board, 0, update.records, update.values(fleet.job.model), update.header)
    unmasker = Unmasker(fleet.job, InProcess(None))  # type: ignore[arg-type]
    for updates, weights in (([one], [UNIT]), ([one, replace(one, board=bytes(8))], [UNIT, 0])):
        with pytest.raises(HelperLost, match="would show it"):
            unmasker.total(updates, weights)


def test_updates_that_are_not_masked_as_the_job_says(make_world: Callable[..., Any], fleet: Fleet) -> None:
    update = fleet.release(0)
    key = fleet.boards[0].provision.update_key
    keys = {update.board: key}
    plan = replace(make_world(3).plan, masked=True)
    coordinator = Coordinator(Store(), fleet.job, plan, keys, helper=InProcess(None))  # type: ignore[arg-type]
    plain = replace(update, masked=False, payload=native.update_encode(update.values(fleet.job.model), 0))
    wider = replace(update, payload=update.payload[:16] + bytes([21]) + update.payload[17:])
    for bad in (plain, wider):
        with pytest.raises(UpdateError, match="not masked as the job says"):
            coordinator.deliver(update.board, bad.pack(key))
    with pytest.raises(UpdateError):
        coordinator.deliver(update.board, replace(update, payload=update.payload[:30]).pack(key))
    coordinator.deliver(update.board, update.pack(key))


def test_an_update_is_masked_for_whom_the_job_says(make_world: Callable[..., Any], fleet: Fleet) -> None:
    """A helper's masks and a cohort's may be as wide as each other, but neither takes the other's off."""
    update = fleet.release(0)
    key, count = fleet.boards[0].provision.update_key, len(fleet.job.model.trainable)
    bits, shift = fleet.job.mask_bits, fleet.job.round_shift
    fields = update.payload[20:-16]
    cohorts = update.seal(Sealed(bytes(32), bits, shift, count, bytes(16), fields, (bytes(32),) * 4))
    pairwise, store = replace(fleet.job, masks="pairwise"), Store()
    for job in (fleet.job, pairwise):
        store.add_job(job.id, job.name, job.body)
    for job, good, bad in ((fleet.job, update, cohorts), (pairwise, cohorts, update)):
        admission = Admission(store, job, make_world(3).plan, {update.board: key})
        assert admission.admit(update.board, replace(good, job=job.id).pack(key), 0).values.size == count
        with pytest.raises(UpdateError, match="not masked as the job says"):
            admission.admit(update.board, replace(bad, job=job.id).pack(key), 0)
