"""A command line in the tests' own process: for commands that start no process and answer no signal."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from picofed.cli import main

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


class Done(NamedTuple):
    """How it ended."""

    returncode: int
    stdout: str
    stderr: str


def picofed(*arguments: object, cwd: Path) -> Done:
    """Run `picofed` with these arguments in a folder."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(SystemExit) as ended,
    ):
        patch.setattr(sys, "argv", ["picofed", *map(str, arguments)])
        main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
