"""MicroPython onto a bare board: a UF2 file copied to the drive that its boot loader shows, or esptool for ESP32.

An image is our own build, a file, or a URL with the SHA-256 that its bytes must have.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from picofed.errors import PicofedError
from picofed.fleet import catalog
from picofed.fleet.boards import serial_ports
from picofed.fleet.catalog import Kind
from picofed.fleet.repl import Repl
from picofed.link.stream import SerialStream
from picofed.toolchain.cache import cache_dir

APPEARS: Final = 30.0  # seconds until a drive or port shows after a reset
_LIMIT: Final = 64 << 20
_UF2: Final = struct.Struct("<IIIIIIII")
_UF2_MAGIC: Final = (0x0A324655, 0x9E5D5157)
_HAS_FAMILY: Final = 0x2000
_ABSOLUTE: Final = 0xE48BFF57  # RP2350 images may begin with a block of this family, an errata workaround
_INFO: Final = "INFO_UF2.TXT"
_ESP32_MAGIC: Final = b"\xe9"


class ImageError(PicofedError):
    """An image that cannot be had, is not what it should be, or does not get onto its board."""


@dataclass(frozen=True)
class Image:
    """A firmware file; name for people."""

    path: Path
    name: str


def image(source: str, sha256: str | None) -> Image:
    """From a path or a URL. A URL needs its SHA-256; a file's is checked if given. Raises ImageError."""
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256 := sha256.lower()):
        raise ImageError("a SHA-256 has 64 hex digits")
    if re.match(r"https?://", source):
        if sha256 is None:
            raise ImageError("an image from the network needs --sha256, which its publisher states")
        return Image(_fetched(source, sha256), source.rpartition("/")[2])
    path = Path(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from error
    _check_digest(data, sha256, source)
    return Image(path, path.name)


def _check_digest(data: bytes, sha256: str | None, source: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise ImageError(f"{source} has the SHA-256 {found}, not the one given: do not use it")


def _fetched(url: str, sha256: str) -> Path:
    kept = cache_dir() / "images" / sha256 / (url.rpartition("/")[2] or "image")
    if kept.exists() and hashlib.sha256(kept.read_bytes()).hexdigest() == sha256:
        return kept
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            data = answer.read(_LIMIT + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ImageError(f"cannot fetch {url}: {getattr(error, 'reason', error)}") from error
    if len(data) > _LIMIT:
        raise ImageError(f"{url} is larger than any firmware")
    _check_digest(data, sha256, url)
    kept.parent.mkdir(parents=True, exist_ok=True)
    beside = kept.with_name(f"{kept.name}.{os.getpid()}")
    beside.write_bytes(data)
    os.replace(beside, kept)
    return kept


# ---- UF2 ---------------------------------------------------------------------------------------------------------


def families(data: bytes) -> set[str]:
    """The UF2 families of an image, in hex. Raises ImageError for what is no UF2."""
    if not data or len(data) % 512:
        raise ImageError("not a UF2 image: it is not made of blocks of 512 bytes")
    found = set()
    for start in range(0, len(data), 512):
        first, second, flags, _, _, _, _, family = _UF2.unpack_from(data, start)
        if (first, second) != _UF2_MAGIC:
            raise ImageError(f"not a UF2 image: block {start // 512} has the wrong beginning")
        if flags & _HAS_FAMILY and family != _ABSOLUTE:
            found.add(f"{family:08x}")
    return found


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


def _mounts() -> Iterable[Path]:
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        device, place, kind = line.split()[:3]
        if kind in ("vfat", "msdos") and device.startswith("/dev/"):
            yield Path(place.encode().decode("unicode_escape"))


def drives() -> list[Drive]:
    """Every mounted UF2 drive."""
    return [drive for path in _mounts() if (drive := drive_at(path)) is not None]


def copy_to(drive: Drive, image: Image, kind: Kind | None) -> None:
    """Put an image onto a drive, which then restarts as MicroPython. Raises ImageError."""
    wanted = {kind.flash.family} if kind else {entry.flash.family for entry in drive.kinds}
    has = families(image.path.read_bytes())
    if kind is not None and kind.flash.drive != drive.board_id:
        raise ImageError(f"wrong board: the drive at {drive.path} is a {drive.board_id}, not {kind.flash.drive}")
    if wanted and has and not has & wanted:
        raise ImageError(f"wrong image: {image.name} is for family {', '.join(sorted(has))}, not {min(wanted)}")
    target = drive.path / image.path.name
    try:
        with image.path.open("rb") as source, target.open("wb") as out:
            shutil.copyfileobj(source, out)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        # The board restarts as soon as it has the last block: a drive that has gone by then is how it should be.
        if drive_at(drive.path) is not None:
            raise ImageError(f"cannot write to {drive.path}: {error.strerror or error}") from error


def install_on_drive(drive: Drive, image: Image, kind: Kind | None) -> str:
    """Copy, and wait for the serial port that the board then shows. Returns the port."""
    before = {port for port, _, _ in serial_ports()}
    copy_to(drive, image, kind)
    return _new_port(before, f"the board behind {drive.path}")


def _new_port(before: set[str], what: str) -> str:
    end = time.monotonic() + APPEARS
    while time.monotonic() < end:
        for port, usb, _ in serial_ports():
            if port not in before and catalog.by_usb(usb):
                return port
        time.sleep(0.2)
    raise ImageError(
        f"{what} does not come back as a serial port: unplug it, plug it in, and run without --micropython"
    )


# ---- a board at a port -------------------------------------------------------------------------------------------


def check_image(image: Image, kind: Kind) -> None:
    """Raise ImageError for a kind of board that takes no image, or not this one."""
    if kind.flash.method == "none":
        raise ImageError(f"{kind.name} brings its own MicroPython: leave --micropython away")
    data = image.path.read_bytes()
    if kind.flash.method == "esptool":
        if data[:1] != _ESP32_MAGIC:
            raise ImageError(f"wrong image: {image.name} is none for ESP32")
        return
    has = families(data)
    if has and kind.flash.family not in has:
        raise ImageError(f"wrong image: {image.name} is for family {', '.join(sorted(has))}, not {kind.flash.family}")


def kind_at(port: str, machine: str) -> Kind:
    """What is at a port, by what it says of itself, else by its USB id. Raises ImageError if that is not clear."""
    if (found := catalog.by_machine(machine)) is not None:
        return found
    usb = next((usb for name, usb, _ in serial_ports() if name == port), "")
    fitting = catalog.by_usb(usb)
    if len({entry.flash for entry in fitting}) == 1:
        return fitting[0]
    raise ImageError(f"which kind of board is at {port}? Say it with --board")


def install(image: Image, port: str, kind: Kind) -> str:
    """Put MicroPython onto the board at a port; returns where it is afterwards. Raises ImageError or LinkError."""
    check_image(image, kind)
    if kind.flash.method == "esptool":
        _esptool(image, port, kind)
        return port
    _to_boot_loader(port)
    end = time.monotonic() + APPEARS
    while time.monotonic() < end:
        fitting = [drive for drive in drives() if drive.board_id == kind.flash.drive]
        if len(fitting) > 1:
            raise ImageError("several boards show a drive: name one with --drive")
        if fitting:
            return install_on_drive(fitting[0], image, kind)
        time.sleep(0.2)
    raise ImageError(f"no drive {kind.flash.drive} appears: mount it, and name where with --drive")


def _to_boot_loader(port: str) -> None:
    stream = SerialStream(port)
    try:
        Repl(stream).enter()
        stream.write(b"import machine\nmachine.bootloader()\x04")
    finally:
        stream.close()


def _esptool(image: Image, port: str, kind: Kind) -> None:
    try:
        importlib.import_module("esptool")
    except ImportError:
        raise ImageError("ESP32 boards need esptool: pip install 'picofed[esp32]'") from None
    command = [sys.executable, "-m", "esptool", "--chip", kind.flash.chip, "--port", port, "--baud", "460800"]
    # Only the image's own range is erased: the file system behind it, with ledger and keys, stays.
    command += ["write_flash", hex(kind.flash.offset), str(image.path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ImageError(
            f"esptool: {lines[-1] if lines else 'failed'} (hold BOOT while you press reset, and try again)"
        )
