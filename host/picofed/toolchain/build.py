"""Builds, addressed by content: the same inputs (sources, flags, compiler) give the same entry and no work.

from picofed.toolchain import build
build.unix_board()       # .../micropython, the emulated board's program
build.natmod("x64")      # .../picofed_core.mpy, the native core for it
"""

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from picofed.toolchain.cache import cache_dir, entry, log_path
from picofed.toolchain.command import ToolchainError, output_of, require, run_logged
from picofed.toolchain.layout import LayoutError, packaged, repo_root
from picofed.toolchain.sources import (
    MICROPYTHON_COMMIT,
    MICROPYTHON_VERSION,
    micropython_source,
    monocypher_source,
)

_JOBS = "-j2"
MODULE = "picofed_core"
SOURCES = "sources"  # file of an installed package, with the digest of what its firmware was made of
FROZEN_DIGEST = "picofed_sources"  # module of a whole firmware, whose DIGEST says what that was made of

# natmod architecture -> compiler that MicroPython's dynruntime.mk calls for it.
NATMOD_COMPILERS = {
    "x64": "gcc",
    "x86": "gcc",
    "armv6m": "arm-none-eabi-gcc",
    "armv7m": "arm-none-eabi-gcc",
    "armv7emsp": "arm-none-eabi-gcc",
    "armv7emdp": "arm-none-eabi-gcc",
    "xtensawin": "xtensa-esp32-elf-gcc",
    "rv32imc": "riscv64-unknown-elf-gcc",
}

# MicroPython's sources that a build depends on; only looked at where MICROPY_DIR names a tree that may
# change.
_SOURCE_PARTS = ("py", "shared", "extmod", "lib", "mpy-cross", "tools", "ports/unix", "ports/rp2")
_SOURCE_ENDINGS = (".c", ".h", ".S", ".py", ".mk", ".ld", "Makefile")


def make_environment() -> dict[str, str]:
    """What every build with MicroPython's makefiles needs, so that the same sources give the same bytes."""
    # Upstream writes the version of whatever git repository it finds itself in, and the time, into every
    # build.
    return {
        "MICROPY_GIT_TAG": f"v{MICROPYTHON_VERSION}",
        "MICROPY_GIT_HASH": MICROPYTHON_COMMIT[:10],
        "SOURCE_DATE_EPOCH": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MAKEFLAGS": "",
    }


def tree_digest(folders: Iterable[Path], endings: tuple[str, ...] = ("",)) -> str:
    """SHA-256 over names and contents of all files below `folders` whose name ends with one of `endings`."""
    digest = hashlib.sha256()
    for folder in folders:
        for base, subfolders, names in os.walk(folder):
            subfolders[:] = sorted(
                name for name in subfolders if name != "__pycache__" and not name.startswith("build")
            )
            for name in sorted(names):
                path = Path(base, name)
                if name.endswith(endings) and path.is_file():
                    data = path.read_bytes()
                    digest.update(f"{path.relative_to(folder)}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


@cache
def micropython_digest(source: Path) -> str:
    """What stands for MicroPython's sources among a build's inputs."""
    if source.parent == cache_dir():
        return source.name
    return tree_digest([source / part for part in _SOURCE_PARTS], _SOURCE_ENDINGS)


@cache
def compiler_version(compiler: str) -> str:
    """What stands for a compiler among a build's inputs."""
    return output_of([compiler, "--version"]).partition("\n")[0]


def content_addressed(
    what: str, name: str, inputs: Callable[[], Sequence[str]], make: Callable[[Path, Path], None]
) -> Path:
    """Folder with what `make(folder, log)` put there, cached under `name` and a hash of `inputs`.

    inputs: asked before and after, as somebody may be editing.
    what: for people, in the one-line error. The log of a build is kept whether it succeeds or fails.
    """
    before = inputs()
    key = hashlib.sha256("\0".join(before).encode()).hexdigest()[:16]
    log = log_path(f"{name}-{key}")

    def fill(folder: Path) -> None:
        log.unlink(missing_ok=True)
        try:
            make(folder, log)
        except OSError as error:
            raise ToolchainError(f"{what}: {error.strerror}: {error.filename}; see {log}") from error
        if inputs() != before:
            raise ToolchainError(f"{what}: the sources changed meanwhile; run it again")

    return entry(f"{name}-{key}", fill)


def _upstream(what: str, name: str, target: str, program: str, flags: Sequence[str], own: Sequence[Path]) -> Path:
    """Build `program` with the makefile in folder `target` of MicroPython's tree, outside of that tree.

    own: our folders that go into it.
    """
    source, make = micropython_source(), require("make")

    def build(folder: Path, log: Path) -> None:
        argv = [make, _JOBS, "-C", str(source / target), f"BUILD={folder}/build", f"PYTHON={sys.executable}"]
        run_logged([*argv, *flags], log, what, env=make_environment())
        (folder / "build" / program).rename(folder / program)
        shutil.rmtree(folder / "build")

    def known() -> list[str]:
        # Not the checkout's place: another clone of the same sources finds this build.
        switches = [flag.replace(str(repo_root()), "") for flag in flags]
        return [micropython_digest(source), compiler_version(require("gcc")), *switches, tree_digest(own)]

    return content_addressed(what, name, known, build) / program


def mpy_cross() -> Path:
    """MicroPython's cross-compiler (Python to .mpy) as a program for this machine."""
    return _upstream("building mpy-cross", "mpy-cross", "mpy-cross", "mpy-cross", (), ())


def firmware_bytecode() -> Path:
    """Folder with the firmware package as .mpy files, one for each module: a board that loads these need not compile,
    which takes seconds on a slow one and leaves its heap in pieces. They run on every architecture. Without a checkout
    they are those that the installed package brings. Raises ToolchainError.
    """
    if (ready := _packaged_bytecode()) is not None:
        return ready
    cross, package = mpy_cross(), repo_root() / "firmware" / "picofed"
    what = "compiling the firmware"
    # What tracebacks call a file is one more name that a board keeps: the module's own is there already.
    name = "picofed.{}"

    def compile_all(folder: Path, log: Path) -> None:
        for source in sorted(package.glob("*.py")):
            target = folder / f"{source.stem}.mpy"
            run_logged([str(cross), "-s", name.format(source.stem), "-o", str(target), str(source)], log, what)

    return content_addressed(what, "firmware", lambda: [cross.parent.name, name, tree_digest([package])], compile_all)


def unix_board() -> Path:
    """The emulated board's program: MicroPython's unix port with boards/unix compiled in."""
    board = repo_root() / "boards" / "unix"
    flags = (f"VARIANT_DIR={board}/variant", "VARIANT=picofed", f"USER_C_MODULES={board}")
    own = (board / "variant", board / "boardserve", board.parent / "common")
    return _upstream("building the unix board", "unix-board", "ports/unix", "micropython", flags, own)


def _packaged_natmod(arch: str) -> Path | None:
    try:
        repo_root()
    except LayoutError as error:
        found = next(packaged().glob(f"natmods/{arch}_*/{MODULE}.mpy"), None)
        if found is None:
            raise ToolchainError(f"this picofed was installed without the native module for {arch}; {error}") from error
        return found
    return None


def _packaged_bytecode() -> Path | None:
    try:
        repo_root()
    except LayoutError as error:
        folder = packaged() / "bytecode"
        if not folder.is_dir():
            raise ToolchainError(f"this picofed was installed without the compiled firmware; {error}") from error
        return folder
    return None


def sources_digest(root: Path) -> str:
    """Identifies the sources of native modules and firmware: a package brings none that were built from others."""
    parts = [root / "native" / part for part in ("include", "src", "bindings")] + [root / "firmware" / "picofed"]
    return hashlib.sha256((tree_digest(parts) + (root / "native" / "natmod.mk").read_text()).encode()).hexdigest()


def picofed_digest() -> str:
    """sources_digest of this picofed; "" where the installed package brings no firmware."""
    try:
        return sources_digest(repo_root())
    except LayoutError:
        file = packaged() / SOURCES
        return file.read_text() if file.is_file() else ""


def natmod(arch: str = "x64", tools: Path | None = None) -> Path:
    """The native core, native/natmod.mk, as picofed_core.mpy for `arch` (see NATMOD_COMPILERS).

    tools: a folder put first on PATH, for a compiler that is not installed system-wide; xtensawin finds its own.
    Without a checkout it is the module that the installed package brings. Raises ToolchainError.
    """
    if arch not in NATMOD_COMPILERS:
        raise ToolchainError(f"no native modules for {arch!r}: choose one of {', '.join(NATMOD_COMPILERS)}")
    if (ready := _packaged_natmod(arch)) is not None:
        return ready
    return _native_module(arch, tools, ()) / f"{MODULE}.mpy"


def natmod_object(arch: str) -> Path:
    """What the module for `arch` is linked from, with debug information: says which source its code comes from."""
    return _native_module(arch, None, ("CFLAGS_EXTRA=-g",)) / "micropython.o"


def _native_module(arch: str, tools: Path | None, flags: Sequence[str]) -> Path:
    """Folder with the module; flags: for make, the object is kept where there are any."""
    for python_module, package in (("elftools", "pyelftools"), ("ar", "ar")):
        if importlib.util.find_spec(python_module) is None:
            raise ToolchainError(f"native modules need Python's {package}: pip install 'picofed[build]'")
    if arch == "xtensawin" and tools is None:
        from picofed.toolchain import xtensa

        tools = xtensa.compiler()
    path = os.pathsep.join(([str(tools)] if tools else []) + [os.environ.get("PATH", os.defpath)])
    compiler, make = require(NATMOD_COMPILERS[arch], path), require("make")
    source, monocypher, native = micropython_source(), monocypher_source(), repo_root() / "native"
    makefile = native / "natmod.mk"
    if not makefile.is_file():
        raise ToolchainError(f"{makefile} is missing: this checkout is not whole")
    # A relative BUILD: its name becomes part of the module, and is the same on every machine.
    argv = [make, _JOBS, f"ARCH={arch}", "BUILD=build", f"MOD={MODULE}", *flags]

    def inputs() -> list[str]:
        own = tree_digest([native / part for part in ("include", "src", "bindings")])
        upstream = [micropython_digest(source), compiler_version(compiler), monocypher.name]
        return [*upstream, *argv[2:], makefile.read_text(), own]

    what = f"building the native module for {arch}"

    def build(folder: Path, log: Path) -> None:
        # Upstream's rules write beside a file called Makefile in the working folder.
        (folder / "Makefile").write_text(f"include {makefile}\n")
        given = [f"MPY_DIR={source}", f"MONOCYPHER_DIR={monocypher}", f"PYTHON={sys.executable}"]
        run_logged([*argv, *given], log, what, cwd=folder, env={**make_environment(), "PATH": path})
        (folder / "Makefile").unlink()
        shutil.rmtree(folder / ".mpy_ld_cache", ignore_errors=True)
        if flags:
            next((folder / "build").rglob("micropython.o")).rename(folder / "micropython.o")
        shutil.rmtree(folder / "build")

    return content_addressed(what, f"natmod-{arch}", inputs, build)
