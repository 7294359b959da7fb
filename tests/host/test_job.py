"""Jobs and job files: what boards would refuse is refused here first, with the setting named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from commandline import picofed
from picofed import accounting
from picofed.learn import jobfile
from picofed.learn.job import Job, JobError, Plan, fit_noise, fit_step
from picofed.learn.model import Model

GOOD: dict[str, Any] = {
    "name": "watch",
    "records": {"window": 100, "labels": 7},
    "privacy": {"epsilon": 8.0, "records": 1812, "boards": 8},
    "server": {"rounds": 20},
}


def job(**settings: Any) -> Job:
    values: dict[str, Any] = {
        "name": "t",
        "model": Model.dense([45, 7]),
        "clip": 1000,
        "log2_sigma": 10,
        "window": 100,
        "stride": 100,
        "labels": 7,
    }
    return Job(**(values | settings))


def test_a_job_survives_the_way_through_cbor() -> None:
    for one in (job(), job(mode="local", steps=3, multiplier=5, shift=20), job(stride=150, round_shift=9)):
        assert Job.parse(one.body) == one
        assert Job.parse(one.body).id == one.id and len(one.id) == 8
    item = cbor2.loads(job().body)
    assert item["v"] == 1 and item["features"] == "imu45" and item["unit"] == "window" and item["channels"] == 6
    assert job(name="u").id != job().id


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stride": 99}, "overlap"),
        ({"model": Model.dense([45, 7], "squared")}, "softmax"),
        ({"window": 15}, "16 to 128"),
        ({"window": 129, "stride": 600}, "16 to 128"),
        ({"labels": 8}, "outputs"),
        ({"model": Model.dense([44, 7])}, "inputs"),
        ({"features": "fft"}, "not known"),
        ({"unit": "sample"}, "not known"),
        ({"mode": "magic"}, "not known"),
        ({"channels": 3}, "channels"),
        ({"clip": 0}, "without noise"),
        ({"clip": 1 << 20}, "without noise"),
        ({"log2_sigma": 5}, "without noise"),
        ({"log2_sigma": 0}, "without noise"),
        ({"steps": 2}, "steps"),
        ({"mode": "local", "steps": 5000, "multiplier": 1}, "steps"),
        ({"mode": "local"}, "multiplier"),
        ({"multiplier": 1}, "local mode"),
        ({"round_shift": 31}, "round_shift"),
        ({"name": ""}, "name"),
        ({"name": "x" * 41}, "name"),
    ],
)
def test_what_boards_refuse_is_refused_here(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(JobError, match=words):
        job(**settings)


def test_damaged_jobs_are_refused(rng: Any) -> None:
    body = job().body
    for at in range(len(body)):
        data = bytearray(body)
        data[at] ^= 1 << int(rng.integers(8))
        try:
            Job.parse(bytes(data))
        except Exception as error:
            assert type(error).__name__ in ("JobError", "ModelError"), error


def test_a_job_has_one_spelling() -> None:
    """Found by fuzzing: what says in so many words that there are no masks, or has true for 1, is no job to a board."""
    item = cbor2.loads(job().body)
    for other in (item | {"v": True}, item | {"mask_bits": 0}, item | {"masks": ""}, dict(reversed(item.items()))):
        with pytest.raises(JobError, match="another way"):
            Job.parse(cbor2.dumps(other))


def test_a_job_file_becomes_a_job_whose_budget_fits() -> None:
    made, plan = jobfile.parse(GOOD)
    assert (made.clip, made.log2_sigma, made.round_shift) == (781264, 21, 20)
    spent = plan.rounds * accounting.charge(made.clip, made.log2_sigma, made.steps)
    assert accounting.epsilon(accounting.mu_squared_of(spent), plan.delta) <= 8
    assert accounting.epsilon(accounting.mu_squared_of(spent), plan.delta) > 7.99


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1, 2, 4, 8, 20])
@pytest.mark.parametrize("rounds", [1, 20, 200])
def test_noise_always_fits_the_budget(epsilon: float, rounds: int) -> None:
    try:
        clip, log2_sigma = fit_noise(epsilon, 1e-5, rounds)
    except JobError:
        pytest.fail("nothing fits")
    units = rounds * accounting.charge(clip, log2_sigma, 1)
    assert 0 <= accounting.budget(epsilon, 1e-5) - units <= units * 1e-3 + 2 * rounds
    assert clip / 2**19 < 2.5 and (clip / 2**19 > 0.4 or log2_sigma == 25)


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(GOOD))
    (tmp_path / "job.toml").write_text(
        'name = "watch"\n[records]\nwindow = 100\nlabels = 7\n'
        "[privacy]\nepsilon = 8\nrecords = 1812\nboards = 8\n"
        "[server]\nrounds = 20\n"
    )
    assert jobfile.load(tmp_path / "job.json") == jobfile.load(tmp_path / "job.toml")
    assert jobfile.load(tmp_path / "job.toml", epsilon=1.0)[0].clip == 502795
    assert jobfile.load(tmp_path / "job.toml", rounds=10)[1].rounds == 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, "name is missing"),
        ({"name": 5}, "name must be text"),
        ({"nmae": "x"}, "no setting 'nmae'"),
        ({"records": {"labels": 7}}, "window is missing"),
        ({"records": {"window": 100.5, "labels": 7}}, "whole number"),
        ({"records": {"window": 100, "labels": 7, "stride": 50}}, "overlap"),
        ({"records": []}, "table"),
        ({"privacy": {}}, "must say epsilon"),
        ({"privacy": {"epsilon": 8.0, "clip_norm": 5, "log2_sigma": 9}}, "both"),
        ({"privacy": {"clip_norm": 5}}, "log2_sigma is missing"),
        ({"privacy": {"epsilon": -1.0}}, "epsilon"),
        ({"privacy": {"epsilon": True}}, "must be a number"),
        ({"server": {"rounds": 0}}, "rounds"),
        ({"server": {"aggregator": "magic"}}, "aggregator"),
        ({"server": {"speed": 1}}, "no setting 'speed'"),
        ({"server": {"epsilon": 1.0}}, r"belongs to \[privacy\]"),
        ({"model": {"hidden": 32}}, "list"),
        ({"model": {"loss": "hinge"}}, "loss"),
        ({"model": {"train": [True, True]}}, "1 layers"),
        ({"model": {"train": [{"rows": [0, 9]}]}}, "rectangle"),
        ({"model": {"train": [{"row": 1}]}}, "no setting 'row'"),
        ({"model": {"train": [False]}}, "at least one layer"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], words: str) -> None:
    item = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(Exception, match=words) as caught:
        jobfile.parse(item)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_job_files(tmp_path: Path) -> None:
    cases = {
        "none.toml": None,
        "bad.toml": b"name = ",
        "bad.json": b"{",
        "bytes.toml": b"\xff\xfe",
        "list.json": b"[]",
    }
    for name, data in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(JobError, match=name):
            jobfile.load(tmp_path / name)
    with pytest.raises(JobError, match="cannot read"):
        jobfile.load(tmp_path)


def test_a_local_step_is_the_learning_rate() -> None:
    model = Model.dense([45, 7])
    for rate, count in ((0.1, 10), (1.0, 200), (5.0, 1000)):
        multiplier, shift = fit_step(rate, count, model)
        # an accumulator of `count` times 1.0 (Q19) must move a weight (Q23) by the rate
        assert count * 2**19 * multiplier / 2**shift == pytest.approx(rate * 2**23, rel=1e-4)


def test_plans_check_themselves() -> None:
    for wrong in (
        {"momentum": 1.0},
        {"delta": 0.0},
        {"capacity": 0},
        {"average": 1.5},
        {"decay": -0.1},
        {"learning_rate": 0.0},
    ):
        with pytest.raises(JobError):
            Plan(**wrong)  # type: ignore[arg-type]
    assert Plan(rounds=20, average=0.25).average_from == 16
    assert Plan(rounds=20).average_from == 21


def test_rate_falls_at_the_end() -> None:
    plan = Plan(rounds=10, learning_rate=2.0, decay=0.4)
    assert [plan.rate(number) for number in range(1, 11)] == pytest.approx([2.0] * 7 + [1.5, 1.0, 0.5])
    assert Plan(rounds=10, learning_rate=2.0).rate(10) == 2.0
    assert plan.rate(11) > 0  # a run that was given fewer rounds than it has versions


NOWHERE = """http://[bad http:// http://:80 http://host:99999 http://host:x ftp://host host:8733 https:/h http://h\u00e9
http://u:p@host http://host/?q http://host/#f"""


@pytest.mark.parametrize("url", [*NOWHERE.split(), "http://a b", "http://h\nost"])
def test_a_helper_that_is_nowhere_is_refused_where_the_job_is_read(tmp_path: Path, url: str) -> None:
    server = {"aggregator": "fedavg", "masked": True, "helper": url}
    (tmp_path / "job.json").write_text(json.dumps(GOOD | {"server": GOOD["server"] | server}))
    done = picofed("run", "job.json", "--board", "/dev/nothing", cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout, done
    assert len(done.stderr.splitlines()) == 1 and "no address of a helper" in done.stderr, done.stderr


def test_addresses_of_helpers() -> None:
    for url in ("https://helper", "http://127.0.0.1:8733", "http://[::1]:8733/", "HTTPS://helper.example/behind"):
        assert Plan(masked=True, aggregator="fedavg", helper=url).helper == url


def test_an_optimiser_that_scales_its_steps_has_a_rate_of_its_own() -> None:
    item = {"name": "x", "records": {"window": 100, "labels": 4}, "privacy": {"epsilon": 8.0}}
    for server, rate in (
        ({}, 2.0),
        ({"optimiser": "sgd"}, 2.0),
        ({"optimiser": "adam"}, 0.05),
        ({"optimiser": "yogi", "learning_rate": 2.0}, 2.0),
    ):
        assert jobfile.parse({**item, "server": server})[1].learning_rate == rate
    assert jobfile.parse(item, optimiser="yogi")[1].learning_rate == 0.05
