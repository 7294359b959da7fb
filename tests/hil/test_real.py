"""`pytest tests/hil --board NAME --port PORT`: the suite as on a real board, here on the port of an emulated one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from picofed.fleet.emulation import Rp2040jsBoard, UnixBoard
from picofed.toolchain.layout import repo_root


def suite(*words: object) -> tuple[int, str]:
    """Exit status of pytest, and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *map(str, words)]
    done = subprocess.run(command, cwd=repo_root(), env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_board_of_our_own_firmware_is_emptied_before_each_test(tmp_path: Path) -> None:
    """What the first test leaves of ledger and seeds in raw flash would be the second one's."""
    with Rp2040jsBoard(tmp_path / "board") as board:
        names = "test_budget_runs_out_and_stays_out_over_resets", "test_flashed_from_nothing_it_passes_its_selftest"
        tests = [f"tests/hil/test_boards.py::{name}" for name in names]
        status, said = suite(*tests, "--board", "rpi_pico", "--port", board.port)
        assert status == 0, said
        assert re.search(r"^2 passed", said.splitlines()[-1].strip("= ")), said


@pytest.mark.slow
def test_all_of_it_passes_on_a_board_whose_firmware_are_files(tmp_path: Path) -> None:
    with UnixBoard(tmp_path / "board") as board:
        status, said = suite("tests/hil", "--board", "unix", "--port", board.port)
        assert status == 0, said
        assert re.search(r"^[89] passed", said.splitlines()[-1].strip("= ")), said


def test_only_tests_of_a_board_are_chosen_and_none_is_skipped() -> None:
    status, said = suite("tests/hil", "--collect-only", "--quiet", "--board", "rpi_pico", "--port", "/dev/null")
    names = [line for line in said.splitlines() if "::" in line]
    assert status == 0 and len(names) >= 8, said
    assert all("[rpi_pico" in name or "-rpi_pico" in name for name in names), said
    assert "NOTSET" not in said and not any("power_cuts" in name for name in names)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--board", "toaster", "--port", "/dev/null"), "no board to test is called 'toaster': esp32"),
        (("--board", "toaster"), "no board to test is called 'toaster': qemu_m0"),
        (("--board", "rpi_pico"), "no board to test is called 'rpi_pico', which is a real board: give its --port"),
        (("--port", "/dev/null"), "--port is one board's: name its kind with one --board"),
    ],
)
def test_a_board_that_there_is_not_is_one_line(words: tuple[str, ...], problem: str) -> None:
    status, said = suite("tests/hil/test_boards.py", *words)
    assert status == 4 and problem in said and len(said.strip().splitlines()) == 1, said
