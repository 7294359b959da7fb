"""MicroPython for the Raspberry Pi Pico, built from Debian packages, and the boot ROM for its emulator.

from picofed.toolchain import rp2
rp2.rp2_firmware() / "firmware.uf2"           # with picofed in it
rp2.rp2_firmware("plain") / "firmware.uf2"    # MicroPython alone: picofed comes as files and as a native module
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from picofed.toolchain import build, debian, uf2
from picofed.toolchain.cache import cache_dir, entry, log_path
from picofed.toolchain.command import ToolchainError, require, run_logged
from picofed.toolchain.layout import repo_root
from picofed.toolchain.sources import micropython_source, monocypher_source

FLAVOURS: Final = ("picofed", "plain")

# Folder in boards/ -> upstream's name of the board.
_BOARDS: Final = {"rpi_pico": "RPI_PICO"}

_SUITE: Final = "trixie"
_SDK_DEB: Final = "pico-sdk-source_2.1.1-1_all.deb"
_TINYUSB_DEB: Final = "tinyusb-source_0.18.0+dfsg-1_all.deb"
_MBEDTLS_TAR: Final = "mbedtls_3.6.6.orig.tar.bz2"
# package, version, is it a source package, file, SHA-256
_PACKAGES: Final = (
    ("pico-sdk-source", "2.1.1-1", False, _SDK_DEB, "507a3ca37636641bc90239d7c04dc9dc28c5008087a8162102ea94d2273153d3"),
    (
        "tinyusb-source",
        "0.18.0+dfsg-1",
        False,
        _TINYUSB_DEB,
        "01ce2c645df68f14a8a7dcfc8fb355713152543757955820479a87949a61154e",
    ),
    (
        "mbedtls",
        "3.6.6-0.1~deb13u1",
        True,
        _MBEDTLS_TAR,
        "8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a",
    ),
)
_PACKAGES_ENTRY: Final = "rp2-packages-2.1.1"

# What a build for rp2 reads of MicroPython's tree.
_PARTS: Final = ("py", "shared", "extmod", "drivers", "tools", "mpy-cross/mpy_cross", "ports/rp2")
_LIBRARIES: Final = ("littlefs", "oofatfs", "libm", "libm_dbl", "uzlib", "re1.5", "crypto-algorithms", "mbedtls_errors")

# The boot ROM's tables hold 16-bit addresses below 16 kB; libgcc brings the floats.
_ROM_FLAGS: Final = (
    "-mcpu=cortex-m0plus",
    "-mthumb",
    "-Os",
    "-std=c99",
    "-ffreestanding",
    "-fno-tree-loop-distribute-patterns",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-nostdlib",
    "-Wl,--build-id=none",
    "-Wl,--no-warn-rwx-segments",
)
ROM_BYTES: Final = 16384


def _packages() -> Path:
    """Folder with the three packages, as downloaded (9 MB): both flavours are built from it."""

    def fetch(folder: Path) -> None:
        log = log_path(_PACKAGES_ENTRY)
        for package, version, source, file, sha256 in _PACKAGES:
            debian.fetch(_SUITE, package, version, {file: sha256}, folder, log, source=source)

    return entry(_PACKAGES_ENTRY, fetch)


def _unpack(packages: Path, into: Path, log: Path) -> dict[str, Path]:
    """Name below MicroPython's lib/ -> folder."""
    extract = require("dpkg-deb")
    for file in (_SDK_DEB, _TINYUSB_DEB):
        run_logged([extract, "--extract", str(packages / file), str(into)], log, f"unpacking {file}")
    with tarfile.open(packages / _MBEDTLS_TAR) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(into)
    return {
        "pico-sdk": into / "usr" / "src" / "pico-sdk",
        "tinyusb": into / "usr" / "src" / "tinyusb",
        "mbedtls": into / "mbedtls-3.6.6",
    }


def _tree(source: Path, work: Path, log: Path) -> Path:
    """A copy of what the build needs of `source`, with the three libraries in place. A checkout that has one of them
    already (MICROPY_DIR with its submodules) keeps its own."""
    tree = work / "tree"
    for part in (*_PARTS, *(f"lib/{name}" for name in _LIBRARIES)):
        shutil.copytree(source / part, tree / part, ignore=shutil.ignore_patterns("build*", "__pycache__"))
    # Upstream's rules look for this file before they freeze any module, used or not.
    (tree / "lib" / "micropython-lib").mkdir()
    (tree / "lib" / "micropython-lib" / "README.md").touch()
    own = {name: source / "lib" / name for name in ("pico-sdk", "tinyusb", "mbedtls")}
    if not all(folder.is_dir() and any(folder.iterdir()) for folder in own.values()):
        own = _unpack(_packages(), work / "unpacked", log)
    for name, folder in own.items():
        (tree / "lib" / name).symlink_to(folder)
    return tree


def rp2_firmware(flavour: str = "picofed", board: str = "rpi_pico") -> Path:
    """Folder with firmware.uf2 and firmware.bin for a board of the RP2040.

    flavour: "picofed" for MicroPython with the firmware frozen in and the core compiled in, its file system leaving
    16 kB of flash to ledger and seed store, and 128 kB to frozen weights; "plain" for MicroPython alone, as upstream
    makes it but for the modules that it freezes. Takes a minute and a half the first time. Raises ToolchainError.
    """
    if flavour not in FLAVOURS or board not in _BOARDS:
        raise ToolchainError(f"no firmware {flavour!r} for {board!r}: choose {' or '.join(FLAVOURS)} for rpi_pico")
    compiler, cmake, ninja = require("arm-none-eabi-gcc"), require("cmake"), require("ninja")
    source, monocypher, cross = micropython_source(), monocypher_source(), build.mpy_cross()
    root = repo_root()
    folder_of_board, native = root / "boards" / board, root / "native"
    what = f"building MicroPython for {board} ({flavour})"
    digest = build.picofed_digest()

    def inputs() -> list[str]:
        known = [build.micropython_digest(source), build.compiler_version(compiler), board, flavour]
        known += [value for package in _PACKAGES for value in (package[1], package[4])]
        own = ["manifest.py", "after_project.cmake"] + (["frozen/_boot.py"] if flavour == "picofed" else [])
        known += [(folder_of_board / name).read_text() for name in own]
        if flavour == "picofed":
            parts = [native / part for part in ("include", "src", "bindings")]
            known += [digest, monocypher.name, build.tree_digest([*parts, root / "firmware" / "picofed"])]
            known += [(native / "micropython.cmake").read_text(), (root / "firmware" / "manifest.py").read_text()]
        return known

    def make(folder: Path, log: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".rp2-", dir=cache_dir()) as name:
            work = Path(name)
            tree = _tree(source, work, log)
            argv = [cmake, "-G", "Ninja", "-S", str(tree / "ports" / "rp2"), "-B", str(work / "build")]
            argv += [f"-DMICROPY_BOARD={_BOARDS[board]}", "-DPICO_NO_PICOTOOL=1"]
            argv += [f"-DMICROPY_FROZEN_MANIFEST={folder_of_board / 'manifest.py'}"]
            argv += [f"-DCMAKE_PROJECT_firmware_INCLUDE={folder_of_board / 'after_project.cmake'}"]
            argv += [f"-DCMAKE_MAKE_PROGRAM={ninja}"]
            if flavour == "picofed":
                argv += [f"-DUSER_C_MODULES={native / 'micropython.cmake'}", f"-DMONOCYPHER_DIR={monocypher}"]
            environment = {
                **build.make_environment(),
                "MICROPY_MPYCROSS": str(cross),
                "PICOFED_FROZEN": str(int(flavour == "picofed")),
                "PICOFED_GENERATED": str(work),
                "PICO_SDK_PATH": "",
            }
            (work / f"{build.FROZEN_DIGEST}.py").write_text(f"DIGEST = {digest!r}\n")
            run_logged(argv, log, what, env=environment)
            run_logged([ninja, "-C", str(work / "build"), "-j2"], log, what, env=environment)
            image = (work / "build" / "firmware.bin").read_bytes()
        (folder / "firmware.bin").write_bytes(image)
        (folder / "firmware.uf2").write_bytes(uf2.from_binary(image))

    return build.content_addressed(what, f"rp2-{flavour}", inputs, make)


def boot_rom() -> Path:
    """Our stand-in for the RP2040's boot ROM (boards/rp2040js/bootrom): a file of at most 16 kB."""
    compiler, copy = require("arm-none-eabi-gcc"), require("arm-none-eabi-objcopy")
    source = repo_root() / "boards" / "rp2040js" / "bootrom"

    def inputs() -> list[str]:
        return [build.compiler_version(compiler), *_ROM_FLAGS, build.tree_digest([source])]

    def make(folder: Path, log: Path) -> None:
        program, image = folder / "rom.elf", folder / "rom.bin"
        files = [str(source / name) for name in ("tables.S", "memory.S", "bits.c", "floats.c")]
        argv = [compiler, *_ROM_FLAGS, f"-Wl,-T,{source / 'rom.ld'}", *files, "-lgcc", "-o", str(program)]
        run_logged(argv, log, "building the boot ROM")
        run_logged([copy, "-O", "binary", str(program), str(image)], log, "building the boot ROM")
        program.unlink()
        if image.stat().st_size > ROM_BYTES:
            raise ToolchainError(f"the boot ROM has {image.stat().st_size} bytes, more than {ROM_BYTES}")

    return build.content_addressed("building the boot ROM", "rp2040-rom", inputs, make) / "rom.bin"
