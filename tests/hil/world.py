"""What the hardware-in-the-loop tests share: recordings, a job, keys, and runs against the live server."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dut import Dut
from hello import hello
from picofed import accounting, records
from picofed.fleet.provision import board_files
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.job import Job, Plan
from picofed.learn.model import Model, Rectangle
from picofed.learn.server import Server
from picofed.provisioning import Policy, Provision
from picofed.store import Store
from picofed.toolchain.build import natmod

SEED = b"hardware in the loop"
IDENTITY = bytes(range(1, 9))
SOFTMAX = Job(
    name="softmax",
    model=Model.dense([45, 3]),
    clip=1 << 18,
    log2_sigma=20,
    window=64,
    stride=64,
    labels=3,
    round_shift=19,
)
MLP = replace(SOFTMAX, name="mlp", model=Model.dense([45, 8, 3]))
HEAD = replace(SOFTMAX, name="head", model=Model((45, 8, 3), "softmax", (None, Rectangle(0, 3, 0, 8))))
FORECAST = replace(
    SOFTMAX,
    name="forecast",
    model=Model.dense([42, 6], "squared"),
    features="blocks",
    block=8,
    horizon=1,
    target="next",
    labels=0,
)
AUTOENCODER = replace(SOFTMAX, name="autoencoder", model=Model.dense([45, 6, 45], "squared"), target="self", labels=2)
CONVOLUTION = replace(
    SOFTMAX,
    name="convolution",
    model=Model.dense([16, 3]),
    features="convolution",
    block=4,
    # invented: two layers, 16 steps of 6 channels to 6 of 4, to 2 of 8
    filters=bytes([5, 1, 4, 2, 6])
    + np.random.default_rng(5).integers(-40, 40, 4 * 31, np.int8).tobytes()
    + bytes([3, 1, 8, 2, 7])
    + np.random.default_rng(6).integers(-40, 40, 8 * 13, np.int8).tobytes(),
)
LOCAL = replace(SOFTMAX, name="local", mode="local", steps=3, multiplier=9000, shift=30, round_shift=0)


def charge_of(job: Job) -> int:
    """Ledger units of one release."""
    return accounting.charge(job.clip, job.log2_sigma, job.steps)


def sessions() -> list[records.Session]:
    """Nine windows of three classes: swings that depend on the class, with noise."""
    generator = np.random.default_rng(11)
    found = []
    for label in range(3):
        time_axis = np.arange(210)[:, None]
        swing = np.sin(time_axis / (4 + 3 * label) + np.arange(6)) * (2000 + 3000 * label)
        samples = np.rint(swing + generator.normal(size=(210, 6)) * 300)
        found.append(records.Session(np.clip(samples, -32768, 32767).astype(np.int16), label))
    return found


def provision(identity: bytes, job: Job, releases: int) -> Provision:
    """Keys and a policy with the budget for so many releases."""
    charge = charge_of(job)
    return Provision.new(Policy(identity, "dut", charge * releases, charge), SEED)


def begin(dut: Dut, job: Job = SOFTMAX, releases: int = 100) -> Provision:
    """Flash a board from nothing and start it."""
    given = provision(dut.identity, job, releases)
    dut.begin(board_files(natmod(dut.natmod_arch), given, sessions()))
    return given


def run(dut: Dut, given: Provision, rounds: int, job: Job = SOFTMAX, store: Store | None = None) -> Coordinator:
    """Versions up to number `rounds` from the live server, with this board alone."""
    hello(dut)
    keys = {given.policy.board: given.update_key}
    coordinator = Coordinator(store or Store(), job, plan(rounds), keys, expected=1)
    Server(coordinator, {"dut": dut.connect}).run()
    return coordinator


def plan(rounds: int) -> Plan:
    """FedAvg; boards that are reset come back within the patience."""
    return Plan(rounds=rounds, patience=120.0)


def simulated(given: Provision, job: Job, first_boot: int = 0) -> SimulatedBoard:
    """The same board on the compiled core."""
    layout = records.Layout(bytes(8), slots=256)
    return SimulatedBoard(given, Examples.from_records(records.write(layout, sessions()), job), SEED, first_boot)
