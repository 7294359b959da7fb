"""The simulator: the boards' own bytes, one result whatever the workers, staleness, sleep, loss and accounting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed.cli.simulate import make_boards
from picofed.learn.clients import Examples
from picofed.learn.job import Plan
from picofed.learn.model import Model, Rectangle
from picofed.learn.simulate import simulate as simulate_boards
from picofed.learn.updates import Update
from picofed.native import Trainer
from picofed.simulation.api import Outcome, Setup, run
from picofed.simulation.engine import Engine
from picofed.simulation.fleet import Fleet, chance
from picofed.simulation.profile import DAY, DeviceProfile, products
from picofed.simulation.results import Results
from picofed.simulation.task import make_task

MakeSetup = Callable[..., Setup]


def by_name(setup: Setup) -> dict[str, Examples]:
    return {name: setup.training.examples(i) for i, name in enumerate(setup.training.names)}


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"steps": 3, "learning_rate": 1.0, "momentum": 0.0},
        {"epsilon": None},
        {"optimiser": "adam", "learning_rate": 0.05, "average": 0.5, "decay": 0.7},
        {"moments": "moments.npy", "learning_rate": 0.3},
    ],
    ids=["gradient", "local", "no privacy", "adam and an average", "public moments"],
)
def test_clients_send_what_boards_send(
    plan: dict[str, Any], make_setup: MakeSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the live coordinator on simulated boards, which are held to real ones by the demo's test."""
    monkeypatch.chdir(tmp_path)
    seen = np.random.default_rng(4).normal(size=(60, 46)) * np.logspace(0, -2, 46)
    np.save("moments.npy", (seen.T @ seen).ravel())
    setup = make_setup(**plan)
    boards = make_boards(setup.job, setup.plan, by_name(setup), str(setup.seed))
    live = simulate_boards(setup.job, setup.plan, boards)
    kept = Results(None, {})
    engine = Engine(setup, kept, 2)
    engine.run()
    assert kept.weights() == [version.released for version in live.versions]
    assert engine.version.master == live.versions[-1].master
    assert engine.version.average == live.versions[-1].average
    sent = {(stored.board, stored.version): len(stored.data) for stored in live.store.updates(setup.job.id, None)}
    updates = kept.columns("update")
    simulated = {
        ((client + 1).to_bytes(8, "big"), version): size
        for client, version, size in zip(updates["client"], updates["version"], updates["bytes"], strict=True)
    }
    assert simulated == sent


def test_an_update_holds_what_the_board_wrote(make_setup: MakeSetup) -> None:
    setup = make_setup(clients=3, rounds=1)
    boards = make_boards(setup.job, setup.plan, by_name(setup), str(setup.seed))
    live = simulate_boards(setup.job, setup.plan, boards)
    engine = Engine(setup, Results(None, {}))
    engine._dispatch()
    flights = dict(engine.flights)
    for flight in flights.values():
        engine._result(flight)
    for number, stored in enumerate(live.store.updates(setup.job.id, None)):
        update = Update.parse(stored.data, boards[number].provision.update_key)
        values = flights[number].values
        assert values is not None and (update.values(setup.job.model) == values).all()
        assert len(update.payload) == flights[number].payload


BUSY = Fleet(
    (
        DeviceProfile(dropout=0.2),
        DeviceProfile("slow", clock_hz=48e6, duty_cycle=0.3, link_bytes_per_second=600),
        DeviceProfile("night", awake_from=22, awake_until=6, dropout=0.1),
    ),
    stragglers=0.5,
    clock_spread=3,
)


@pytest.mark.parametrize(
    "plan",
    [
        {"aggregator": "fedbuff", "capacity": 4},
        {"aggregator": "ftte", "capacity": 5, "max_staleness": 3},
        {"aggregator": "fedavg", "deadline": 20000.0},
        {"aggregator": "fedasync", "rounds": 30},
    ],
    ids=lambda plan: plan["aggregator"],
)
def test_workers_do_not_change_the_result(
    plan: dict[str, Any], make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = make_setup(clients=70, fleet=BUSY, **plan)
    expected = run(setup, workers=1)
    assert expected.versions["version"][-1] == setup.plan.rounds and sum(expected.versions["lost"]) > 0
    assert run(setup, workers=3) == expected
    # nor does it matter how far ahead of their time updates are computed
    monkeypatch.setattr("picofed.simulation.workers.RESULT_BYTES", 1)
    monkeypatch.setattr("picofed.simulation.workers.CHUNK", 2)
    assert run(setup, workers=2) == expected
    assert run(replace(setup, seed=8), workers=2) != expected


def test_every_rule_learns(make_setup: MakeSetup) -> None:
    for rule in ({"aggregator": "fedavg"}, {"aggregator": "fedbuff"}, {"aggregator": "ftte"}):
        done = run(make_setup(clients=20, rounds=12, **rule))
        assert done.versions["accuracy"][0] < 0.5 < 0.8 < done.versions["accuracy"][-1]


# ---- time, energy, bytes, memory -------------------------------------------------------------------------------


def test_a_round_takes_the_time_and_energy_of_its_profile(make_setup: MakeSetup) -> None:
    profile = DeviceProfile(
        clock_hz=1e6,
        cycles_per_example=5000,
        cycles_per_noise_sample=1000,
        cycles_per_motion_sample=20,  # windows of 100
        link_bytes_per_second=1000,
        duty_cycle=0.5,
        straggler_factor=3,
        active_watts=2,
        link_watts=10,
    )
    setup = make_setup(clients=1, rounds=1, fleet=Fleet((profile,)))
    done = run(setup)
    parameters = len(setup.job.model.trainable)
    down, up = 16 + 2 * parameters, done.updates["bytes"][0]
    work = 3 * (parameters * 1000 + 20 * (5000 + 2000)) / 1e6
    assert done.versions["seconds"][-1] == pytest.approx(down / 1000 + work / 0.5 + up / 1000)
    assert done.versions["joules"][-1] == pytest.approx(2 * work + 10 * (down + up) / 1000)
    assert (done.versions["bytes_down"][-1], done.versions["bytes_up"][-1]) == (down, up)
    assert done.memory == Trainer(setup.job.model.descriptor).size
    assert done.clients["updates"] == done.clients["releases"] == [1]


def test_cycles_of_an_example_follow_from_its_multiplications() -> None:
    assert products(Model.dense([64, 10])) == 2 * 640
    assert products(Model.dense([64, 32, 10])) == 2 * (2048 + 320) + 320
    head = Model((64, 32, 10), "softmax", (None, Rectangle(0, 10, 0, 32)))
    assert products(head) == 2048 + 2 * 320
    plan = Plan(epsilon=8.0)
    task = make_task("t", Model.dense([64, 10]), plan, clients=10, records=30, steps=2)
    assert DeviceProfile().cycles(task, 30) == 2 * (650 * 1321 + 30 * 1280 * 7.3)
    bare = make_task("t", Model.dense([64, 10]), replace(plan, epsilon=None), clients=10, records=30, steps=2)
    assert DeviceProfile().cycles(bare, 30) == 2 * 30 * 1280 * 7.3  # no noise is drawn


def test_totals_are_the_sums_of_clients_and_updates(make_setup: MakeSetup) -> None:
    done = run(make_setup(clients=30, fleet=BUSY, aggregator="fedbuff", capacity=6))
    last = {name: values[-1] for name, values in done.versions.items()}
    assert last["bytes_up"] == sum(done.clients["bytes_up"])
    assert last["joules"] == pytest.approx(sum(done.clients["joules"]))
    assert sum(done.clients["updates"]) == len(done.updates["client"])
    assert sum(done.versions["updates"]) == sum(made is not None for made in done.updates["made"])
    assert last["refused"] == sum(reason is not None for reason in done.updates["reason"])
    for began, arrived in zip(done.updates["began"], done.updates["arrived"], strict=True):
        assert arrived > began


# ---- staleness -----------------------------------------------------------------------------------------------


def test_slow_clients_come_late_and_count_less(make_setup: MakeSetup) -> None:
    fleet = Fleet(stragglers=0.25, straggler_factor=4)
    done = run(make_setup(clients=12, rounds=20, fleet=fleet, aggregator="fedbuff", capacity=3, max_staleness=50))
    updates = done.updates
    late = 0
    for made, version, weight in zip(updates["made"], updates["version"], updates["weight"], strict=True):
        if made is not None:
            staleness = made - 1 - version
            late += staleness > 0
            assert weight == pytest.approx((1 + staleness) ** -0.5, rel=1e-4)
    assert late and max(done.versions["staleness_max"]) > 2


def test_a_deadline_leaves_stragglers_behind_with_a_reason(make_setup: MakeSetup) -> None:
    fleet = Fleet(stragglers=0.25, straggler_factor=1000)
    patient = run(make_setup(rounds=3, fleet=fleet))
    hasty = run(make_setup(rounds=60, fleet=fleet, deadline=1.0))
    assert hasty.versions["seconds"][-1] == pytest.approx(60.0, abs=1)
    assert patient.versions["seconds"][-1] > 3 and patient.versions["updates"][1:] == [12] * 3
    assert set(hasty.versions["updates"][1:]) == {9}
    assert [reason for reason in hasty.updates["reason"] if reason and "late by" in reason]


def test_at_once_limits_the_rounds_under_way(make_setup: MakeSetup) -> None:
    setup = make_setup(clients=30, rounds=9, fleet=Fleet(at_once=10))
    done = run(setup)
    assert done.versions["updates"][1:] == [10] * 9
    assert done.clients["updates"] == [3] * 30  # everyone has a turn
    spans = list(zip(done.updates["began"], done.updates["arrived"], strict=True))
    for began, _ in spans:
        assert sum(start <= began < end for start, end in spans) <= 10


# ---- availability, loss, budgets, batteries ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "shift", "wanted"),
    [(0, 0, 0), (5.9, 0, 5.9), (6, 0, 22), (12, 0, 22), (23, 0, 23), (46, 0, 46), (30, 0, 46), (6, -1, 6), (6, 2, 20)],
)
def test_a_board_that_is_awake_at_night(when: float, shift: float, wanted: float) -> None:
    night = DeviceProfile(awake_from=22, awake_until=6)
    assert night.awake_at(when * 3600, shift * 3600) == pytest.approx(wanted * 3600)
    assert DeviceProfile().awake_at(when * 3600, shift * 3600) == when * 3600


def test_rounds_begin_and_updates_leave_when_boards_are_awake(make_setup: MakeSetup) -> None:
    fleet = Fleet((DeviceProfile(clock_hz=20, awake_from=9, awake_until=10),))
    done = run(make_setup(rounds=4, fleet=fleet))
    for began, arrived in zip(done.updates["began"], done.updates["arrived"], strict=True):
        assert 9 * 3600 <= began % DAY < 10 * 3600
        assert 9 * 3600 <= arrived % DAY < 10 * 3600 + 1  # it begins to send before ten
    assert done.versions["seconds"][-1] > 3 * DAY / 2


def test_a_lost_round_is_charged_and_repeated(make_setup: MakeSetup) -> None:
    setup = make_setup(clients=20, rounds=5, fleet=Fleet((DeviceProfile(dropout=0.3),)))
    done = run(replace(setup, releases=0))
    lost = done.versions["lost"][-1]
    assert lost > 5
    assert sum(done.clients["releases"]) == sum(done.clients["updates"]) + lost
    # with the budget of exactly five releases, who lost one cannot give the fifth update
    done = run(setup)
    assert max(done.clients["releases"]) == 5
    assert done.versions["left"][-1] == sum(
        reason == "its privacy budget is used up" for reason in done.clients["left"]
    )
    assert done.versions["updates"][5] < 20


def test_nobody_is_left(make_setup: MakeSetup) -> None:
    setup = make_setup(rounds=5)
    done = run(replace(setup, releases=2))
    assert done.versions["version"][-1] == 2
    assert done.stopped.startswith("no update can come any more at version 2: 12 of 12 clients have left")


def test_an_empty_battery_ends_it(make_setup: MakeSetup) -> None:
    fleet = Fleet((DeviceProfile(battery_joules=0.02), DeviceProfile()))
    done = run(make_setup(rounds=30, fleet=fleet))
    assert done.clients["left"] == ["its battery is empty", ""] * 6
    assert min(done.clients["joules"][::2]) >= 0.02
    idle = Fleet((DeviceProfile(battery_joules=1.0, idle_watts=1.0, clock_hz=1e6),))
    assert run(make_setup(rounds=30, fleet=idle)).versions["seconds"][-1] < 3


def test_chances_are_even_and_independent() -> None:
    draws = np.array([[chance(3, client, attempt) for attempt in range(60)] for client in range(60)])
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.02 and abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 0.05
    assert draws[1, 2] != draws[2, 1] and chance(4, 1, 1) != chance(3, 1, 1)


def test_an_outcome_is_compared_by_value(make_setup: MakeSetup) -> None:
    """What the determinism tests rest on."""
    setup = make_setup(rounds=2)
    done: Outcome = run(setup)
    assert done == run(setup) and done != replace(done, weights=bytes(len(done.weights)))
