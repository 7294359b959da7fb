"""Masks without a helper from end to end: an owner's boards, `picofed run`, a host that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cbor2
import numpy as np
import pytest
from click.testing import CliRunner
from dut.emulated import EmulatedDut
from picofed.cli import cli
from picofed.fleet.provision import board_files
from picofed.learn import jobfile
from picofed.learn.job import Job
from picofed.learn.simulate import simulate
from picofed.learn.updates import Update
from picofed.peers import Cohort
from picofed.provisioning import Policy, Provision
from picofed.store import Store
from picofed.toolchain.build import natmod
from world import SEED, sessions, simulated

pytestmark = pytest.mark.slow

BOARDS = 7
FILE = """
name = "pairwise"
[records]
window = 64
labels = 3
[privacy]
clip_norm = 262144
log2_sigma = 20
mask_bits = 17
[server]
rounds = 2
aggregator = "fedavg"
masked = true
masks = "pairwise"
honest = 4
patience = 20.0
"""


class Site:
    """A folder in which an owner has provisioned boards, which run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = folder / "job.toml"
        self.job.write_text(FILE)
        self.boards: list[EmulatedDut] = []
        self.given: list[Provision] = []

    def provision(self, *arguments: str) -> None:
        result = CliRunner().invoke(cli, ["provision", *arguments, "--owner", str(self.folder / "owner")])
        assert result.exit_code == 0, result.output

    def command(self, *more: str) -> list[str]:
        found = [sys.executable, "-c", "from picofed.cli import main; main()", "run", str(self.job), "--json"]
        found += ["--site", str(self.folder / "site"), *more]
        for board in self.boards:
            found += ["--board", board.port]
        return found

    def run(self, *more: str) -> dict[str, object]:
        done = subprocess.run(self.command(*more), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Boards of a kind, as many as asked for."""
    kind, count = getattr(request, "param", ("unix", BOARDS))
    made = Site(tmp_path)
    made.provision("key")
    with ExitStack() as stack:
        for n in range(1, count + 1):
            file = tmp_path / f"{n}.cbor"
            asked = ["--peers", "4", "--output", str(file), "--site", str(tmp_path / "site")]
            made.provision("board", bytes([n] * 8).hex(), f"dut-{n}", *asked)
            item = cbor2.loads(file.read_bytes())
            policy = Policy.parse(item["policy"])
            given = Provision(policy, item["key"], item["secret"], item["records"], item["owner"], item["signature"])
            board = EmulatedDut(kind, tmp_path / policy.name, policy.board, SEED)
            stack.callback(board.close)
            board.begin(board_files(natmod(board.natmod_arch), given, sessions()))
            made.boards.append(board)
            made.given.append(given)
        yield made


def same_without_masks(site: Site, store: Store, boards: list[Provision]) -> None:
    """Version 1 is what these boards make without masks, to the bit."""
    job, plan = jobfile.load(site.job)
    plain = replace(job, mask_bits=0, masks="")
    other = simulate(
        plain, replace(plan, masked=False, masks="helper", rounds=1), [simulated(one, plain) for one in boards]
    )
    found = store.version(job.id, 1)
    assert found is not None and found.master == other.versions[1].master
    assert len(store.members(job.id, 1)) == len(boards)


def test_a_run_without_a_helper(site: Site) -> None:
    result = site.run()
    assert result["version"] == 2 and result["epsilon_distributed"] < result["epsilon"]  # type: ignore[operator]
    store = Store(site.folder / "site" / "store.db")
    job, _ = jobfile.load(site.job)
    same_without_masks(site, store, site.given)
    for stored in store.updates(job.id, None):
        update = Update.parse(stored.data, None)
        assert update.sealed
        fields = update.values(job.model).view(np.uint32)
        assert len(np.unique(fields >> 14)) == 8  # all of 17 bits
    store.close()


def test_a_run_that_is_killed(site: Site) -> None:
    """At its first update, when boards wait, seal or have sealed, and again later: nothing is lost or made twice."""
    path = site.folder / "site" / "store.db"
    job, _ = jobfile.load(site.job)
    for wanted in (1, BOARDS):
        with subprocess.Popen(site.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and updates(path, job) < wanted:
                time.sleep(0.05)
            process.kill()
    assert site.run()["version"] == 2
    store = Store(path)
    same_without_masks(site, store, site.given)
    store.close()


@pytest.mark.parametrize("site", [("qemu_m3", 5)], indirect=True, ids=["qemu_m3"])
def test_a_board_that_loses_its_power_once_it_is_in_a_cohort(site: Site) -> None:
    """Four of five are the fewest that go on without one: of four boards each needs all others' answers."""
    site.job.write_text(FILE.replace("rounds = 2", "rounds = 1").replace("patience = 20.0", "patience = 40.0"))
    path = site.folder / "site" / "store.db"
    job, _ = jobfile.load(site.job)
    gone = site.given[2].policy.board
    with subprocess.Popen(site.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not cohorts(path, job):
            time.sleep(0.02)
        site.boards[2].power_off()
        said, complaint = process.communicate()
    assert process.returncode == 0, complaint
    assert json.loads(said)["version"] == 1
    store = Store(path)
    row = store.cohort(job.id, 0)
    assert row is not None and len(Cohort.parse(row.body).indexes) == 5 and row.survivors is not None
    sent = {update.board for update in store.updates(job.id, None)}
    left = [one for one in site.given if one.policy.board in sent]
    # it has seconds of work before it sends: on a machine that stands still for so long it may have sent, which changes
    # who is in the sum, but not that it is there
    assert len(left) >= 4 and sent | {gone} == {one.policy.board for one in site.given}
    assert row.survivors == bytes([sum(1 << place for place, one in enumerate(site.given) if one in left)])
    same_without_masks(site, store, left)
    store.close()


def cohorts(path: Path, job: Job) -> bool:
    """Whether the first version's cohort was formed."""
    if not path.exists():
        return False
    store = Store(path)
    try:
        return store.cohort(job.id, 0) is not None
    finally:
        store.close()


def updates(path: Path, job: Job) -> int:
    """How many are in the store."""
    if not path.exists():
        return 0
    store = Store(path)
    try:
        return len(store.updates(job.id, None))
    finally:
        store.close()
