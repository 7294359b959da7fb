"""picofed doctor: what is missing on this machine, and how to get it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.fleet import catalog, esp32
from picofed.fleet.boards import serial_ports
from picofed.toolchain.build import NATMOD_COMPILERS
from picofed.toolchain.cache import cache_dir, is_whole
from picofed.toolchain.command import package_of
from picofed.toolchain.layout import LayoutError, repo_root
from picofed.toolchain.sources import MICROPYTHON_VERSION


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, whether it is there, what was seen or what to do. optional: most do without."""

    name: str
    passed: bool
    detail: str
    needed_for: str
    optional: bool = False


def _program(name: str, package: str, needed_for: str) -> Check:
    path = shutil.which(name)
    return Check(name, path is not None, path or f"install it: sudo apt install {package}", needed_for)


def _extra(name: str, package: str, needed_for: str) -> Check:
    return replace(_program(name, package, needed_for), optional=True)


def _littlefs() -> Check:
    good = importlib.util.find_spec("littlefs") is not None
    detail = "there" if good else "install it: pip install 'picofed[emulation]'"
    return Check("littlefs-python", good, detail, "emulated boards whose flash is an image", optional=True)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Check(
        "python",
        good,
        version if good else f"{version} is too old: picofed needs 3.11 or later",
        "everything",
    )


def _core() -> Check:
    try:
        native = importlib.import_module("picofed.native")
        good = native.crc32(b"123456789") == 0xCBF43926
    except (ImportError, OSError) as error:
        return Check("compiled core", False, f"reinstall picofed (needs gcc): {error}", "everything")
    return Check("compiled core", good, "answers" if good else "computes wrongly: reinstall picofed", "everything")


def _compiler() -> Check:
    found = _program("gcc", "build-essential", "the compiled core, emulated boards")
    if not found.passed:
        return found
    # A compiler without the C library's headers is what a minimal system ends up with.
    command = [found.detail, "-x", "c", "-fsyntax-only", "-"]
    try:
        done = subprocess.run(command, input=b"#include <stdio.h>\n", capture_output=True, timeout=30, check=False)
        good = done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        good = False
    detail = found.detail if good else "does not compile: sudo apt install build-essential"
    return Check(found.name, good, detail, found.needed_for)


def _packages() -> Check:
    wanted = {"elftools": "pyelftools", "ar": "ar"}
    missing = [package for module, package in wanted.items() if importlib.util.find_spec(module) is None]
    detail = f"install {' and '.join(missing)}: pip install 'picofed[build]'" if missing else ", ".join(wanted.values())
    return Check("Python packages", not missing, detail, "emulated boards")


def _pip() -> Check:
    good = importlib.util.find_spec("pip") is not None
    detail = "there" if good else "install it: python3 -m ensurepip, or sudo apt install python3-pip"
    return Check("pip", good, detail, "fetching Monocypher and the watch recordings")


def _checkout() -> Check:
    try:
        return Check("picofed checkout", True, str(repo_root()), "emulated boards")
    except PicofedError as error:
        return Check("picofed checkout", False, str(error), "emulated boards")


def _source() -> Check:
    if explicit := os.environ.get("MICROPY_DIR"):
        good = all((Path(explicit) / part).is_file() for part in ("py/mpconfig.h", "ports/unix/Makefile"))
        detail = explicit if good else f"MICROPY_DIR={explicit} is not a MicroPython checkout: correct or unset it"
        return Check("MicroPython source", good, detail, "emulated boards")
    with contextlib.suppress(OSError):
        if is_whole(kept := cache_dir() / f"micropython-{MICROPYTHON_VERSION}"):
            return Check("MicroPython source", True, str(kept), "emulated boards")
    ways = [name for name in ("git", "apt-get") if shutil.which(name)]
    detail = f"will come by {' or '.join(ways)}" if ways else "install git, or point MICROPY_DIR at a checkout"
    return Check("MicroPython source", bool(ways), detail, "emulated boards")


def _cache() -> Check:
    try:
        folder = cache_dir()
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        detail = f"not writable: {error}: point PICOFED_CACHE at a folder that is"
        return Check("build cache", False, detail, "emulated boards")
    good = free > 1 << 30
    detail = f"{folder}, {free >> 20} MiB free" if good else f"{folder} has {free >> 20} MiB free: make room for 1 GiB"
    return Check("build cache", good, detail, "emulated boards")


def _pty() -> Check:
    try:
        import pty

        for descriptor in pty.openpty():
            os.close(descriptor)
    except OSError as error:
        return Check("pseudo-terminals", False, f"mount devpts: {error.strerror}", "emulated boards")
    return Check("pseudo-terminals", True, "work", "emulated boards")


def _ports() -> Check:
    ports = [port for port, _, _ in serial_ports()]
    closed = [port for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    if closed:
        return Check("serial ports", False, f"no access to {closed[0]}: sudo adduser $USER dialout", "real boards")
    return Check("serial ports", True, ", ".join(ports) or "none plugged in", "real boards")


# Emulator of each backend: what is run, and Debian's package for it.
_EMULATORS = {
    "qemu_m0": ("qemu-system-arm", "qemu-system-arm"),
    "qemu_m3": ("qemu-system-arm", "qemu-system-arm"),
    "qemu_m4f": ("qemu-system-arm", "qemu-system-arm"),
    "qemu_m33": ("qemu-system-arm", "qemu-system-arm"),
    "qemu_rv32": ("qemu-system-riscv32", "qemu-system-misc"),
}


def _by_kind_of_board() -> list[Check]:
    """What only some kinds of boards need: compilers of native modules, emulators, esptool."""
    try:
        kinds = list(catalog.kinds().values())
    except LayoutError:
        return []  # said already
    except PicofedError as error:
        return [Check("kinds of boards", False, str(error), "boards")]
    wanted: dict[tuple[str, str], list[str]] = {}
    for kind in kinds:
        compiler = NATMOD_COMPILERS.get(kind.natmod_arch, "gcc")
        # Without Espressif's, a compiler for Xtensa is fetched when it is needed.
        if compiler not in ("gcc", "xtensa-esp32-elf-gcc"):
            wanted.setdefault((compiler, package_of(compiler)), []).append(kind.name)
        if kind.emulate is not None and kind.emulate.backend in _EMULATORS:
            wanted.setdefault(_EMULATORS[kind.emulate.backend], []).append(kind.name)
    found = []
    for (program, package), names in sorted(wanted.items()):
        found.append(_extra(program, package, ", ".join(dict.fromkeys(names))))
    chips = [kind.name for kind in kinds if kind.flash.method == "esptool"]
    if chips:
        problem = esp32.complaint()
        what = f"MicroPython onto {', '.join(chips)}"
        found.append(Check("esptool", not problem, problem or "there", what, optional=True))
    return found


CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _core,
    _compiler,
    lambda: _program("make", "build-essential", "emulated boards"),
    lambda: _program("ar", "build-essential", "emulated boards"),
    _packages,
    _pip,
    _checkout,
    _source,
    _cache,
    _pty,
    _ports,
    _littlefs,
    lambda: _extra("qemu-xtensa", "qemu-user", "the emulated Xtensa board"),
    lambda: _extra("xtensa-lx106-elf-ld", "binutils-xtensa-lx106", "the emulated Xtensa board"),
    lambda: _extra("cmake", "cmake", "firmware for the Pico"),
    lambda: _extra("ninja", "ninja-build", "firmware for the Pico"),
    lambda: _extra("node", "nodejs", "the emulated Pico"),
    lambda: _extra("npm", "npm", "the emulated Pico"),
)


@click.command(short_help="Say what is missing on this machine.")
@common.json_option
def doctor(as_json: bool) -> None:
    """Check everything that picofed needs here, and say how to get what is missing.

    What only some kinds of boards need is "absent" where it is not there; that is no mistake.

    Example: picofed doctor
    """
    checks = [check() for check in CHECKS] + _by_kind_of_board()
    if as_json:
        common.print_json([vars(check) for check in checks])
    else:
        for check in checks:
            mark = "ok     " if check.passed else "absent " if check.optional else "MISSING"
            click.echo(f"{mark} {check.name}: {check.detail}" + ("" if check.passed else f" (for {check.needed_for})"))
    missing = [check.name for check in checks if not check.passed and not check.optional]
    if missing:
        raise PicofedError(f"missing: {', '.join(missing)}")
