"""What `picofed build` makes: the native module for many architectures, a whole firmware for a board."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from picofed.errors import PicofedError
from picofed.toolchain import build
from picofed.toolchain.command import ToolchainError
from picofed.toolchain.rp2 import rp2_firmware

# Every architecture of boards/; MicroPython knows more.
ARCHITECTURES: Final = ("x64", "armv6m", "armv7m", "armv7emsp", "rv32imc", "xtensawin")


@dataclass(frozen=True)
class Failure:
    """What could not be built, and why, in one line that says how to get what is missing."""

    what: str
    why: str


def natmods(architectures: Iterable[str]) -> tuple[dict[str, Path], list[Failure]]:
    """Build picofed_core.mpy for each architecture; one that fails does not keep the others from being built."""
    built: dict[str, Path] = {}
    failures: list[Failure] = []
    for arch in architectures:
        try:
            built[arch] = build.natmod(arch)
        except PicofedError as error:
            failures.append(Failure(arch, str(error)))
    return built, failures


def whole_firmware(name: str) -> Path:
    """MicroPython with picofed in it, in the build cache, for a kind of board. Raises ToolchainError where none is
    built.
    """
    if name not in _WHOLE:
        raise ToolchainError(
            f"no whole firmware is built for {name}: put MicroPython's own on it, picofed goes onto its file system"
        )
    return _WHOLE[name](name)


def firmware(name: str, folder: Path) -> Path:
    """A copy of it in `folder`. Raises ToolchainError where none is built."""
    made = whole_firmware(name)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}{made.suffix}"
    shutil.copyfile(made, target)
    return target


def _rp2(name: str) -> Path:
    return rp2_firmware("picofed", name) / "firmware.uf2"


# How the firmware file of a kind of board is built.
_WHOLE: dict[str, Callable[[str], Path]] = {"rpi_pico": _rp2}
