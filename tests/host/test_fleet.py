"""Twenty emulated boards, half of them no good: the live server goes on learning, as the simulator says it will.

What goes wrong is driven by what happens in the run, not by seconds: a straggler's process is stopped when it begins a
round and goes on some versions later, an unsteady one is cut off from power and switched on again, two are asleep until
the run is well under way. Which, when and for how long comes from a seed.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed import report
from picofed.demo import baselines, recipe
from picofed.demo.boards import fleet
from picofed.fleet.emulation import EmulatedBoard
from picofed.fleet.provision import Registry
from picofed.learn import data
from picofed.learn.coordinator import Coordinator
from picofed.learn.evaluate import evaluate
from picofed.learn.events import Event
from picofed.learn.job import Job, Plan
from picofed.learn.server import Server
from picofed.learn.versions import deployed
from picofed.link.connect import connect
from picofed.report.facts import summarise
from picofed.simulation.api import Setup
from picofed.simulation.api import run as simulate
from picofed.simulation.dataset import Population
from picofed.simulation.fleet import Fleet
from picofed.simulation.profile import DeviceProfile
from picofed.store import SET_ASIDE, USED, Store
from picofed.toolchain.sources import watch_data

SEED = int(os.environ.get("PICOFED_TEST_SEED", "1"))
BOARDS = 20
# Every second board is no good, so that every person is on sound boards too.
STRAGGLERS, UNSTEADY, ASLEEP = range(0, 8, 2), range(8, 16, 2), range(16, 20, 2)
TROUBLED = (*STRAGGLERS, *UNSTEADY)
AWAKE = 5  # version at which those that were asleep are switched on
LATEST = 4  # versions for which a board is stopped or without power, at most
BOOTED = 15  # version by which boards that are switched on at AWAKE have booted and been found again, at the latest
NOISE = f"fleet {SEED}"  # seed of the live boards' noise: another draw than any simulated one
VERSION = 0.8  # virtual seconds
LOST = 0.99  # of the unsteady boards' rounds, in the simulation: each is cut off as soon as it begins
PREDICTIONS = 12
# With the demo's momentum of 0.8 and the last version deployed, accuracy swings by 0.06 some versions after two more
# boards join, and a boot takes as many versions as the machine pleases. With these it does not: the simulator says 0.82
# to 0.85 whenever the two join, or never.
SETTINGS: dict[str, Any] = {"capacity": 8, "learning_rate": 2.0, "momentum": 0.5, "average": 0.5}
TOLERANCE = 0.09
FLOOR = 0.7  # the first weights know nothing: 0.093


@dataclass(frozen=True)
class Watches:
    """Recordings of eight people on twenty boards, two or three boards each; two people are held out."""

    sessions: dict[str, list[Any]]
    clients: dict[str, Any]
    people: dict[str, Any]
    job: Job
    plan: Plan


@pytest.fixture(scope="module")
def watches() -> Watches:
    everyone = data.sessions_by_person(watch_data())
    people = {name: everyone.pop(name) for name in recipe.HELD_OUT}
    sessions: dict[str, list[Any]] = {}
    for number, recordings in enumerate(everyone.values()):
        share = 3 if number < BOARDS - 2 * len(everyone) else 2
        for part in range(share):
            sessions[f"watch-{len(sessions):02}"] = recordings[part::share]
    assert len(sessions) == BOARDS
    job, _ = recipe.make("softmax", 8.0, 20, 1, 1)
    clients = {name: data.from_sessions(recordings, job) for name, recordings in sessions.items()}
    records = sum(len(examples.labels) for examples in clients.values())
    job, plan = recipe.make("softmax", 8.0, 20, records, BOARDS, "ftte")
    held_out = {name: data.from_sessions(recordings, job) for name, recordings in people.items()}
    return Watches(sessions, clients, held_out, job, replace(plan, **SETTINGS))


def accuracy(watches: Watches, version: Any) -> float:
    return evaluate(watches.job, deployed(version), watches.people).accuracy


def simulated_fleet(watches: Watches, seed: int) -> Fleet:
    """The same trouble in virtual time, as it is known beforehand. A sound board's round takes a second, or up to a
    fifth more, so that ten of them make a version of eight updates in VERSION seconds. Stragglers take 1 to LATEST
    versions more, each its own; of the unsteady, who take as long to come back, nearly every round is lost; and the
    two that are asleep are back after AWAKE to BOOTED versions."""
    draw = np.random.default_rng([SEED, seed])
    awake = draw.integers(AWAKE, BOOTED + 1) * VERSION / 3600
    sound = DeviceProfile(
        clock_hz=len(watches.job.model.trainable),
        cycles_per_noise_sample=1,  # and nothing else takes time: a round is a second
        cycles_per_product=0,
        cycles_per_motion_sample=0,
        link_bytes_per_second=1e12,
    )
    profiles = []
    for number in range(BOARDS):
        late = 1 + number // 2 % LATEST if number in TROUBLED else 0
        profiles.append(
            replace(
                sound,
                straggler_factor=1 + draw.uniform(0, 0.2) + VERSION * late,
                dropout=LOST if number in UNSTEADY else 0.0,
                awake_from=awake if number in ASLEEP else 0.0,
            )
        )
    return Fleet(tuple(profiles))


def predicted(watches: Watches, seed: int) -> float:
    """Accuracy that the simulator in virtual time foretells, before anything runs."""
    training, people = Population.of(watches.clients), Population.of(watches.people)
    rounds = watches.plan.rounds
    setup = Setup(watches.job, watches.plan, training, people, simulated_fleet(watches, seed), seed, 3 * rounds, rounds)
    done = simulate(setup, workers=1)
    assert done.versions["version"][-1] == rounds
    return float(done.versions["accuracy"][-1])


@dataclass
class Trouble:
    """An EventSink that lets things go wrong, in a thread of its own."""

    boards: Mapping[str, EmulatedBoard]
    stragglers: set[str]
    asleep: list[EmulatedBoard]
    generator: np.random.Generator
    _events: queue.SimpleQueue[Event | None] = field(default_factory=queue.SimpleQueue)
    _due: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    _ill: set[str] = field(default_factory=set)
    done: int = 0

    def __call__(self, event: Event) -> None:
        if event.kind == "version" or (event.kind == "training" and "version" in event.data):
            self._events.put(event)

    def run(self) -> None:
        version = 0
        while (event := self._events.get()) is not None:
            if event.kind == "version":
                version = int(event.data["version"])
                if version == AWAKE:
                    for board in self.asleep:
                        board.reset()
                due, self._due = [e for e in self._due if e[0] <= version], [e for e in self._due if e[0] > version]
                for _, heal in due:
                    heal()
            elif event.board in self.boards and event.board not in self._ill:
                self._harm(event.board, version)
        for _, heal in self._due:
            heal()

    def _harm(self, name: str, version: int) -> None:
        board = self.boards[name]
        self._ill.add(name)
        self.done += 1
        until = version + int(self.generator.integers(1, LATEST + 1))
        process = board.process_id
        if name in self.stragglers:
            os.kill(process, signal.SIGSTOP)
            self._due.append((until, lambda: self._heal(name, lambda: os.kill(process, signal.SIGCONT))))
        else:
            board.power_off()
            self._due.append((until, lambda: self._heal(name, board.reset)))

    def _heal(self, name: str, how: Callable[[], None]) -> None:
        how()
        self._ill.discard(name)

    def stop(self) -> None:
        self._events.put(None)


@pytest.mark.slow
def test_a_fleet_of_which_half_is_no_good_learns_what_the_simulator_says(watches: Watches, tmp_path: Path) -> None:
    """Accuracy on two people who took no part, against what the simulator in virtual time has said before the first
    board was started: the mean of PREDICTIONS runs. Their standard deviation is 0.02, of the noise and of when two
    boards are back; a run and a mean of 12 differ with 0.02 (1 + 1/12)^1/2 = 0.021, and TOLERANCE is four of those. In
    six live runs with other seeds the difference was -0.032 to +0.028, -0.011 on average. What is left is no more than
    their spread explains; part of it may be that live boards' rounds differ in length by more than a fifth.

    What an earlier form of this test was off by, up to 0.066 and mostly to one side, was no fault of the simulator: all
    live runs drew the same noise, and the momentum was such that accuracy fell by 0.05 for some versions when the two
    boards that had slept came back, which a boot's length decides. SETTINGS says what was done about that.
    """
    job, plan = watches.job, watches.plan
    expected = [predicted(watches, seed) for seed in range(PREDICTIONS)]
    given = baselines.provisions(job, replace(plan, rounds=3 * plan.rounds), list(watches.clients), NOISE)
    store = Store(tmp_path / "store.db")
    registry = Registry(tmp_path / "boards.json")
    with fleet(tmp_path / "boards", ["unix"] * BOARDS, given, watches.sessions, NOISE, registry) as boards:
        named = dict(zip(watches.sessions, boards.values(), strict=True))
        names = list(named)
        asleep = [named[names[number]] for number in ASLEEP]
        for board in asleep:
            board.power_off()
        ill = {names[number]: named[names[number]] for number in TROUBLED}
        trouble = Trouble(ill, {names[number] for number in STRAGGLERS}, asleep, np.random.default_rng(SEED))
        thread = threading.Thread(target=trouble.run)
        thread.start()
        run = Coordinator(store, job, plan, registry.update_keys(), trouble, expected=BOARDS)
        try:
            Server(run, {port: (lambda p=port: connect(p)) for port in boards}).run()  # type: ignore[misc]
        finally:
            trouble.stop()
            thread.join()
    assert run.version.number == plan.rounds
    # Every version is of updates that were there, none counted twice, and what did not count has its reason.
    used = store.updates(job.id, USED)
    members = [each for number in range(1, plan.rounds + 1) for each in store.members(job.id, number)]
    assert len(members) == len(set((board, seq) for board, seq, _ in members)) == len(used)
    assert all(update.reason for update in store.updates(job.id, SET_ASIDE))
    troubled = {bytes(board.policy.board) for board in given[::2]}
    late = [update for update in used if update.board in troubled]
    print(f"{trouble.done} troubles, {len(late)} of {len(used)} updates from the troubled half")
    assert trouble.done >= len(TROUBLED)
    assert {update.board for update in late} & troubled
    found = accuracy(watches, run.version)
    for name, group in (("stragglers", STRAGGLERS), ("unsteady", UNSTEADY), ("asleep", ASLEEP)):
        print(name, sum(update.board in {bytes(given[n].policy.board) for n in group} for update in used))
    print(f"accuracy {found:.3f}; simulated {np.mean(expected):.3f}, {min(expected):.3f} to {max(expected):.3f}, "
          f"standard deviation {np.std(expected, ddof=1):.3f}")  # fmt: skip
    assert min(found, *expected) > FLOOR
    assert abs(found - np.mean(expected)) < TOLERANCE
    check_report(watches, store, run, tmp_path)


def check_report(watches: Watches, store: Store, run: Coordinator, folder: Path) -> None:
    """Who contributed what, when and how stale is in the report."""
    item = summarise(
        store,
        watches.job,
        watches.plan,
        command="picofed run",
        evaluate=lambda weights: evaluate(watches.job, weights, watches.people),
        labels=[str(label) for label in range(watches.job.labels)],
    )
    states = {board["name"]: board["state"] for board in item["board_list"]}
    gone = {name: f"away: {reason}" for name, reason in run.left.items() if name in states}
    assert states == dict.fromkeys(states, "took part to the end") | gone
    counted = [entry for board in item["board_list"] for entry in board["contributions"]]
    assert len(counted) == len(store.updates(watches.job.id, USED))
    assert max(entry["staleness"] for entry in counted) > 0 and min(entry["weight"] for entry in counted) < 1
    for entry in counted:
        assert entry["seconds"] >= 0 and 0 <= entry["weight"] <= (1 + entry["staleness"]) ** -0.5 + 1e-4
    refused = [entry for board in item["board_list"] for entry in board["refused"]]
    assert len(refused) == len(store.updates(watches.job.id, SET_ASIDE))
    report.write(report.validate(item), folder / "report.html")
    page = (folder / "report.html").read_text()
    assert 'id="who"' in page and 'id="when"' in page and "When updates came" in page
