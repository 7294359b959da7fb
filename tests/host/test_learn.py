"""Models, aggregators and optimisers by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from picofed import native
from picofed.learn.aggregators import Contribution, FedAvg, FedBuff
from picofed.learn.evaluate import gradients
from picofed.learn.model import Model, ModelError, Rectangle, quantise
from picofed.learn.optimisers import Adam, Optimiser, OptimiserError, Sgd, Yogi
from picofed.learn.roster import Roster
from picofed.learn.updates import Update, UpdateError

MODELS = [
    Model.dense([45, 7]),
    Model.dense([45, 16, 7]),
    Model((45, 8, 6, 3), "softmax", (None, Rectangle(1, 4, 2, 7, False), Rectangle(0, 3, 0, 6))),
    Model((5, 4), "squared", (Rectangle(1, 3, 0, 0, True),)),
]


@pytest.mark.parametrize("model", MODELS)
def test_the_core_counts_and_orders_parameters_as_the_host_does(model: Model) -> None:
    trainer = native.Trainer(model.descriptor)
    assert trainer.parameters == model.parameters and trainer.trainable == len(model.trainable)
    assert len(model.gradient_units) == trainer.trainable
    trainer.set_weights(np.zeros(model.parameters, np.int16))
    trainer.set_subset(np.arange(1, trainer.trainable + 1))
    weights = trainer.get_weights()
    assert (weights[model.trainable] == np.arange(1, trainer.trainable + 1)).all()
    assert np.count_nonzero(weights) == trainer.trainable
    assert Model.parse(model.descriptor) == model


def test_models_that_make_no_sense_are_refused() -> None:
    for widths in ([45], [45, 0], [45, 1024], [2] * 10):
        with pytest.raises(ModelError):
            Model.dense(widths)
    for part in (
        Rectangle(0, 8, 0, 45),
        Rectangle(3, 3, 0, 45),
        Rectangle(0, 7, 0, 0, False),
        Rectangle(0, 7, 5, 5),
        None,
    ):
        with pytest.raises(ModelError):
            Model((45, 7), "softmax", (part,))
    with pytest.raises(ModelError):
        Model.dense([45, 1])
    good = Model.dense([45, 7]).descriptor
    for cut in range(len(good)):
        with pytest.raises(ModelError):
            Model.parse(good[:cut])


@pytest.mark.parametrize(("widths", "error"), [((45, 7), 0.005), ((45, 12, 5), 0.2)])  # hidden units have 5 bits
def test_the_cores_gradient_is_the_float_gradient(
    widths: tuple[int, ...], error: float, rng: np.random.Generator
) -> None:
    model = Model.dense(widths)
    weights = model.initial(3) if len(widths) > 2 else rng.normal(size=model.parameters) * 0.2
    weights = quantise(weights) / 2048
    features = rng.integers(-127, 128, (60, 45)).astype(np.int8)
    labels = rng.integers(0, widths[-1], 60).astype(np.uint8)
    trainer = native.Trainer(model.descriptor)
    trainer.set_weights(quantise(weights))
    trainer.begin(None, 0, 0)
    trainer.examples(features, labels)
    core = trainer.release() * model.gradient_units / 60
    exact, _ = gradients(widths, weights, features / 128, labels)
    assert np.linalg.norm(core - exact) < error * np.linalg.norm(exact)


def give(row: int, board: int, version: int, value: int = 1, records: int = 10) -> Contribution:
    return Contribution(row, bytes([board]), version, records, np.full(3, value, np.int32))


def test_fedavg_waits_for_all_or_for_the_deadline() -> None:
    rule = FedAvg(4, 100.0, deadline=30, minimum=2)
    assert rule.offer(give(1, 1, 4, 5)) is None
    assert "late by 1 version" in str(rule.offer(give(2, 2, 3)))
    assert "does not exist" in str(rule.offer(give(3, 2, 5)))
    assert "second update" in str(rule.offer(give(4, 1, 4)))
    assert not rule.ready(1000.0, 1) and not rule.ready(1000.0, 0)
    assert rule.offer(give(5, 2, 4, 7, 30)) is None
    assert not rule.ready(129.0, 1) and rule.ready(130.0, 1) and rule.ready(101.0, 0)
    assert rule.due() == 130.0
    taken = rule.take()
    assert taken.total.tolist() == [12, 12, 12] and taken.records == 40
    assert taken.members == [(1, 1.0), (5, 1.0)]
    assert rule.held == 2  # nothing is lost before the version is stored
    rule.advance(5, 140.0)
    assert rule.held == 0 and rule.version == 5 and rule.due() is None


def test_fedbuff_fires_when_full_and_weighs_by_age() -> None:
    rule = FedBuff(4, 0.0, capacity=3, exponent=0.5, max_staleness=3)
    assert rule.offer(give(1, 1, 4, 8)) is None
    assert rule.offer(give(2, 2, 1, 8)) is None
    assert "stale by 4" in str(rule.offer(give(3, 3, 0)))
    assert not rule.ready(1e9, 1) and rule.ready(0.0, 0)
    assert rule.offer(give(4, 3, 3, 8)) is None
    assert rule.ready(0.0, 5)
    weights = [0.5, 46341 / 65536, 1.0]  # 2^-0.5 to 16 bits
    taken = rule.take()
    assert taken.members == list(zip([2, 4, 1], weights, strict=True))  # in the order of versions
    assert (taken.total == 8 * sum(weights)).all() and taken.records == 30


@pytest.mark.parametrize("rule", [Sgd, Adam, Yogi])
def test_optimisers_descend_and_go_on_from_their_state_to_the_bit(
    rule: type[Optimiser], rng: np.random.Generator
) -> None:
    make = (lambda: Sgd(5, 0.1, momentum=0.8)) if rule is Sgd else (lambda: rule(5, 0.1))
    target = rng.normal(size=5)
    one, weights = make(), np.zeros(5)
    for _ in range(20):
        weights = one.step(weights, weights - target)
    other = make()
    other.load(one.state())
    assert (one.step(weights, weights - target) == other.step(weights, weights - target)).all()
    assert one.state() == other.state()
    for _ in range(500):
        weights = one.step(weights, weights - target)
    assert weights == pytest.approx(target, abs=0.02)
    with pytest.raises(OptimiserError):
        make().load(b"garbage")
    with pytest.raises(OptimiserError):
        make().load(Sgd(4, 0.1).state())


def test_sgd_is_its_formula() -> None:
    rule = Sgd(1, 0.5, momentum=0.8, nesterov=True)
    weights = rule.step(np.zeros(1), np.ones(1))
    assert weights[0] == pytest.approx(-0.5 * 1.8)
    weights = rule.step(weights, np.ones(1))
    assert weights[0] == pytest.approx(-0.5 * 1.8 - 0.5 * (1 + 0.8 * 1.8))


def test_an_update_is_bound_to_its_key_and_its_bytes() -> None:
    model = Model.dense([45, 3])
    payload = native.update_encode(np.arange(138) - 70, 0)
    made = Update(0, 17, 9, 4, 40, 1000, 1, 77, b"job id 8", b"board 88", payload)
    data = made.pack(b"k" * 32)
    assert Update.parse(data, b"k" * 32) == made
    assert made.values(model).tolist() == list(range(-70, 68))
    with pytest.raises(UpdateError, match="key"):
        Update.parse(data, b"j" * 32)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(UpdateError):
            Update.parse(bytes(damaged), b"k" * 32)
    for cut in (0, 10, 58, len(data) - 1):
        with pytest.raises(UpdateError):
            Update.parse(data[:cut], b"k" * 32)
    with pytest.raises(UpdateError):
        made.values(Model.dense([45, 4]))


def test_whom_a_version_waits_for(rng: np.random.Generator) -> None:
    """Against counting anew, over a long random life of eight boards; two more are expected and never reached."""
    roster = Roster(10)
    roster.unreached("port-8", "no answer")
    here: dict[bytes, bool] = {}
    newest: dict[bytes, int] = {}
    version = 0
    for _ in range(2000):
        board = bytes([int(rng.integers(8))])
        what = rng.integers(4)
        if what == 0 or board not in here:
            assert roster.join(board, board.hex(), "port") == (not here.get(board, True))
            here[board] = True
        elif what == 1:
            roster.leave(board, "gone", bool(rng.integers(2)))
            here[board] = False
        elif what == 2:
            late = int(rng.integers(0, 3))
            assert roster.contribute(board, max(0, version - late)) == newest.get(board, -1)
            newest[board] = max(newest.get(board, -1), max(0, version - late))
        else:
            version += 1
        owing = sum(present and newest.get(one, -1) < version for one, present in here.items())
        assert roster.unseen == 9 - len(here)
        assert roster.waiting(version) == roster.unseen + owing
        assert roster.active == sum(here.values()) and set(roster.left) >= {"port-8"}
