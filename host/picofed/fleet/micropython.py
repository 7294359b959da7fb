"""MicroPython onto a bare board: a UF2 file copied to the drive that its boot loader shows, or esptool for ESP32.

Several boards at the same time: a drive or a port belongs to whoever waits for one when it appears.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from picofed.fleet import catalog, esp32
from picofed.fleet.boards import serial_ports
from picofed.fleet.catalog import Kind
from picofed.fleet.images import Image, ImageError, check_image, families
from picofed.fleet.repl import Repl
from picofed.link.stream import SerialStream

APPEARS: Final = 30.0  # seconds until a drive or port shows after a reset
_POLL: Final = 0.2
_PIECE: Final = 16384
_INFO: Final = "INFO_UF2.TXT"

Advance = Callable[[int, int], None]  # bytes so far, of so many


@dataclass(frozen=True)
class Drive:
    """A mounted drive of a boot loader."""

    path: Path
    board_id: str

    @property
    def kinds(self) -> list[Kind]:
        """What may be behind it."""
        return catalog.by_drive(self.board_id)


def drive_at(path: Path) -> Drive | None:
    """The UF2 drive mounted at a path, if it is one."""
    try:
        text = (path / _INFO).read_text("ascii", "replace")
    except OSError:
        return None
    found = re.search(r"^Board-ID:\s*(\S+)", text, re.MULTILINE)
    return Drive(path, found[1]) if found else None


def mounts() -> Iterable[Path]:
    """Where drives of a boot loader may be mounted."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        device, place, kind = line.split()[:3]
        if kind in ("vfat", "msdos") and device.startswith("/dev/"):
            yield Path(place.encode().decode("unicode_escape"))


def drives(places: Callable[[], Iterable[Path]] = mounts) -> list[Drive]:
    """Every mounted UF2 drive."""
    return [drive for path in places() if (drive := drive_at(path)) is not None]


def check_drive(drive: Drive, image: Image, kind: Kind | None) -> None:
    """Raise ImageError for an image that does not belong onto a drive, or a drive of another kind."""
    wanted = {kind.flash.family} if kind else {entry.flash.family for entry in drive.kinds}
    if kind is not None and kind.flash.drive != drive.board_id:
        raise ImageError(
            f"wrong board: the drive at {drive.path} is a {drive.board_id}, not {kind.flash.drive or kind.name}"
        )
    has = families(image.path.read_bytes())
    if wanted and has and not has & wanted:
        raise ImageError(f"wrong image: {image.name} is for family {', '.join(sorted(has))}, not {min(wanted)}")


def copy_to(drive: Drive, image: Image, kind: Kind | None, advance: Advance = lambda _, __: None) -> None:
    """Put an image onto a drive, which then restarts as MicroPython. Raises ImageError."""
    check_drive(drive, image, kind)
    data = image.path.read_bytes()
    try:
        with (drive.path / image.path.name).open("wb", buffering=0) as out:
            for start in range(0, len(data), _PIECE):
                advance(start, len(data))
                piece = memoryview(data)[start : start + _PIECE]
                while piece:
                    piece = piece[out.write(piece) :]
            os.fsync(out.fileno())
    except OSError as error:
        # The board restarts as soon as it has the last block: a drive that has gone by then is how it should be.
        if drive_at(drive.path) is not None:
            raise ImageError(f"cannot write to {drive.path}: {error.strerror or error}") from error


def kind_at(port: str, machine: str) -> Kind:
    """What is at a port, by what it says of itself, else by its USB id. Raises ImageError if that is not clear."""
    if (found := catalog.by_machine(machine)) is not None:
        return found
    usb = next((usb for name, usb, _ in serial_ports() if name == port), "")
    fitting = catalog.by_usb(usb)
    if len({entry.flash for entry in fitting}) == 1:
        return fitting[0]
    raise ImageError(f"which kind of board is at {port}? Say it with --board")


class Installer:
    """Puts MicroPython onto boards; one for all that are flashed together, any thread may call.

    places, ports: where drives may be mounted, and the serial ports, of this machine; patience: how long either may
    take to appear.
    """

    def __init__(
        self,
        places: Callable[[], Iterable[Path]] = mounts,
        ports: Callable[[], list[tuple[str, str, str]]] = serial_ports,
        patience: float = APPEARS,
    ) -> None:
        self._places, self._serial, self._patience = places, ports, patience
        self._entering = threading.Lock()  # the next drive that appears is that of the board which entered
        self._claiming = threading.Lock()
        self._ports = {port for port, _, _ in ports()}  # of boards that need not be waited for

    def onto_drive(self, drive: Drive, image: Image, kind: Kind | None, port: str, advance: Advance) -> str:
        """Copy, and wait for the serial port that the board then shows, unless it is known. Returns the port."""
        copy_to(drive, image, kind, advance)
        return port or self._new_port(f"the board behind {drive.path}")

    def onto_port(self, port: str, image: Image, kind: Kind, place: Path | None, advance: Advance) -> str:
        """Onto the board with MicroPython at a port; returns where it is afterwards. place: where its drive is going to
        be mounted, and then it is to come back at the same port. Raises ImageError or LinkError.
        """
        check_image(image, kind)
        if kind.flash.method == "esptool":
            esp32.write(image, port, kind, advance)
            return port
        if place is not None:
            _to_boot_loader(port)
            drive = self._wait_for(lambda: drive_at(place), f"no UF2 drive appears at {place}: mount it there")
            return self.onto_drive(drive, image, kind, port, advance)
        with self._entering:
            before = {drive.path for drive in drives(self._places)}

            def appeared() -> Drive | None:
                shown = {drive.path: drive for drive in drives(self._places)}
                before.intersection_update(shown)  # the place of one that went may be the next one's
                new = [shown[path] for path in shown if path not in before]
                return next((drive for drive in new if drive.board_id == kind.flash.drive), None)

            _to_boot_loader(port)
            drive = self._wait_for(
                appeared, f"no drive {kind.flash.drive} appears: mount it, and name where with --drive"
            )
        with self._claiming:
            self._ports.discard(port)
        return self.onto_drive(drive, image, kind, "", advance)

    def _wait_for(self, look: Callable[[], Drive | None], complaint: str) -> Drive:
        end = time.monotonic() + self._patience
        while time.monotonic() < end:
            if (found := look()) is not None:
                return found
            time.sleep(_POLL)
        raise ImageError(complaint)

    def _new_port(self, what: str) -> str:
        end = time.monotonic() + self._patience
        while time.monotonic() < end:
            with self._claiming:
                shown = {port: usb for port, usb, _ in self._serial()}
                self._ports.intersection_update(shown)
                for port, usb in shown.items():
                    if port not in self._ports and catalog.by_usb(usb):
                        self._ports.add(port)
                        return port
            time.sleep(_POLL)
        raise ImageError(
            f"{what} does not come back as a serial port: unplug it, plug it in, and run without --micropython"
        )


def _to_boot_loader(port: str) -> None:
    stream = SerialStream(port)
    try:
        Repl(stream).enter()
        stream.write(b"import machine\nmachine.bootloader()\x04")
    finally:
        stream.close()
