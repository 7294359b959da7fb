"""Emulated boards, driven by the live server: the same bytes as the simulator, whatever happens on the
way.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import program
from picofed import accounting, native, records
from picofed.fleet.emulation import UnixBoard
from picofed.fleet.provision import Registry, board_files
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.events import Event
from picofed.learn.job import Job, Plan
from picofed.learn.model import Model, Rectangle
from picofed.learn.server import Server
from picofed.learn.simulate import simulate
from picofed.link.client import BoardClient
from picofed.link.connect import connect
from picofed.link.messages import BoardError, LinkError, Op, State
from picofed.link.stream import SerialStream
from picofed.link.transfer import object_id, upload
from picofed.provisioning import Policy, Provision
from picofed.store import Store
from picofed.toolchain.build import natmod

pytestmark = pytest.mark.slow

JOB = Job(
    name="live",
    model=Model.dense([45, 3]),
    clip=1 << 18,
    log2_sigma=20,
    window=100,
    stride=100,
    labels=3,
    round_shift=19,
)
CHARGE = accounting.charge(JOB.clip, JOB.log2_sigma, 1)
SEED = b"live test"


def sessions(number: int) -> list[records.Session]:
    """Three recordings of one class each, int16 noise around class-dependent swings."""
    generator = np.random.default_rng(number)
    found = []
    for label in range(3):
        time_axis = np.arange(330 + 40 * number)[:, None]
        swing = np.sin(time_axis / (4 + 3 * label) + np.arange(6)) * (2000 + 3000 * label)
        samples = swing + generator.normal(size=(len(time_axis), 6)) * 300
        found.append(records.Session(np.clip(np.rint(samples), -32768, 32767).astype(np.int16), label))
    return found


def provision(number: int, releases: int = 100) -> Provision:
    policy = Policy(bytes([number + 1] * 8), f"watch-{number}", CHARGE * releases, CHARGE)
    return Provision.new(policy, SEED)


def examples(number: int, job: Job = JOB) -> Examples:
    layout = records.Layout(bytes(8), slots=256)
    return Examples.from_records(records.write(layout, sessions(number)), job)


@dataclass
class Live:
    """An emulated board with its provisioning."""

    board: UnixBoard
    given: Provision

    @property
    def port(self) -> str:
        return str(self.board.port)


@contextlib.contextmanager
def live_board(folder: Path, number: int = 0, releases: int = 100) -> Iterator[Live]:
    given = provision(number, releases)
    place = folder / f"board-{number}"
    board = UnixBoard(place, board_id=given.policy.board, entropy=SEED.hex())
    board.install(board_files(natmod("x64"), given, sessions(number)))
    with board:
        yield Live(board, given)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with live_board(tmp_path) as board:
        yield board


def coordinator(store: Store, plan: Plan, boards: list[Live], job: Job = JOB, **options: Any) -> Coordinator:
    keys = {board.given.policy.board: board.given.update_key for board in boards}
    return Coordinator(store, job, plan, keys, expected=len(boards), **options)


def serve(run: Coordinator, boards: list[Live]) -> None:
    Server(run, {board.given.policy.name: (lambda p=board.port: connect(p)) for board in boards}).run()  # type: ignore[misc]


def simulated(numbers: range, plan: Plan, job: Job = JOB, boots: dict[int, int] | None = None) -> Any:
    boards = [
        SimulatedBoard(provision(number), examples(number, job), SEED, first_boot=(boots or {}).get(number, 0))
        for number in numbers
    ]
    return simulate(job, plan, boards)


def test_a_live_run_is_the_simulated_run_to_the_byte(tmp_path: Path) -> None:
    plan = Plan(rounds=3)
    with contextlib.ExitStack() as stack:
        boards = [stack.enter_context(live_board(tmp_path, number)) for number in range(2)]
        store = Store()
        run = coordinator(store, plan, boards)
        serve(run, boards)
        assert run.left == {}
        starts = {number: board.board.boots - 1 for number, board in enumerate(boards)}
    expected = simulated(range(2), plan, boots=starts)
    ours = {(update.board, update.seq): update.data for update in store.updates(JOB.id, None)}
    theirs = {(update.board, update.seq): update.data for update in expected.store.updates(JOB.id, None)}
    assert ours == theirs and len(ours) == 6
    assert [store.version(JOB.id, n) for n in range(4)] == expected.versions


def documented_rules(folder: Path) -> dict[str, str]:
    """The module of docs/aggregators.md, and a plan's settings that name what is in it."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "aggregators.md").read_text()
    block = page.partition("<!-- file: my_rules.py -->\n```text\n")[2].partition("```")[0]
    (folder / "documented_rules.py").write_text(block)
    return {"aggregator": "documented_rules:Quorum", "optimiser": "documented_rules:Lion"}


@pytest.mark.parametrize(
    "job",
    [
        replace(JOB, mode="local", steps=3, multiplier=9000, shift=30, round_shift=0, name="local"),
        replace(JOB, model=Model.dense([45, 8, 3]), name="mlp"),
        replace(JOB, model=Model((45, 8, 3), "softmax", (Rectangle(2, 6, 1, 40), None)), name="subset"),
    ],
    ids=lambda job: job.name,
)
def test_other_modes_models_and_rules_are_the_same_too(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    rules = documented_rules(tmp_path) if job.name == "mlp" else {}  # rules of one's own, on boards
    plan = Plan(rounds=2, seed=5, **rules)  # type: ignore[arg-type]
    charge = accounting.charge(job.clip, job.log2_sigma, job.steps)
    given = provision(0)
    given = Provision.new(replace(given.policy, max_charge=charge), SEED)
    place = tmp_path / "board"
    board = UnixBoard(place, board_id=given.policy.board, entropy=SEED.hex())
    board.install(board_files(natmod("x64"), given, sessions(0)))
    with board:
        live = Live(board, given)
        store = Store()
        run = coordinator(store, plan, [live], job)
        serve(run, [live])
        assert run.left == {}
        first_boot = board.boots - 1
    expected = simulate(job, plan, [SimulatedBoard(given, examples(0, job), SEED, first_boot=first_boot)])
    assert [store.version(job.id, n) for n in range(3)] == expected.versions
    assert (b"lion" in expected.versions[-1].optimiser) == bool(rules)


def test_the_policy_and_the_budget_are_the_boards_own(tmp_path: Path) -> None:
    plan = Plan(rounds=3)
    with live_board(tmp_path, 0, releases=2) as board:
        store = Store()
        run = coordinator(store, plan, [board])
        serve(run, [board])
        assert run.version.number == 2 and "budget" in run.left["watch-0"]
        greedy = replace(JOB, log2_sigma=19, name="greedy")
        client = connect(board.port)
        ident = upload(client, greedy.body, client.hello().mtu)
        with pytest.raises(BoardError) as refused:
            client.job(ident)
        assert refused.value.code == -21
        assert client.hello().spent == 2 * CHARGE
        client.close()


def test_a_reset_in_the_middle_of_an_upload_resumes_it(live: Live) -> None:
    data = np.random.default_rng(3).bytes(3000)
    client = connect(live.port)
    info = client.hello()
    ident = object_id(data)
    assert client.have(ident, len(data)) == [(0, len(data))]
    sent = 0
    while sent < 1500:
        client.put(ident, len(data), sent, data[sent : sent + info.mtu])
        sent += info.mtu
    client.close()
    live.board.reset()
    client = connect(live.port)
    missing = client.have(ident, len(data))
    assert 0 < sum(length for _, length in missing) <= len(data) - sent + info.mtu
    assert upload(client, data, info.mtu) == ident
    assert client.have(ident, len(data)) == []
    client.close()


def test_a_reset_in_the_middle_of_a_download_costs_the_release_and_nothing_else(live: Live) -> None:
    """The update is gone, its charge stays; the job goes on with the next release."""
    store = Store()
    run = coordinator(store, Plan(rounds=2), [live])
    count = 0

    class Interrupted(BoardClient):
        def get(self, update: bytes, offset: int, length: int) -> bytes:
            nonlocal count
            count += 1
            if count == 2:
                live.board.reset()
            return super().get(update, offset, min(length, 40))

    def opener() -> BoardClient:
        connect(live.port).close()
        return Interrupted(SerialStream(live.port), timeouts=(0.5, 1.0, 2.0))

    Server(run, {"watch": opener}).run()
    assert run.version.number == 2 and run.left == {}
    assert [row.seq for row in store.boards()] == [3]
    assert [update.seq for update in store.updates(JOB.id, None)] == [2, 3]


class Damaging(SerialStream):
    """A serial link that does something to one byte, counted over both directions."""

    def __init__(self, port: str) -> None:
        super().__init__(port)
        self.at = -1
        self.fault = ""
        self.seen = 0

    def arm(self, at: int, fault: str) -> None:
        self.at, self.fault, self.seen = at, fault, 0

    def _damage(self, data: bytes) -> bytes:
        place = self.at - self.seen
        self.seen += len(data)
        if not 0 <= place < len(data):
            return data
        byte = data[place : place + 1]
        new = {"flip": bytes([byte[0] ^ 0x15]), "drop": b"", "twice": byte * 2, "zero": b"\0"}[self.fault]
        return data[:place] + new + data[place + 1 :]

    def write(self, data: bytes) -> None:
        super().write(self._damage(data))

    def _read(self, timeout: float) -> bytes:
        return self._damage(super()._read(timeout))


@pytest.mark.parametrize("fault", ["flip", "drop", "twice", "zero"])
def test_every_byte_of_an_exchange_damaged_in_turn(live: Live, fault: str) -> None:
    connect(live.port).close()
    stream = Damaging(live.port)
    client = BoardClient(stream, timeouts=(0.08, 1.0, 2.0))
    expected = client.status()
    data = bytes(range(30))
    ident = object_id(data)
    stream.arm(-1, fault)
    client.status()
    assert client.have(ident, 30) == [(0, 30)]
    total = stream.seen
    assert total > 40
    for at in range(total):
        stream.arm(at, fault)
        assert client.status() == expected, at
        assert client.have(ident, 30) == [(0, 30)], at
    stream.arm(-1, fault)
    assert client.put(ident, 30, 0, data) == []
    assert client.retries > total // 3
    client.close()


def test_hostile_messages_leave_the_board_alive_with_a_clear_error(live: Live) -> None:
    client = connect(live.port)
    info = client.hello()
    stream = client.stream
    hostile = [
        b"\xff",
        b"\x81" * 1024,
        b"\x9f\x01",
        b"\xc1\x01",
        b"\xfb" + bytes(8),
        b"\x9a\xff\xff\xff\xff",
        b"\x5b" + b"\xff" * 8,
        b"\x80",
        b"\x01",
        b"\x82\x01\x20",
        b"\x82\x18\x63\x05",
        b"\xa1\x01\x02",
        native.blake2b(b"x", 64),
    ]
    for payload in hostile:
        stream.send(payload)
    for op, arguments in [
        (Op.PUT, (bytes(16), 1 << 31, 0, b"x")),
        (Op.PUT, (bytes(16), 10, 9, b"xx")),
        (Op.PUT, (b"", 10, 0, b"x")),
        (Op.PUT, (bytes(16), -1, 0, b"x")),
        (Op.HAVE, (bytes(16), 1 << 63)),
        (Op.JOB, (bytes(16),)),
        (Op.JOB, ()),
        (Op.ROUND, (bytes(8), bytes(16))),
        (Op.GET, (bytes(16), 0, 10)),
        (Op.GET, (bytes(16), -5, 10)),
        (Op.LEDGER, (-1, 5)),
        (Op.LEDGER, (0, 1 << 60)),
        (Op.DROP, ("text",)),
        (Op.HELLO, (99,)),
        (99, ()),
    ]:
        with contextlib.suppress(BoardError):
            client.request(Op(op) if op in list(Op) else op, *arguments)  # type: ignore[arg-type]
    after = client.hello()
    assert replace(after, heap=0, used=0) == replace(info, heap=0, used=0)
    assert all(line.passed for line in client.selftest())
    client.close()


def test_a_board_at_its_prompt_is_started_and_one_without_firmware_is_named(live: Live, tmp_path: Path) -> None:
    import serial

    with serial.Serial(live.port, timeout=2) as port:
        port.write(b"\r\x03\x03")
        port.read_until(b">>> ")
    client = connect(live.port)
    assert client.hello().name == "watch-0"
    client.close()
    with UnixBoard(tmp_path / "bare") as bare:
        with pytest.raises(LinkError, match="without the picofed firmware"):
            connect(str(bare.port))
        done = program("selftest", "--board", bare.port, cwd=tmp_path)
        assert (
            done.returncode == 2
            and len(done.stderr.splitlines()) == 1
            and "without the picofed firmware" in done.stderr
        )


def test_a_vanished_board_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with live_board(tmp_path, 0) as one, live_board(tmp_path, 1) as two:
        store = Store()
        plan = Plan(rounds=3, patience=3.0)
        events: list[Event] = []

        def unplug() -> None:
            Path(two.port).unlink()
            two.board.power_off()

        def sink(event: Event) -> None:
            events.append(event)
            if event.kind == "version" and event.data["version"] == 1:
                threading.Thread(target=unplug).start()

        run = coordinator(store, plan, [one, two], events=sink)
        serve(run, [one, two])
        assert run.version.number == 3
        assert list(run.left) == ["watch-1"]
        assert len(store.members(JOB.id, 1)) == 2 and len(store.members(JOB.id, 3)) == 1
        lost = [event.text for event in events if event.kind == "lost"]
        assert len(lost) == len(set(lost)) > 0  # said once, however often it was looked for


def test_the_commands_on_a_live_board(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        'name = "live"\n[records]\nwindow = 100\nlabels = 3\n'
        f"[privacy]\nclip_norm = {JOB.clip}\nlog2_sigma = 20\n"
        "[server]\nrounds = 2\n"
    )
    with live_board(tmp_path) as board:
        stranger = program("run", "job.toml", "--board", board.port, cwd=tmp_path)
        assert stranger.returncode == 2 and "update key" in stranger.stderr.splitlines()[-1]
        Registry(tmp_path / "picofed-site" / "boards.json").add(board.given, board.port)
        listed = json.loads(program("boards", "--json", cwd=tmp_path).stdout)
        assert [(entry["name"], entry["registered"]) for entry in listed] == [("watch-0", True)]
        table = program("boards", board.port, cwd=tmp_path, COLUMNS="80").stdout
        rows = [line.split("│") for line in table.splitlines() if line.startswith("│")]
        assert ["".join(row[column].strip() for row in rows) for column in (1, 2)] == [board.port, "watch-0"]
        assert program("selftest", cwd=tmp_path).returncode == 0
        assert program("collect", "job.toml", cwd=tmp_path).returncode == 0
        again = program("collect", "job.toml", "--json", cwd=tmp_path)
        assert again.returncode == 0 and json.loads(again.stdout)["pending_updates"] == 1
        made = program("aggregate", "job.toml", "--json", cwd=tmp_path)
        assert json.loads(made.stdout)["version"] == 1
        done = program("run", "job.toml", cwd=tmp_path)
        assert done.returncode == 0 and "version 2 of 2" in done.stdout, done.stderr
        held = examples(5)
        np.savez(tmp_path / "held.npz", labels=held.labels, features=held.features)
        judged = program("evaluate", "job.toml", "--data", "held.npz", "--json", cwd=tmp_path)
        assert json.loads(judged.stdout)["version"] == 2
        assert json.loads(
            program("evaluate", "job.toml", "--data", "held.npz", "--version", "0", "--json", cwd=tmp_path).stdout
        )
        spent = json.loads(program("budget", "--json", cwd=tmp_path).stdout)
        assert spent["boards"][0]["spent_units"] == 2 * CHARGE
        assert "watch-0" in program("budget", cwd=tmp_path).stdout
        finished = program("aggregate", "job.toml", cwd=tmp_path)
        assert finished.returncode == 2 and "already" in finished.stderr


def test_run_and_collect_say_that_the_budget_is_used_up(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        'name = "live"\n[records]\nwindow = 100\nlabels = 3\n'
        f"[privacy]\nclip_norm = {JOB.clip}\nlog2_sigma = 20\n"
        "[server]\nrounds = 5\n"
    )
    with live_board(tmp_path, 0, releases=1) as one, live_board(tmp_path, 1, releases=1) as two:
        registry = Registry(tmp_path / "picofed-site" / "boards.json")
        for board in (one, two):
            registry.add(board.given, board.port)
        for command in ("run", "run", "collect"):  # the first one uses the budget up, the others find it so
            done = program(command, "job.toml", "--json", cwd=tmp_path)
            assert done.returncode == 2 and json.loads(done.stdout)["version"] == 1
            (line,) = done.stderr.splitlines()
            assert line.startswith("picofed: ")
            assert re.search("watch-[01], watch-[01]: its privacy budget is used up$", line)
        for board in (one, two):
            client = connect(board.port)
            assert client.hello().spent == CHARGE
            client.close()


def test_the_host_killed_during_a_live_round_goes_on(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        'name = "live"\n[records]\nwindow = 100\nlabels = 3\n'
        f"[privacy]\nclip_norm = {JOB.clip}\nlog2_sigma = 20\n"
        "[server]\nrounds = 6\n"
    )
    with live_board(tmp_path) as board:
        Registry(tmp_path / "picofed-site" / "boards.json").add(board.given, board.port)
        command = [sys.executable, "-c", "from picofed.cli import main; main()", "run", "job.toml"]
        for delay in (0.6, 0.7, 0.8, 0.9, 1.0):
            process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(delay)
            process.kill()
            process.wait()
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        client = connect(board.port)
        info = client.hello()
        client.close()
    store = Store(tmp_path / "picofed-site" / "store.db")
    ident = store.jobs()[0][0]
    assert info.seq == 6 and len(store.updates(ident, None)) == 6 and info.state == State.IDLE
    store.close()
    assert os.path.exists(tmp_path / "picofed-site" / "boards.json")
