# Rounds through the request handler, without a link: what becomes visible when, and what failures leave behind.
import gc
import struct

import picofed.board
from check_jobs import JOB, descriptor
from check_provision import put_file
from harness import Random, clear, cut_everywhere
from picofed import cbor
from picofed.board import Board
from picofed.errors import BUDGET, FLASH, RANGE, RECORDS
from picofed.keys import derive
from picofed.objects import Objects, object_id
from picofed.platform import RECORDS as STORE
from picofed.records import Records
from picofed.server import Server
from picofed.train import IDLE, READY

SEED = 1
SMALL = dict(JOB, window=16, stride=16)
CHARGE = 262145


def fill(records, sessions=4, n=100):
    random = Random(SEED)
    for session in range(sessions):
        records.begin(session)
        for _ in range(n):
            records.append(random.bytes(12))
        records.end()


def make(fresh=True, **policy):
    if fresh:
        clear()
        put_file(**policy)
    board = Board()
    assert board.failure is None, board.failure
    records = Records(STORE, board.records_id)
    if fresh:
        fill(records)
    return Server(board, records, Objects())


def ask(server, op, *arguments):
    """Results of a request; the code where it is refused."""
    answer = cbor.loads(server.answer(cbor.dumps([op, 7] + list(arguments))))
    assert answer[1] == 7
    return answer[2:] if answer[0] == 0 else answer[2]


def put(server, data):
    ident = object_id(data)
    for at in range(0, len(data), 500):
        ask(server, 2, ident, len(data), at, data[at : at + 500])
    return ident


def weights(job_id, values, kind=0, number=5):
    return struct.pack("<BBHI8s", 1, kind, 0, number, job_id) + struct.pack("<%dh" % len(values), *values)


def begin(server, job=SMALL, parameters=322):
    """Job and weights there, round started; (job id, weights id)."""
    [job_id] = ask(server, 4, put(server, cbor.dumps(job)))
    ident = put(server, weights(job_id, [0] * parameters))
    state = ask(server, 5, job_id, ident)
    assert type(state) is list, state
    return job_id, ident


def finish(server):
    while server.step():
        pass
    return ask(server, 6)


def test_nothing_is_shown_before_it_is_charged():
    server = make()
    begin(server)
    done = -1
    while server.step():
        status = ask(server, 6)
        assert status[3] is None and status[4] == 0 and server.board.spent == 0
        assert done <= status[1] <= status[2], status
        done = status[1]
    state, done, total, update, length, code, text = ask(server, 6)
    assert state == READY and done == total and code == 0
    assert server.board.spent == CHARGE and server.board.seq == 1
    data = ask(server, 7, update, 0, length)[0]
    head = data[:40] + derive(b"", b"", 32, data[40:-16])
    assert derive(server.board.update_key, b"", 16, head) == data[-16:]
    assert derive(b"", b"", 16, head + data[-16:]) == update and data[0:4] == b"\4\0\x0d\0"
    assert struct.unpack_from("<IIII", data, 4) == (1, 5, 4 * 6, 1024 | 1 << 20)


def test_memory_of_records_is_wiped_after_a_round():
    server = make()
    begin(server)
    assert finish(server)[0] == READY
    trainer = server.trainer
    for buffer in (trainer.window, trainer.features, trainer.targets):
        assert not any(buffer)
    assert not trainer.whole
    begin(server)
    server.step()
    assert ask(server, 11) == [IDLE]
    assert not any(trainer.update)


def test_steps_leave_little_garbage():
    server = make()
    begin(server)
    server.step()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    steps = 0
    while server.board.spent == 0 and server.step():
        steps += 1
    used = gc.mem_alloc() - before
    gc.enable()
    assert used < 30000, (used, steps)


def test_flash_that_does_not_hold_costs_the_torn_record_and_shows_nothing():
    server = make()
    begin(server)
    flash = server.board._ledger_flash
    whole = flash.program
    flash.program = lambda offset, data: whole(offset, bytes([b & 0x7F for b in data]))
    state, _, _, update, _, code, _ = finish(server)
    assert (state, update, code) == (IDLE, None, FLASH)
    flash.program = whole
    # opened again at the latest for the next round: the torn record costs what a release may cost at most
    begin(server)
    assert server.board.spent == 300000
    assert finish(server)[0] == READY and server.board.spent == 300000 + CHARGE


def test_flash_that_raises_abandons_the_round():
    server = make()
    begin(server)

    def broken(offset, data):
        raise OSError(5)

    flash = server.board._ledger_flash
    whole = flash.program
    flash.program = broken
    state, _, _, update, _, code, _ = finish(server)
    assert (state, update, code) == (IDLE, None, FLASH)
    flash.program = whole
    begin(server)
    assert finish(server)[0] == READY and server.board.spent == CHARGE


def test_power_cut_in_a_charge():
    servers = []

    def prepare():
        servers.clear()
        servers.append(make())
        begin(servers[0])
        while servers[0].round._waiting:
            servers[0].step()

    def work():
        finish(servers[0])

    def examine(cut):
        shown = servers[0].round.update if servers[0].round else None
        server = make(fresh=False)
        assert server.board.spent in (0, CHARGE, 300000), server.board.spent
        assert shown is None or server.board.spent == CHARGE
        assert ask(server, 6)[0] == IDLE
        assert cut or shown is not None

    # the ledger record in two steps, and before the first release of a store what a record is, in two copies
    assert cut_everywhere(prepare, work, examine) == 2 + 4


def test_budget_runs_out_and_says_so():
    server = make(budget=2 * CHARGE + 10)
    for _ in range(2):
        begin(server)
        update = finish(server)[3]
        assert ask(server, 8, update) == []
    [job_id] = ask(server, 4, put(server, cbor.dumps(SMALL)))
    assert ask(server, 5, job_id, put(server, weights(job_id, [0] * 322))) == BUDGET
    assert server.board.spent == 2 * CHARGE


def test_local_mode_uses_a_fresh_key_for_each_step_and_charges_all():
    taken = []
    server = make()
    whole = server.board.noise_key

    def watched():
        key = whole()
        taken.append(bytes(key))
        return key

    server.board.noise_key = watched
    begin(server, dict(SMALL, mode=1, steps=3, multiplier=100, shift=20, clip=500))
    status = finish(server)
    assert status[0] == READY, status
    assert len(set(taken)) == 3
    update = ask(server, 7, status[3], 0, status[4])[0]
    assert struct.unpack_from("<I", update, 16)[0] == 500 | 3 << 20
    assert struct.unpack_from("<I", update, 12)[0] == 24


def test_records_that_fit_no_window_end_the_round():
    server = make()
    begin(server, dict(SMALL, window=128, stride=128))
    state, _, _, update, _, code, _ = finish(server)
    assert (state, update, code, server.board.spent) == (IDLE, None, RECORDS, 0)
    begin(server)
    assert finish(server)[0] == READY


def test_labels_beyond_the_classes_are_left_out():
    server = make()
    begin(server, dict(SMALL, labels=2, model=descriptor(45, 2)), 92)
    status = finish(server)
    assert struct.unpack_from("<I", ask(server, 7, status[3], 12, 4)[0])[0] == 2 * 6


def test_frozen_weights_survive_rounds_for_a_subset():
    server = make(budget=2000000)
    model = bytearray(descriptor(45, 4, 7))
    model[10:20] = bytes(10)
    job = dict(SMALL, model=bytes(model))
    random = Random(SEED)
    values = [random.below(2000) - 1000 for _ in range(46 * 4 + 5 * 7)]
    [job_id] = ask(server, 4, put(server, cbor.dumps(job)))
    for kind, given in ((0, values), (1, values[-35:]), (1, values[-35:])):
        answer = ask(server, 5, job_id, put(server, weights(job_id, given, kind)))
        assert type(answer) is list, answer
        status = finish(server)
        assert status[0] == READY
        ask(server, 8, status[3])
        kept = bytearray(2 * len(values))
        picofed.board.core.trainer_get_weights(server.trainer.mem, 0, kept)
        assert list(struct.unpack("<%dh" % len(values), kept)) == values
    # weights out of range leave nothing to build on
    bad = values[-35:]
    bad[3] = 20000
    assert ask(server, 5, job_id, put(server, weights(job_id, bad, 1))) == RANGE
    assert not server.trainer.whole


def test_job_comes_back_after_a_reset_unless_the_policy_changed():
    server = make()
    job_id, _ = begin(server)
    server = None  # its memory is needed
    assert make(fresh=False).job.id == job_id
    put_file(max_clip=5)
    server = make(fresh=False)
    assert server.job is None and server.code < 0
