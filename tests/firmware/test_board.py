"""The firmware on an emulated board, over its serial line, driven by the host's own client."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import cbor2
import numpy as np
import pytest
from picofed import accounting, records
from picofed.fleet import catalog
from picofed.learn import weights
from picofed.learn.job import Job
from picofed.learn.updates import Update
from picofed.link.client import BoardClient
from picofed.link.messages import BoardError, LinkError, Op, State
from picofed.link.stream import SerialStream
from picofed.link.transfer import object_id, upload
from picofed.native import blake2b, frame_encode
from picofed.provisioning import emulated_owner
from picofed.records import windows
from picofed.reference import update_id, update_tag

from .conftest import BOARD, DEEP, HEAD, JOB, LOCAL, Live, bring, fetch, recordings, start, version, wait

pytestmark = pytest.mark.slow
Make = Callable[..., Live]
# the data folder /picofed must not be taken for the package
PATH = "import sys; sys.path.insert(0, '/lib')"
CHARGE = accounting.charge(JOB.clip, JOB.log2_sigma, 1)
OWNER = emulated_owner(b"firmware test")


def refused(code: int, call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(BoardError) as caught:
        call(*arguments)
    assert caught.value.code == code, caught.value
    return caught.value.text


def test_hello_says_who_it_is(live: Make) -> None:
    board = live()
    info = board.client.hello()
    assert (info.board, info.name, info.seq, info.spent, info.boot) == (BOARD, "watch", 0, 0, 1)
    assert (info.budget, info.max_charge, info.generation) == (4000000000, 1000000000, 1)
    assert info.state is State.IDLE and info.job is None and info.update is None
    assert info.slots == sum(-(-len(session.samples) // 20) for session in board.sessions)
    assert not (board.board.flash / "picofed-data" / "provision.cbor").exists()
    refused(-20, board.client.request, 1)
    assert board.client.hello().mtu >= 900


@pytest.mark.parametrize("job", [JOB, LOCAL, DEEP, HEAD], ids=lambda job: job.name)
def test_update_equals_the_simulated_boards_to_the_byte(live: Make, job: Job) -> None:
    board = live()
    client = board.client
    bring(client, job)
    simulated = board.simulated(job)
    simulated.job(simulated_put(simulated, job.body))
    for number in range(3):
        kind = weights.SUBSET if number and job is HEAD else weights.ALL
        start(client, job, number, kind)
        status = wait(client)
        assert status.state is State.READY, status
        assert status.done == status.total > 0
        data = fetch(client, status)
        assert update_id(data) == status.update
        assert update_tag(data, board.given.update_key) == data[-16:]
        simulated.round(job.id, simulated_put(simulated, weights.pack(job, version(job, number), kind)))
        assert simulated._update == data
        update = Update.parse(data, board.given.update_key)
        assert (update.seq, update.version, update.board) == (number + 1, number, BOARD)
        assert update.records == len(simulated.examples.labels) > 10
        client.drop(status.update)
        client.drop(status.update)
        simulated.drop(status.update)
        info = client.hello()
        assert info.spent == update.cumulative == (number + 1) * accounting.charge(job.clip, job.log2_sigma, job.steps)
        assert info.update is None and info.state is State.IDLE


def simulated_put(board: object, data: bytes) -> bytes:
    ident = object_id(data)
    board.put(ident, len(data), 0, data)  # type: ignore[attr-defined]
    return ident


def test_windows_are_the_hosts(live: Make) -> None:
    rng = np.random.default_rng(7)
    for number in range(3):
        board = live(name=f"board{number}", sessions=recordings(int(rng.integers(1000)), 12))
        path = board.board.flash / "picofed-data" / "records.bin"
        store = bytearray(path.read_bytes())
        for _ in range(6):
            store[32 + int(rng.integers(len(store) - 32))] ^= 0x10
        path.write_bytes(store)
        window = int(rng.integers(16, 90))
        stride = window + int(rng.integers(30))
        code = f"""
import sys
sys.path.insert(0, "/lib")
import picofed_core as c
from picofed.records import Records
s = Records('/picofed-data/records.bin', {board.given.records_id!r})
w = bytearray(12 * {window})
for l in s.windows(w, {window}, {stride}): print(l, c.crc32(w))
"""
        board.client.hello()
        board.disconnect()
        board.board.reset()
        found = mpremote(board, "exec", code).split("\n")[:-1]
        from picofed.native import crc32

        expected = [f"{label} {crc32(samples.tobytes())}" for samples, label in windows(bytes(store), window, stride)]
        assert found == expected and len(found) > 5


def mpremote(board: Live, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", str(board.board.port), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + board.board.log
    return done.stdout


def test_ctrl_c_gives_the_repl_and_a_soft_reset_the_firmware(live: Make) -> None:
    board = live()
    assert board.client.hello().boot == 1
    board.disconnect()
    assert mpremote(board, "exec", PATH + "; import picofed; print(picofed.__version__)").strip()
    assert "main.py" in mpremote(board, "ls")
    client = board.connect()
    info = client.hello()
    assert info.boot > 1 and info.spent == 0
    # Ctrl-C in the middle of a round too
    bring(client, DEEP)
    start(client, DEEP)
    client.stream.write(b"\x03")  # type: ignore[attr-defined]
    board.disconnect()
    client = board.connect()
    info = client.hello()
    # the round may have been over already
    assert info.spent in (0, CHARGE) and info.job == DEEP.id


def test_ctrl_c_never_tears_a_ledger_record(live: Make) -> None:
    board = live()
    for number in range(25):
        client = board.connect()
        if number == 0:
            bring(client, JOB)
        before = client.hello().spent
        ident = upload(client, weights.pack(JOB, version(JOB)), 900)
        client.stream.send(cbor2.dumps([5, 1, JOB.id, ident]))  # type: ignore[attr-defined]
        time.sleep(0.002 * number)
        stream = client.stream
        assert isinstance(stream, SerialStream)
        stream.forget()
        while ">>> " not in stream.listen(0.3, ">>> "):
            stream.write(b"\x03")
        board.board.reset()
        assert board.connect().hello().spent - before in (0, CHARGE)


def test_text_on_the_console_does_not_break_frames(live: Make) -> None:
    board = live()
    board.client.hello()
    board.disconnect()
    (board.board.flash / "main.py").write_text(
        f"{PATH}\nimport picofed.main\nprint('starting')\ndef sensor(store):\n    print('noise \\x00\\xff', end='')\n"
        "picofed.main.run(sensor)\n"
    )
    board.board.reset()
    client = board.connect()
    for _ in range(50):
        assert client.hello().board == BOARD
    assert client.retries == 0 or client.retries < 20


def test_sensor_records_while_a_round_runs(live: Make) -> None:
    board = live()
    board.client.hello()
    board.disconnect()
    (board.board.flash / "main.py").write_text(
        f"{PATH}\nimport picofed.main\nn = 0\ndef sensor(store):\n    global n\n"
        "    if n == 0: store.begin(2)\n    if n < 200: store.append(bytes(12))\n"
        "    if n == 200: store.end()\n    n += 1\n"
        "picofed.main.run(sensor)\n"
    )
    board.board.reset()
    client = board.connect()
    before = client.hello().slots
    bring(client, LOCAL)
    start(client, LOCAL)
    status = wait(client)
    assert status.state is State.READY, status
    path = board.board.flash / "picofed-data" / "records.bin"
    for _ in range(2000):
        assert client.hello().slots == before  # in a ring that was full
        samples, label = list(windows(path.read_bytes(), 200, 200))[-1]
        if not samples.any():
            break
    assert not samples.any() and label == 2


def test_reset_in_the_middle_of_a_put_resumes(live: Make) -> None:
    board = live()
    client = board.client
    data = np.random.default_rng(1).bytes(5000)
    ident = object_id(data)
    for offset in (0, 700, 2100):
        missing = client.put(ident, len(data), offset, data[offset : offset + 700])
    assert missing == [(1400, 700), (2800, 2200)]
    board.board.reset()
    client = board.connect()
    assert client.have(ident, len(data)) == missing
    assert upload(client, data, 700) == ident
    board.board.reset()
    assert board.connect().have(ident, len(data)) == []


def test_power_cut_in_a_transfer_loses_nothing_acknowledged(live: Make) -> None:
    data = np.random.default_rng(2).bytes(3000)
    ident = object_id(data)
    board = live()
    left = board.client.have(ident, len(data))
    while left:
        offset, length = left[0]
        left = board.client.put(ident, len(data), offset, data[offset : offset + min(length, 700)])
        board.board.power_off()
        board.disconnect()
        board.board.reset()
        assert board.client.have(ident, len(data)) == left


def test_update_is_gone_after_a_reset_but_its_charge_stays(live: Make) -> None:
    board = live()
    client = board.client
    bring(client, JOB)
    start(client, JOB)
    status = wait(client)
    board.board.reset()
    client = board.connect()
    info = client.hello()
    assert info.job == JOB.id and info.update is None and info.spent == CHARGE and info.seq == 1
    assert status.update is not None
    refused(-22, client.get, status.update, 0, 10)
    refused(-22, client.request, Op.DROP, status.update)
    (record, genesis) = client.ledger(0, 10)
    assert record[0] == 0x12 and genesis[0] == 0x11 and record[20:24] == JOB.id[:4]
    assert record[24:] == blake2b(record[:24], 8, board.given.ledger_key)
    assert client.ledger(1, 10) == [genesis] and client.ledger(2, 10) == []


def test_round_is_answered_once_whatever_is_repeated(live: Make) -> None:
    board = live()
    client = board.client
    refused(-22, client.round, JOB.id, bytes(16))
    bring(client, JOB)
    refused(-22, client.round, JOB.id, bytes(16))
    ident = start(client, JOB)
    assert client.round(JOB.id, ident) in (State.FILLING, State.TRAINING, State.READY)
    status = wait(client)
    assert client.round(JOB.id, ident) is State.READY
    other = upload(client, weights.pack(JOB, version(JOB, 1)), 900)
    refused(-23, client.round, JOB.id, other)
    assert client.hello().spent == CHARGE
    assert client.status() == status
    refused(-1, client.get, status.update, status.update_length, 10)
    refused(-22, client.get, bytes(16), 0, 10)
    assert client.abandon() is State.IDLE and client.abandon() is State.IDLE
    refused(-22, client.get, status.update, 0, 10)


def test_abandoned_round_costs_nothing(live: Make) -> None:
    board = live(max_charge=4000000000)
    client = board.client
    long = replace(LOCAL, steps=400)
    bring(client, long)
    ident = start(client, long)
    assert client.abandon() is State.IDLE
    assert client.hello().spent == 0
    other = upload(client, JOB.body, 900)
    client.round(long.id, ident)
    refused(-23, client.job, other)
    refused(-23, client.selftest)
    client.abandon()
    assert client.job(other) == JOB.id


def test_budget_is_enforced(live: Make) -> None:
    board = live(budget=CHARGE * 2 + 5, max_charge=CHARGE)
    client = board.client
    bring(client, JOB)
    for number in range(2):
        start(client, JOB, number)
        client.drop(wait(client).update)  # type: ignore[arg-type]
    ident = upload(client, weights.pack(JOB, version(JOB, 2)), 900)
    assert str(CHARGE) in refused(-5, client.round, JOB.id, ident)
    board.board.reset()
    client = board.connect()
    refused(-5, client.round, JOB.id, ident)
    assert client.hello().spent == 2 * CHARGE


def test_policy_is_enforced(live: Make) -> None:
    board = live(min_log2_sigma=20)
    client = board.client
    assert "log2_sigma" in refused(-21, client.job, upload(client, JOB.body, 900))
    assert client.hello().job is None


def test_what_a_record_is_cannot_change_after_a_release(live: Make) -> None:
    """Found in review: jobs with other windows made one record into several, which no charge had counted."""
    board = live()
    client = board.client
    other = replace(JOB, name="other", window=50, stride=50)
    shifted = replace(JOB, name="shifted", stride=150)
    bring(client, other)  # nothing is released yet: any job may come
    bring(client, JOB)
    start(client, JOB)
    update = wait(client).update
    assert update is not None
    client.drop(update)
    for job in (other, shifted):
        bring(client, job)
        assert "window of 40 samples" in refused(-21, start, client, job)
    board.board.reset()
    client = board.connect()
    bring(client, other)
    refused(-21, start, client, other)
    bring(client, JOB)
    start(client, JOB)


def damage(board: Live, name: str, *copies: int) -> None:
    """Flip a bit of a small file's content in each of these copies."""
    for copy in copies:
        path = board.board.flash / "picofed-data" / f"{name}.{copy}"
        data = bytearray(path.read_bytes())
        data[6] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("copies", [(0,), (1,), (0, 1)])
def test_a_damaged_note_of_what_a_record_is_frees_nobody(live: Make, copies: tuple[int, ...]) -> None:
    """Found in review: a flipped bit in it meant "no release yet", and the next job cut the records anew."""
    board = live()
    client = board.client
    other = replace(JOB, name="other", window=50, stride=50)
    bring(client, JOB)
    start(client, JOB)
    assert wait(client).state is State.READY
    board.disconnect()
    board.board.power_off()
    damage(board, "unit", *copies)
    for _ in range(2):
        board.board.reset()
        client = board.connect()
        if copies != (0, 1):
            bring(client, other)
            assert "window of 40 samples" in refused(-21, start, client, other)
            continue
        assert "called a record is damaged" in client.status().error_text
        assert client.hello().spent == CHARGE
        for job in (JOB, other):
            refused(-6, client.job, upload(client, job.body, 900))
    if copies == (0, 1):
        # nobody knows what was a record: its records go, and a new store is free again
        again = board.given.again(replace(board.given.policy, number=2), OWNER)
        board.disconnect()
        board.board.power_off()
        board.board.install({"/picofed-data/provision.cbor": again.file()})
        board.board.reset()
        client = board.connect()
        assert (client.hello().policy, client.hello().slots, client.hello().spent) == (2, 0, CHARGE)
        bring(client, other)
        refused(-24, start, client, other)


def test_no_usable_records(live: Make) -> None:
    silent = [records.Session(np.zeros((200, 6), np.int16), 255)]
    board = live(sessions=silent)
    client = board.client
    bring(client, JOB)
    start(client, JOB)
    status = wait(client)
    assert status.state is State.IDLE and status.error == -24
    assert client.hello().spent == 0
    empty = live(name="empty", sessions=[])
    client = empty.client
    bring(client, JOB)
    refused(-24, start, client, JOB)


def test_wrong_weights(live: Make) -> None:
    client = live().client
    bring(client, HEAD)
    good = weights.pack(HEAD, version(HEAD))

    def attempt(data: bytes) -> None:
        client.round(HEAD.id, upload(client, data, 900))

    assert "once" in refused(-22, attempt, weights.pack(HEAD, version(HEAD), weights.SUBSET))
    refused(-1, attempt, good[:-2])
    refused(-1, attempt, good[:15])
    refused(-1, attempt, b"\2" + good[1:])
    refused(-1, attempt, good[:1] + b"\2" + good[2:])
    refused(-1, attempt, good[:10] + b"x" + good[11:])
    refused(-2, attempt, good[:-2] + b"\x00\x40")
    assert client.hello().state is State.IDLE
    attempt(good)
    assert wait(client).state is State.READY


def test_board_that_was_never_provisioned(live: Make) -> None:
    board = live(provisioned=False)
    client = board.client
    info = client.hello()
    assert (info.board, info.name, info.budget, info.slots) == (BOARD, "", 0, 0)
    ident = upload(client, JOB.body, 900)
    refused(-6, client.job, ident)
    refused(-22, client.round, JOB.id, ident)
    refused(-6, client.ledger, 0, 1)
    lines = {line.name: line.passed for line in client.selftest()}
    assert not lines["start"] and lines["noise"] and lines["training"]
    assert client.status().error == -6


@pytest.mark.parametrize("source", ["stuck:00", "stuck:ff", "stuck:5a", "stuck:55", "constant", "biased"])
def test_broken_entropy_fails_closed(live: Make, source: str) -> None:
    board = live(entropy=source)
    client = board.client
    assert client.status().error == -8
    refused(-8, bring, client, JOB)
    assert not {line.name: line.passed for line in client.selftest()}["entropy"]


def test_noise_never_comes_twice_whatever_is_cut(live: Make) -> None:
    """The same round after starts that lost power in their first, second... flash step: equal records and weights, so
    that equal updates would be equal noise. The record of what was given is the update itself."""
    job = replace(JOB, name="unrounded", round_shift=0)
    board = live()
    seen: set[bytes] = set()
    for step in range(1, 4):
        for _ in range(2):  # in the start after the cut, and in one that follows an undisturbed one
            client = board.connect()
            bring(client, job)
            for _ in range(2):
                start(client, job)
                status = wait(client)
                assert status.state is State.READY and status.update is not None, status
                update = Update.parse(fetch(client, status), board.given.update_key)
                assert update.payload not in seen, step
                seen.add(update.payload)
                client.drop(status.update)
            board.disconnect()
            board.board.reset()
        board.board.reset(power_cut=step)
        if step <= 2:  # a start programs the next secret, then zeros over the last one
            board.board.wait_power_cut(60)
        board.board.reset()
    assert len(seen) == 12


def test_selftest_passes(live: Make) -> None:
    lines = live().client.selftest()
    assert len(lines) == 8 and all(line.passed for line in lines), lines


def test_garbage_and_hostile_messages(live: Make) -> None:
    board = live()
    client = board.client
    client.hello()
    rng = np.random.default_rng(11)
    write = client.stream.write  # type: ignore[attr-defined]
    for _ in range(60):
        write(bytes(x for x in rng.bytes(int(rng.integers(1, 400))) if x != 3))
    write(b"\0" + b"\x55" * 10000 + b"\0")
    hostile = [
        5, [], [1], [1, -1], [1, 2**32], [1, "x"], ["hello", 7], [99, 7], [True, 7, 1], [1, 7, True], [1, 7, -1],
        [1, 7, 2**32], [2, 7], [2, 7, b"", 0, 0, b""], [2, 7, bytes(16), 2**32 - 1, 2**32 - 1, b"x"],
        [2, 7, bytes(16), 10, 2**32 - 5, b"123456"], [3, 7, bytes(15), 5], [3, 7, bytes(16), 0],
        [4, 7, bytes(16)], [5, 7, bytes(8), bytes(16)], [7, 7, bytes(16), 0, 1], [8, 7, b""],
        [9, 7, 2**32 - 1, 2**32 - 1],
        [9, 7, 0, 0], [6, 7, 1], [11, 7, None], {"a": 1}, [1, 7, [[[[1]]]]], [[1], 7],
    ]  # fmt: skip
    for message in hostile:
        client.stream.send(cbor2.dumps(message))
    for text in ("9f", "ff", "8201", "82011805", "5bffffffffffffffff", "830107fa00000000"):
        data = bytes.fromhex(text)
        client.stream.send(data)
    for _ in range(200):
        client.stream.send(rng.bytes(int(rng.integers(1, 1024))))
    whole = frame_encode(cbor2.dumps([1, 9, 1]))
    for _ in range(100):
        broken = bytearray(whole)
        broken[1 + int(rng.integers(len(whole) - 2))] ^= 1 << int(rng.integers(8))
        write(bytes(x for x in broken if x != 3))
    info = client.hello()
    assert info.board == BOARD and info.boot == 1 and info.spent == 0
    assert info.heap > 60000


def test_power_cuts_while_a_round_is_charged(live: Make) -> None:
    board = live()
    bring(board.client, JOB)
    start(board.client, JOB)
    wait(board.client)
    spent, cut = CHARGE, True
    costs: list[int] = []
    ident = object_id(weights.pack(JOB, version(JOB)))
    for step in range(1, 30):
        board.disconnect()
        board.board.reset(power_cut=step)
        drive_until_cut(board, ident)
        cut = not board.board.running
        board.board.reset()
        client = board.connect()
        cost = client.hello().spent - spent
        spent += cost
        assert cost in (0, CHARGE, board.given.policy.max_charge), (step, cost)
        if not cut:
            assert cost == CHARGE
            break
        costs.append(cost)
    # a cut before the record costs nothing; one in it, the most that a release may cost
    assert not cut and len(costs) > 3, costs
    assert costs == [0] * (len(costs) - 1) + [board.given.policy.max_charge]


def drive_until_cut(board: Live, ident: bytes) -> None:
    """Ask for a round until the update is ready or the power fails, however long an answer takes."""
    client = BoardClient(SerialStream(str(board.board.port)), timeouts=(0.2,))
    try:
        while board.board.running:
            try:
                if client.round(JOB.id, ident) is State.READY:
                    return
            except LinkError:
                continue
    finally:
        client.close()


def test_heap_of_the_demos_job(live: Make) -> None:
    """Bytes in use with the whole firmware, job, weights and an update in RAM, on words of 8 bytes.

    About 100,000; what a conservative collector finds varies by some thousands."""
    board = live()
    client = board.client
    before = client.hello().heap
    bring(client, JOB)
    start(client, JOB)
    assert wait(client).state is State.READY
    after = client.hello().heap
    total = 192 * 1024
    print(f"heap in use: {total - before} idle, {total - after} with an update")
    assert total - after < catalog.kinds()["unix"].memory.firmware_heap


def test_small_heap_is_refused_not_crashed(live: Make) -> None:
    big = Job("big", type(JOB.model).dense((45, 300, 7)), clip=400000, log2_sigma=19, window=40, stride=40, labels=7)
    client = live().client
    refused(-25, bring, client, big)
    assert client.hello().job is None
    bring(client, JOB)
    start(client, JOB)
    assert wait(client).state is State.READY


def test_nothing_is_sent_unasked(live: Make) -> None:
    client = live().client
    client.hello()
    assert client.stream.receive(0.3) is None


def test_idle_board_sleeps(live: Make) -> None:
    board = live()
    board.client.hello()

    def used() -> int:
        with open(f"/proc/{board.board.process_id}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(1.0)
    assert used() - before < 20  # hundredths of a second
