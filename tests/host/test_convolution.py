"""Convolutions in front of a model: job files, their bytes, filters from the operator's data, and boards' heads."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from picofed import native, records
from picofed.cli import cli
from picofed.demo import baselines
from picofed.learn import convolution, data, fronts, jobfile, jobfile_text
from picofed.learn.clients import Examples
from picofed.learn.convolution import ConvolutionError, Shape
from picofed.learn.convolution_training import Network, windows, worn
from picofed.learn.evaluate import evaluate
from picofed.learn.job import Job, JobError
from picofed.learn.model import Model
from picofed.learn.pretrain import points_job, pretrain_filters, save_filters
from picofed.learn.simulate import simulate
from picofed.learn.versions import deployed

LAYERS = [{"filters": 6, "width": 5}, {"filters": 8, "width": 3, "stride": 2, "pool": 3}]


def item(**settings: Any) -> dict[str, Any]:
    given = {"window": 80, "labels": 3, "features": "convolution", "block": 4, "convolution": LAYERS}
    return {
        "name": "shapes",
        "records": {**given, "filters": "filters.bin", **settings},
        "privacy": {"epsilon": 8.0, "records": 300, "boards": 3},
        "server": {"rounds": 8, "learning_rate": 0.5, "aggregator": "fedavg"},
    }


def swings(seed: int, sessions: int = 9) -> list[records.Session]:
    """One pulse a window, at any time: what tells the classes apart is its shape, which no mean over the window has."""
    generator = np.random.default_rng(seed)
    shapes = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [-1, 1, 1, -1]]).repeat(4, axis=1)
    found = []
    for number in range(sessions):
        samples = generator.normal(0, 300, (800, 6))
        for start in range(0, 800, 80):
            at = start + generator.integers(0, 64)
            samples[at : at + 16] += 5000 * shapes[number % 3][:, None] * np.array([0, 1, -1, 0.5, 0, 0])
        found.append(records.Session(np.rint(samples).astype(np.int16), number % 3))
    return found


def test_bytes_say_what_a_job_file_says() -> None:
    shapes = convolution.shapes_of(LAYERS)
    assert shapes == (Shape(6, 5), Shape(8, 3, 2, 3)) and convolution.outputs(shapes, 20) == 2 * 8
    job, _ = jobfile.parse(item(), blank=True)
    assert job.model.widths == (16, 3) and [layer.shape for layer in job.layers] == list(shapes)
    assert len(job.filters) == 2 * 5 + 6 * 31 + 8 * 19 and Job.parse(job.body) == job
    network = Network(shapes, Model.dense([16, 3]), 3)
    data = b"".join(layer.data for layer in network.quantised())
    assert b"".join(layer.data for layer in convolution.parse(data)) == data
    assert replace(job, filters=data).id != job.id  # the job stands for its filters
    plain = {"name": "plain", "records": {"window": 40, "labels": 3}, "privacy": item()["privacy"]}
    assert b"filters" not in jobfile.parse(plain)[0].body


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"block": 0}, "whole number of blocks"),
        ({"block": 40}, "width of a convolution over 2 steps must be 1 to 2"),
        ({"target": "self"}, "with labels"),
        ({"features": "imu45", "block": 0}, "go with each other"),
        ({"convolution": []}, "1 to 4 layers"),
        ({"convolution": [{"filters": 3}]}, "has filters and width"),
        ({"convolution": [{"filters": 3, "width": 2, "size": 1}]}, "has filters and width"),
        ({"convolution": [{"filters": 3, "width": 2.0}]}, "whole numbers"),
        ({"convolution": [{"filters": 65, "width": 2}]}, "filters .* 1 to 64"),
        ({"convolution": [{"filters": -1, "width": 2}]}, "filters .* 1 to 64"),
        ({"convolution": [{"filters": 1, "width": 300}]}, "a filter has 1800 weights"),
        ({"convolution": [{"filters": 5, "width": 2, "stride": 0}]}, "stride .* 1 to 255"),
        ({"convolution": [{"filters": 5, "width": 3, "pool": 19}]}, "pool .* 1 to 18"),
        ({"convolution": [{"filters": 64, "width": 20}]}, "at most 1536"),
        ({"convolution": [{"filters": 1, "width": 1}] * 5}, "1 to 4 layers"),
        ({"filters": 3}, "must be text"),
    ],
)
def test_what_cannot_be_is_refused_with_its_setting(change: dict[str, Any], words: str) -> None:
    with pytest.raises(JobError, match=words):
        jobfile.parse(item(**change), blank=True)


def test_filters_come_from_a_file_that_fits(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="picofed pretrain makes them"):
        jobfile.parse(item(), tmp_path)
    path = tmp_path / "filters.bin"
    for wrong in (b"", b"1234", bytes([1, 1, 0, 1, 0]), convolution.blank([Shape(6, 5)])):
        save_filters(path, wrong)
        with pytest.raises(JobError, match=r"other convolutions|no filters|needs filters"):
            jobfile.parse(item(), tmp_path)
    without = item()
    del without["records"]["convolution"]
    without["records"]["features"] = "blocks"
    with pytest.raises(JobError, match="needs convolution"):
        jobfile.parse(without, tmp_path)
    with pytest.raises(ConvolutionError):
        convolution.parse(bytes([5, 1, 2, 1, 16]) + bytes(62))


def test_a_networks_gradient_is_that_of_its_loss() -> None:
    generator = np.random.default_rng(1)
    network = Network([Shape(5, 4, 2, 2), Shape(4, 2, 1, 2)], Model.dense([12, 5, 3]), 2)
    network.weights += generator.normal(0, 0.1, network.weights.size)
    points, labels = generator.normal(0, 0.4, (20, 32, 6)), generator.integers(0, 3, 20)

    def loss() -> float:
        z = network.logits(points)
        return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(20), labels]).mean())

    exact = network.gradient(points, labels)
    for k in generator.choice(len(exact), 60, replace=False):
        there = network.weights[k]
        network.weights[k] = there + 1e-6
        above = loss()
        network.weights[k] = there - 1e-6
        assert math.isclose((above - loss()) / 2e-6, exact[k], rel_tol=1e-4, abs_tol=1e-7)
        network.weights[k] = there


def test_a_sensor_askew_keeps_the_size_of_movements() -> None:
    points = np.random.default_rng(1).normal(0, 0.3, (200, 10, 6))
    moved = worn(points, np.random.default_rng(2))
    ratio = np.linalg.norm(moved.reshape(200, -1, 3), axis=2) / np.linalg.norm(points.reshape(200, -1, 3), axis=2)
    assert np.ptp(ratio, axis=1).max() < 1e-9 and 0.1 < ratio.std() < 0.2  # one turn and one size for a window
    assert np.abs(moved - points).max() > 0.1


def test_boards_learn_from_features_that_filters_find(tmp_path: Path) -> None:
    """int8 features are the float network's; a head on them learns what a head on means over the window cannot."""
    job, plan = jobfile.parse(item(), blank=True)
    volunteers = [data.from_sessions(swings(seed), points_job(job)) for seed in (20, 21)]
    filters, head = pretrain_filters(job, volunteers, rounds=40)
    assert head.shape == (job.model.parameters,)
    job = replace(job, filters=filters)
    clients = {name: data.from_sessions(swings(seed), job) for seed, name in enumerate("abc")}
    people = {"d": data.from_sessions(swings(9), job)}

    network = Network([layer.shape for layer in job.layers], job.model)
    network.weights[: network.size] = np.concatenate(
        [
            part.ravel() / 2.0**layer.right
            for layer in convolution.parse(filters)
            for part in (layer.weights.astype(float), layer.bias.astype(float))
        ]
    )
    points = [data.from_sessions(swings(9), points_job(job))]
    exact = network.features(windows(points)[0])
    found = people["d"].features / 128
    assert np.abs(found - exact).max() < 0.06 and 0.05 < found.mean() < 0.9  # floors of two layers

    last = simulate(job, plan, baselines.boards(job, plan, clients, "convolution")).versions[-1]
    assert evaluate(job, deployed(last), people).accuracy > 0.85
    given = item(features="blocks", block=80)
    del given["records"]["convolution"], given["records"]["filters"]
    means, _ = jobfile.parse(given)
    plain = {name: data.from_sessions(swings(seed), means) for seed, name in enumerate("abc")}
    floats = baselines.train_float(means, plan, list(plain.values()))[-1]
    assert baselines.float_accuracy(means, floats, {"d": data.from_sessions(swings(9), means)}) < 0.7


def test_no_window_moves_a_release_by_more_than_the_clipping_norm() -> None:
    """Whatever the filters: they are public, and a window enters its own record only."""
    job, _ = jobfile.parse(item(), blank=True)
    generator = np.random.default_rng(4)
    filters = b"".join(
        replace(layer, weights=generator.integers(-128, 128, layer.weights.shape, np.int8), right=5).data
        for layer in job.layers
    )
    job = replace(job, filters=filters, clip=20_000, log2_sigma=6, round_shift=0)
    samples = generator.integers(-32768, 32767, (800, 6)).astype(np.int16)

    def made(changed: np.ndarray[Any, Any]) -> Examples:
        return data.from_sessions([records.Session(changed, 1)], job)

    before = made(samples)
    other = samples.copy()
    other[170:230] = 0
    assert np.flatnonzero((made(other).features != before.features).any(axis=1)).tolist() == [2]
    trainer = native.Trainer(job.model.descriptor)
    trainer.set_weights(generator.integers(-16384, 16383, job.model.parameters))
    noise = native.discrete_gaussian(bytes(32), 6, job.model.parameters).astype(np.int64)
    reached = 0.0
    for row in before.features:
        trainer.begin(bytes(32), 6, job.clip)
        trainer.fill()
        trainer.examples(row[None], [1])
        norm = math.sqrt(sum(int(v) ** 2 for v in trainer.release().astype(np.int64) - noise))
        assert norm <= job.clip
        reached = max(reached, norm / job.clip)
    assert reached > 0.9


def test_pretrain_makes_the_files_that_a_job_names(tmp_path: Path) -> None:
    given = item()
    given["server"]["start"] = "start.npy"
    jobfile_text.write(tmp_path / "job.toml", given)
    people = {name: swings(seed, 3) for seed, name in enumerate("ab")}
    parts = [
        (s.samples[at : at + 80], s.label, name) for name in people for s in people[name] for at in range(0, 800, 80)
    ]
    np.savez(
        tmp_path / "data.npz",
        windows=np.array([samples for samples, _, _ in parts]),
        labels=np.array([label for _, label, _ in parts]),
        clients=np.array([name for _, _, name in parts]),
    )
    arguments = ["pretrain", str(tmp_path / "job.toml"), "--data", str(tmp_path / "data.npz"), "--rounds", "3"]
    result = CliRunner().invoke(cli, [*arguments, "--output", str(tmp_path / "start.npy"), "--json"])
    assert result.exit_code == 0, result.output
    job, plan = jobfile.load(tmp_path / "job.toml")
    assert any(job.filters[5:100]) and Path(plan.start).exists()
    assert fronts.records(job, [parts[0][0]])[0].shape == (1, 16)
    chosen = tmp_path / "elsewhere" / "chosen.toml"
    chosen.parent.mkdir()
    arguments = ["subset", str(tmp_path / "job.toml"), "--data", str(tmp_path / "data.npz"), "--memory", "3000"]
    result = CliRunner().invoke(cli, [*arguments, "--points", "2", "--output", str(chosen)])
    assert result.exit_code == 0, result.output
    assert jobfile.load(chosen)[0].filters == job.filters  # found from where the new job file is
