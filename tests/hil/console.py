"""A board's console as people and tools use it: mpremote, and pyserial with the raw REPL."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import serial

PATIENCE = 600.0  # seconds after which something has gone wrong, on the slowest board and a busy machine
PROMPT = b"raw REPL; CTRL-B to exit\r\n>"


class Board(Protocol):
    """What is needed of one."""

    @property
    def port(self) -> object:
        """Its path."""

    @property
    def log(self) -> str:
        """What helps to understand a failure."""


def mpremote(board: Board, *words: str, ok: bool = True) -> str:
    """What an unmodified mpremote prints, with newlines as here; fails the test where it fails, or does not if not
    `ok`.
    """
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", str(board.port), *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode == 0) == ok, f"{words}: {done.stdout}{done.stderr}\nboard: {board.log}"
    return done.stdout.replace("\r\n", "\n")


@contextlib.contextmanager
def opened(board: Board) -> Iterator[serial.Serial]:
    """Its serial port."""
    with serial.Serial(str(board.port), 115200, timeout=PATIENCE, write_timeout=PATIENCE) as port:
        yield port


def until(port: serial.Serial, wanted: bytes) -> bytes:
    """What arrives up to `wanted`, which is part of it."""
    got: bytes = port.read_until(wanted)
    assert got.endswith(wanted), got
    return got


def enter_raw(port: serial.Serial) -> None:
    """Stop what runs, and into the raw REPL."""
    port.write(b"\r\x03\r\x01")
    until(port, PROMPT)


def run_raw(port: serial.Serial, code: str) -> str:
    """What `code` prints when it is run in the raw REPL, with newlines as here; an exception fails the test."""
    port.write(code.encode() + b"\x04")
    until(port, b"OK")
    out = until(port, b"\x04")[:-1]
    error = until(port, b"\x04>")[:-2]
    assert error == b"", error.decode()
    return out.decode().replace("\r\n", "\n")


def check_ctrl_c(port: serial.Serial, repeats: int, newline: bytes) -> None:
    """Ctrl-C stops whatever runs, each of it `repeats` times, and is data when a program asks for that. newline: what
    the board's print() ends with.
    """
    enter_raw(port)
    for busy in repeats * (
        "while True: pass",
        "import time\ntime.sleep(1000)",
        "import sys\nsys.stdin.read(5)",
        "import select, sys\np = select.poll()\np.register(sys.stdin, select.POLLIN)\np.poll()",
    ):
        port.write(f"print('go')\n{busy}\x04".encode())
        until(port, b"go" + newline)
        port.write(b"\x03")
        assert b"KeyboardInterrupt" in until(port, b"\x04>")
    port.write(b"import sys, micropython\nmicropython.kbd_intr(-1)\nprint('go')\nprint(sys.stdin.buffer.read(3))\x04")
    until(port, b"go" + newline)
    port.write(b"\x01\x03\x04")
    assert b"b'\\x01\\x03\\x04'" in until(port, b"\x04>")


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def entropy_stream(seed: bytes, boot: int, size: int) -> bytes:
    """What boards/unix/README.md defines for a seed."""
    blocks = (
        hashlib.sha256(seed + boot.to_bytes(4, "little") + block.to_bytes(4, "little")).digest()
        for block in range(size // 32 + 1)
    )
    return b"".join(blocks)[:size]
