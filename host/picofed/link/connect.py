"""From a port to a board whose firmware answers, by way of its REPL if need be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from picofed.link.client import BoardClient
from picofed.link.messages import PROTOCOL, BoardError, LinkError, MessageError, Op
from picofed.link.session import LinkKey
from picofed.link.stream import SerialStream

_START_SECONDS: Final = 15.0  # a slow board compiles the firmware's source text first
POWER_ON_SECONDS: Final = 150.0  # what the slowest board may take, an emulated one on a busy machine


def connect(
    port: str,
    name: str = "",
    interrupt: bool = True,
    keys: Mapping[bytes, LinkKey] | None = None,
    patience: float = 0.0,
) -> BoardClient:
    """Open a port and find the firmware behind it, from the REPL if need be.

    interrupt: a board that does not answer may be stopped with Ctrl-C and soft-reset, as it sits at a REPL or
    runs another program; patience: but not in these seconds, if it was powered on just now. keys: see BoardClient.
    Raises PortError or LinkError in words for the user.
    """
    stream = SerialStream(port)
    try:
        client = BoardClient(stream, name or port, keys=keys)
        if _answers(client, (0.5, 1.0, 1.5)):
            return client
        if patience and comes_up(stream, client, patience):
            return client
        if not interrupt:
            raise LinkError(f"{port}: no picofed board answers")
        _start_firmware(stream, client)
        return client
    except BaseException:
        stream.close()
        raise


def _answers(client: BoardClient, timeouts: tuple[float, ...]) -> bool:
    try:
        client.plain(Op.HELLO, PROTOCOL, timeouts=timeouts)
    except BoardError:
        return True  # it speaks; hello() will say what is wrong
    except MessageError:
        raise
    except LinkError as error:
        if type(error) is not LinkError:  # the port has gone
            raise
        return False
    return True


def _start_firmware(stream: SerialStream, client: BoardClient) -> None:
    """Ctrl-C until a prompt shows, Ctrl-D for a soft reset; if that does not start the firmware, import
    it.
    """
    if not _prompt(stream):
        raise LinkError(
            f"{stream.name}: nothing answers there, neither picofed nor MicroPython: is this the right port?"
        )
    stream.forget()
    stream.write(b"\x04")
    if comes_up(stream, client, _START_SECONDS, "soft reboot"):
        return
    if not _prompt(stream):
        raise LinkError(f"{stream.name}: the board does not come back from a soft reset: press its reset button")
    stream.forget()
    stream.write(b"import picofed.main; picofed.main.run()\r\n")
    if comes_up(stream, client, _START_SECONDS, "picofed.main.run()"):
        return
    text = stream.console
    if "ImportError" in text or "no module named" in text.lower():
        raise LinkError(
            f"{stream.name}: a MicroPython board without the picofed firmware: `picofed flash` puts it there"
        )
    lines = [line.strip() for line in text.splitlines() if "Error" in line]
    said = f": it says {lines[0]!r}" if lines else ""
    raise LinkError(f"{stream.name}: the firmware on this board does not start{said}: install it again")


def comes_up(stream: SerialStream, client: BoardClient, patience: float, start: str = "") -> bool:
    """Does the firmware answer before a prompt shows (nothing runs there) or `patience` seconds have passed?

    start: what the board says first. A prompt before it is an answer to what was sent earlier, by a slow board.
    """
    deadline = time.monotonic() + patience
    wait = 0.5
    while time.monotonic() < deadline:
        console = stream.console
        if ">>> " in (console.partition(start)[2] if start else console):
            return False
        if _answers(client, (wait,)):
            return True
        wait = min(1.5 * wait, 10.0)  # a board slower than this would only ever answer the question before
    return False


def _prompt(stream: SerialStream) -> bool:
    for _ in range(3):
        stream.forget()
        stream.write(b"\r\x03\x03")
        stream.listen(0.3, ">>> ")
        stream.write(b"\x02")  # from a raw REPL back to the friendly one
        if ">>> " in stream.listen(0.7, ">>> "):
            return True
    return False
