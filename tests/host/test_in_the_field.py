"""What goes wrong at a clinic: two commands at once, the wrong folder, a file that is not what it seems."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import picofed
from picofed.cli import common
from picofed.learn import jobfile
from picofed.store import Store

JOB = """
name = "small"
[records]
window = 100
labels = 3
[privacy]
epsilon = 8.0
[server]
rounds = 2
"""


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
