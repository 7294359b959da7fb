"""picofed flash as its users run it: the command line, and boards that have something to learn from."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from picofed.fleet.emulation import EmulatedBoard, Fleet, UnixBoard
from picofed.fleet.provision import Registry
from picofed.learn import weights
from picofed.learn.job import Job
from picofed.learn.model import Model
from picofed.link.connect import connect
from picofed.link.messages import State
from picofed.link.transfer import upload
from picofed.records import Layout, Session, write
from picofed.store import Version

JOB = Job("flashing", Model.dense((45, 3)), clip=200000, log2_sigma=20, window=40, stride=40, labels=3)


def command(site: Path, boards: Any, *words: object) -> list[str]:
    """A picofed flash of these boards."""
    ports = [boards] if isinstance(boards, str) else [str(board.port) for board in _list(boards)]
    named = [word for port in ports for word in ("--port", port)]
    program = str(Path(sys.executable).with_name("picofed"))
    return [program, "flash", "--site", str(site), *named, *map(str, words)]


def _list(boards: Any) -> list[Any]:
    return list(boards) if isinstance(boards, list | Fleet) else [boards]


def run(site: Path, boards: Any, *words: object, ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(site, boards, *words), capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in done.stderr
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    if not ok:
        assert done.returncode == 2 and done.stderr.rstrip().splitlines()[-1].startswith("picofed: ")
    return done


def registry(site: Path) -> Registry:
    return Registry(site / "boards.json")


@contextlib.contextmanager
def client_of(site: Path, board: EmulatedBoard) -> Iterator[Any]:
    """The board as the host of this site talks to it."""
    client = connect(str(board.port), keys=registry(site).link_keys())
    try:
        yield client
    finally:
        client.close()


def spend(site: Path, board: UnixBoard) -> tuple[int, int]:
    """One round up to its update, which is charged and waits; the ledger's head."""
    with client_of(site, board) as client:
        mtu = client.hello().mtu
        client.job(upload(client, JOB.body, mtu))
        version = Version(0, bytes(2 * JOB.model.parameters), b"", b"")
        client.round(JOB.id, upload(client, weights.pack(JOB, version, weights.ALL), mtu))
        while client.status().state is not State.READY:
            assert client.status().error == 0, client.status().error_text
        info = client.hello()
        return info.seq, info.spent


def recordings(site: Path, board: UnixBoard) -> None:
    """Give a flashed board something to learn from."""
    (known,) = registry(site)
    samples = np.random.default_rng(1).integers(-4000, 4000, (200, 6)).astype(np.int16)
    layout = Layout(known.provision.records_id, slots=8)
    board.power_off()
    board.install({"/picofed-data/records.bin": write(layout, [Session(samples, 1)])})
    board.reset()
