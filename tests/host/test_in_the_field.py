"""What goes wrong at a clinic: two commands at once, the wrong folder, a file that is not what it seems."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commandline import JOB, picofed
from picofed.cli import common
from picofed.cli.progress import RunProgress
from picofed.learn import jobfile
from picofed.learn.events import Event
from picofed.link.messages import BoardError
from picofed.owner import Owner
from picofed.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a job."""
    (tmp_path / "job.toml").write_text(JOB)
    return tmp_path


def test_one_process_at_a_time_makes_versions_of_a_job(folder: Path) -> None:
    """Two would take each other's boards, and end with a conflict once both had an update."""
    site = folder / "site"
    site.mkdir()
    Store(site / "store.db").close()
    job, other = (jobfile.load(folder / "job.toml", epsilon=epsilon)[0] for epsilon in (8.0, 4.0))
    for command in (("run", "job.toml", "--board", "/dev/null"), ("aggregate", "job.toml")):
        for held, refused in ((job, True), (other, False)):
            with common.only_maker(site, held):
                done = picofed(*command, "--site", "site", cwd=folder)
            assert done.returncode == 2
            assert ("another picofed makes versions of 'small' in site just now" in done.stderr) == refused
        assert "another picofed" not in picofed(*command, "--site", "site", cwd=folder).stderr


def test_whoever_only_flashed_is_told_where_the_owners_key_is(folder: Path) -> None:
    """Not to make another one, to which none of their boards is bound."""
    assert picofed("provision", "key", "--owner", "picofed-site", cwd=folder).returncode == 0
    for command in (("revoke", "porch"), ("policy", "porch", "--epsilon", "4"), ("show",)):
        done = picofed("provision", *command, cwd=folder)
        assert done.returncode == 2 and done.stderr.endswith(" has one: say --owner picofed-site\n")
    shown = picofed("provision", "show", "--owner", "picofed-site", cwd=folder)
    assert shown.returncode == 0 and "roster 0" in shown.stdout


def test_a_main_that_is_no_program_is_told_before_any_board_is_looked_at(folder: Path) -> None:
    wrong = {
        "invalid syntax": b"import picofed.main\npicofed main\n",
        "line 2": b"import picofed.main\n  x = 1\n",
        "no program": b"\0\1\2",
        "is no program that a board can run: ": b"\xca\xfe",
    }
    for words, data in wrong.items():
        (folder / "main.py").write_bytes(data)
        done = picofed("flash", "--port", "/dev/null", "--main", "main.py", cwd=folder)
        assert done.returncode == 2 and words in done.stderr, done.stderr
    (folder / "main.py").write_bytes(b"import picofed.main\npicofed.main.run(lambda records: '\\d')\n")
    done = picofed("flash", "--port", "/dev/null", "--main", "main.py", cwd=folder)
    assert "is not a serial port" in done.stderr and "Warning" not in done.stderr


def test_those_that_make_the_owners_key_at_once_have_the_same(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def owner(_: int) -> bytes:
        together.wait()
        return Owner.have(tmp_path / "owner.key").public

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(owner, range(8)))) == 1
    assert Owner.load(tmp_path / "owner.key").public == Owner.have(tmp_path / "owner.key").public


def test_why_boards_left_is_said_once_for_all_of_them() -> None:
    left = {f"watch-{number}": "it is full" for number in range(6)} | {"porch": "it sleeps"}
    assert common.reasons(left) == "watch-0, watch-1, watch-2, watch-3 and 2 more: it is full; porch: it sleeps"
    assert common.reasons({}) == ""


def test_a_release_that_costs_too_much_says_what_makes_it_cheaper() -> None:
    said = str(BoardError(-21, "the policy forbids charge 1445988, at most 1435286"))
    assert "more rounds or a smaller epsilon" in said and "`picofed flash --max-charge`" in said
    assert "change the job to what the policy allows" in str(BoardError(-21, "the policy forbids log2_sigma 6"))


def test_a_log_has_one_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(3) as progress:
        progress(Event("left", "porch", "the board refused: " + "word " * 40))
    assert capsys.readouterr().err.count("\n") == 1
