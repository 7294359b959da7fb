"""benchmarks/sizes.md is what the sources give."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from picofed.toolchain.layout import repo_root
from picofed.toolchain.products import ARCHITECTURES

pytestmark = pytest.mark.slow
# One Debian release has one compiler for each; the committed row of xtensawin is that of the compiler that is fetched
# where Espressif's is not on the PATH.
OTHER = "xtensa-esp32-elf-gcc"
CHECKED = [arch for arch in ARCHITECTURES if arch != "xtensawin" or shutil.which(OTHER) is None]


def test_the_committed_sizes_are_up_to_date() -> None:
    """Every module's, and the heap that module and firmware take on one kind of board."""
    command = [sys.executable, str(repo_root() / "benchmarks" / "sizes.py"), "--check", "--heap", "qemu_m3"]
    chosen = [word for arch in CHECKED for word in ("--arch", arch)]
    done = subprocess.run([*command, *chosen], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
