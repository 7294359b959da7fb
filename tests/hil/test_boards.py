"""What every board must do, from an empty flash to an empty budget: see conftest.py for how to choose boards."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
import serial
from console import PATIENCE
from dut import Dut
from hello import hello
from picofed.fleet import catalog, limits
from picofed.learn import weights
from picofed.learn.model import Model
from picofed.learn.simulate import simulate
from picofed.link.client import BoardClient
from picofed.link.messages import BUDGET, BoardError, LinkError, State
from picofed.link.stream import SerialStream
from picofed.link.transfer import upload
from picofed.store import Store, Version
from world import SEED, SOFTMAX, begin, charge_of, plan, run, simulated

pytestmark = pytest.mark.slow

CHARGE = charge_of(SOFTMAX)


def test_flashed_from_nothing_it_passes_its_selftest(dut: Dut) -> None:
    given = begin(dut)
    info = hello(dut)
    assert (info.board, info.name, info.spent) == (given.policy.board, "dut", 0)
    assert info.budget == given.policy.budget
    client = dut.connect()
    try:
        lines = client.selftest()
    finally:
        client.close()
    assert {line.name for line in lines} == {
        "blake2b",
        "chacha20",
        "noise",
        "training",
        "frame",
        "entropy",
        "ledger",
        "start",
    }
    assert [(line.name, line.detail) for line in lines if not line.passed] == []


def test_private_rounds_over_resets_are_charged_and_foretold(dut: Dut) -> None:
    """Two rounds, a reset, two more: each charged once; where the entropy is injected, every byte is known."""
    given = begin(dut)
    store = Store()
    run(dut, given, 2, store=store)
    before = hello(dut)
    assert before.spent == 2 * CHARGE
    first_boot = dut.starts - 1
    dut.reset()
    after = hello(dut)
    assert after.boot == before.boot + 1
    assert (after.seq, after.spent, after.state) == (before.seq, before.spent, State.IDLE)
    coordinator = run(dut, given, 4, store=store)
    assert coordinator.left == {}
    assert hello(dut).spent == 4 * CHARGE
    if dut.repeats:
        sent = [update.data for update in sorted(store.updates(SOFTMAX.id, None), key=lambda update: update.seq)]
        expected = simulate(SOFTMAX, plan(2), [simulated(given, SOFTMAX, first_boot)]).store
        foretold = sorted(expected.updates(SOFTMAX.id, None), key=lambda update: update.seq)
        assert len(sent) == 4
        assert sent[:2] == [update.data for update in foretold]


def test_the_largest_model_of_the_catalog_is_trained(dut: Dut) -> None:
    """Its memory has to be there in pieces that are large enough."""
    model = Model.dense(limits.largest(catalog.kinds()[dut.kind], outputs=SOFTMAX.labels).widths)
    job = replace(SOFTMAX, name="largest", model=model)
    coordinator = run(dut, begin(dut, job), 2, job)
    assert coordinator.left == {} and coordinator.version.number == 2


def test_budget_runs_out_and_stays_out_over_resets(dut: Dut) -> None:
    given = begin(dut, releases=2)
    coordinator = run(dut, given, 3)
    assert coordinator.version.number == 2
    assert "budget" in coordinator.left["dut"]
    for _ in range(2):
        assert hello(dut).spent == 2 * CHARGE
        client = dut.connect()
        try:
            mtu = client.hello().mtu
            job = client.job(upload(client, SOFTMAX.body, mtu))
            with pytest.raises(BoardError) as refused:
                client.round(job, bytes(16))
        finally:
            client.close()
        assert refused.value.code == BUDGET
        dut.reset()


def until_prompt(port: serial.Serial, keys: bytes) -> None:
    """Press keys until a prompt shows: a Ctrl-C that comes before a line has begun to run is only a character."""
    for _ in range(20):
        port.write(keys)
        if port.read_until(b">>> ").endswith(b">>> "):
            return
    raise AssertionError("no prompt")


def test_ctrl_c_gives_the_repl_and_a_reset_the_firmware(dut: Dut) -> None:
    begin(dut)
    hello(dut)
    assert dut.mpremote("exec", "print(6 * 7)").strip() == "42"
    assert "picofed-data/" in dut.mpremote("ls")
    assert dut.mpremote("exec", "import picofed; print(picofed.__name__)").strip() == "picofed"
    dut.mpremote("reset")
    assert hello(dut).name == "dut"
    with serial.Serial(dut.port, 115200, timeout=3, write_timeout=PATIENCE) as port:
        until_prompt(port, b"\r\x03")
        # What nobody should type; the board must come back all the same.
        port.write(b"while True: pass\r\r")
        port.read_until(b"pass")
        until_prompt(port, b"\x03")
    dut.reset()
    assert hello(dut).name == "dut"


def test_garbage_on_the_line_changes_nothing(dut: Dut) -> None:
    given = begin(dut)
    hello(dut)
    noise = bytes(byte for byte in random.Random(SEED).randbytes(6000) if byte != 3)
    with serial.Serial(dut.port, 115200, timeout=PATIENCE, write_timeout=PATIENCE) as port:
        for at in range(0, len(noise), 500):
            port.write(noise[at : at + 500])
            port.flush()
        port.write(b"\0")
    assert run(dut, given, 1).left == {}
    assert hello(dut).spent == CHARGE


def work(dut: Dut, version: int) -> bool:
    """Have the board do one round, until its power fails; whether it showed an update."""
    client = BoardClient(SerialStream(dut.port), timeouts=(2.0,))
    zeros = bytes(2 * SOFTMAX.model.parameters)
    data = weights.pack(SOFTMAX, Version(version, zeros, b"", b""))
    try:
        while not dut.wait_power_cut(0):
            try:
                mtu = client.hello().mtu
                job = client.job(upload(client, SOFTMAX.body, mtu))
                client.round(job, upload(client, data, mtu))
                while (status := client.status()).state in (State.FILLING, State.TRAINING):
                    time.sleep(0.02)
                if status.update is not None:
                    return True
            except LinkError:
                continue
    finally:
        client.close()
    return False


@pytest.mark.cuts_power
def test_power_cuts_never_give_budget_back(dut: Dut) -> None:
    """Cuts in random flash steps, while it starts, takes in objects and charges: what is spent never falls, grows by
    at most one release's charge a start, and by just that where an update was shown; then the board goes on."""
    rng = random.Random(SEED)
    given = begin(dut)
    assert work(dut, 0)
    spent = hello(dut).spent
    assert spent == CHARGE
    cuts = 0
    for attempt in range(8):
        step = rng.randrange(1, 50)
        dut.reset(power_cut=step)
        shown = work(dut, attempt + 1)
        cuts += dut.wait_power_cut(0)
        dut.reset()
        now = hello(dut).spent
        assert now in ((spent + CHARGE,) if shown else (spent, spent + CHARGE)), (attempt, step)
        spent = now
    assert cuts >= 2
    assert run(dut, given, 1).left == {}
    assert hello(dut).spent == spent + CHARGE


def test_heap_does_not_grow_over_rounds(dut: Dut) -> None:
    """What is in use after the tenth round is what was in use after the second, but for what a conservative
    collector keeps by chance."""
    given = begin(dut)
    store = Store()
    run(dut, given, 2, store=store)
    used = hello(dut).used
    run(dut, given, 10, store=store)
    assert hello(dut).used <= used + 3000
    assert used < catalog.kinds()[dut.kind].memory.firmware_heap
