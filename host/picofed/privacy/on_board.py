"""The audit's canaries (privacy.canaries) through emulated boards: the firmware as installed, with all that is around
the core: record store, features, policy, ledger, link and update.

A record is a window of zeros but for one sample, which "blocks" turns into one input that is not 0; "next" asks for no
change after it, so that the prediction, which the weights choose, is the whole error. The last block of inputs would
move the target and is left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import accounting, records
from picofed.fleet.emulation import EmulatedBoard, emulated
from picofed.fleet.provision import board_files
from picofed.learn import weights
from picofed.learn.job import Job
from picofed.learn.model import Model, Rectangle
from picofed.learn.updates import Update
from picofed.link.client import BoardClient
from picofed.link.connect import POWER_ON_SECONDS, connect
from picofed.link.messages import BoardError, State
from picofed.link.transfer import upload
from picofed.privacy.canaries import WEIGHT, Board, Seeds, Setting, amplitude, contribution
from picofed.privacy.one_run import AuditError
from picofed.provisioning import Policy, Provision
from picofed.store import Version
from picofed.toolchain.build import natmod

WINDOW: Final = 64  # samples, and blocks, of a record
CHANNELS: Final = 6
ROWS: Final = 3  # trained, of the 6 outputs
COLUMNS: Final = CHANNELS * (WINDOW - 1)
CANARIES: Final = COLUMNS - CHANNELS  # of a board
POLLS_MAX: Final = 1_000_000  # a round that never ends is not waited for for ever


Progress = Callable[[int, int], None]  # releases so far, releases of all boards


def boards(
    kind: str, setting: Setting, canaries: int, seed: int | None = None, progress: Progress | None = None
) -> Iterator[Board]:
    """Emulated boards of a kind, one after the other, CANARIES canaries each, until there are at least so many."""
    seeds, count = Seeds(seed), -(-canaries // CANARIES)
    for number in range(count):

        def tell(done: int, number: int = number) -> None:
            if progress is not None:
                progress(number * setting.releases + done, count * setting.releases)

        tell(0)
        with tempfile.TemporaryDirectory(prefix="picofed-audit-") as folder:
            yield _board(kind, setting, seeds, number, Path(folder), tell)


def job_of(setting: Setting) -> Job:
    """What boards are asked to learn."""
    return Job(
        name="audit",
        model=Model((COLUMNS, CHANNELS), "squared", (Rectangle(0, ROWS, 0, COLUMNS, bias=False),)),
        clip=setting.clip_norm,
        log2_sigma=setting.log2_sigma,
        round_shift=setting.shift,
        features="blocks",
        target="next",
        window=WINDOW,
        stride=WINDOW,
        block=1,
        horizon=1,
        labels=0,
    )


def recordings(columns: NDArray[np.int64], value: int) -> records.Session:
    """A record for each of these inputs, in which it alone is `value` (64 counts of a sensor each, SPEC 8.4)."""
    samples = np.zeros((len(columns) * WINDOW, CHANNELS), np.int16)
    samples[np.arange(len(columns)) * WINDOW + columns // CHANNELS, columns % CHANNELS] = 64 * value
    return records.Session(samples, 255)


def _board(kind: str, setting: Setting, seeds: Seeds, number: int, folder: Path, tell: Callable[[int], None]) -> Board:
    job = job_of(setting)
    columns = np.concatenate([np.arange(row, CANARIES, ROWS) for row in range(ROWS)])  # in the order of their places
    places = (columns % ROWS) * COLUMNS + columns
    included = seeds.coins(number, CANARIES)
    expected = np.zeros(ROWS * COLUMNS)
    expected[places[included]] = contribution(setting.clip_norm)

    charge = accounting.charge(setting.clip_norm, setting.log2_sigma)
    ident = (number + 1).to_bytes(8, "big")
    policy = Policy(ident, "audit", setting.releases * charge, charge)
    given = Provision.new(policy, seeds.bytes(number, "secret"))
    entropy = seeds.bytes(number, "entropy").hex() if seeds.repeats else None
    board: EmulatedBoard = emulated(kind, folder, board_id=ident, entropy=entropy)
    session = recordings(columns[included], amplitude(setting.clip_norm))
    board.install(board_files(natmod(board.natmod_arch), given, [session]))
    values = np.empty((setting.releases, CANARIES))
    noise = np.empty((setting.releases, ROWS * COLUMNS))
    with board:
        client = connect(str(board.port), patience=POWER_ON_SECONDS)
        try:
            mtu = client.hello().mtu
            if client.job(upload(client, job.body, mtu)) != job.id:
                raise AuditError(f"the {kind} board understood another job than it was sent")
            for release in range(setting.releases):
                sign = -1 if release % 2 else 1
                trained = np.zeros(job.model.parameters, "<i2")
                trained[places] = sign * WEIGHT
                version = Version(release, trained.tobytes(), b"", b"")
                data = _round(client, job, weights.pack(job, version), mtu)
                seen = Update.parse(data, given.update_key).values(job.model).astype(np.float64)
                values[release] = sign * seen[places]
                noise[release] = seen - sign * expected
                tell(release + 1)
            units = client.hello().spent
        finally:
            client.close()
    return Board(included, values, noise, units)


def _round(client: BoardClient, job: Job, weights_object: bytes, mtu: int) -> bytes:
    """One round of a board, and its update."""
    client.round(job.id, upload(client, weights_object, mtu))
    for _ in range(POLLS_MAX):
        status = client.status()
        if status.state is State.READY and status.update is not None:
            data = b""
            while len(data) < status.update_length:
                data += client.get(status.update, len(data), min(mtu, status.update_length - len(data)))
            client.drop(status.update)
            return data
        if status.state is State.IDLE:
            raise BoardError(status.error, status.error_text)
    raise AuditError("a round of the board does not end")
