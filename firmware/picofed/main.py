"""The board's program: start up, then serve the link, do the round, call the sensor.

    import picofed.main
    picofed.main.run()

Ctrl-C ends it and gives back the REPL; a soft reset starts it again."""

import gc
import sys

# Loading leaves garbage, and what is loaded stays: if the collector only ran once memory is full, modules would lie all
# over it, and no job find a large piece. So it runs after every few kilobytes until all that stays is there; where
# memory is large, it has longer to go and there is less need.
_KEPT_CLOSE = max(4096, (gc.mem_free() + gc.mem_alloc()) // 64)
gc.threshold(_KEPT_CLOSE)

from micropython import const

from .board import Board
from .errors import ENTROPY, FLASH, PicofedError
from .link import Link
from .objects import Objects
from .platform import FOLDER, RECORDS, arm, feed, unload
from .records import Records
from .server import Server

_IDLE = const(1000)  # ms to wait for a byte where nothing else is to do
_SENSOR = const(2)


def start(slots=1024):
    """Everything up to the loop: a Server. slots: size of a record store that does not exist yet."""
    gc.threshold(_KEPT_CLOSE)
    from . import selftest

    board = Board()
    failed = [line for line in selftest.run() if not line[1]]
    unload("provision", "selftest")
    if failed and board.failure is None:
        code = ENTROPY if failed[0][0] == "entropy" else FLASH
        board.failure = PicofedError(code, "self-test failed: %s: %s" % (failed[0][0], failed[0][2]))
    records = None
    problem = board.failure or board.refused
    if board.records_id is not None:
        try:
            records = Records(RECORDS, board.records_id, slots=slots)
        except Exception as error:
            problem = problem or error
    server = Server(board, records, Objects(FOLDER + "/objects"))
    if problem is not None:
        server.report(problem)
    gc.collect()
    gc.threshold(-1)
    return server


def run(sensor=None, watchdog=0, slots=1024):
    """Serve for ever. sensor(records): called between all else, at least every few ms; records.Records takes what it
    measures. watchdog: ms after which a board that hangs is reset, 0 for none (one that runs cannot be stopped: with
    it, Ctrl-C gives a REPL for that long only)."""
    gc.collect()
    server = start(slots)
    link = Link()
    arm(watchdog)
    idle = min(_IDLE, watchdog // 2) if watchdog else _IDLE
    complained = False
    while True:
        feed()
        try:
            busy = server.step()
            payload = link.receive(0 if busy else _SENSOR if sensor else idle)
            if payload is not None:
                answer = server.answer(payload)
                if answer is not None:
                    link.send(answer)
            if sensor is not None and server.records is not None:
                sensor(server.records)
        except Exception as error:
            server.report(error)
            # the first one in full on the console; the code of each in the status
            if not complained:
                complained = True
                sys.print_exception(error)
