"""The firmware laid out for `mip`: one folder for each architecture and ABI, each whole in itself.

{arch}_{abi}/package.json       what `mpremote mip install` reads, from a folder or from a web server
{arch}_{abi}/picofed_core.mpy   the native module
{arch}_{abi}/picofed/*.mpy      the firmware, compiled: the same bytes for every architecture
{arch}_{abi}/main.py            for the board's root; mip leaves it alone
natmods.json                    what the modules were built from
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from picofed import __version__
from picofed.toolchain.build import MODULE, firmware_bytecode, sources_digest
from picofed.toolchain.layout import firmware_root, repo_root
from picofed.toolchain.mpy import of_file

CORE: Final = f"{MODULE}.mpy"


def firmware_files() -> dict[str, bytes]:
    """The compiled MicroPython package by path below /lib; main.py is not part of it. Raises ToolchainError."""
    return {f"picofed/{path.name}": path.read_bytes() for path in sorted(firmware_bytecode().glob("*.mpy"))}


def write(folder: Path, modules: Mapping[str, Path]) -> dict[str, Path]:
    """Lay out `modules` (architecture to picofed_core.mpy) in `folder`; returns each one's package.json.

    What lies there from an earlier build is replaced; other architectures' folders are left if they were built from the
    same sources, and removed if not.
    """
    sources = sources_digest(repo_root())
    firmware = firmware_root()
    index = folder / "natmods.json"
    if index.exists() and json.loads(index.read_text()).get("sources") != sources:
        for old in folder.glob(f"*/{CORE}"):
            shutil.rmtree(old.parent)
    made = {}
    for arch, module in modules.items():
        data = module.read_bytes()
        made[arch] = _write_one(folder / str(of_file(data)), data, firmware)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(index, json.dumps({"sources": sources, "version": __version__}, indent=1).encode())
    return made


def _write_one(place: Path, module: bytes, firmware: Path) -> Path:
    files = firmware_files()
    shutil.rmtree(place, ignore_errors=True)
    for name, data in {**files, CORE: module, "main.py": (firmware / "main.py").read_bytes()}.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    package = {"urls": [[name, name] for name in (CORE, *files)], "deps": [], "version": __version__}
    _replace(place / "package.json", json.dumps(package, indent=1).encode())
    return place / "package.json"


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(data)
    os.replace(beside, path)
