"""`picofed run` with a helper, as an owner and an operator do it: nothing is charged until the sum can be had."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cbor2
import pytest
from commandline import program
from dut.emulated import EmulatedDut
from picofed.fleet.provision import board_files
from picofed.provisioning import Policy, Provision
from picofed.toolchain.build import natmod
from world import SEED, sessions

pytestmark = pytest.mark.slow

JOB = """
name = "masked"
[records]
window = 64
labels = 3
[privacy]
clip_norm = 262144
log2_sigma = 20
[server]
rounds = 2
aggregator = "fedavg"
masked = true
helper = "{url}"
honest = {honest}
patience = 60.0
"""


def picofed(folder: Path, *words: str, code: int = 0) -> str:
    """A command; what it says, on stderr where it fails."""
    done = program(*words, cwd=folder, timeout=600)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


@contextmanager
def helper(folder: Path, owner: str) -> Iterator[str]:
    """The helper's process; its URL."""
    command = [sys.executable, "-c", "from picofed.cli import main; main()", "helper", "serve", "--port", "0"]
    command += ["--state", str(folder / "state"), "--roster", str(folder / "helper.cbor"), "--owner", owner]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the helper did not start"
            yield found[0]
        finally:
            process.terminate()


def test_a_run_with_a_helper_from_the_command_line(tmp_path: Path) -> None:
    key = picofed(tmp_path, "helper", "key", "--state", "state").strip()
    picofed(tmp_path, "provision", "key")
    with ExitStack() as stack:
        ports: list[str] = []
        for n in (1, 2, 3):
            ident, file = bytes([n] * 8), f"{n}.cbor"
            picofed(tmp_path, "provision", "board", ident.hex(), f"dut-{n}", "--helper", key, "--output", file)
            item = cbor2.loads((tmp_path / file).read_bytes())
            policy = Policy.parse(item["policy"])
            given = Provision(policy, item["key"], item["secret"], item["records"], item["owner"], item["signature"])
            board = EmulatedDut("unix", tmp_path / policy.name, ident, SEED)
            stack.callback(board.close)
            board.begin(board_files(natmod(board.natmod_arch), given, sessions()))
            ports += ["--board", board.port]
        signed = ("helper", "roster", "helper.cbor", "--site", "picofed-owner", "--minimum", "3", "--json")
        owner = json.loads(picofed(tmp_path, *signed))["owner"]
        job = tmp_path / "job.toml"

        def refused(url: str, *words: str, honest: int = 3, boards: list[str] = ports) -> None:
            job.write_text(JOB.format(url=url, honest=honest))
            said = picofed(tmp_path, "run", "job.toml", *boards, code=2)
            assert len(said.splitlines()) == 1 and all(word in said for word in words), said

        refused("http://", "no address of a helper")
        refused("http://127.0.0.1:99999", "no address of a helper")
        with helper(tmp_path, owner) as url:
            refused(url, "3 boards", "needs 4", honest=4)
            refused(url, "2 boards", "needs 3", "the helper's minimum", honest=2, boards=ports[:4])
            job.write_text(JOB.format(url=url, honest=3))
            result = json.loads(picofed(tmp_path, "run", "job.toml", *ports, "--json"))
        # two releases each: what was refused has cost nothing
        spent = json.loads(picofed(tmp_path, "budget", "--honest", "3", "--json"))["boards"]
        assert result["version"] == 2 and {one["epsilon_spent"] for one in spent} == {result["epsilon_job"]}
        assert {one["epsilon_distributed"] for one in spent} == {result["epsilon_job_distributed"]}
        assert result["epsilon_distributed"] == result["epsilon_job_distributed"] < 0.7 * result["epsilon"]
        again = picofed(tmp_path, "run", "job.toml", *ports)  # all is done: the helper is not needed any more
        assert "version 2 of 2" in again and "this job alone: epsilon" in again
