"""Installing the firmware with the tools that MicroPython users have, onto an empty board."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from picofed.fleet.emulation import UnixBoard
from picofed.link.connect import connect
from picofed.toolchain.build import natmod
from picofed.toolchain.layout import repo_root

pytestmark = pytest.mark.slow

FIRMWARE = repo_root() / "firmware"


def mpremote(board: UnixBoard, *arguments: str) -> str:
    program = Path(sys.executable).with_name("mpremote")
    result = subprocess.run(
        [program, "connect", str(board.port), *arguments], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_mip_installs_the_whole_firmware_and_it_starts() -> None:
    with UnixBoard() as board:
        mpremote(board, "mip", "install", "--target", "/lib", str(FIRMWARE / "package.json"))
        installed = {path.name: path.read_bytes() for path in (board.flash / "lib" / "picofed").iterdir()}
        assert installed == {path.name: path.read_bytes() for path in (FIRMWARE / "picofed").glob("*.py")}
        shutil.copyfile(natmod("x64"), board.flash / "lib" / "picofed_core.mpy")
        mpremote(board, "cp", str(FIRMWARE / "main.py"), ":")
        board.reset()
        client = connect(str(board.port))
        try:
            info = client.hello()
            failed = [line.name for line in client.selftest() if not line.passed]
        finally:
            client.close()
    assert info.firmware == json.loads((FIRMWARE / "package.json").read_text())["version"]
    assert info.budget == 0  # nobody has provisioned it: it takes part in nothing
    assert set(failed) == {"ledger", "start"}


def test_rename_works_below_the_root_of_an_emulated_board() -> None:
    """Upstream's VfsPosix.rename loses the old path where the file system has a root folder."""
    with UnixBoard() as board:
        (board.flash / "old").write_text("kept")
        mpremote(board, "exec", "import os; os.mkdir('/d'); os.rename('/old', '/d/new')")
        assert (board.flash / "d" / "new").read_text() == "kept"
        mpremote(board, "exec", "import os; os.chdir('/d'); os.rename('new', 'newer')")
        assert (board.flash / "d" / "newer").read_text() == "kept"
        assert not (board.flash / "old").exists()
