"""How people use the simulator: picofed.simulate, the command line, the page with curves."""

from __future__ import annotations

import builtins
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import picofed
import pytest
from click.testing import CliRunner
from picofed.cli import cli
from picofed.errors import PicofedError
from picofed.learn.job import Plan
from picofed.report.simulation import page
from picofed.simulation.api import prepare
from picofed.simulation.dataset import digits
from picofed.simulation.engine import Engine

ROOT = Path(__file__).resolve().parents[3]
SMALL: dict[str, Any] = {"clients": 12, "rounds": 3}


def command(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["simulate", "--data", "digits", "--clients", "12", "--rounds", "3", *arguments])


def test_simulate_gives_a_data_frame_or_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = picofed.simulate("digits", **SMALL)
    assert isinstance(frame, pandas.DataFrame) and frame["version"].tolist() == [0, 1, 2, 3]
    real_import = builtins.__import__

    def without_pandas(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    columns = picofed.simulate("digits", **SMALL)
    assert isinstance(columns, dict) and columns["accuracy"] == frame["accuracy"].tolist()


def test_there_is_nothing_else_in_the_package() -> None:
    with pytest.raises(AttributeError, match="no attribute 'simulates'"):
        picofed.simulates  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hold_out": ["nobody"]}, "no client 'nobody'"),
        ({"hold_out": 0.0}, "share between 0 and 1"),
        ({"hold_out": 0}, "share between 0 and 1"),
        ({"hold_out": 1.0}, "share between 0 and 1"),
        ({"hold_out": float("nan")}, "share between 0 and 1"),
        ({"hold_out": [1]}, "share between 0 and 1"),
        ({"hold_out": "client-99"}, "no client 'client-99'"),
        ({"seed": -1}, "seed must be a whole number from 0 on, not -1"),
        ({"seed": "picofed"}, "seed must be a whole number"),
        ({"clients": 0}, "clients must be a whole number from 1 on"),
        ({"steps": -1}, "steps must be"),
        ({"evaluate_every": -1}, "evaluate_every must be"),
        ({"split": "given"}, "leave clients out"),
        ({"plan": Plan()}, "rounds belongs into the plan"),
        ({"workers": 0}, "workers must be a whole number from 1 on"),
        ({"workers": -1}, "workers must be a whole number from 1 on"),
        ({"hidden": 32}, "hidden is a list"),
        ({"hidden": [0]}, "every layer has 1 to 1023"),
        ({"colour": "red"}, "there is no setting 'colour': there are .*hold_out.*learning_rate"),
        ({"learning_rate": "fast"}, "a setting is of the wrong type"),
        ({"aggregator": "fedmax"}, "fedmax"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"split": "even"}, "not known"),
    ],
)
def test_mistakes_are_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(PicofedError, match=words):
        picofed.simulate(digits(), **{**SMALL, **settings})


def test_what_nobody_names_is_the_aggregator_of_live_runs() -> None:
    found = [picofed.simulate("digits", **SMALL, **rule).to_dict("list") for rule in ({}, {"aggregator": "ftte"})]
    assert found[0] == found[1] and found[0]["updates"] == [0, 9, 9, 9] and Plan().aggregator == "ftte"
    shown = [json.loads(command("--json", *rule).output) for rule in ([], ["--set", "aggregator=ftte"])]
    assert shown[0] == shown[1] and shown[0]["by_version"]["updates"] == [0, 9, 9, 9]


def test_the_first_command_of_all_learns() -> None:
    """`picofed simulate --data digits --rounds 20`: versions of 4 of 50 clients' updates ended at 0.549."""
    asked = ["simulate", "--data", "digits", "--rounds", "20", "--evaluate-every", "0", "--json"]
    document = (ROOT / "docs" / "simulation.md").read_text()

    def reached(*more: str) -> float:
        found = json.loads(CliRunner().invoke(cli, [*asked, *more]).output)
        assert found["refused"] == 0
        return float(found["accuracy"])

    first, synchronous = reached(), reached("--set", "aggregator=fedavg")
    assert first > 0.95 * synchronous
    assert f"ends at {first:.3f}, with `fedavg`, which waits for all, at {synchronous:.3f}, " in document
    assert reached("--no-privacy") > 0.88 and reached("--stragglers", "0.5") > 0.83


def test_what_nobody_says_follows_from_the_fleet_and_what_is_said_stays() -> None:
    def plan_of(**settings: Any) -> tuple[Any, ...]:
        plan = prepare("digits", clients=12, **settings).plan
        return plan.capacity, plan.learning_rate, plan.decay

    bare = Plan()
    assert plan_of() == (9, 1.0, 0.5) == plan_of(aggregator="fedbuff")
    assert plan_of(capacity=4, learning_rate=2.0, decay=0.0) == (bare.capacity, bare.learning_rate, bare.decay)
    assert plan_of(aggregator="fedavg") == plan_of(plan=bare) == (bare.capacity, bare.learning_rate, bare.decay)
    assert plan_of(optimiser="adam", learning_rate=0.1) == (9, 0.1, 0.0)
    # sgd's rate of 2 ended at 0.47 with them
    assert plan_of(optimiser="yogi") == (9, 0.05, 0.0) and plan_of(optimiser="adam", aggregator="fedavg")[1] == 0.05
    assert "; adam, learning rate 0.05, decay 0\n" in command("--set", "optimiser=adam").output
    told = command("--set", "capacity=5")
    assert "ftte, capacity 5; sgd, learning rate 1, decay 0.5\n" in told.output
    assert "\nfedavg; sgd, learning rate 2, decay 0\n" in command("--set", "aggregator=fedavg").output


def test_one_client_is_held_out_by_its_name() -> None:
    frame = picofed.simulate("digits", hold_out="client-1", rounds=1, clients=4, aggregator="fedavg")
    assert frame["updates"].tolist() == [0, 4]  # of five, as a share of nothing holds out one more


def test_data_that_says_whose_it_is_stays_with_its_clients(tmp_path: Path) -> None:
    """It was shuffled and dealt out to 50 unless somebody knew of --split given."""
    draw = np.random.default_rng(1)
    arrays = {"features": draw.integers(-127, 128, (60, 4)), "labels": draw.integers(0, 3, 60)}
    np.savez(tmp_path / "own.npz", clients=np.repeat(["ann", "ben", "carl"], [10, 20, 30]), **arrays)
    np.savez(tmp_path / "one.npz", clients=np.repeat("ann", 60), **arrays)
    kept = prepare(tmp_path / "own.npz", rounds=1)
    assert sorted([*kept.training.names, *kept.held_out.names]) == ["ann", "ben", "carl"]
    for name, settings in (("own", {"clients": 6}), ("own", {"clients": 6, "split": "iid"}), ("one", {"clients": 6})):
        assert len(prepare(tmp_path / f"{name}.npz", rounds=1, **settings).training) == 6
    with pytest.raises(PicofedError, match="all data is one client's"):
        prepare(tmp_path / "one.npz", rounds=1)


def test_the_command_prints_what_happened(tmp_path: Path) -> None:
    told = command("--json", "--plot", str(tmp_path / "page.html"), "--results", str(tmp_path / "results.db"))
    assert told.exit_code == 0, told.output
    result = json.loads(told.output)
    assert (result["clients"], result["versions"], result["updates"]) == (12, 3, 27)
    assert 0 < result["epsilon"] <= 8.0 and result["bytes_up"] > 12 * 100
    assert [len(column) for column in result["by_version"].values()] == [4] * 13
    document = (ROOT / "docs" / "simulation.md").read_text()
    told_of = document[document.index("**Columns**") : document.index("`setting` has")]
    with sqlite3.connect(tmp_path / "results.db") as kept:
        columns = {row[0] for row in kept.execute("SELECT name FROM pragma_table_info('version')")}
        for table in ("update", "client"):
            columns |= {row[0] for row in kept.execute(f"SELECT name FROM pragma_table_info('{table}')")}
    assert set(result["by_version"]) < columns and {name for name in columns if f"`{name}`" not in told_of} == set()
    html = (tmp_path / "page.html").read_text()
    assert html.count("<svg") == 3 and "http" not in html.replace("http-equiv", "")
    # 0.4 s were thousandths of an hour, with axes to match
    assert [f"accuracy by {words}" in html for words in ("seconds of", "kilobytes sent", "joules spent")] == [True] * 3
    # style.py hides one that is not the last in its figure, so that wide screens showed none
    assert html.count("</svg></figure>") == 3
    plain = command()
    assert plain.exit_code == 0 and f"accuracy {result['accuracy']:.3f} on 3 clients held out" in plain.output
    bare = json.loads(command("--json", "--no-privacy").output)
    assert bare["epsilon"] is None and bare["clip_norm"] == 0 and bare["accuracy"] != result["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "rounds"], "say NAME=VALUE"),
        (["--set", "colour=red"], "no setting 'colour'"),
        (["--baselines"], "do not go with a fleet"),
        (["--set", "colour=red"], r"knows rounds, aggregator, .*honest$"),
        (["--set", "epsilon=0"], "--set epsilon: it belongs to .*use --epsilon"),
        (["--set", "delta=0.1"], "--set delta: it belongs to .*say it in a JOB"),
        (["--set", "rounds=1\nepsilon=3"], "--set epsilon"),
        (["--set", "rounds=3"], "exclude each other"),
        (["--set", "blank=true"], "no setting 'blank'"),
        (["--split", "given"], "leave clients out"),
        (["--straggler-factor", "3"], "needs --stragglers"),
        (["--kind", "toaster"], "no kind of board"),
        (["--hold-out", "nobody"], "no client 'nobody'"),
        (["--data", "nothing.csv"], "cannot read nothing.csv"),
        (["--data", "nothing.csv", "--plot", "none/page.html"], "cannot write none/page.html: there is no such folder"),
        (["--data", "nothing.csv", "--results", "none/r.db"], "cannot write none/r.db: there is no such folder"),
        (["--stragglers", "0.5", "--straggler-factor", "nan"], "factor 1 to 1,000,000"),
        (["--stragglers", "0.5", "--straggler-factor", "inf"], "factor 1 to 1,000,000"),
        (["--stragglers", "nan"], "stragglers must be 0 to 1"),
        (["--dropout", "nan"], "every setting is a number"),
        (["--epsilon", "0"], "epsilon must be above 0"),
        (["--epsilon", "8", "--no-privacy"], "exclude each other"),
        (["--epsilon", "0", "--no-privacy"], "exclude each other"),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], words: str) -> None:
    told = command(*arguments)
    assert isinstance(told.exception, PicofedError) and re.search(words, str(told.exception))


def test_a_fleet_that_stalls_says_so_and_what_it_cost(tmp_path: Path) -> None:
    stall = ["--rounds", "1", "--set", "aggregator=fedavg", "--set", "minimum=100", "--results", str(tmp_path / "r.db")]
    for _ in range(2):  # the second time it reads what was kept
        told = command(*stall)
        assert isinstance(told.exception, PicofedError) and told.exception.exit_status == 2
        assert re.match("no update can come any more at version 0: 0 of 12 clients have left", str(told.exception))
        found = re.search(
            r"12 updates in (\S+) s .*, 0 lost, 0 refused\n.*; (\d+) bytes up, (\d+) down, (\S+) J", told.output
        )
        assert found and all(float(number) > 0 for number in found.groups())
    result = json.loads(command("--json", *stall).output)
    assert result["stopped"] and result["bytes_up"] == int(found[2]) and result["versions"] == 0
    # as a run that goes on until then
    whole = json.loads(command("--json", "--set", "aggregator=fedavg", "--rounds", "1").output)
    assert [whole[name] for name in ("seconds", "bytes_up")] == [result[name] for name in ("seconds", "bytes_up")]
    assert {name: whole["by_version"][name][-1] for name in ("seconds", "refused", "lost", "left", "bytes_down")} == {
        name: whole[name] for name in ("seconds", "refused", "lost", "left", "bytes_down")
    }


FORECAST = """name = "next"
records = { window = 20, features = "blocks", block = 5, target = "next", horizon = 1 }
privacy = { epsilon = 8.0, records = 300, boards = 4 }
server = { rounds = 3, learning_rate = 0.1 }
"""


def test_a_fleet_foretells(tmp_path: Path) -> None:
    samples = np.sin(np.arange(2000)[:, None] / 9 + np.arange(6)) * 4000
    windows = np.rint(samples).astype(np.int16).reshape(100, 20, 6)
    np.savez(tmp_path / "data.npz", windows=windows, clients=[f"c{n % 5}" for n in range(100)])
    (tmp_path / "next.toml").write_text(FORECAST)
    arguments = ["simulate", str(tmp_path / "next.toml"), "--data", str(tmp_path / "data.npz"), "--hold-out", "c4"]
    told = CliRunner().invoke(cli, [*arguments, "--stragglers", "0.5", "--json"])
    assert told.exit_code == 0, told.output
    result = json.loads(told.output)
    assert "accuracy" not in result and result["explained"] == result["by_version"]["explained"][3]
    yardsticks = CliRunner().invoke(cli, [*arguments, "--baselines"])
    assert re.search(r"without privacy \S+ \(ftte\), float64 \S+ \(synchronous\)\n", yardsticks.output)
    plain = CliRunner().invoke(cli, [*arguments, "--stragglers", "0.5"])
    assert f"explained {result['explained']:.3f} on 1 clients held out" in plain.output


@pytest.mark.parametrize("name", ["digits", "mnist:8"])
def test_a_job_takes_no_data_that_is_dealt_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "next.toml").write_text(FORECAST)
    for more in ([], ["--stragglers", "0.5"]):
        told = CliRunner().invoke(cli, ["simulate", "next.toml", "--data", name, *more])
        assert isinstance(told.exception, PicofedError)
        assert re.match(rf"{name} is for fleets without a JOB: with one, give an \.npz", str(told.exception))
    told = CliRunner().invoke(cli, ["simulate", "--help"], terminal_width=400)
    assert "mnist[:14|:8|:7]" in told.output


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"clients": 3}, "comes by client"),
        ({"split": "iid"}, "comes by client"),
        ({"hidden": [4]}, "it says them"),
        ({"steps": 2}, "it says them"),
        ({"epsilon": 2.0}, "epsilon belongs into the plan"),
    ],
)
def test_what_would_do_nothing_is_refused(settings: dict[str, Any], words: str, make_setup: Any) -> None:
    setup = make_setup()
    by_client = {name: setup.training.examples(number) for number, name in enumerate(setup.training.names)}
    with pytest.raises(PicofedError, match=words):
        prepare(by_client, job=setup.job, plan=setup.plan, **settings)


def test_a_page_of_curves_survives_odd_numbers() -> None:
    one = {"seconds": [0.0], "bytes_up": [0], "joules": [0.0], "accuracy": [None]}
    assert page("<b>", one).count("&lt;b&gt;") == 2
    two = {"seconds": [0.0, 5e9], "bytes_up": [0, 10**15], "joules": [0.0, 1e-9], "accuracy": [0.0, 1.0]}
    assert "polyline" in page("t", two)
    large = {"seconds": [0.0, 9000.0], "bytes_up": [0, 10**15], "joules": [0.0, 2e3], "accuracy": [0.0, 1.0]}
    found = re.findall("<figcaption>(.*?)</", page("t", large))
    assert found == [
        "accuracy by hours of virtual time",
        "accuracy by megabytes sent by all clients",
        "accuracy by kilojoules spent by all clients",
    ]


def test_an_interruption_says_what_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ctrl-C told everybody to run the command again to go on, also where nothing had been kept."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "_tick", stop)
    told = command()
    assert isinstance(told.exception, PicofedError) and told.exception.exit_status == 130
    assert str(told.exception) == "interrupted: with --results the same command would go on from here"
    assert not isinstance(command("--results", str(tmp_path / "r.db")).exception, PicofedError)
