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
from picofed.learn.coordinator import Coordinator, Event, deployed
from picofed.learn.evaluate import evaluate
from picofed.learn.job import Job, Plan
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.link.client import connect
from picofed.report.facts import summarise
from picofed.store import SET_ASIDE, USED, Store
from picofed.toolchain.sources import watch_data

SEED = int(os.environ.get("PICOFED_TEST_SEED", "1"))
BOARDS = 20
# Every second board is no good, so that every person is on sound boards too.
STRAGGLERS, UNSTEADY, ASLEEP = range(0, 8, 2), range(8, 16, 2), range(16, 20, 2)
TROUBLED = (*STRAGGLERS, *UNSTEADY)
AWAKE = 5  # version at which those that were asleep are switched on
LATEST = 4  # versions for which a board is stopped or without power, at most


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
    return Watches(sessions, clients, held_out, job, replace(plan, capacity=8, learning_rate=1.0))


def accuracy(watches: Watches, version: Any) -> float:
    return evaluate(watches.job, deployed(version), watches.people).accuracy


def predicted(watches: Watches, starts: Mapping[str, list[int]], seed: int) -> float:
    """A simulated run of a fleet whose boards take as long as they took in the live one, measured in versions.

    starts: by board, the versions on which it began rounds. A simulated version of sound boards lasts about a second.
    """
    generator = np.random.default_rng([SEED, seed])
    boards = baselines.boards(watches.job, watches.plan, watches.clients, f"fleet {seed}")
    never = watches.plan.rounds + 1
    begun = [starts.get(name) or [never] for name in watches.clients]
    gaps = [np.diff([*each, max(never, each[-1] + 1)]) for each in begun]

    def seconds(board: int, version: int) -> float:
        slept = begun[board][0] if version == 0 else 0
        return float(slept + max(1, generator.choice(gaps[board])) + generator.uniform(0, 0.2))

    done = simulate(watches.job, watches.plan, boards, seconds=seconds)
    assert done.coordinator.version.number == watches.plan.rounds
    return accuracy(watches, done.versions[-1])


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
    starts: dict[str, list[int]] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if event.kind == "training" and "version" in event.data:
            self.starts.setdefault(event.board, []).append(event.data["version"])
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
    """Accuracy on two people who took no part, against the mean of 6 simulated runs with other noise and with the
    delays of the live one. Of 24 simulated runs the standard deviation was 0.020; a run and the mean of 6 differ with
    0.020 (1 + 1/6)^1/2 = 0.022; tolerance 0.1: 4 of those, and 0.012 for what the delays leave open. In seven live runs
    the difference was 0.066 at most. Always naming the most frequent exercise gives 0.167.
    """
    job, plan = watches.job, watches.plan
    given = baselines.provisions(job, replace(plan, rounds=3 * plan.rounds), list(watches.clients), "fleet")
    store = Store(tmp_path / "store.db")
    registry = Registry(tmp_path / "boards.json")
    with fleet(tmp_path / "boards", ["unix"] * BOARDS, given, watches.sessions, "fleet", registry) as boards:
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
    expected = [predicted(watches, trouble.starts, seed) for seed in range(6)]
    print(f"accuracy {found:.3f}; simulated {np.mean(expected):.3f}, {min(expected):.3f} to {max(expected):.3f}")
    assert abs(found - np.mean(expected)) < 0.1
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
