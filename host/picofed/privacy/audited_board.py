"""An audited board: emulated, with the firmware as installed, and asked for releases as a host asks.

Records, features, policy, ledger, ratchet, link and update are all in between: what is audited here is not the core
alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import accounting, records
from picofed.fleet.emulation import EmulatedBoard, emulated
from picofed.fleet.provision import board_files
from picofed.learn import weights
from picofed.learn.job import Job
from picofed.learn.updates import Update
from picofed.link.client import BoardClient
from picofed.link.connect import POWER_ON_SECONDS, connect
from picofed.link.messages import BoardError, State
from picofed.link.transfer import upload
from picofed.privacy.one_run import AuditError
from picofed.provisioning import Policy, Provision
from picofed.store import Version
from picofed.toolchain.build import natmod

POLLS_MAX: Final = 1_000_000  # a round that never ends is not waited for for ever


class AuditedBoard:
    """A board that is on, with its job."""

    def __init__(self, client: BoardClient, job: Job, update_key: bytes, mtu: int) -> None:
        self._client, self._job, self._key, self._mtu = client, job, update_key, mtu
        self._versions = 0

    def release(self, parameters: NDArray[np.integer]) -> NDArray[np.int32]:
        """What the board releases under these weights (Q11)."""
        version = Version(self._versions, parameters.astype("<i2").tobytes(), b"", b"")
        self._versions += 1
        data = self._round(weights.pack(self._job, version))
        return Update.parse(data, self._key).values(self._job.model)

    def spent(self) -> int:
        """What its ledger was charged."""
        return self._client.hello().spent

    def _round(self, weights_object: bytes) -> bytes:
        client, mtu = self._client, self._mtu
        client.round(self._job.id, upload(client, weights_object, mtu))
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


@contextmanager
def audited_board(
    kind: str,
    ident: bytes,
    job: Job,
    sessions: Sequence[records.Session],
    releases: int,
    secret: bytes,
    entropy: bytes | None,
) -> Iterator[AuditedBoard]:
    """A board of a kind that holds these recordings, may make so many releases, and has the job.

    entropy: None for the host's. Boards of one id, secret and entropy draw the same noise, whatever their records are.
    """
    charge = accounting.charge(job.clip, job.log2_sigma)
    policy = Policy(ident, "audit", releases * charge, charge)
    policy = replace(policy, max_parameters=max(policy.max_parameters, job.model.parameters))
    given = Provision.new(policy, secret)
    with tempfile.TemporaryDirectory(prefix="picofed-audit-") as folder:
        stream = None if entropy is None else entropy.hex()
        device: EmulatedBoard = emulated(kind, Path(folder), board_id=ident, entropy=stream)
        device.install(board_files(natmod(device.natmod_arch), given, sessions))
        with device:
            client = connect(str(device.port), patience=POWER_ON_SECONDS)
            try:
                mtu = client.hello().mtu
                if client.job(upload(client, job.body, mtu)) != job.id:
                    raise AuditError(f"the {kind} board understood another job than it was sent")
                yield AuditedBoard(client, job, given.update_key, mtu)
            finally:
                client.close()
