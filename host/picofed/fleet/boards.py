"""Which boards are there: serial ports of this machine, and what answers behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from serial.tools import list_ports

from picofed.errors import PicofedError
from picofed.link.connect import connect
from picofed.link.messages import Info
from picofed.link.session import LinkKey


@dataclass(frozen=True)
class Found:
    """A port and what is behind it. usb: vendor:product in hex, "" where there is no USB; problem: why info
    is None.
    """

    port: str
    usb: str
    description: str
    info: Info | None
    problem: str


def serial_ports() -> list[tuple[str, str, str]]:
    """Port, USB id and description of every serial port with something plugged in, by name."""
    found = []
    for port in sorted(list_ports.comports()):
        if port.vid is not None:
            found.append((port.device, f"{port.vid:04x}:{port.pid:04x}", port.description or ""))
    return found


def look(
    ports: Iterable[str] = (), interrupt: bool = False, keys: Mapping[bytes, LinkKey] | None = None
) -> list[Found]:
    """Ask who is there: at the given ports, or (none given) at every USB serial port. All at once.

    interrupt: stop what runs on a board that does not answer, to start the firmware. keys: of boards that have to
    prove who they are.
    """
    given = list(ports)
    known = {port: (usb, text) for port, usb, text in serial_ports()}
    places = given or list(known)
    if not places:
        return []
    with ThreadPoolExecutor(max_workers=min(16, len(places))) as pool:
        return list(pool.map(lambda port: _ask(port, *known.get(port, ("", "")), interrupt, keys), places))


def _ask(port: str, usb: str, description: str, interrupt: bool, keys: Mapping[bytes, LinkKey] | None) -> Found:
    try:
        client = connect(port, interrupt=interrupt, keys=keys)
    except PicofedError as error:
        return Found(port, usb, description, None, str(error))
    try:
        return Found(port, usb, description, client.hello(), "")
    except PicofedError as error:
        return Found(port, usb, description, None, str(error))
    finally:
        client.close()
