"""Versions of boards that hide among each other: simulated boards, the live server, dropouts, a host that dies."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from picofed import accounting
from picofed.errors import PicofedError
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.cohorts import SumLost
from picofed.learn.coordinator import Coordinator
from picofed.learn.job import Job, JobError, Plan
from picofed.learn.model import Model
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.link.messages import BoardError, LinkError, State
from picofed.link.transfer import object_id
from picofed.members import Members
from picofed.provisioning import Policy, Provision, emulated_owner
from picofed.store import Store

OWNER = emulated_owner(b"cohorts")
JOB = Job("cohorts", Model.dense([45, 3]), 1 << 18, 20, 100, 100, 3, round_shift=15, mask_bits=17, masks="pairwise")
PLAN = Plan(rounds=2, aggregator="fedavg", masked=True, masks="pairwise", honest=4, patience=1.5, absence=1.0)
CHARGE = accounting.charge(JOB.clip, JOB.log2_sigma)
COUNT = 8  # k = 7, t = 5: two neighbours of each may drop


class HostDied(BaseException):
    """As good as kill -9: nothing of what was in memory is left."""


@dataclass
class Flaky(SimulatedBoard):
    """A board that is gone for good before the n-th request of a kind, or at whose request the host dies."""

    gone_before: str = ""
    host_dies_at: str = ""
    gone: bool = False

    def _may(self, what: str) -> None:
        if self.gone_before == what:
            self.gone = True
        if self.gone:
            raise LinkError("no answer")
        if self.host_dies_at == what:
            self.host_dies_at = ""
            raise HostDied

    def hello(self) -> Any:
        self._may("hello")
        return super().hello()

    def status(self) -> Any:
        self._may("status")
        return super().status()

    def seal(self, cohort: bytes) -> State:
        self._may("seal")
        return super().seal(cohort)

    def get(self, update: bytes, offset: int, length: int) -> bytes:
        self._may("get")
        return super().get(update, offset, length)

    def drop(self, update: bytes) -> None:
        self._may("drop")
        super().drop(update)

    def reveal(self, cohort: bytes, survivors: bytes) -> bytes:
        self._may("reveal")
        return super().reveal(cohort, survivors)


def boards(kind: type[SimulatedBoard] = Flaky) -> list[Any]:
    generator = np.random.default_rng(7)
    found = []
    for n in range(1, COUNT + 1):
        labels = generator.integers(0, 3, 30 + n)
        features = np.clip(np.rint(generator.normal(size=(30 + n, 45)) * 40 + 20 * labels[:, None]), -127, 127)
        policy = Policy(bytes([n] * 8), f"board-{n}", 10 * CHARGE, CHARGE, link=1, peers=3)
        given = Provision.new(policy, b"cohorts", OWNER)
        found.append(kind(given, Examples(features.astype(np.int8), labels.astype(np.uint8)), b"entropy"))
    return found


def members(fleet: list[Any]) -> Members:
    return Members.sign(4, {board.provision.policy.board: board.provision.public for board in fleet}, OWNER)


def run(store: Store, fleet: list[Any], plan: Plan = PLAN, **more: Any) -> Coordinator:
    keys = {board.provision.policy.board: board.provision.update_key for board in fleet}
    events: list[Any] = more.pop("events", [])
    coordinator = Coordinator(
        store, JOB, plan, keys, events.append, expected=len(fleet), members=members(fleet), **more
    )
    Server(coordinator, {f"port {n}": (lambda board=board: board) for n, board in enumerate(fleet)}).run()
    return coordinator


def plain(left_out: tuple[int, ...] = (), rounds: int = 2) -> Any:
    """The versions that these boards make without masks; left_out: indexes."""
    job = replace(JOB, mask_bits=0, masks="")
    fleet = [board for n, board in enumerate(boards(SimulatedBoard)) if n not in left_out]
    return simulate(job, Plan(rounds=rounds, aggregator="fedavg"), fleet).versions


def test_versions_are_those_of_boards_without_masks() -> None:
    store, fleet = Store(), boards()
    assert run(store, fleet).version.number == 2
    assert store.version(JOB.id, 1).master == plain()[1].master  # type: ignore[union-attr]
    assert len(store.members(JOB.id, 1)) == len(store.members(JOB.id, 2)) == COUNT
    assert all(board.hello().spent == 2 * CHARGE for board in fleet)
    numbers = [row.number for row in (store.cohort(JOB.id, 0), store.cohort(JOB.id, 1)) if row is not None]
    assert len(numbers) == 2 and numbers[0] < numbers[1] == store.last_cohort()


def test_numbers_go_on_from_the_clock_where_a_store_is_lost() -> None:
    """A board joins no cohort whose number is not above all that it has seen, and a new store has seen none."""
    store = Store()
    run(store, boards(), wall=lambda: 3e9)
    numbers = [row.number for row in (store.cohort(JOB.id, 0), store.cohort(JOB.id, 1)) if row is not None]
    assert numbers == [3_000_000_000, 3_000_000_001]


def test_what_boards_hear_is_stored_before_they_hear_it() -> None:
    """Else a host that dies tells the next board of other survivors, and no sum comes of the answers."""
    store, fleet = Store(), boards()
    stored = []

    def hears(board: Flaky) -> None:
        def seal(cohort: bytes) -> State:
            row = store.cohort(JOB.id, 0)
            stored.append(row is not None and object_id(row.body) == cohort and row.survivors is None)
            return Flaky.seal(board, cohort)

        def reveal(cohort: bytes, survivors: bytes) -> bytes:
            row = store.cohort(JOB.id, 0)
            stored.append(row is not None and row.survivors == survivors)
            return Flaky.reveal(board, cohort, survivors)

        board.seal, board.reveal = seal, reveal  # type: ignore[method-assign]

    for board in fleet:
        hears(board)
    run(store, fleet, replace(PLAN, rounds=1))
    assert len(stored) >= 2 * COUNT and all(stored)


def test_an_update_that_comes_after_the_survivors_were_told_is_in_no_sum() -> None:
    store, fleet = Store(), boards()
    late = fleet[2]
    late.gone_before = "get"
    fleet[3].host_dies_at = "reveal"
    with pytest.raises(HostDied):
        run(store, fleet, replace(PLAN, rounds=1))
    late.gone, late.gone_before = False, ""
    status = late.status()
    events: list[Any] = []
    given = late.provision
    keys = {given.policy.board: given.update_key}
    coordinator = Coordinator(store, JOB, PLAN, keys, events.append, members=members(fleet))
    coordinator.deliver(given.policy.board, late.get(status.update, 0, status.update_length))
    assert any("it came after its cohort's sum was opened" in event.text for event in events)
    assert all(board != given.policy.board for board, _, _ in store.members(JOB.id, 1))


def test_a_rule_with_unequal_weights_has_no_sum() -> None:
    cohorts = Coordinator(Store(), JOB, PLAN, {}, members=members(boards())).cohorts
    assert cohorts is not None
    with pytest.raises(SumLost, match="each with the same weight"):
        cohorts.total([], [1, 2])


@pytest.mark.parametrize(("before", "in_sum"), [("seal", COUNT - 2), ("get", COUNT - 2), ("reveal", COUNT)])
def test_boards_that_drop(before: str, in_sum: int) -> None:
    """Two of eight, before they send or after it: the sum is that of the updates that came."""
    store, fleet = Store(), boards()
    fleet[2].gone_before = fleet[6].gone_before = before
    coordinator = run(store, fleet, replace(PLAN, rounds=1))
    assert coordinator.version.number == 1
    assert len(store.members(JOB.id, 1)) == in_sum
    left_out = (2, 6) if in_sum < COUNT else ()
    assert store.version(JOB.id, 1).master == plain(left_out, 1)[1].master  # type: ignore[union-attr]


@pytest.mark.parametrize("before", ["get", "reveal"])
def test_a_round_with_too_few_left_is_lost_and_the_charge_stays(before: str) -> None:
    store, fleet = Store(), boards()
    for board in fleet[:4]:
        board.gone_before = before
    events: list[Any] = []
    run(store, fleet, replace(PLAN, rounds=1), events=events)
    version = store.version(JOB.id, 1)
    assert version is not None and store.members(JOB.id, 1) == []
    assert version.master == store.version(JOB.id, 0).master  # type: ignore[union-attr]
    assert any("dropped, and what they cost stays spent" in event.text for event in events)
    assert all(board.hello().spent == CHARGE for board in fleet[4:])
    assert store.updates(JOB.id) == []  # nothing is kept for another sum


@pytest.mark.parametrize("at", ["seal", "get", "drop", "reveal"])
def test_a_host_that_dies_goes_on(at: str) -> None:
    """With the third board's request; then the same again with the fourth's, and on the same store."""
    store, fleet = Store(), boards()
    fleet[2].host_dies_at = fleet[3].host_dies_at = at
    for _ in range(3):
        try:
            coordinator = run(store, fleet)
            break
        except HostDied:
            continue
    assert coordinator.version.number == 2
    assert store.version(JOB.id, 1).master == plain()[1].master  # type: ignore[union-attr]


def test_a_board_that_does_not_join_holds_up_nobody() -> None:
    store, fleet = Store(), boards()

    def refuse(cohort: bytes) -> State:
        raise BoardError(-21, "the policy forbids it")

    fleet[1].seal = refuse
    run(store, fleet, replace(PLAN, rounds=1, patience=60.0))
    assert len(store.members(JOB.id, 1)) == COUNT - 1


def test_too_few_boards_are_said_so() -> None:
    fleet = boards()[:3]
    with pytest.raises(PicofedError, match="a cohort needs 4"):
        run(Store(), fleet)


def test_lies_cost_the_sum_and_nothing_else() -> None:
    """A board that reveals rubbish: its check shows it, or enough others answer."""
    store, fleet = Store(), boards()
    fleet[0].reveal = lambda cohort, survivors: bytes(32 * (COUNT - 1))
    run(store, fleet, replace(PLAN, rounds=1))
    assert store.members(JOB.id, 1) == []


def test_plans_that_make_no_sense() -> None:
    for wrong in ({"masked": False}, {"aggregator": "fedbuff"}, {"helper": "http://x"}, {"masks": "nobody"}):
        with pytest.raises(JobError):
            replace(PLAN, **wrong)
    for wrong_job in ({"masks": "nobody"}, {"mask_bits": 0}):
        with pytest.raises(JobError, match="mask_bits"):
            replace(JOB, **wrong_job)
    keys: dict[bytes, bytes] = {}
    some = members(boards())
    for job, plan in itertools.product((JOB, replace(JOB, masks="")), (PLAN, replace(PLAN, masks="helper"))):
        if bool(job.masks) != (plan.masks == "pairwise"):
            with pytest.raises(JobError, match="pairwise"):
                Coordinator(Store(), job, plan, keys, members=some)
    for more in ({"members": None}, {"members": some, "aggregate": False}):
        with pytest.raises(JobError, match="picofed run"):
            Coordinator(Store(), JOB, PLAN, keys, **more)  # type: ignore[arg-type]
