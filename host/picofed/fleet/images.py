"""MicroPython images: our own build, a file, or a URL with the SHA-256 that its bytes must have."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from picofed.errors import PicofedError
from picofed.fleet.catalog import CHIPS, Kind
from picofed.fleet.probe import Probe
from picofed.toolchain.build import FROZEN_DIGEST
from picofed.toolchain.cache import cache_dir

_LIMIT: Final = 64 << 20
_UF2: Final = struct.Struct("<IIIIIIII")
_UF2_MAGIC: Final = (0x0A324655, 0x9E5D5157)
_HAS_FAMILY: Final = 0x2000
_ABSOLUTE: Final = 0xE48BFF57  # RP2350 images may begin with a block of this family, an errata workaround
_ESP32_MAGIC: Final = b"\xe9"
_ESP32_CHIP: Final = slice(12, 14)  # of the image's head
_TABLE: Final = b"\xaa\x50"  # a partition table begins so, at the beginning of a sector
_SECTOR: Final = 4096
_TABLE_END: Final = 0x20000


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


def check_image(image: Image, kind: Kind) -> None:
    """Raise ImageError for a kind of board that takes no image, or not this one."""
    if kind.flash.method == "none":
        raise ImageError(f"{kind.name} brings its own MicroPython: leave --micropython away")
    data = image.path.read_bytes()
    if kind.flash.method == "esptool":
        _check_esp32(data, image.name, kind.flash.chip)
        return
    has = families(data)
    if has and kind.flash.family not in has:
        raise ImageError(f"wrong image: {image.name} is for family {', '.join(sorted(has))}, not {kind.flash.family}")


def _check_esp32(data: bytes, name: str, chip: str) -> None:
    number = int.from_bytes(data[_ESP32_CHIP], "little")
    if data[:1] != _ESP32_MAGIC or len(data) < _SECTOR:
        raise ImageError(f"wrong image: {name} is none for ESP32")
    if number != CHIPS[chip]:
        known = {value: key for key, value in CHIPS.items()}
        raise ImageError(f"wrong image: {name} is for {known.get(number, f'chip {number}')}, not {chip}")
    if not any(data[at : at + 2] == _TABLE for at in range(_SECTOR, min(_TABLE_END, len(data)), _SECTOR)):
        raise ImageError(f"wrong image: {name} is no whole firmware: take the .bin that has its boot loader in it")


def _content(data: bytes) -> bytes:
    """What gets into the flash; UF2 blocks without their heads, in their order."""
    if len(data) % 512 or data[:8] != struct.pack("<II", *_UF2_MAGIC):
        return data
    return b"".join(
        data[start + 32 : start + 32 + min(476, _UF2.unpack_from(data, start)[4])] for start in range(0, len(data), 512)
    )


def runs(image: Image, found: Probe) -> bool:
    """Whether a board has this image: its MicroPython's version and board, and what picofed in it was made of, stand in
    the image; and there is no picofed in the image where there is none in the board's.
    """
    held = _content(image.path.read_bytes())
    if not all(mark and mark.encode() in held for mark in (found.banner, found.machine)):
        return False
    if found.frozen:
        return bool(found.sources) and found.sources.encode() in held
    return FROZEN_DIGEST.encode() not in held
