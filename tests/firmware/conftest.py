"""One board of a test: provisioned, with recordings, behind the host's own client."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from picofed import records
from picofed.fleet.emulation import UnixBoard
from picofed.fleet.provision import board_files
from picofed.learn import weights
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.job import Job
from picofed.learn.model import Model, Rectangle
from picofed.link.client import BoardClient
from picofed.link.connect import connect
from picofed.link.messages import State, Status
from picofed.link.session import LinkKey
from picofed.link.transfer import upload
from picofed.provisioning import Policy, Provision
from picofed.store import Version
from picofed.toolchain import build

ENTROPY = b"firmware test"
MODEL = Model.dense((45, 7))
JOB = Job("gestures", MODEL, clip=400000, log2_sigma=19, window=40, stride=40, labels=7, round_shift=8)
LOCAL = replace(JOB, name="local", mode="local", steps=3, multiplier=9000, shift=30, round_shift=0)
DEEP = replace(JOB, name="deep", model=Model.dense((45, 16, 7)))
HEAD = replace(JOB, name="head", model=Model((45, 16, 7), "softmax", (None, Rectangle(0, 7, 0, 16))))
BOARD = bytes(range(1, 9))


def recordings(seed: int = 1, count: int = 9) -> list[records.Session]:
    """Sessions of random length and movement."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        n = int(rng.integers(30, 400))
        smooth = np.cumsum(rng.normal(0, 300, (n, 6)), axis=0) + rng.normal(0, 500, 6)
        made.append(records.Session(np.clip(smooth, -32768, 32767).astype(np.int16), number % 8 if number else 255))
    return made


def version(job: Job, number: int = 0, seed: int = 3) -> Version:
    values = np.random.default_rng(seed + number).integers(-900, 900, job.model.parameters)
    return Version(number, values.astype("<i2").tobytes(), b"", b"")


@dataclass
class Live:
    """An emulated board with the firmware running, and its provisioning."""

    board: UnixBoard
    given: Provision
    sessions: list[records.Session]
    clients: list[BoardClient] = field(default_factory=list)

    def connect(self) -> BoardClient:
        self.disconnect()
        keys = {BOARD: LinkKey(self.given.link_key, self.given.policy.link)} if self.given.policy.link else {}
        self.clients.append(connect(str(self.board.port), keys=keys))
        return self.clients[-1]

    @property
    def client(self) -> BoardClient:
        return self.clients[-1] if self.clients else self.connect()

    def disconnect(self) -> None:
        while self.clients:
            self.clients.pop().close()

    def simulated(self, job: Job) -> SimulatedBoard:
        store = (self.board.flash / "picofed-data" / "records.bin").read_bytes()
        examples = Examples.from_records(store, job)
        return SimulatedBoard(self.given, examples, ENTROPY, first_boot=self.board.boots - 1)


def bring(client: BoardClient, job: Job) -> None:
    """Upload a job and make it the board's."""
    mtu = client.hello().mtu
    assert client.job(upload(client, job.body, mtu)) == job.id


def start(client: BoardClient, job: Job, number: int = 0, kind: int = weights.ALL) -> bytes:
    """Upload weights and start a round; the id of the weights object."""
    ident = upload(client, weights.pack(job, version(job, number), kind), client.hello().mtu)
    client.round(job.id, ident)
    return ident


def wait(client: BoardClient) -> Status:
    """Until the round is over, one way or the other. Bounded by requests, not by the clock."""
    for _ in range(100000):
        status = client.status()
        if status.state in (State.IDLE, State.READY):
            return status
    raise AssertionError("the round does not end")


def fetch(client: BoardClient, status: Status) -> bytes:
    assert status.update is not None
    data = b""
    while len(data) < status.update_length:
        data += client.get(status.update, len(data), 700)
    return data


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """live(**policy) -> a running board. board=..., sessions=..., power_cut=..., heap=... are not for the policy."""
    with ExitStack() as stack:

        def make(
            *,
            sessions: list[records.Session] | None = None,
            heap: int | None = None,
            entropy: str | None = ENTROPY.hex(),
            provisioned: bool = True,
            power_cut: int | None = None,
            name: str = "board",
            **policy: object,
        ) -> Live:
            place = tmp_path / name
            settings: dict[str, object] = {"budget": 4000000000, "max_charge": 1000000000, **policy}
            given = Provision.new(Policy(BOARD, "watch", **settings), b"firmware test")  # type: ignore[arg-type]
            recorded = recordings() if sessions is None else sessions
            board = UnixBoard(place, board_id=BOARD, entropy=entropy, power_cut=power_cut, heap=heap)
            board.install(board_files(build.natmod("x64"), given if provisioned else None, recorded))
            made = Live(stack.enter_context(board), given, recorded)
            stack.callback(made.disconnect)
            return made

        yield make
