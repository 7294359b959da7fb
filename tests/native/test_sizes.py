"""benchmarks/sizes.md is what the sources give."""

from __future__ import annotations

import subprocess
import sys

import pytest
from picofed.toolchain.layout import repo_root

pytestmark = pytest.mark.slow
# One Debian release has one compiler for these; x64 and xtensawin are built by whatever the machine has.
ARCHITECTURES = ("armv6m", "armv7m", "armv7emsp", "rv32imc")


def test_the_committed_sizes_are_up_to_date() -> None:
    command = [sys.executable, str(repo_root() / "benchmarks" / "sizes.py"), "--check", "--no-heap"]
    chosen = [word for arch in ARCHITECTURES for word in ("--arch", arch)]
    done = subprocess.run([*command, *chosen], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
