"""The C tests of the core (native/tests/test_*.c), one case each, under sanitizers; what they may call."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "native"
TESTS = sorted(path.stem for path in (NATIVE / "tests").glob("test_*.c"))


def make(monocypher_dir: Path, build: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    command = [
        "make",
        "-C",
        str(NATIVE / "tests"),
        f"MONOCYPHER_DIR={monocypher_dir}",
        f"BUILD={build}",
        *targets,
    ]
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "CFLAGS", "MAKELEVEL")}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="session")
def build(monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    result = make(monocypher_dir, folder, "-j2", str(folder / "libcore.a"))
    assert result.returncode == 0, result.stdout
    return folder


def test_the_suite_is_there() -> None:
    assert {
        "test_noise",
        "test_ledger",
        "test_ratchet",
        "test_frame",
        "test_codec",
        "test_entropy",
        "test_mask",
    } <= set(TESTS)


@pytest.mark.parametrize("name", TESTS)
def test_c(name: str, build: Path, monocypher_dir: Path) -> None:
    result = make(monocypher_dir, build, f"run-{name}")
    print(result.stdout)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("options", [["-O2"], ["-O3"], ["-Os"]], ids=lambda options: str(options[0]))
@pytest.mark.parametrize(
    "name", ["noise", "noise_exp", "entropy", "ratchet", "ledger", "frame", "codec", "mask", "shamir"]
)
def test_no_libc_and_no_mutable_data(name: str, options: list[str], tmp_path: Path) -> None:
    """A native module has no libc: the compiler must not have made memcpy or memset calls of our loops."""
    result = tmp_path / "part.o"
    command = [
        "gcc",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wconversion",
        *options,
        "-c",
        "-o",
        str(result),
    ]
    command += [f"-I{NATIVE / 'include'}", f"-I{NATIVE / 'src'}", str(NATIVE / "src" / f"{name}.c")]
    subprocess.run(command, check=True)
    listing = subprocess.run(["nm", str(result)], check=True, stdout=subprocess.PIPE, text=True).stdout
    symbols = [line.split()[-2:] for line in listing.splitlines()]
    assert [symbol for kind, symbol in symbols if kind == "U" and not symbol.startswith("pf_")] == []
    assert [symbol for kind, symbol in symbols if kind in "dDbBC"] == []
