"""Stopping and going on: kill -9 at any time, and the end is the same to the last row."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from picofed.errors import PicofedError
from picofed.simulation.api import Setup, run, settings_of
from picofed.simulation.engine import Engine
from picofed.simulation.fleet import Fleet
from picofed.simulation.profile import DeviceProfile
from picofed.simulation.results import Results, ResultsError

MakeSetup = Callable[..., Setup]
FLEET = Fleet((DeviceProfile(dropout=0.2), DeviceProfile(awake_from=8, awake_until=20)), stragglers=0.5, clock_spread=5)


class Stopped(Exception):
    pass


def test_a_run_that_is_stopped_at_every_version_ends_the_same(make_setup: MakeSetup, tmp_path: Path) -> None:
    setup = make_setup(clients=40, rounds=8, fleet=FLEET, aggregator="ftte", capacity=7, average=0.5, optimiser="yogi")
    expected = run(setup)
    path = tmp_path / "results.db"

    for stop in range(1, 9):
        kept = Results(path, settings_of(setup))
        engine = Engine(setup, kept, 2, checkpoint_seconds=0.0)

        def interrupt(number: int, _: float | None, stop: int = stop) -> None:
            if number > stop:  # the version before has its checkpoint, this one not yet
                raise Stopped

        with pytest.raises(Stopped) if stop < 8 else contextlib.nullcontext():
            engine.run(interrupt)
        kept.close()
    assert run(setup, results=path) == expected


@pytest.mark.slow
def test_kill_9_at_any_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from picofed.cli import main; main()", "simulate", "--data", "digits"]
    command += ["--clients", "200", "--rounds", "150", "--stragglers", "0.5", "--dropout", "0.1", "--json"]
    command += ["--set", "aggregator=fedbuff", "--set", "capacity=20", "--evaluate-every", "10"]
    expected = subprocess.run(command, capture_output=True, check=True).stdout
    path = tmp_path / "results.db"
    killed = 0
    while killed < 4:
        process = subprocess.Popen([*command, "--results", str(path)], stdout=subprocess.DEVNULL)
        try:
            before = versions(path)
            while process.poll() is None and versions(path) == before:
                time.sleep(0.01)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
        finally:
            process.kill()
            process.wait()
        if versions(path) > 150:
            break
    assert killed
    again = subprocess.run([*command, "--results", str(path)], capture_output=True, check=True).stdout
    assert again == expected
    once_more = subprocess.run([*command, "--results", str(path)], capture_output=True, check=True).stdout
    assert once_more == expected


def versions(path: Path) -> int:
    """Rows that a reader sees."""
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(path) as db:
            return int(db.execute("SELECT count(*) FROM version").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_results_of_other_settings_are_left_alone(make_setup: MakeSetup, tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    run(make_setup(rounds=2), results=path)
    with pytest.raises(ResultsError, match="other settings"):
        run(make_setup(rounds=3), results=path)
    (tmp_path / "text").write_text("not a database, but long enough to be one" * 10)
    with pytest.raises(PicofedError, match="cannot be used"):
        run(make_setup(rounds=2), results=tmp_path / "text")
    assert len(run(make_setup(rounds=2), results=path).versions["version"]) == 3
