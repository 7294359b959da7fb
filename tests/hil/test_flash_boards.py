"""picofed flash on every kind of board, from an empty flash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dut import Dut
from picofed.link.connect import connect

pytestmark = pytest.mark.slow


def flash(dut: Dut, site: Path, *more: str) -> dict[str, object]:
    program = Path(sys.executable).with_name("picofed")
    words = [program, "flash", "--site", site, "--port", dut.port, "--json", *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nboard: {dut.log}"
    (outcome,) = json.loads(done.stdout)
    return dict(outcome)


def test_an_empty_board_is_flashed_and_then_up_to_date(dut: Dut, tmp_path: Path) -> None:
    dut.begin({})
    first = flash(dut, tmp_path / "site", "--peers", "3")
    assert first["did"][1:] == ["new keys", "self-test passed", "on roster 1 now"]  # type: ignore[index]
    second = flash(dut, tmp_path / "site")
    assert second["copied"] == [] and second["did"] == ["files are up to date", "self-test passed"]
    client = connect(dut.port)
    try:
        assert client.hello().budget > 0
    finally:
        client.close()
