"""The RP2040's emulator, from npm's registry by npm itself."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Final

from picofed.toolchain import debian
from picofed.toolchain.cache import entry, log_path
from picofed.toolchain.command import require, run_logged

VERSION: Final = "1.4.1"
_SHA256: Final = "83328017cf7e503477e8d218cb742d3e843782d795edd175a0b81346c194e56f"


def rp2040js() -> Path:
    """Folder with the npm package rp2040js: package.json, LICENSE, dist/esm."""
    return entry(f"rp2040js-{VERSION}", _fetch)


def _fetch(folder: Path) -> None:
    npm, log = require("npm"), log_path(f"rp2040js-{VERSION}")
    with tempfile.TemporaryDirectory(prefix="picofed-npm-") as name:
        argv = [npm, "pack", "--silent", f"rp2040js@{VERSION}"]
        run_logged(argv, log, "fetching rp2040js", cwd=Path(name))
        packed = Path(name) / f"rp2040js-{VERSION}.tgz"
        debian.check_sha256(packed, _SHA256)
        with tarfile.open(packed) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in archive:
                _, _, member.name = member.name.partition("/")
                wanted = member.name in ("package.json", "LICENSE") or member.name.endswith(".js")
                if wanted and not member.name.startswith("dist/cjs/"):
                    archive.extract(member, folder)
