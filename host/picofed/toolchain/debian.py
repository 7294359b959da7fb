"""Packages of another Debian suite, by an apt configuration beside the machine's own. Nothing is installed.

The mirror is the one the machine is already set up for; everything private (lists, caches) lives in a
temporary folder, so this works for root and for anybody else, and the machine's own apt is never touched.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from picofed.toolchain.command import ToolchainError, output_of, require, run_logged

# Where Debian's own key package puts its keys; newer releases no longer trust them for every source by
# default.
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def _os_release(key: str) -> str:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition("=")
        if name == key:
            return value.strip().strip('"')
    return ""


def _mirrors() -> list[str]:
    """Debian mirrors of this machine, most likely first."""
    found = []
    listed = output_of(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(SUITE) $(REPO_URI)", "Created-By: Packages"]
    )
    for line in listed.splitlines():
        origin, _, rest = line.partition(" ")
        suite, _, uri = rest.partition(" ")
        if origin == "Debian" and "-" not in suite:
            found.append(uri)
    # A machine that never ran `apt-get update` (a fresh container) lists no targets, but can say what it
    # would fetch.
    own_release = f"/dists/{_os_release('VERSION_CODENAME')}/"
    for line in output_of(["apt-get", "--print-uris", "update"]).splitlines():
        uri, separator, _ = line.lstrip("'").partition(own_release)
        if separator:
            found.append(uri + "/")
    return list(dict.fromkeys(found))


def _configure(folder: Path, line: str) -> Path:
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    (folder / "sources.list").write_text(line + "\n")
    conf = folder / "apt.conf"
    conf.write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State::Lists "{folder}/lists";\n'
        f'Dir::Cache "{folder}/cache";\n'
        'APT::Sandbox::User "root";\n'
    )
    return conf


class HashError(ToolchainError):
    """A file is not the one that was expected."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raise HashError unless the file's SHA-256 is `expected`."""
    if sha256_of(path) != expected:
        raise HashError(f"{path.name} is not the file picofed was made with (SHA-256 differs): do not use it")


def fetch(
    suite: str, package: str, version: str, sha256: Mapping[str, str], into: Path, log: Path, *, source: bool
) -> None:
    """Download files of `package` `version` of Debian `suite` into folder `into`.

    sha256: file name -> SHA-256, for exactly the files to keep; every one is checked. source: the source
    package's files, else the binary package of this machine's architecture. Raises ToolchainError where no
    mirror has them.
    """

    def take(folder: Path) -> None:
        for file, expected in sha256.items():
            check_sha256(folder / file, expected)
            shutil.move(folder / file, into / file)

    _download(suite, [f"{package}={version}"], take, log, source=source)


def fetch_packages(suite: str, packages: Mapping[str, tuple[str, str]], into: Path, log: Path) -> None:
    """Download binary packages of Debian `suite` into folder `into`, each as PACKAGE.deb, at one go.

    packages: name -> (version, SHA-256). Mirrors drop a version when a security update replaces it: then the present
    ones are taken, which apt has checked by the archive's signature. Raises ToolchainError where no mirror has all.
    """

    def take(folder: Path, pinned: bool) -> None:
        for package, (_, expected) in packages.items():
            file = next(folder.glob(f"{package}_*.deb"), folder / f"{package}.deb")
            if pinned:
                check_sha256(file, expected)
            shutil.move(file, into / f"{package}.deb")

    wanted = [f"{package}={version}" for package, (version, _) in packages.items()]
    try:
        _download(suite, wanted, lambda folder: take(folder, True), log, source=False)
    except HashError:
        raise
    except ToolchainError:
        _download(suite, list(packages), lambda folder: take(folder, False), log, source=False)


def _download(suite: str, wanted: list[str], take: Callable[[Path], None], log: Path, *, source: bool) -> None:
    """Have apt put packages into a temporary folder, for `take(folder)`: from the first mirror that has them."""
    apt = require("apt-get")
    mirrors = _mirrors()
    names = wanted[0].partition("=")[0] + (f" and {len(wanted) - 1} more" if len(wanted) > 1 else "")
    if not mirrors:
        raise ToolchainError(f"{names}: this machine's apt names no Debian mirror; set MICROPY_DIR or use git instead")
    options = f"[signed-by={_KEYRING}] " if _KEYRING.is_file() else ""
    problem: ToolchainError | None = None
    for mirror in mirrors:
        with tempfile.TemporaryDirectory(prefix="picofed-apt-") as name:
            folder = Path(name)
            kind = "deb-src" if source else "deb"
            conf = _configure(folder, f"{kind} {options}{mirror} {suite} main")
            verb = ["--download-only", "source"] if source else ["download"]
            try:
                run_logged([apt, "-q", "-c", str(conf), "update"], log, f"reading Debian's {suite} package list")
                run_logged([apt, "-q", "-c", str(conf), *verb, *wanted], log, f"fetching {names}", cwd=folder)
                take(folder)
                return
            except HashError:
                raise
            except ToolchainError as error:
                problem = error
            except FileNotFoundError as error:
                problem = ToolchainError(f"{names}: there is no file {error.filename}; see {log}")
    assert problem is not None
    raise problem
