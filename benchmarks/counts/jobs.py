"""What the boards are given: three models by themselves, three jobs of the firmware with 200 records, keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import masked_fleet
import numpy as np
from picofed import accounting, records
from picofed.fleet.provision import board_files
from picofed.learn import weights
from picofed.learn.job import Job
from picofed.learn.model import Model, quantise
from picofed.link.transfer import object_id
from picofed.masking import board_secret
from picofed.members import Members
from picofed.native import x25519_public
from picofed.peers import Cohort
from picofed.provisioning import Policy, Provision, emulated_owner
from picofed.store import Version
from picofed.toolchain.build import natmod

SEED: Final = b"counts on emulated boards"
IDENTITY: Final = bytes(range(1, 9))
_PROGRAM: Final = Path(__file__).with_name("board_program.py")
RECORDS: Final = 200
BATCH: Final = 8
WINDOW: Final = 100
MODELS: Final = {
    "softmax 45-7": Model.dense([45, 7]),
    "softmax 64-10": Model.dense([64, 10]),
    "MLP 64-32-10": Model.dense([64, 32, 10]),
}
MASKED: Final = masked_fleet.JOB
LARGE: Final = MASKED.model
_MOTION: Final = Job(
    name="motion",
    model=MODELS["softmax 45-7"],
    clip=1 << 18,
    log2_sigma=20,
    window=WINDOW,
    stride=WINDOW,
    labels=7,
    round_shift=19,
)
_BLOCKS: Final = replace(
    _MOTION, name="blocks", model=Model.dense([60, 32, 10]), features="blocks", block=10, labels=10
)
JOBS: Final = {job.name: job for job in (_MOTION, _BLOCKS, MASKED)}
PAIRWISE: Final = replace(MASKED, name="pairwise", masks="pairwise")
NEIGHBOURS: Final = 8  # in the cohort of that job: all others of it


def _sessions() -> list[records.Session]:
    """200 windows in ten recordings."""
    generator = np.random.default_rng(5)
    shape = (RECORDS * WINDOW // 10, 6)
    return [records.Session(generator.normal(0, 4000, shape).astype(np.int16), label % 7) for label in range(10)]


def files(arch: str | None) -> dict[str, bytes]:
    """Everything that a board is given. arch: of the native module; None where core and firmware are built in."""
    charge = max(accounting.charge(job.clip, job.log2_sigma, job.steps) for job in JOBS.values())
    helper = x25519_public(bytes(range(32)))
    given = Provision.new(Policy(IDENTITY, "counts", 100 * charge, charge, helper=helper, peers=3, link=1), SEED)
    found = board_files(natmod(arch or "armv6m"), given, _sessions())
    if arch is None:
        found = {path: data for path, data in found.items() if not path.startswith("/lib/")}
    found["/counts.py"] = _PROGRAM.read_bytes()
    found["/given/policy"] = given.policy.data
    found["/given/signature"] = given.signature
    found["/given/owner"] = given.owner
    boards = {bytes([n] * 8): x25519_public(bytes([n] * 32)) for n in range(2, NEIGHBOURS + 2)}
    boards[IDENTITY] = x25519_public(board_secret(given.key))
    members = Members.sign(1, boards, emulated_owner(SEED))
    cohort = Cohort(given.policy.number + 1, 0, PAIRWISE.id, object_id(members.data), tuple(range(len(boards))))
    found["/given/members"], found["/given/cohort"] = members.data, cohort.data
    for name, job in {**JOBS, PAIRWISE.name: PAIRWISE}.items():
        version = Version(0, quantise(job.model.initial(1)).tobytes(), b"", b"")
        found[f"/given/{name}.job"] = job.body
        found[f"/given/{name}.weights"] = weights.pack(job, version)
    return found
