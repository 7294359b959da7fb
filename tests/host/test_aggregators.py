"""FedAsync and the FTTE-style rule, age and variance terms, and how rules are found by name."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import picofed
import pytest
from picofed.demo import baselines, recipe
from picofed.errors import PicofedError
from picofed.learn import data, jobfile, registry
from picofed.learn.aggregators import Aggregator, Contribution, FedAvg, FedBuff
from picofed.learn.clients import SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.evaluate import evaluate
from picofed.learn.job import Job, JobError, Plan
from picofed.learn.registry import RuleError, check_maskable
from picofed.learn.semiasync import FedAsync, Ftte
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.learn.staleness import Constant, Exponential, Polynomial, Staleness, Threshold
from picofed.learn.sums import UNIT, fixed, sum_updates
from picofed.learn.variance import Noise, excess, medians_of_others, variance_weights
from picofed.learn.versions import deployed, make_aggregator
from picofed.learn.worker import Worker
from picofed.masking import HEADER, MASKED, Header
from picofed.simulation.api import prepare, run
from picofed.simulation.dataset import digits
from picofed.simulation.partition import deal
from picofed.store import SET_ASIDE, Store
from picofed.toolchain.sources import watch_data

MakeWorld = Callable[..., Any]


def give(row: int, version: int, values: Any, records: int = 10) -> Contribution:
    return Contribution(row, bytes([row]), version, records, np.asarray(values, np.int32))


@pytest.mark.parametrize(
    ("rule", "weights"),
    [
        (Constant(), [1, 1, 1, 1]),
        (Polynomial(exponent=0.5), [1, 0.70710678, 0.57735027, 0.5]),
        (Polynomial(exponent=2), [1, 1 / 4, 1 / 9, 1 / 16]),
        (Exponential(exponent=math.log(2)), [1, 0.5, 0.25, 0.125]),
        (Threshold(threshold=1), [1, 1, 0, 0]),
    ],
)
def test_age_terms_are_their_formulas(rule: Staleness, weights: list[float]) -> None:
    assert [rule.weight(late) for late in range(4)] == pytest.approx(weights)


def test_medians_of_the_others_are_those_that_numpy_computes(rng: np.random.Generator) -> None:
    for count in (2, 3, 4, 5, 8, 9):
        values = rng.integers(-3, 4, (count, 50)).astype(float)  # few values: many ties
        expected = [np.median(np.delete(values, row, 0), axis=0) for row in range(count)]
        assert (medians_of_others(values) == np.array(expected)).all()


def test_the_variance_term_is_what_a_hand_computes() -> None:
    """Means (1, 1), (2, 2), (9, 9) of 10 records: distances from the other two's middle are 4.5, 3, 7.5."""
    updates = [give(row, 0, [10 * x, 10 * x]) for row, x in enumerate((1, 2, 9), 1)]
    found, own = excess(updates, Noise())
    assert found.tolist() == [20.25, 9.0, 56.25] and own.tolist() == [0, 0, 0]
    assert variance_weights(updates, Noise()) == pytest.approx([1, 1, 20.25 / 56.25])
    # Noise of variance 400 a release is 4 a mean; the two others' median, pi / 2 / (0.5 + 0.5)^2.
    noise = Noise(400.0)
    off = 4 + math.pi / 2
    found, own = excess(updates, noise)
    assert found.tolist() == pytest.approx([20.25 - off, 9 - off, 56.25 - off]) and own.tolist() == [4, 4, 4]
    weight = (20.25 - math.pi / 2) / (56.25 - math.pi / 2)
    assert variance_weights(updates, noise) == pytest.approx([1, 1, weight])
    assert variance_weights(updates, Noise(1e9)) == [1, 1, 1]
    assert variance_weights(updates[:2], Noise()) == [1, 1]
    assert variance_weights([], Noise()) == []
    same = [give(row, 0, [5, 5]) for row in range(1, 5)]
    assert variance_weights(same, Noise()) == [1, 1, 1, 1]
    local = Noise(0.0, per_record=False)
    assert excess(updates, local)[0].tolist() == [2025.0, 900.0, 5625.0]


def test_what_is_known_of_the_noise_follows_from_the_job(make_world: MakeWorld) -> None:
    job: Job = make_world().job
    assert Noise.of(job) == Noise(4.0**17 + (4.0**16 - 1) / 12)
    assert Noise.of(replace(job, clip=0, log2_sigma=0, round_shift=0)) == Noise(0.0)
    local = replace(job, mode="local", steps=2, multiplier=3, shift=4, round_shift=0)
    assert Noise.of(local) == Noise(2 * (2.0**17 * 3 / 16) ** 2, per_record=False)


@pytest.mark.parametrize("corruption", [10.0, -10.0])
def test_a_corrupted_board_counts_little_and_honest_ones_almost_in_full(
    corruption: float, rng: np.random.Generator
) -> None:
    """Eight boards at epsilon 8 of the watch job: sigma 2^21, 322 coordinates, about 226 records; their gradients
    differ by a tenth of the common one's size. One of them sends `corruption` times its gradient.

    Over 60 other seeds the mean honest weight was 0.980, its standard deviation from seed to seed 0.0015; the least
    weight of any honest update was 0.764, the largest of a corrupted one 0.0025. The bounds leave room of 6 standard
    deviations for the mean, and a fifth and a half of the others.
    """
    job, _ = recipe.make("softmax", 8.0, 20, 1812, 8)
    assert job.log2_sigma == 21
    sigma, records = 2.0**job.log2_sigma, 226
    honest, corrupted = [], []
    for _ in range(30):
        common = rng.normal(size=322) * sigma / 226 * 3
        updates = []
        for row in range(1, 9):
            mean = common + rng.normal(size=322) * np.abs(common).mean() * 0.1
            mean = mean * (corruption if row == 1 else 1)
            noised = mean * records + rng.normal(size=322) * sigma
            updates.append(give(row, 0, np.rint(noised / 2**job.round_shift) * 2**job.round_shift, records))
        weights = variance_weights(updates, Noise.of(job))
        corrupted.append(weights[0])
        honest.extend(weights[1:])
    assert max(corrupted) < 0.005
    assert np.mean(honest) > 0.97 and min(honest) > 0.6


def test_ftte_multiplies_its_terms_and_keeps_to_the_interface() -> None:
    rule = Ftte(5, 0.0, capacity=3, staleness=Exponential(exponent=1.0), max_staleness=2)
    updates = [give(1, 5, [10, 10]), give(2, 4, [20, 20]), give(3, 3, [90, 90])]
    for update in updates:
        assert not rule.ready(0.0, 3)
        assert rule.offer(update) is None
    assert rule.ready(0.0, 3)
    weights = [1.0, math.exp(-1), math.exp(-2) * 20.25 / 56.25]
    taken = rule.take()
    assert [weight for _, weight in reversed(taken.members)] == pytest.approx(weights, abs=2**-17)
    given = dict(taken.members)
    assert (taken.total == sum(given[u.row] * u.values for u in updates)).all()
    assert taken.records == 30 and rule.held == 3
    rule.advance(6, 1.0)
    assert rule.held == 0


def test_updates_are_dropped_with_a_reason() -> None:
    rule = Ftte(9, 0.0, max_staleness=3)
    assert rule.offer(give(1, 6, [1])) is None
    assert rule.offer(give(2, 5, [1])) == "stale by 4 versions, more than 3"
    steep = FedAsync(9, 0.0, staleness=Threshold(threshold=1))
    assert steep.offer(give(1, 8, [1])) is None
    assert steep.offer(give(2, 7, [1])) == "stale by 2 versions, to which the age term gives no weight"
    assert "does not exist" in str(steep.offer(give(3, 10, [1])))
    assert "a second update of this board for version 8" in str(steep.offer(give(1, 8, [1])))
    assert steep.held == 1


def test_fedasync_fires_at_every_update_and_mixes_by_age() -> None:
    rule = FedAsync(4, 0.0, staleness=Polynomial(exponent=1.0))
    assert not rule.ready(1e9, 3)
    assert rule.offer(give(7, 1, [8, -8], 20)) is None
    assert rule.ready(0.0, 3)
    taken = rule.take()
    assert taken.members == [(7, 0.25)] and taken.records == 20 and taken.total.tolist() == [2, -2]


def test_ftte_without_variance_is_fedbuff(make_world: MakeWorld) -> None:
    def seconds(board: int, _: int) -> float:
        return (1.0, 3.7, 8.1)[board]

    one = make_world(rounds=8, aggregator="fedbuff", capacity=2)
    two = make_world(rounds=8, aggregator="ftte", capacity=2, variance=False)
    runs = [simulate(world.job, world.plan, world.boards(), seconds=seconds) for world in (one, two)]
    assert [v.master for v in runs[0].versions] == [v.master for v in runs[1].versions]
    members = [[run.store.members(one.job.id, number) for number in range(1, 9)] for run in runs]
    assert members[0] == members[1]
    assert any(member[-1] < 1 for version in members[0] for member in version)  # some were late


@pytest.mark.parametrize("name", sorted(registry.AGGREGATORS))
def test_a_restart_makes_the_same_version(name: str, make_world: MakeWorld) -> None:
    """A store's pending updates, offered again to a new aggregator in whatever order, give the same aggregate to the
    bit."""
    world = make_world(boards=5, aggregator=name, capacity=5)
    generator = np.random.default_rng(3)
    updates = [give(row, 4 - (row % 2) * (name != "fedavg"), generator.integers(-999, 999, 138)) for row in range(5)]
    takes = []
    for order in (updates, updates[::-1], updates[2:] + updates[:2]):
        rule = make_aggregator(world.plan, 4, 0.0, world.job)
        assert [rule.offer(update) for update in order] == [None] * 5
        takes.append(rule.take())
    assert all(take.total.tobytes() == takes[0].total.tobytes() for take in takes)
    assert all(take.members == takes[0].members for take in takes)


@pytest.mark.parametrize("name", sorted(registry.AGGREGATORS))
def test_a_store_with_pending_updates_gives_one_version_however_often_it_is_opened(
    name: str, make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(boards=4, aggregator=name)
    boards = world.boards()
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    store = Store(tmp_path / "one.db")
    collector = Coordinator(store, world.job, world.plan, keys, aggregate=False, expected=4)
    Server(collector, {board.name: (lambda b=board: b) for board in boards}).run()  # type: ignore[misc]
    assert len(store.updates(world.job.id)) == 4
    expected = collector.aggregator.take()
    store.close()
    for _ in range(3):
        store = Store(tmp_path / "one.db")
        coordinator = Coordinator(store, world.job, world.plan, keys)
        again = coordinator.aggregator.take()
        assert again.total.tobytes() == expected.total.tobytes() and again.members == expected.members
        store.close()
    store = Store(tmp_path / "one.db")
    assert Coordinator(store, world.job, world.plan, keys).flush()
    stored = sorted(weight for _, _, weight in store.members(world.job.id, 1))
    assert stored == sorted(weight for _, weight in expected.members)
    store.close()


@pytest.mark.parametrize("name", ["fedasync", "ftte"])
def test_a_run_goes_on_where_it_was_stopped(name: str, make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(rounds=6, aggregator=name, capacity=3)
    expected = simulate(world.job, world.plan, world.boards())
    boards = world.boards()
    for rounds in (2, 3, 6):
        store = Store(tmp_path / "store.db")
        done = simulate(world.job, replace(world.plan, rounds=rounds), boards, store=store)
        assert done.coordinator.version.number == rounds
        store.close()
    if name == "ftte":  # boards in step: a stop between versions leaves nothing in flight
        assert done.coordinator.version.master == expected.versions[-1].master


# ---- the watch job -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everyone() -> dict[str, Any]:
    job, _ = recipe.make("softmax", 8.0, 20, 1, 1)
    return {n: data.from_sessions(sessions, job) for n, sessions in data.sessions_by_person(watch_data()).items()}


def watch_accuracy(everyone: dict[str, Any], seed: str, **settings: Any) -> float:
    clients = {name: people for name, people in everyone.items() if name not in recipe.HELD_OUT}
    held_out = {name: everyone[name] for name in recipe.HELD_OUT}
    records = sum(len(examples.labels) for examples in clients.values())
    job, plan = recipe.make("softmax", 8.0, 20, records, len(clients))
    boards: list[SimulatedBoard] = baselines.boards(job, plan, clients, seed)
    store = Store()
    done = simulate(
        job,
        replace(plan, **settings),
        boards,
        store=store,
        seconds=lambda board, version: 12.0 + board if board >= 6 else 1.0 + 0.1 * board,
    )
    assert done.coordinator.version.number == done.coordinator.plan.rounds
    return evaluate(job, deployed(done.versions[-1]), held_out).accuracy


@pytest.mark.parametrize(
    "settings",
    [
        {"aggregator": "ftte"},
        {"aggregator": "ftte", "staleness": "threshold"},
        {"aggregator": "ftte", "staleness": "exponential", "variance": False},
        {"aggregator": "ftte", "staleness": "constant"},
        {"aggregator": "fedavg", "deadline": 5.0},
        {"aggregator": "fedasync", "rounds": 80, "learning_rate": 0.5},
    ],
    ids=lambda settings: "-".join(str(value) for value in settings.values()),
)
def test_every_rule_learns_the_watch_job_with_stragglers(everyone: dict[str, Any], settings: dict[str, Any]) -> None:
    """Two of eight boards are about ten times as slow. Mean of 3 noise seeds, each with the budget of 20 releases at
    epsilon 8; tolerance 0.03: over 3 standard deviations of a difference of two such means (of a run: 0.011 or less).
    """
    seeds = ("one", "two", "three")
    buffered = np.mean([watch_accuracy(everyone, seed, aggregator="fedbuff") for seed in seeds])
    assert buffered > 0.7
    assert np.mean([watch_accuracy(everyone, seed, **settings) for seed in seeds]) > buffered - 0.03


def test_refused_updates_keep_their_reason_in_the_store(make_world: MakeWorld) -> None:
    world = make_world(rounds=12, aggregator="ftte", capacity=2, staleness="threshold", staleness_threshold=1)
    done = simulate(world.job, world.plan, world.boards(), seconds=lambda board, _: 4.5 if board == 2 else 1.0)
    reasons = {update.reason for update in done.store.updates(world.job.id, SET_ASIDE)}
    assert reasons and all("age term" in reason for reason in reasons)


# ---- by name -----------------------------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A researcher's module on the path."""
    (tmp_path / "researchers_rules.py").write_text(
        "from picofed.learn.aggregators import Buffered\nfrom picofed.learn.staleness import Staleness\n"
        "class Own(Buffered):\n    name = 'own'\n    def __init__(self, version, now, *, capacity, staleness):\n"
        "        super().__init__(version, now)\n        self.capacity, self.age = capacity, staleness\n"
        "    def ready(self, now, waiting):\n        return self.held >= self.capacity or waiting == 0 < self.held\n"
        "class Age(Staleness):\n    def weight(self, staleness):\n        return 0.5\n"
        "class Wants(Own):\n    def __init__(self, version, now, *, magic):\n        pass\n"
        "class Partial(Buffered):\n    name = 'partial'\n"
        "class Sound(Buffered):\n    name = 'sound'\n"
        "    def ready(self, now, waiting):\n        return waiting == 0 < self.held\n"
        "class Raising(Sound):\n    def weights(self, updates):\n        return [1 / 0 for _ in updates]\n"
        "class Short(Sound):\n    def weights(self, updates):\n        return [1.0]\n"
        "class Text(Sound):\n    def weights(self, updates):\n        return ['1'] * len(updates)\n"
        "class Nothing(Sound):\n    def weights(self, updates):\n        pass\n"
        "class Large(Sound):\n    def weights(self, updates):\n        return [2.0] * len(updates)\n"
        "class Odd(Sound):\n    def refuse(self, update):\n        return update.nothing\n"
        "class Mute(Sound):\n    def ready(self, now, waiting):\n        pass\n"
        "class Late(Sound):\n    def due(self):\n        return 'soon'\n"
        "class Broken(Sound):\n    def __init__(self, version, now):\n        self.x = now[0]\n"
        "class Bare(Sound):\n    def __init__(self, version, now):\n        pass\n"
        "class Placed(Sound):\n    def __init__(self, version, now, capacity=4):\n"
        "        super().__init__(version, now)\n"
        "class Ageless(Staleness):\n    def weight(self, staleness):\n        pass\n"
        "class Aged(Staleness):\n    def __init__(self, exponent=0.5):\n        pass\n"
        "    def weight(self, staleness):\n        return 1.0\n"
        "import numpy as np\nfrom picofed.learn.optimisers import Optimiser\n"
        "class Plain(Optimiser):\n    name = 'plain'\n    def move(self, weights, gradient):\n"
        "        return weights - self.learning_rate * gradient\n"
        "class Halved(Plain):\n    def move(self, weights, gradient):\n        return weights[: len(weights) // 2]\n"
        "class Lost(Plain):\n    def move(self, weights, gradient):\n        return weights * np.nan\n"
        "class One(Plain):\n    def move(self, weights, gradient):\n        return 1.0\n"
        "class Nameless(Optimiser):\n    def move(self, weights, gradient):\n        return weights\n"
        "def even(pool, clients, draw):\n    return np.array_split(np.arange(len(pool.labels)), clients)\n"
        "def thrifty(pool, clients, draw):\n    return [[], *even(pool, clients - 1, draw)]\n"
        "def few(pool, clients, draw):\n    return even(pool, clients - 1, draw)\n"
        "def greedy(pool, clients, draw):\n    return [[1, 2]] * clients\n"
        "def wild(pool, clients, draw):\n    return [[1 << 20]] * clients\n"
        "def half(pool, clients, draw):\n    return [[k + 0.5] for k in range(clients)]\n"
        "def broken(pool, clients, draw):\n    return pool.nothing\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "researchers_rules"
    sys.modules.pop("researchers_rules", None)


def test_a_rule_is_found_by_module_and_by_entry_point(
    module: str, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = (
        EntryPoint("own", f"{module}:Own", "picofed.aggregators"),
        EntryPoint("age", f"{module}:Age", "picofed.staleness"),
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(installed).select(group=group))
    for names in ((f"{module}:Own", f"{module}:Age"), ("own", "age")):
        world = make_world(rounds=4, aggregator=names[0], staleness=names[1], capacity=2)
        rule: Any = make_aggregator(world.plan, 0, 0.0, world.job)
        assert rule.name == "own" and rule.capacity == 2 and rule.age.weight(3) == 0.5
        done = simulate(world.job, world.plan, world.boards())
        assert done.coordinator.version.number == 4
    with pytest.raises(RuleError, match="own weighs"):
        check_maskable(rule)
    with pytest.raises(RuleError, match="Wants wants 'magic'"):
        make_aggregator(Plan(aggregator=f"{module}:Wants"), 0, 0.0, world.job)
    with pytest.raises(JobError, match="known: use one of fedavg, fedasync, fedbuff, ftte, own, or module:Class"):
        Plan(aggregator="magic")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"aggregator": "magic"}, "aggregator 'magic' is not known: use one of fedavg, fedasync, fedbuff, ftte"),
        ({"optimiser": "best"}, "optimiser 'best' is not known: use one of sgd, adam, yogi, or module:Class"),
        ({"optimiser": "researchers_rules:Own"}, "not a complete subclass of picofed.learn.optimisers.Optimiser"),
        ({"aggregator": "researchers_rules:Own", "masked": True}, "own weighs updates by what is in them"),
        ({"staleness": "old"}, "staleness 'old' is not known: use one of constant, polynomial"),
        ({"aggregator": "no_such_module:Rule"}, "cannot be loaded: ModuleNotFoundError"),
        ({"aggregator": "math:sqrt"}, "not a complete subclass of picofed.learn.aggregators.Aggregator"),
        ({"aggregator": "math:nothing"}, "cannot be loaded: AttributeError"),
        ({"aggregator": ":"}, "cannot be loaded"),
        ({"aggregator": "researchers_rules:Partial"}, "not a complete subclass"),
        ({"staleness": "researchers_rules:Own"}, "not a complete subclass of picofed.learn.staleness.Staleness"),
        ({"staleness_threshold": -1}, "must not be negative"),
        ({"staleness_exponent": math.inf}, "staleness"),
        ({"variance": 1}, "variance must be true or false"),
        ({"staleness": 1}, "staleness must be text"),
    ],
)
@pytest.mark.usefixtures("module")
def test_wrong_rules_are_named(settings: dict[str, Any], words: str) -> None:
    item = {"name": "x", "records": {"window": 100, "labels": 4}, "privacy": {"epsilon": 8.0}, "server": settings}
    with pytest.raises(JobError, match=words):
        jobfile.parse(item)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"aggregator": "Raising"}, "aggregator researchers_rules:Raising: weights failed: ZeroDivisionError"),
        ({"aggregator": "Short"}, "aggregator sound: weights gave 1 for \\d updates"),
        ({"aggregator": "Text"}, "aggregator sound: weights: "),
        ({"aggregator": "Nothing"}, "aggregator sound: weights: "),
        ({"aggregator": "Large"}, "aggregator sound: weights: a weight of 2.0 is outside 0 to 1"),
        ({"aggregator": "Odd"}, "aggregator researchers_rules:Odd: refuse failed: AttributeError"),
        ({"aggregator": "Mute"}, "aggregator researchers_rules:Mute: ready returned None: it should be true or false"),
        ({"aggregator": "Late"}, "aggregator researchers_rules:Late: due returned 'soon'"),
        ({"aggregator": "Broken"}, "aggregator researchers_rules:Broken: __init__ failed: TypeError"),
        ({"aggregator": "Bare"}, "aggregator researchers_rules:Bare: held failed: AttributeError"),
        ({"aggregator": "Placed"}, "Placed takes 'capacity' by position"),
        (
            {"aggregator": "ftte", "staleness": "Ageless"},
            "staleness researchers_rules:Ageless: weight returned None: it should be a number",
        ),
        ({"staleness": "Aged"}, "Aged takes 'exponent' by position"),
        (
            {"optimiser": "Halved"},
            r"optimiser researchers_rules:Halved: move returned array.*: it should be \d+ finite",
        ),
        ({"optimiser": "Lost"}, r"Lost: move returned array\(\[nan.*: it should be \d+ finite numbers"),
        ({"optimiser": "One"}, r"One: move returned 1.0: it should be \d+ finite numbers"),
        ({"optimiser": "Nameless"}, "optimiser researchers_rules:Nameless: state failed: AttributeError"),
    ],
    ids=lambda value: list(value.values())[-1] if isinstance(value, dict) else "",
)
def test_a_rule_that_fails_is_named_with_its_method(
    rule: dict[str, str], words: str, module: str, make_world: MakeWorld
) -> None:
    named = {setting: name if name == "ftte" else f"{module}:{name}" for setting, name in rule.items()}
    world = make_world(rounds=2, **named)
    # live, and in virtual time
    with pytest.raises(PicofedError, match=words):
        simulate(world.job, world.plan, world.boards())
    with pytest.raises(PicofedError, match=words):
        picofed.simulate("digits", clients=5, hold_out=0.2, rounds=2, **named)


def test_an_optimiser_of_ones_own_is_as_good_as_ours(
    module: str, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By either name, in both kinds of simulation; what it does here is sgd without momentum."""
    installed = (EntryPoint("plain", f"{module}:Plain", "picofed.optimisers"),)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(installed).select(group=group))
    live, virtual = [], []
    for named in ({"optimiser": "sgd", "momentum": 0.0}, {"optimiser": f"{module}:Plain"}, {"optimiser": "plain"}):
        world = make_world(rounds=3, **named)
        live.append([version.released for version in simulate(world.job, world.plan, world.boards()).versions])
        asked = prepare("digits", clients=5, rounds=3, learning_rate=0.5, decay=0.0, **named)
        virtual.append(run(asked).weights)
    assert live[0] == live[1] == live[2] and virtual[0] == virtual[1] == virtual[2]


def test_a_partition_of_ones_own(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = (EntryPoint("even", f"{module}:even", "picofed.partitions"),)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(installed).select(group=group))
    for name in (f"{module}:even", "even"):
        found = deal(digits(), name, 10, 1)
        assert found.names[9] == "client-9" and (found.features == digits().features).all()
    frame = picofed.simulate("digits", clients=5, hold_out=["client-4"], split=f"{module}:thrifty", rounds=2)
    assert frame["version"].tolist() == [0, 1, 2]  # one client has no record


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("few", "gave 9 parts for 10 clients"),
        ("greedy", "gave an example to two clients, or twice to one"),
        ("wild", "examples are whole numbers from 0 to 1796"),
        ("half", "examples are whole numbers from 0 to 1796"),
        ("broken", "split researchers_rules:broken failed: AttributeError"),
        ("number", "is no function"),
        ("nothing", "cannot be loaded: AttributeError"),
    ],
)
def test_a_partition_that_makes_no_sense(name: str, words: str, module: str) -> None:
    with pytest.raises(PicofedError, match=words):
        deal(digits(), f"{module}:{name}", 10, 1)


def test_a_rule_sees_nothing_of_what_masks_hide() -> None:
    class Curious(FedBuff):
        public_weights = True  # it is not true

        def weights(self, updates: Any) -> list[float]:
            return [1.0 if update.values.sum() > 0 else 0.5 for update in updates]

    header = Header(bytes([MASKED]).ljust(HEADER, b"\0"))
    totals = []
    for first in (1, -1):
        rule = Curious(0, 0.0)
        assert rule.offer(replace(give(1, 0, [first]), header=header)) is None
        totals.append(rule.take().members)
    assert totals[0] == totals[1] == [(1, 0.5)]


def test_only_public_weights_may_be_masked() -> None:
    for rule in (FedAvg(0, 0.0), FedBuff(0, 0.0), FedAsync(0, 0.0), Ftte(0, 0.0, variance=False)):
        check_maskable(rule)
    for rule in (Ftte(0, 0.0), Ftte(0, 0.0, staleness=Constant())):
        with pytest.raises(RuleError, match="ftte with variance = false"):
            check_maskable(rule)
    assert Aggregator.public_weights is False  # whoever writes a rule has to claim it


@pytest.mark.parametrize("staleness", sorted(registry.STALENESS))
def test_a_masked_plan_may_have_age_terms_but_no_variance_term(staleness: str) -> None:
    for name in registry.AGGREGATORS:
        Plan(aggregator=name, staleness=staleness, variance=False, masked=True)
    with pytest.raises(JobError, match=r"^ftte weighs updates by what is in them.*variance = false$") as refused:
        Plan(aggregator="ftte", staleness=staleness, masked=True)
    assert "\n" not in str(refused.value)


def test_sums_are_exact_at_the_ends_of_their_ranges_and_in_any_order(rng: np.random.Generator) -> None:
    for count, size in ((1, 1), (3, 7), (70, 5)):
        values = [rng.choice([-(2**31), 2**31 - 1, -1, 0, 12345], size).astype(np.int32) for _ in range(count)]
        for weights in ([UNIT] * count, rng.integers(0, UNIT + 1, count).tolist(), [UNIT - 1] * count):
            expected = [sum(w * int(v[at]) for w, v in zip(weights, values, strict=True)) for at in range(size)]
            assert sum_updates(values, weights).tolist() == expected
            assert sum_updates(values[::-1], weights[::-1]).tolist() == expected
    assert [fixed(weight) for weight in (0.0, 1e-9, 0.5, 1.0)] == [0, 1, UNIT // 2, UNIT]
    for wrong in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="outside 0 to 1"):
            fixed(wrong)


def test_a_rule_with_a_weight_above_one_is_named() -> None:
    class Loud(FedBuff):
        name = "loud"

        def weights(self, updates: Any) -> list[float]:
            return [2.0] * len(updates)

    rule = Loud(0, 0.0)
    assert rule.offer(give(1, 0, [1])) is None
    with pytest.raises(PicofedError, match=r"aggregator loud: weights: a weight of 2\.0 is outside 0 to 1"):
        rule.take()


@pytest.mark.parametrize("name", ["fedavg", "fedbuff", "ftte"])
def test_a_deadline_counts_from_its_version_however_often_the_host_starts(
    name: str, make_world: MakeWorld, tmp_path: Path
) -> None:
    """Two boards, one of which never answers. The host dies every 40 s, the deadline is 100 s: each start has a steady
    clock of its own, the wall clock goes on."""
    world = make_world(boards=2, rounds=2, aggregator=name, deadline=100.0, capacity=2)
    (worker, silent) = world.boards()
    keys = {board.provision.policy.board: board.provision.update_key for board in (worker, silent)}
    versions = []
    for start in range(5):
        elapsed = 40.0 * start
        store = Store(tmp_path / "one.db")
        run = Coordinator(
            store,
            world.job,
            world.plan,
            keys,
            clock=lambda origin=1000.0 * start: origin,  # type: ignore[misc]
            wall=lambda elapsed=elapsed: 5e8 + elapsed,  # type: ignore[misc]
            expected=2,
        )
        for board in (silent, worker):
            run.join(board.hello(), "port")
        if start == 0:
            first = Worker(worker, run, "port")
            first.join()
            first.start(run.version)
            first.finish()
        run.tick()
        versions.append(run.version.number)
        store.close()
    assert versions == [0, 0, 0, 1, 1]  # the store's version 0 is of second 0; second 120 is the first after 100
