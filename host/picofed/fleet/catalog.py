"""The kinds of boards that picofed knows: one folder of boards/ each, its board.toml read strictly.

    from picofed.fleet import catalog
    catalog.kind("rpi_pico").natmod_arch     # "armv6m"
    catalog.by_usb("2e8a:0005")              # every kind that may be behind this USB id

The schema, with the meaning of every field, is docs/boards.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_type_hints

from picofed.errors import PicofedError
from picofed.toolchain.layout import boards_root
from picofed.toolchain.products import ARCHITECTURES

FILE: Final = "board.toml"
METHODS: Final = ("uf2", "esptool", "none")
# esptool's names, and the numbers in the heads of their images.
CHIPS: Final = {
    **{"esp32": 0, "esp32s2": 2, "esp32s3": 9, "esp32c2": 12, "esp32c3": 5, "esp32c5": 23, "esp32c6": 13},
    **{"esp32h2": 16, "esp32p4": 18},
}
# Of MicroPython's tree, those with native modules and a REPL on a serial line; xtensa is boards/xtensa's.
PORTS: Final = ("esp32", "mimxrt", "nrf", "qemu", "renesas-ra", "rp2", "samd", "stm32", "unix", "xtensa", "zephyr")
_USB: Final = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_FAMILY: Final = re.compile(r"[0-9a-f]{8}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")

Table = TypeVar("Table")


class CatalogError(PicofedError):
    """A board.toml that is not as docs/boards.md says, or a kind of board that there is not."""


@dataclass(frozen=True)
class MicroPython:
    """Port and board name in MicroPython's tree; machine: how what the board says of itself begins."""

    port: str
    board: str = ""
    machine: str = ""


@dataclass(frozen=True)
class Memory:
    """Bytes. heap: MicroPython's; firmware_heap: what of it picofed's firmware takes, the native module included;
    job_heap: what a job may take, which is less than the rest, as the rest is in pieces; 0: not measured; frozen: of
    flash, for an image of frozen weights (SPEC 12); 0: they take heap."""

    flash: int
    ram: int
    heap: int
    firmware_heap: int
    job_heap: int = 0
    word: int = 4
    frozen: int = 0

    @property
    def for_jobs(self) -> int:
        """What a job may take; a quarter of the rest where that was not measured."""
        return self.job_heap or (self.heap - self.firmware_heap) // 4


@dataclass(frozen=True)
class Usb:
    """vid:pid in lower-case hex."""

    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flash:
    """How MicroPython gets onto the board. uf2: drive is the Board-ID in INFO_UF2.TXT, family the UF2 family in hex;
    esptool: chip, and the offset of the image."""

    method: str = "none"
    drive: str = ""
    family: str = ""
    chip: str = ""
    offset: int = 0

    @property
    def same_chip(self) -> tuple[str, str]:
        """Equal for kinds that differ in what is beside the chip."""
        return self.drive, self.chip


@dataclass(frozen=True)
class Emulate:
    """backend: the emulated kind that stands for this one: itself, or what comes closest to a real board."""

    backend: str


@dataclass(frozen=True)
class Profile:
    """A simulation's idea of this kind's speed and power. cycles_per_example: of every model; 0: by its products; watts
    0: not known, what picofed.simulation.profile says."""

    clock_hz: int
    link_bytes_per_second: int
    cycles_per_example: int = 0
    cycles_per_noise_sample: int = 0
    active_watts: float = 0.0


@dataclass(frozen=True)
class Kind:
    """One kind of board."""

    name: str
    folder: Path
    title: str
    emulated: bool
    natmod_arch: str
    micropython: MicroPython
    memory: Memory
    usb: Usb = field(default_factory=Usb)
    flash: Flash = field(default_factory=Flash)
    emulate: Emulate | None = None
    profile: Profile | None = None
    quirks: tuple[str, ...] = ()


def _words(kind: Any) -> str:
    if kind in (tuple[str, ...], list):
        return "a list of texts"
    return {str: "a text", int: "a whole number, not negative", bool: "true or false"}.get(kind, "a table")


def _take(cls: type[Table], item: object, where: str, **given: Any) -> Table:
    """An instance of a dataclass from a TOML table that has its fields and no others."""
    if not isinstance(item, Mapping):
        raise CatalogError(f"{where} is not a table")
    hints = get_type_hints(cls)
    known = {entry.name: entry for entry in fields(cls) if entry.name not in given}  # type: ignore[arg-type]
    for key in item:
        if key not in known:
            raise CatalogError(f"{where}: unknown field {key!r}: docs/boards.md has all there are")
    values = dict(given)
    for name, entry in known.items():
        if name not in item:
            if entry.default is MISSING and entry.default_factory is MISSING:
                raise CatalogError(f"{where}: {name} is missing")
            continue
        values[name] = _value(hints[name], item[name], f"{where}: {name}")
    return cls(**values)


def _value(kind: Any, value: object, where: str) -> Any:
    nested = [part for part in get_args(kind) if part is not type(None)] if kind is not tuple[str, ...] else []
    inner = nested[0] if nested else kind
    if isinstance(inner, type) and hasattr(inner, "__dataclass_fields__"):
        return _take(inner, value, where)
    if kind == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            return tuple(value)
    elif type(value) is kind and not (kind is int and isinstance(value, int) and value < 0):
        return value
    raise CatalogError(f"{where} is {value!r}: it should be {_words(kind)}")


def load(folder: Path) -> Kind:
    """The kind that a folder of boards/ describes. Raises CatalogError."""
    path = folder / FILE
    where = f"{folder.name}/{FILE}"
    try:
        item = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CatalogError(f"cannot read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{where} is not TOML: {error}") from error
    if not _NAME.fullmatch(folder.name):
        raise CatalogError(f"{folder} is no name for a kind of board: lower-case letters, digits and _")
    made = _take(Kind, item, where, name=folder.name, folder=folder)
    _check(made, where)
    return made


def _check(kind: Kind, where: str) -> None:
    def refuse(wrong: bool, text: str) -> None:
        if wrong:
            raise CatalogError(f"{where}: {text}")

    def one_of(what: str, value: str, known: tuple[str, ...]) -> None:
        refuse(value not in known, f"{what} {value!r}: one of {', '.join(known)}")

    memory, flash = kind.memory, kind.flash
    refuse(not kind.title.strip() or not kind.title.isprintable(), "title is not a line of text")
    one_of("natmod_arch", kind.natmod_arch, ARCHITECTURES)
    one_of("micropython: port", kind.micropython.port, PORTS)
    refuse(kind.emulated and kind.emulate is None, "an emulated board has a table [emulate]")
    for usb in kind.usb.ids:
        refuse(not _USB.fullmatch(usb), f"USB id {usb!r} is not vid:pid in lower-case hex")
    one_of("flash method", flash.method, METHODS)
    refuse(kind.emulated and flash.method != "none", "an emulated board has no flash method: its emulator brings it")
    uf2 = bool(flash.drive and flash.family)
    refuse((flash.method == "uf2") != uf2, "flash: drive and family go with method uf2, and only with it")
    refuse(bool(flash.family) and not _FAMILY.fullmatch(flash.family), "flash: family is not eight hex digits")
    refuse((flash.method == "esptool") != bool(flash.chip), "flash: chip goes with method esptool, and only with it")
    if flash.chip:
        one_of("flash: chip", flash.chip, tuple(CHIPS))
    refuse(flash.offset != 0 and flash.method != "esptool", "flash: offset goes with method esptool only")
    refuse(memory.word not in (4, 8), "memory: word is 4 or 8")
    refuse(memory.frozen > memory.flash, "memory: frozen <= flash")
    refuse(not 0 < memory.firmware_heap < memory.heap <= memory.ram, "memory: firmware_heap < heap <= ram")
    refuse(memory.job_heap > memory.heap - memory.firmware_heap, "memory: job_heap <= heap - firmware_heap")
    refuse(kind.profile is not None and not kind.profile.clock_hz, "profile: clock_hz is not 0")


@cache
def load_all(root: Path) -> Mapping[str, Kind]:
    """Every kind that has a folder in `root`, by name. Raises CatalogError for the first that is wrong."""
    folders = sorted(path for path in root.iterdir() if (path / FILE).is_file())
    found = {folder.name: load(folder) for folder in folders}
    emulated = [each.name for each in found.values() if each.emulated]
    for each in found.values():
        known = [each.name] if each.emulated else emulated
        if each.emulate is not None and each.emulate.backend not in known:
            raise CatalogError(
                f"{each.name}/{FILE}: emulate: backend {each.emulate.backend!r}: one of {', '.join(known)}"
            )
    return found


def kinds() -> Mapping[str, Kind]:
    """Every kind, by name. Raises CatalogError for the first that is wrong."""
    return load_all(boards_root())


def kind(name: str) -> Kind:
    """The kind of this name. Raises CatalogError, naming those there are."""
    found = kinds().get(name)
    if found is None:
        raise CatalogError(f"there is no board {name!r}: choose one of {', '.join(kinds())}")
    return found


def by_usb(usb: str) -> list[Kind]:
    """Real kinds that may be behind a USB id. Several share one where the id is a serial adapter's or a port's."""
    return [entry for entry in kinds().values() if usb in entry.usb.ids]


def by_drive(board_id: str) -> list[Kind]:
    """Kinds whose boot loader shows a UF2 drive with this Board-ID."""
    return [entry for entry in kinds().values() if entry.flash.drive and entry.flash.drive == board_id]


def may_be_one_chip(first: str, second: str) -> bool:
    """Whether a board that was of one kind may be of the other now, by another MicroPython alone. Either may be an
    architecture: of a board that no folder describes."""
    one, other = kinds().get(first), kinds().get(second)
    if one is None or other is None:
        archs = [found.natmod_arch if found else name for found, name in ((one, first), (other, second))]
        return archs[0] == archs[1] or not all(arch in ARCHITECTURES for arch in archs)
    return one == other or (one.flash.method != "none" and one.flash.same_chip == other.flash.same_chip)


def by_machine(machine: str) -> Kind | None:
    """The kind that says this of itself over the REPL; the longest match counts."""
    fitting = [entry for entry in kinds().values() if entry.micropython.machine]
    fitting = [entry for entry in fitting if machine.startswith(entry.micropython.machine)]
    return max(fitting, key=lambda entry: len(entry.micropython.machine), default=None)
