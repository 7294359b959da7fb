"""The compiler for the ESP32's windowed Xtensa: Debian trixie's clang, under the name of Espressif's GCC.

Espressif's own, where it is on the PATH, is preferred. Clang is unpacked into the cache beside its own libc
and never installed; `xtensa_gcc.py` drives it.
"""

import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from picofed.toolchain import debian, xtensa_gcc
from picofed.toolchain.build import (
    compiler_version,
    content_addressed,
    make_environment,
    micropython_digest,
    mpy_cross,
    tree_digest,
)
from picofed.toolchain.cache import entry, log_path
from picofed.toolchain.command import ToolchainError, require, run_logged
from picofed.toolchain.layout import repo_root
from picofed.toolchain.sources import micropython_source

COMPILER = xtensa_gcc.NAME
_CLANG = "1:22.1.8-1~deb13u5"
# Trixie's package -> (version, SHA-256): clang, the libraries that it is linked with, headers of a libc for Xtensa.
_PACKAGES = {
    "clang-22": (_CLANG, "6f6b7f4f6974a2754e6ebf7f8e6286e66cdea062da5e7066adc3a8a44a134f15"),
    "libclang-cpp22": (_CLANG, "2113dcb400bbfebbeb4b2effc2238fde16216383218a7de9f5a0c7763030507b"),
    "libclang-common-22-dev": (_CLANG, "80d285cb01e065ffd5bd077c1194ffe16097a93a18bb3924cdb84ea4ebb998aa"),
    "libllvm22": (_CLANG, "2b299d0615054df8cf0bd9f99b51bad1c4595ee4fa6cda61c060176f90950566"),
    "libc6": ("2.41-12+deb13u5", "b59b0625cd1a791375d40dab23a4d5d3d0641e3d0a773501becdc3725b7f99cf"),
    "libstdc++6": ("14.2.0-19", "ab1fa05837aa7a92aae748fd07a18a35f7d18bb4a71c4724fe2bbf0e32089de0"),
    "libgcc-s1": ("14.2.0-19", "3c71917b490d1a17aed43196a2787a256ecf060526cdb20216a74bedc061b150"),
    "libxml2": (
        "2.12.7+dfsg+really2.9.14-2.1+deb13u3",
        "e0c6b63ce4602a036a526f60fe5e6c1586710688058d98fc1001b9b3147b7efd",
    ),
    "libz3-4": ("4.13.3-1", "71383373523ef62d47eccf660cf6535c3febcbb3f88e54cb7a43124014b57359"),
    "libedit2": ("3.1-20250104-1", "b002ea172b9c1e34a67bc497c523c67bb74c3f0a4e98113cb083990a1f1d3bfe"),
    "libffi8": ("3.4.8-2", "0ebdc340de33333639c3c63874cd4b15ac2e83dfa1ef3053b7eefaf4919f4f68"),
    "libzstd1": ("1.5.7+dfsg-1", "2f6a2aeacfc925eba8b00ac9139bc4bfccf8cacb09eb93de067074b26948eef9"),
    "zlib1g": ("1:1.3.dfsg+really1.3.1-1+deb13u1", "8c27c342230503b73dfde629642c3b352e87b554e06d60cf58772f236a305ceb"),
    "liblzma5": ("5.8.1-1+deb13u2", "b38acab30f295bf1066a6632e31cbd0a1980f2924b38040cda131d5dea5384ec"),
    "libbsd0": ("0.12.2-2", "e5a85986fa6bec3307ab1bc860736b478b331882bc45e17675a7bdf88eecb43a"),
    "libtinfo6": ("6.5+20250216-2", "8b9f6a7983e9418564e48a627518de4c03917b56efe68d7f3e93bd8fffa1cc10"),
    "libmd0": ("1.1.0-2+b1", "7244ec3839b61fac0c1884fe08aaa040f26e8f1f35f1f5d3482eacefd30d1b44"),
    "picolibc-xtensa-lx106-elf": ("1.8.10-2", "34e6b9e3593cd4c8c6875e7f1b12faa10e9b0d93daa87056113185a3b651f5f7"),
}
# The fifth or so of those packages that the compiler needs.
_KEEP = (
    "usr/lib/x86_64-linux-gnu/",
    "usr/lib/llvm-22/bin/clang",
    "usr/lib/llvm-22/lib/libclang-cpp.so",
    "usr/lib/llvm-22/lib/clang/22/include/",
    "usr/lib/xtensa-lx106-elf/include/",
)
_DROP = ("/gconv/", "/cmake/")


def compiler() -> Path | None:
    """Folder to put first on PATH so that COMPILER is found there; None where Espressif's own is on the PATH.

    Raises ToolchainError.
    """
    if shutil.which(COMPILER) is not None:
        return None
    return front() / "bin"


def front() -> Path:
    """Folder with bin/COMPILER, which drives Debian's clang, and lib/libgcc.a; made where it is not cached."""
    clang, archiver = _clang(), require("ar")
    source = Path(xtensa_gcc.__file__)
    own = repo_root() / "boards" / "xtensa" / "compiler"
    if not (own / "runtime.c").is_file():
        raise ToolchainError(f"{own} is missing: this checkout is not whole")

    def inputs() -> list[str]:
        return [clang.name, source.read_text(), tree_digest([own])]

    what = "building the compiler for Xtensa"

    def make(folder: Path, log: Path) -> None:
        for part in ("bin", "lib"):
            (folder / part).mkdir()
        (folder / "root").symlink_to(clang)
        shutil.copytree(own / "include", folder / "include")
        program = folder / "bin" / COMPILER
        shutil.copyfile(source, program)
        program.chmod(0o755)
        objects = []
        for name, more in (("runtime", []), ("runtime_float", ["-Xclang", "-target-feature", "-Xclang", "+fp"])):
            objects.append(str(folder / "lib" / f"{name}.o"))
            options = ["-std=c99", "-Os", *more]
            run_logged([str(program), *options, "-c", "-o", objects[-1], str(own / f"{name}.c")], log, what)
        run_logged([archiver, "rcD", str(folder / "lib" / "libgcc.a"), *objects], log, what)
        for path in objects:
            Path(path).unlink()

    return content_addressed(what, "xtensa-gcc", inputs, make)


def board() -> Path:
    """MicroPython as a board for windowed Xtensa, boards/xtensa: a program for qemu-xtensa."""
    port = repo_root() / "boards" / "xtensa" / "port"
    what = "building the Xtensa board"
    source, cross, make, linker = micropython_source(), mpy_cross(), require("make"), require("xtensa-lx106-elf-ld")
    # Always clang's: Espressif's own may be set up for a libc and a processor that this program is not for.
    tools = front() / "bin"

    def inputs() -> list[str]:
        own = tree_digest([port, port.parents[1] / "common"])
        return [micropython_digest(source), tools.parent.name, compiler_version(linker), own]

    def build(folder: Path, log: Path) -> None:
        argv = [make, "-j2", "-C", str(port), f"BUILD={folder}/build", f"MPY_DIR={source}", f"PYTHON={sys.executable}"]
        path = os.pathsep.join([str(tools), os.environ.get("PATH", os.defpath)])
        environment = {**make_environment(), "PATH": path, "MICROPY_MPYCROSS": str(cross)}
        run_logged([*argv, f"MICROPY_MPYCROSS={cross}"], log, what, env=environment)
        (folder / "build" / "micropython").rename(folder / "micropython")
        shutil.rmtree(folder / "build")

    return content_addressed(what, "xtensa-board", inputs, build) / "micropython"


def _clang() -> Path:
    if platform.machine() != "x86_64":
        raise ToolchainError(
            f"clang for Xtensa is only known for x86-64, not {platform.machine()}: put Espressif's {COMPILER} on PATH"
        )
    return entry(f"xtensa-clang-{_CLANG.partition(':')[2]}", _make_clang)


def _make_clang(folder: Path) -> None:
    log = log_path("xtensa-clang")
    archives = folder / "archives"
    archives.mkdir()
    debian.fetch_packages("trixie", _PACKAGES, archives, log)
    for package in _PACKAGES:
        _unpack(archives / f"{package}.deb", folder)
    shutil.rmtree(archives)


def _wanted(members: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in members:
        member.name = member.name.removeprefix("./")
        if member.name.startswith(_KEEP) and not any(part in member.name for part in _DROP):
            yield member


def _unpack(package: Path, into: Path) -> None:
    with subprocess.Popen([require("dpkg-deb"), "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
            # As in sources.py: the contents were checked by hash, and Python 3.11.2 has no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in _wanted(archive):
                archive.extract(member, into)
        unpacking.stdout.read()
    if unpacking.returncode != 0:
        raise ToolchainError(f"{package.name} could not be unpacked")
