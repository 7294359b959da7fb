"""A helper's process, for tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helper_world import OWNER, SECRET
from picofed.roster import Roster


@contextmanager
def process(
    folder: Path, roster: Roster, *options: str, port: int = 0, before: str = "", **popen: Any
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A helper's process and its URL. before: what its Python does first; popen: for subprocess.Popen."""
    folder.mkdir(exist_ok=True)
    if not (folder / "helper.key").exists():
        (folder / "helper.key").write_bytes(SECRET)
        os.chmod(folder / "helper.key", 0o600)
    roster.save(folder / "roster.cbor", OWNER)
    command = [
        sys.executable,
        "-c",
        f"{before}\nfrom picofed.cli import main; main()",
        "helper",
        "serve",
        "--port",
        str(port),
    ]
    command += ["--state", str(folder), "--roster", str(folder / "roster.cbor"), "--owner", OWNER.public.hex()]
    command += options
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **popen) as running:
        try:
            assert running.stdout is not None
            found = re.search(r"https?://\S+", running.stdout.readline())
            assert found, "the helper did not start"
            yield found[0], running
        finally:
            running.terminate()
            running.wait(30)
