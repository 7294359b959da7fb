"""Data for simulations: what is read, how it is dealt out, and that held-out clients are whole."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picofed.errors import PicofedError
from picofed.fleet import catalog
from picofed.learn import jobfile
from picofed.learn.job import Job, Plan
from picofed.learn.model import Model
from picofed.simulation.dataset import DatasetError, Pool, digits, mnist, read
from picofed.simulation.partition import choose, deal, split
from picofed.simulation.profile import DeviceProfile, ProfileError, filter_products
from picofed.simulation.profile import read as read_profile
from picofed.simulation.task import make_task


def some_pool(count: int = 600, owners: bool = False) -> Pool:
    draw = np.random.default_rng(3)
    features = np.arange(count)[:, None] % 127 * np.ones((1, 4))
    names = np.array([f"p{i % 7}" for i in range(count)]) if owners else None
    return Pool(features.astype(np.int8), draw.integers(0, 5, count).astype(np.uint8), names)


def tagged(count: int = 600) -> Pool:
    """A pool whose examples can be told apart."""
    numbers = np.arange(count)
    features = np.stack([numbers % 100, numbers // 100], axis=1).astype(np.int8)
    return Pool(features, (numbers % 5).astype(np.uint8))


def test_digits() -> None:
    pool = digits()
    assert pool.features.shape == (1797, 64) and pool.classes == 10
    assert (pool.features.min(), pool.features.max()) == (0, 127)
    assert np.bincount(pool.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.slow
def test_mnist() -> None:
    pool = mnist()
    assert pool.features.shape == (10000, 784) and pool.classes == 10
    assert (pool.features.min(), pool.features.max()) == (0, 127)
    assert np.bincount(pool.labels).min() > 800
    small = mnist(7)
    blocks = pool.features.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)
    assert np.abs(small.features - blocks).max() <= 1
    cropped = mnist(8)
    inner = pool.features.reshape(-1, 28, 28)[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4)).reshape(-1, 64)
    assert np.abs(cropped.features - inner).max() <= 1
    population = deal(pool, "iid", 550, 1)
    training, held_out = split(population, 1 / 11, 1)
    assert (len(training), len(held_out)) == (500, 50)
    assert np.diff(training.starts).min() == 18 and 890 < len(held_out.labels) < 1000


@pytest.mark.parametrize("how", ["iid", "dirichlet:0.1", "dirichlet:100"])
def test_no_example_is_dealt_twice(how: str) -> None:
    pool = tagged()
    population = deal(pool, how, 12, 4)
    numbers = population.features[:, 0].astype(int) + 100 * population.features[:, 1].astype(int)
    assert len(set(numbers.tolist())) == len(numbers) == 600
    assert (population.labels == numbers % 5).all()
    assert np.diff(population.starts).tolist() == [50] * 12
    again = deal(pool, how, 12, 4)
    assert (again.features == population.features).all()
    assert not (deal(pool, how, 12, 5).features == population.features).all()


def test_a_small_alpha_is_skewed() -> None:
    def classes(how: str) -> float:
        population = deal(some_pool(5000), how, 50, 1)
        return float(np.mean([np.bincount(population.examples(i).labels).max() for i in range(50)])) / 100

    assert classes("dirichlet:0.05") > 0.75 > 0.5 > classes("dirichlet:1") > 0.33 > classes("dirichlet:1000")


def test_given_clients_are_kept() -> None:
    population = deal(some_pool(70, owners=True), "given", 0, 1)
    assert population.names == tuple(f"p{i}" for i in range(7)) and np.diff(population.starts).tolist() == [10] * 7


def test_clients_are_held_out_whole() -> None:
    population = deal(some_pool(owners=True), "given", 0, 1)
    training, held_out = split(population, 0.3, 1)
    assert len(training) == 5 and len(held_out) == 2
    assert not set(training.names) & set(held_out.names)
    assert set(training.names) | set(held_out.names) == set(population.names)
    for part in (training, held_out):
        for number, name in enumerate(part.names):
            original = population.examples(population.names.index(name))
            assert (part.examples(number).features == original.features).all()
    assert choose(population, [3]).names == ("p3",)


@pytest.mark.parametrize(
    ("how", "clients", "words"),
    [
        ("given", 3, "does not say whose"),
        ("iid", 601, "cannot be dealt out"),
        ("iid", 0, "cannot be dealt out"),
        ("dirichlet:0", 3, "ALPHA is a number above 0"),
        ("dirichlet:much", 3, "ALPHA is a number above 0"),
        ("fair", 3, "is not known"),
    ],
)
def test_partitions_that_cannot_be(how: str, clients: int, words: str) -> None:
    with pytest.raises(PicofedError, match=words):
        deal(some_pool(), how, clients, 1)


def test_files_with_a_client_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,label,y,client\n1,0,-127,anna\n2,1,127,ben\n3,2,0,anna\n")
    pool = read(tmp_path / "a.csv")
    assert pool.features.tolist() == [[1, -127], [2, 127], [3, 0]] and pool.labels.tolist() == [0, 1, 2]
    assert deal(pool, "given", 0, 1).names == ("anna", "ben")
    np.savez(tmp_path / "b.npz", features=pool.features, labels=pool.labels, clients=[5, 6, 5])
    assert deal(read(tmp_path / "b.npz"), "given", 0, 1).names == ("5", "6")
    (tmp_path / "c.csv").write_text("label,x\n1,2\n")
    assert read(tmp_path / "c.csv").owners is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,2\n", "column `label`"),
        ("x,label\n", "rows below"),
        ("x,label\n1.5,2\n", "whole numbers"),
        ("x,label\n1\n", "line 2: 1 values for 2 columns"),
        ("x,label\n1,1\n\n1,0,9\n", "line 4: 3 values for 2 columns"),
        ("x,x,label\n1,2,1\n", "two columns 'x'"),
        ("x,label\n1,1\n1,\n", "line 3: label is missing"),
        ("x,label\n1,walk\n", "line 2: label is 'walk', no whole number.*number your classes"),
        ("x,label\nnan,1\n", "line 2: x is 'nan', no whole number.*scale and round"),
        ("x,label\n99999999999999999999,1\n", "line 2: x is '9*', no whole number"),
        ("client,x,label\nann,1,1\n ,1,1\n", "line 3: there is no client"),
        ("x;label\n1;1\n", "column `label`.*commas"),
        ("x,label\n128,2\n", "-127 to 127"),
        ("x,label\n1,255\n", "0 to 254"),
        ("", "column `label`"),
        ("\0\1\2", "column `label`"),
    ],
)
def test_files_that_are_no_data(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DatasetError, match=words):
        read(tmp_path / "a.csv")


def test_a_spreadsheets_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbflabel, x ,client\r\n1,2, ann\r\n\r\n0,3,ben \r\n")
    pool = read(tmp_path / "a.csv")
    assert pool.labels.tolist() == [1, 0] and pool.features.tolist() == [[2], [3]]
    assert pool.owners is not None and pool.owners.tolist() == ["ann", "ben"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": np.arange(2)}, "has no array `features`"),
        ({"features": np.ones((2, 3), int)}, "has no array `labels`"),
        (
            {"features": np.ones((2, 3), int), "labels": np.arange(2), "clients": np.array(["a", None])},
            "`clients` hold",
        ),
        ({"features": np.ones((2, 3)), "labels": np.arange(2)}, r"not float64 of shape \(2, 3\)"),
        ({"features": np.ones((2, 3), int), "labels": np.array(["a", "b"])}, r"not str\d* of shape \(2,\)"),
        ({"features": np.full((2, 3), 900), "labels": np.arange(2)}, r"of shape \(2, 3\), 900 to 900"),
    ],
)
def test_arrays_that_are_no_data(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DatasetError, match=words):
        read(tmp_path / "a.npz")


def test_an_npz_that_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 and then nothing")
    with pytest.raises(DatasetError, match="not a data file"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", features=np.zeros((3, 2), np.float32), labels=[0, 1, 1])
    with pytest.raises(DatasetError, match="whole numbers"):
        read(tmp_path / "b.npz")
    for features, labels, words in (
        (np.zeros((3, 0), np.int8), [0, 1, 1], "has no features"),
        (np.zeros((1, 2), np.int8), 1, "one for each example"),
        (np.int8(1), [0, 1, 1], "a row for each of 3 labels"),
        (np.zeros((0, 2), np.int8), np.zeros(0, int), "one for each example"),
    ):
        np.savez(tmp_path / "c.npz", features=features, labels=labels)
        with pytest.raises(DatasetError, match=words):
            read(tmp_path / "c.npz")
    for text, words in (
        ("client,label\nanna,0\nben,1\n", "has no features"),
        (f"label,x\n0,{10**30}\n", "whole numbers"),
    ):
        (tmp_path / "d.csv").write_text(text)
        with pytest.raises(DatasetError, match=words):
            read(tmp_path / "d.csv")


# ---- profiles --------------------------------------------------------------------------------------------------


def test_a_board_without_a_profile_has_the_default_one(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('name = "mine"\n[memory]\nram = 5\n')
    assert read_profile(path) == DeviceProfile("mine")
    path.write_text('name = "mine"\n[profile]\nclock_hz = 48000000\n')
    assert read_profile(path) == DeviceProfile("mine", clock_hz=48e6)
    repository = Path(__file__).parents[3] / "boards"
    found = [read_profile(path) for path in repository.glob("*/board.toml")]
    assert found and all(profile.clock_hz > 0 for profile in found)


def measured_cycles(row: str, table: str = "m0_cycles.md") -> int:
    """The first number of a row of a committed table."""
    text = (Path(__file__).parents[3] / "benchmarks" / table).read_text()
    found = re.search(rf"^\| {re.escape(row)} \| ([\d,]+) \|", text, re.MULTILINE)
    assert found
    return int(found[1].replace(",", ""))


BOARDS = sorted((Path(__file__).parents[3] / "boards").glob("*/board.toml"))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.parent.name)
def test_every_kind_of_board_takes_longer_for_a_larger_model(path: Path) -> None:
    profile = read_profile(path)
    plan = Plan(epsilon=None)
    tasks = [make_task("t", Model.dense(widths), plan, clients=9, records=9) for widths in ([45, 7], [64, 32, 10])]
    small, large = (profile.cycles(task, 1) for task in tasks)
    # a product costs less in a larger model, and the profile has one number for all
    assert small == pytest.approx(measured_cycles("softmax 45-7"), rel=0.4)
    assert large == pytest.approx(measured_cycles("MLP 64-32-10"), rel=0.4)


@pytest.mark.parametrize(
    "text",
    [
        "clock_hz = 0",
        "clock_hz = inf",
        "clock_hz = nan",
        "clock_hz = 1e-300",
        "active_watts = 1e300",
        "active_watts = true",
        'clock_hz = "fast"',
        "duty_cycle = 1.5",
        "duty_cyle = 0.1",
        "dropout = 1.0",
        "awake_from = 24",
        "awake_from = 5\nawake_until = 5",
        "straggler_factor = 0.5",
        "battery_joules = -1",
    ],
)
def test_a_profile_that_makes_no_sense(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "board.toml").write_text(f"[profile]\n{text}\n")
    with pytest.raises(ProfileError):
        read_profile(tmp_path / "board.toml")
    (tmp_path / "board.toml").write_text(f"[profile]\n{text}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProfileError, match=rf"board\.toml: |profile {tmp_path.name}: "):
        read_profile(Path("board.toml"))  # a bare name, too, is told whose profile it is
    (tmp_path / "board.toml").write_text("profile = 3")
    with pytest.raises(ProfileError):
        read_profile(tmp_path / "board.toml")


def job_of(**settings: Any) -> Job:
    given = {"window": 100, "labels": 3, **settings}
    text = {"name": "t", "records": given, "privacy": {"clip_norm": 1 << 18, "log2_sigma": 17}}
    return jobfile.parse(text, blank=True)[0]


def test_features_take_the_cycles_that_were_counted() -> None:
    profile = DeviceProfile()
    blocks, layers = {"features": "blocks", "block": 5}, [(12, 3, 1), (24, 3, 4)]
    assert profile.feature_cycles(job_of()) == pytest.approx(
        measured_cycles("features imu45, a window of 100 samples", "boards.md"), rel=0.1
    )
    assert profile.feature_cycles(job_of(**blocks)) == pytest.approx(
        measured_cycles("features blocks, a window of 100 samples", "boards.md"), rel=0.1
    )
    # the demo's two layers
    shapes = [{"filters": filters, "width": width, "pool": pool} for filters, width, pool in layers]
    job = job_of(features="convolution", block=5, convolution=shapes, filters="f.bin")
    rows = "pf_convolution, 12 filters, 3888 products", "pf_convolution, 24 filters, 13824 products"
    counted = sum(measured_cycles(row) for row in (*rows, "pf_features_blocks, a window of 100 samples"))
    assert filter_products(job) == 3888 + 13824
    assert profile.feature_cycles(job) == pytest.approx(counted, rel=0.1)


def test_every_record_of_every_step_pays_for_its_features() -> None:
    job = job_of(window=80)
    bare = replace(DeviceProfile(), cycles_per_motion_sample=0)
    assert DeviceProfile().cycles(job, 30) - bare.cycles(job, 30) == pytest.approx(30 * 80 * 451)
    local = replace(job, mode="local", steps=3, multiplier=1, round_shift=0)
    assert DeviceProfile().cycles(local, 30) - bare.cycles(local, 30) == pytest.approx(3 * 30 * 80 * 451)
    task = make_task("t", Model.dense([45, 3]), Plan(epsilon=None), clients=9, records=9)
    assert DeviceProfile().feature_cycles(task) == 0  # digits, MNIST: features are what there is


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.parent.name)
def test_what_a_board_says_of_itself_is_what_is_simulated(path: Path) -> None:
    stated, profile = catalog.kind(path.parent.name).profile, read_profile(path)
    for name, value in vars(stated).items() if stated else ():
        assert getattr(profile, name) == (value or getattr(DeviceProfile(), name))
    for line in path.read_text().splitlines():
        assert "_watts" not in line or re.search(r"# .*Datasheet", line)  # facts have a source


def test_the_default_profile_stays_what_the_benchmark_ran_with() -> None:
    found = DeviceProfile()
    assert (found.clock_hz, found.link_bytes_per_second, found.active_watts, found.link_watts) == (
        125e6,
        11520,
        0.1,
        0.1,
    )
    assert (found.cycles_per_product, found.cycles_per_noise_sample, found.idle_watts) == (7.3, 1321, 0)
    assert read_profile(BOARDS[0].parents[1] / "rpi_pico" / "board.toml").link_bytes_per_second == 100000
    assert read_profile(BOARDS[0].parents[1] / "esp32" / "board.toml").active_watts == 0.145
