"""picofed build: what it makes is installed by the tools that MicroPython users have, and travels in the package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from functools import partial
from pathlib import Path

import pytest
from commandline import program
from picofed import __version__
from picofed.fleet.emulation import UnixBoard
from picofed.link.connect import connect
from picofed.toolchain import build, mip
from picofed.toolchain.layout import repo_root
from picofed.toolchain.mpy import of_file
from picofed.toolchain.products import ARCHITECTURES
from webserver import served

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
ROOT = repo_root()
picofed = partial(program, timeout=600)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    done = picofed("build", "--arch", "x64", "--arch", "armv6m", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["natmods"]) == {"x64", "armv6m"}
    return folder / "build" / "mip"


def test_the_layout_names_architecture_and_abi_and_is_whole(built: Path) -> None:
    assert sorted(path.name for path in built.iterdir()) == ["armv6m_6.3", "natmods.json", "x64_6.3"]
    for name in ("armv6m_6.3", "x64_6.3"):
        package = json.loads((built / name / "package.json").read_text())
        assert package["version"] == __version__
        assert {target for target, _ in package["urls"]} == {mip.CORE, *mip.firmware_files()}
        assert all((built / name / source).is_file() for _, source in package["urls"])
        assert str(of_file((built / name / mip.CORE).read_bytes())) == name
    # What the repository's own package.json names is the same firmware, as sources.
    own = json.loads((ROOT / "firmware" / "package.json").read_text())
    sources = {path.removesuffix(".mpy") + ".py" for path in mip.firmware_files()}
    assert {target for target, _ in own["urls"]} == sources


@pytest.mark.parametrize("way", ["folder", "server"])
def test_mip_installs_module_and_firmware_onto_an_empty_board(built: Path, way: str) -> None:
    with UnixBoard() as board, served(built) as address:
        source = f"{address}/x64_6.3/" if way == "server" else str(built / "x64_6.3" / "package.json")
        words = ["mip", "install", "--target", "/lib", source, "cp", str(built / "x64_6.3" / "main.py"), ":"]
        words.insert(5, "+")
        done = subprocess.run(
            [BIN / "mpremote", "connect", str(board.port), *words], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        files = board.read_files()
        assert files[f"/lib/{mip.CORE}"] == (built / "x64_6.3" / mip.CORE).read_bytes()
        board.reset()
        client = connect(str(board.port))
        try:
            assert client.hello().firmware == __version__
        finally:
            client.close()


def test_other_architectures_stay_until_the_sources_change(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mip"
    shutil.copytree(built, folder)
    mip.write(folder, {"x64": build.natmod("x64")})
    assert (folder / "armv6m_6.3" / mip.CORE).exists()
    index = json.loads((folder / "natmods.json").read_text())
    (folder / "natmods.json").write_text(json.dumps(index | {"sources": "others"}))
    mip.write(folder, {"x64": build.natmod("x64")})
    assert not (folder / "armv6m_6.3").exists() and (folder / "x64_6.3" / mip.CORE).exists()


def test_a_compiler_that_is_missing_is_named_and_the_others_are_built(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("gcc", "make", "sh", "env", "rm", "mkdir", "cat", "sed", "echo", "git", "touch", "ld", "as", "ar"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    done = picofed("build", "--arch", "armv6m", cwd=tmp_path, PATH=str(tools))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "armv6m: arm-none-eabi-gcc is not installed: try `apt-get install gcc-arm-none-eabi" in done.stderr
    done = picofed("build", "--json", cwd=tmp_path, PATH=str(tools))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "x64" in result["natmods"] and "arm-none-eabi-gcc is not installed" in result["failed"]["armv7m"]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    for words, said in (
        (("--arch", "z80"), "no native modules for 'z80'"),
        (("--board", "toaster"), "there is no board 'toaster'"),
        (("--board", "unix"), "no whole firmware is built for unix"),
    ):
        done = picofed("build", *words, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_make_wheel_names_every_architecture() -> None:
    """Named, each one has to be built: of "all", picofed build leaves out what it has no compiler for."""
    done = subprocess.run(["make", "-n", "wheel"], cwd=ROOT, capture_output=True, text=True, check=True)
    (command,) = [line for line in done.stdout.splitlines() if "picofed build" in line]
    assert command.split("picofed build ")[1].split() == [word for arch in ARCHITECTURES for word in ("--arch", arch)]


def test_a_wheel_carries_all_that_a_user_with_stock_micropython_needs(built: Path, tmp_path: Path) -> None:
    """Built from a copy of the sources, installed beside no checkout, and used to flash a board without a compiler."""
    tree = tmp_path / "tree"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    shutil.copytree(built, tree / "build" / "mip")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--verbose", "--no-deps", "--wheel-dir", str(tmp_path), str(tree)]
    done = subprocess.run(wheel, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    said = "picofed: native modules: armv6m, x64; missing: armv7m, armv7emsp, rv32imc, xtensawin"
    assert said in done.stdout + done.stderr
    (path,) = tmp_path.glob("*.whl")
    place = tmp_path / "venv"
    venv.create(place, system_site_packages=False, with_pip=False)
    # The dependencies of this environment, and picofed from the wheel in front of its checkout.
    target = place / "site"
    install = [*pip, "install", "--no-deps", "--target", str(target), str(path)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    environment = {"PYTHONPATH": str(target), "PATH": str(tmp_path / "nothing"), "HOME": str(tmp_path)}
    environment["PICOFED_CACHE"] = str(tmp_path / "cache")
    where = [sys.executable, "-c", "from picofed.toolchain.build import natmod; print(natmod('armv6m'))"]
    done = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and str(target) in done.stdout, done.stderr
    with UnixBoard() as board:
        flash = [sys.executable, "-c", "from picofed.cli import main; main()", "flash", "--port", str(board.port)]
        done = subprocess.run(flash, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0 and "self-test passed" in done.stdout, done.stderr
        assert board.read_files()[f"/lib/{mip.CORE}"] == build.natmod("x64").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", "from picofed.toolchain.build import natmod; natmod('xtensawin')"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "no picofed checkout found" in done.stderr
