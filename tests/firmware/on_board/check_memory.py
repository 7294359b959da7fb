# What free memory says. The collector takes for a pointer whatever looks like one, wherever it stands: in samples, too.
import gc
import struct

from check_provision import put_file
from check_train import SMALL, ask, put
from harness import clear
from picofed import cbor
from picofed.board import Board
from picofed.objects import Objects
from picofed.platform import RECORDS as STORE
from picofed.records import Records
from picofed.server import Server
from picofed.train import TRAINING
from uctypes import addressof

GARBAGE = 6000


def test_free_memory_does_not_depend_on_records():
    """Hello, and the size from which on an object is refused, in a round and behind it: the same for samples that are
    all zero and for those that spell the address of what was left behind, which they keep from being found free."""
    clear()
    put_file()
    board = Board()
    records = Records(STORE, board.records_id)
    server = Server(board, records, Objects())
    [job_id] = ask(server, 4, put(server, cbor.dumps(SMALL)))
    ident = put(server, struct.pack("<BBHI8s", 1, 0, 0, 5, job_id) + bytes(2 * 322))
    say(server)
    told = []
    for points in (False, True):
        gc.collect()
        garbage = bytearray(GARBAGE)
        word = struct.pack("<Q", addressof(garbage) if points else 0)
        records.begin(0)
        for _ in range(40):
            # slots have 12 bytes before their samples
            records.append(30 * (word[4:] + word[:4]))
        records.end()
        ask(server, 5, job_id, ident)
        garbage = word = None
        said = set()
        while server.step():
            if server.round.state == TRAINING:
                said.add(say(server))
        said.add(say(server))
        told.append((min(said), max(said)))
        ask(server, 11)
    print("heap and twice the largest object:", told)
    for end in range(2):
        for i in range(2):
            # what the collector finds varies by some hundred bytes by itself
            assert abs(told[0][end][i] - told[1][end][i]) < GARBAGE // 2, told


def say(server):
    low, high = 1, 200000
    while high - low > 500:
        middle = (low + high) // 2
        if type(ask(server, 3, bytes(16), middle)) is list:
            low = middle
        else:
            high = middle
    return ask(server, 1, 1)[1]["heap"], 2 * low


def test_a_recording_goes_on_when_somebody_asks():
    clear()
    put_file()
    board = Board()
    records = Records(STORE, board.records_id)
    server = Server(board, records, Objects())
    records.begin(2)
    samples = bytes(range(1, 241))
    records.append(samples[:60])
    told = say(server)
    records.append(samples[60:])
    records.end()
    out = bytearray(12 * 20)
    assert list(records.windows(out, 20, 20)) == [2] and out == samples
    assert told[0] > 0
