"""What a message takes of a board's memory, where pointers have 4 bytes and files lie in LittleFS."""

import subprocess
from pathlib import Path

import pytest
from picofed.fleet.emulation import emulated
from picofed.fleet.provision import board_files
from picofed.fleet.repl import Repl
from picofed.link.stream import SerialStream
from picofed.toolchain.build import mpy_cross, natmod

pytestmark = pytest.mark.slow

PROGRAMS = Path(__file__).parents[1] / "firmware" / "on_board"
NEEDED = ("check_messages", "check_train", "check_provision", "check_jobs", "harness", "signature")
FRAME = 2070  # bytes: SPEC 6.1's longest, as link.py has room for


def test_a_message_takes_a_frame_of_memory_at_most(tmp_path: Path) -> None:
    """Encrypted: it takes the most."""
    files = {}
    for name in NEEDED:
        made = tmp_path / f"{name}.mpy"
        subprocess.run([mpy_cross(), "-s", f"{name}.py", "-o", made, PROGRAMS / f"{name}.py"], check=True)
        files[f"/lib/{name}.mpy"] = made.read_bytes()
    board = emulated("qemu_m3", entropy=bytes(32).hex(), board_id=bytes(range(1, 9)), heap=256 * 1024)
    board.install(board_files(natmod(board.natmod_arch), None) | files)
    with board:
        stream = SerialStream(str(board.port))
        repl = Repl(stream, 600.0)
        repl.enter()
        found = repl.value("import check_messages\nprint(check_messages.costs(True))")
        stream.close()
    print("bytes a message:", found)
    assert len(found) == 9
    assert all(0 < used <= FRAME for used in found.values())
