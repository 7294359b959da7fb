"""Command lines as the tests run them: in a process of their own, as a user does; or, quicker, in the tests' own: for
commands that start no process and answer no signal.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from picofed.cli import main

PROGRAM = Path(sys.executable).with_name("picofed")
_OWN = ("PICOFED_SITE", "PICOFED_OWNER", "PICOFED_OWNER_KEY", "PICOFED_PASSPHRASE")  # of whoever runs the tests
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


def program(
    *arguments: object,
    cwd: Path | None = None,
    timeout: float = 120,
    before: Callable[[], object] | None = None,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run `picofed` with these arguments to its end, whatever that is. before: what its process does first; variables:
    what its environment has beside the tests'."""
    environment = {name: value for name, value in os.environ.items() if name not in _OWN}
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env=environment | {"COLUMNS": "200"} | variables,
        capture_output=True,
        text=True,
        timeout=timeout,
        preexec_fn=before,
        check=False,
    )


class Done(NamedTuple):
    """How it ended."""

    returncode: int
    stdout: str
    stderr: str


def picofed(*arguments: object, cwd: Path) -> Done:
    """Run `picofed` with these arguments in a folder, in this process."""
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
