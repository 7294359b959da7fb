"""Cores with a planted bug: the shipped sources with one line changed, compiled as the real one is."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from picofed.toolchain import sources
from picofed.toolchain.build import MODULE, make_environment

sys.path.insert(0, str(Path(__file__).parent))  # planted_bugs

ROOT = Path(__file__).parents[2]

# Puts a compiled core in the place of the installed one, then runs the command line.
START = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("picofed._native", sys.argv.pop(1))
core = importlib.util.module_from_spec(spec)
sys.modules["picofed._native"] = core
spec.loader.exec_module(core)
from picofed.cli import main
main()
"""


def changed(text: str, old: str, new: str) -> str:
    """text with its only `old` replaced. A core that no longer has that line must not pass for a planted bug."""
    assert text.count(old) == 1, f"the core has {text.count(old)} of {old!r}: plant this bug elsewhere"
    return text.replace(old, new)


def changed_sources(folder: Path, changes: Mapping[str, tuple[str, str]]) -> Path:
    """A copy of native/ in which `changes` were made, by file of native/src."""
    native = folder / "native"
    shutil.copytree(ROOT / "native", native)
    for name, (old, new) in changes.items():
        path = native / "src" / name
        path.write_text(changed(path.read_text("utf-8"), old, new), "utf-8")
    return native


def compile_core(folder: Path, changes: Mapping[str, tuple[str, str]]) -> Path:
    """The core as a cffi extension in `folder`, from sources in which `changes` were made."""
    native = changed_sources(folder, changes)
    (folder / "host").symlink_to(ROOT / "host")
    spec = importlib.util.spec_from_file_location("planted_build", native / "bindings" / "cffi_build.py")
    assert spec is not None and spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    source = folder / "_native.c"
    builder.ffibuilder.emit_c_code(str(source))
    library = folder / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-w", f"-I{sysconfig.get_path('include')}"]
    command += [f"-I{native / 'include'}", f"-I{native / 'src'}", f"-I{sources.monocypher_source()}"]
    subprocess.run([*command, str(source), "-o", str(library)], check=True)
    return library


def compile_module(folder: Path, changes: Mapping[str, tuple[str, str]]) -> Path:
    """The core as the unix board's native module, likewise. It is not what is shipped, but built sooner: optimised
    less, and without the compiler's runtime library, which x64 does not need and which takes longest to link."""
    native = changed_sources(folder, changes)
    (folder / "Makefile").write_text(f"include {native / 'natmod.mk'}\n")
    places = {"MPY_DIR": sources.micropython_source(), "MONOCYPHER_DIR": sources.monocypher_source()}
    given = {"ARCH": "x64", "BUILD": "build", "MOD": MODULE, "PYTHON": sys.executable, **places}
    flags = [f"{name}={value}" for name, value in given.items()]
    command = ["make", "-C", str(folder), *flags, "LINK_RUNTIME=0", "CFLAGS_EXTRA=-O1"]
    subprocess.run(command, env={**os.environ, **make_environment()}, check=True)
    return folder / f"{MODULE}.mpy"


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[Mapping[str, tuple[str, str]], list[str]], subprocess.CompletedProcess[str]]:
    """Run `picofed ARGUMENTS` on a core with these changes."""

    def run(changes: Mapping[str, tuple[str, str]], arguments: list[str]) -> subprocess.CompletedProcess[str]:
        library = compile_core(tmp_path / "core", changes)
        command = [sys.executable, "-c", START, str(library), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture
def planted_module(tmp_path: Path) -> Callable[[Mapping[str, tuple[str, str]]], Path]:
    """The unix board's native module with these changes."""
    return lambda changes: compile_module(tmp_path / "module", changes)
