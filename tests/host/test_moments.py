"""Public moments: made as a plain loop makes them, applied to what is trained, post-processing the same everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import picofed
from picofed.learn import data, jobfile, moments
from picofed.learn.clients import Examples
from picofed.learn.evaluate import gradients
from picofed.learn.job import JobError, Plan
from picofed.learn.model import Model, Rectangle
from picofed.learn.npy import save
from picofed.learn.optimisers import Sgd
from picofed.learn.pretrain import input_moments
from picofed.learn.simulate import simulate
from picofed.learn.versions import make_optimiser, start_weights
from picofed.store import Store

JOB = """
name = "straight"
[model]
hidden = [6]
[records]
window = 100
labels = 3
[privacy]
epsilon = 8.0
[server]
rounds = 2
"""


def drawn(rng: np.random.Generator, count: int, inputs: int = 45) -> Examples:
    """Records whose inputs share a direction, as those of sensors do."""
    shared = rng.normal(size=(count, 1)) * 50 + rng.normal(size=(count, inputs)) * 10 + 20
    labels = rng.integers(0, 3, count).astype(np.uint8)
    return Examples(np.clip(np.rint(shared), -127, 127).astype(np.int8), labels)


def unlike(rng: np.random.Generator, model: Model) -> list[moments.Matrix]:
    """Moments of each layer, of large and small eigenvalues."""
    found = []
    for columns in model.widths[:-1]:
        seen = rng.normal(size=(200, columns + 1)) * np.logspace(0, -1, columns + 1)
        found.append(seen.T @ seen / 200)
    return found


def test_moments_are_what_a_plain_loop_finds(rng: np.random.Generator, tmp_path: Path) -> None:
    model = Model.dense((4, 3, 2))
    weights = rng.normal(0, 1, model.parameters)
    clients = [drawn(rng, 7, 4), drawn(rng, 5, 4)]
    wanted = [np.zeros((5, 5)), np.zeros((4, 4))]
    for features in (row for client in clients for row in client.features):
        given = [float(value) / 128 for value in features] + [1.0]
        hidden = []
        for unit in range(3):
            z = sum(weights[4 * unit + n] * given[n] for n in range(4)) + weights[12 + unit]
            hidden.append(min(max(z, 0.0), 127 / 32))
        for total, values in zip(wanted, (given, [*hidden, 1.0]), strict=True):
            for row, a in enumerate(values):
                for column, b in enumerate(values):
                    total[row, column] += a * b / 12
    save(tmp_path / "moments.npy", input_moments(model, weights, clients))
    found = moments.load(tmp_path / "moments.npy", model)
    assert [matrix.shape for matrix in found] == [(5, 5), (4, 4)]
    for matrix, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-15)


PARTS = {
    "all": (Rectangle(0, 5, 0, 4), Rectangle(0, 2, 0, 5)),
    "rectangles": (Rectangle(1, 4, 1, 3), Rectangle(0, 1, 2, 5, False)),
    "biases": (None, Rectangle(0, 2, 0, 0)),
}


@pytest.mark.parametrize("name", PARTS)
def test_each_row_of_a_rectangle_is_multiplied_by_the_damped_inverse(name: str, rng: np.random.Generator) -> None:
    """Power 1 against numpy's inverse of the trained inputs' moments; 1/2 twice is 1."""
    model = Model((4, 5, 2), "softmax", PARTS[name])
    known = unlike(rng, model)
    gradient = rng.normal(size=len(model.trainable))
    found = moments.Straightener(model, known, 1.0, 0.01)(gradient)
    half = moments.Straightener(model, known, 0.5, 0.01)
    np.testing.assert_allclose(half(half(gradient)), found, rtol=1e-9)
    where = {int(index): at for at, index in enumerate(model.trainable)}
    start = 0
    for layer, part in enumerate(model.trained):
        columns, rows = model.widths[layer], model.widths[layer + 1]
        if part is not None:
            inputs = [*range(part.column_begin, part.column_end), *([columns] if part.bias else [])]
            matrix = np.array([[known[layer][a, b] for b in inputs] for a in inputs])
            inverse = np.linalg.inv(matrix / np.linalg.norm(matrix, 2) + 0.01 * np.eye(len(inputs)))
            for row in range(part.row_begin, part.row_end):
                # the bias of a row lies behind the whole matrix
                places = [where[start + (rows * columns + row if n == columns else row * columns + n)] for n in inputs]
                np.testing.assert_allclose(found[places], gradient[places] @ inverse, rtol=1e-9)
        start += rows * (columns + 1)


def test_power_0_changes_nothing_to_the_bit(rng: np.random.Generator) -> None:
    model = Model((4, 5, 2), "softmax", PARTS["rectangles"])
    gradient = rng.normal(size=len(model.trainable))
    assert moments.Straightener(model, unlike(rng, model), 0.0, 0.01)(gradient).tobytes() == gradient.tobytes()


def test_a_long_valley_takes_fewer_steps(rng: np.random.Generator) -> None:
    """Linear regression on inputs that nearly agree; each way with the best of many rates."""
    model = Model.dense((6, 2), "squared")
    features = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 6))
    goal = rng.normal(size=model.parameters)
    wanted = features @ goal[:12].reshape(2, 6).T + goal[12:]
    known = [np.hstack([features, np.ones((300, 1))])]
    known = [known[0].T @ known[0] / 300]

    def steps(power: float) -> int:
        best = 1000
        for rate in 2.0 ** np.arange(-6, 3):
            rule = Sgd(model.parameters, float(rate))
            rule.straighten = moments.Straightener(model, known, power, 1e-4)
            weights = np.zeros(model.parameters)
            for number in range(best):
                gradient, _ = gradients(model.widths, weights, features, wanted)
                if not np.abs(weights).max() < 1e6:
                    break
                if np.abs(weights - goal).max() < 0.05:
                    best = number
                    break
                weights = rule.step(weights, gradient)
        return best

    assert steps(1.0) * 5 <= steps(0.5) < steps(0.0)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_run_that_is_gone_on_with_ends_the_same(
    make_world: Callable[..., Any], optimiser: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """A coordinator that reads its store again after every version; and moments make another model than none."""
    path = tmp_path / "moments.npy"
    save(path, input_moments(Model.dense((45, 3)), np.zeros(138), [drawn(rng, 100)]))
    given: dict[str, Any] = {"optimiser": optimiser, "learning_rate": 0.1, "moments": str(path), "average": 0.5}
    world = make_world(rounds=4, **given)
    expected = simulate(world.job, world.plan, world.boards()).versions
    store, boards = Store(tmp_path / "store.db"), world.boards()
    for rounds in (1, 2, 3, 4):
        some = make_world(rounds=rounds, **given | {"average": 0.0 if rounds < 4 else 0.5})
        ended = simulate(some.job, some.plan, boards, store=store)
    assert ended.versions[-1].master == expected[-1].master and ended.versions[-1].optimiser == expected[-1].optimiser
    plain = make_world(rounds=4, **given | {"moments": ""})
    assert simulate(plain.job, plain.plan, plain.boards()).versions[-1].master != expected[-1].master


# ---- the command and the file ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A job that names moments which are not there yet, and data."""
    made = drawn(rng, 90)
    np.savez(tmp_path / "data.npz", labels=made.labels, features=made.features, clients=np.repeat(["a", "b", "c"], 30))
    (tmp_path / "job.toml").write_text(JOB + 'moments = "moments.npy"\n')
    return tmp_path


def test_the_command_writes_what_the_job_names(folder: Path, rng: np.random.Generator) -> None:
    assert picofed("simulate", "job.toml", "--data", "data.npz", cwd=folder)[0] == 2
    status, out, err = picofed("moments", "job.toml", "--data", "data.npz", "--json", cwd=folder)
    assert status == 0, err
    assert json.loads(out) == {"output": "moments.npy", "layers": 2, "records": 90}
    job, plan = jobfile.load(folder / "job.toml")
    with np.load(folder / "data.npz") as file:
        given = Examples(file["features"], file["labels"])
    weights = start_weights(job.model, plan)
    np.testing.assert_allclose(
        np.load(folder / "moments.npy"), input_moments(job.model, weights, [given]), rtol=1e-12, atol=1e-15
    )
    rule, gradient = make_optimiser(plan, job.model), rng.normal(size=job.model.parameters)
    assert plan.moments == str(folder / "moments.npy") and (rule.straighten(gradient) != gradient).any()
    status, out, err = picofed("simulate", "job.toml", "--data", "data.npz", "--hold-out", "c", "--json", cwd=folder)
    assert status == 0, err


@pytest.mark.parametrize("kind", ["next", "convolution"])
def test_inputs_are_all_that_is_looked_at(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    """Targets that are no classes, and convolutions in front: moments are those of what the model is given."""
    windows = np.rint(rng.normal(size=(40, 100, 6)) * 2000).astype(np.int16)
    np.savez(tmp_path / "data.npz", labels=rng.integers(0, 3, 40), windows=windows)
    more = {
        "next": 'features = "blocks"\nblock = 10\ntarget = "next"\nhorizon = 2',
        "convolution": 'labels = 3\nfeatures = "convolution"\nblock = 5\nfilters = "filters.bin"\n'
        "convolution = [{ filters = 4, width = 3, pool = 4 }]",
    }
    text = JOB.replace("labels = 3", more[kind]).replace("hidden = [6]", "hidden = []")
    (tmp_path / "job.toml").write_text(text + 'moments = "moments.npy"\n')
    if kind == "convolution":
        status, _, err = picofed("moments", "job.toml", "--data", "data.npz", cwd=tmp_path)
        assert status == 2 and "filters.bin" in err and len(err.splitlines()) == 1
        status, _, err = picofed("pretrain", "job.toml", "--data", "data.npz", "--rounds", 2, cwd=tmp_path)
        assert status == 0, err
    status, _, err = picofed("moments", "job.toml", "--data", "data.npz", "--json", cwd=tmp_path)
    assert status == 0, err
    job, plan = jobfile.load(tmp_path / "job.toml")
    (examples,) = data.load(tmp_path / "data.npz", job).values()
    (found,) = moments.load(tmp_path / "moments.npy", job.model)
    seen = np.hstack([examples.features / 128.0, np.ones((40, 1))])
    np.testing.assert_allclose(found, seen.T @ seen / 40, rtol=1e-12, atol=1e-15)
    assert (seen[:, :-1] != 0).any() and make_optimiser(plan, job.model).size == job.model.parameters


def test_a_subset_is_written_without_moments_of_units_in_another_order(folder: Path) -> None:
    words = ("subset", "job.toml", "--data", "data.npz", "--memory", 3000, "--points", 2, "--output", "small.toml")
    status, _, err = picofed(*words, cwd=folder)
    assert status == 0, err
    assert jobfile.load(folder / "small.toml")[1].moments == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the moments"),
        (b"nonsense", "is not an .npy file of moments"),
        (np.zeros(7), "must hold the 2165 moments of this model: make them with picofed moments"),
        (np.zeros(2165, np.int64), "must hold the 2165 moments"),
        (np.full(2165, np.inf), "not finite"),
    ],
)
def test_wrong_files_are_named_in_one_line(folder: Path, content: Any, words: str) -> None:
    if isinstance(content, bytes):
        (folder / "moments.npy").write_bytes(content)
    elif content is not None:
        np.save(folder / "moments.npy", content)
    status, _, err = picofed("simulate", "job.toml", "--data", "data.npz", cwd=folder)
    assert status == 2 and words in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "change", [{"moments_power": 2.1}, {"moments_power": -0.1}, {"damping": 0.0}, {"damping": 2.0}]
)
def test_settings_have_limits(change: dict[str, float]) -> None:
    with pytest.raises(JobError, match="moments_power is 0 to 2, damping 1e-9 to 1"):
        Plan(**change)  # type: ignore[arg-type]
    with pytest.raises(JobError, match="damping"):
        Plan(damping=float("nan"))


def test_mistakes_of_the_command_are_one_line(folder: Path) -> None:
    for words, options in (
        ("cannot read nothing.npz", ("--data", "nothing.npz")),
        ("cannot write no/such/moments.npy", ("--data", "data.npz", "--output", "no/such/moments.npy")),
    ):
        status, _, err = picofed("moments", "job.toml", *options, cwd=folder)
        assert status == 2 and words in err and len(err.splitlines()) == 1
