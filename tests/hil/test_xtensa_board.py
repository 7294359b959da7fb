"""The windowed-Xtensa board as people drive boards: with mpremote and pyserial on its port. What every board must do
beyond that is in test_consoles.py, test_boards.py and test_bit_identical.py."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from console import PATIENCE, mpremote, opened, until, wait_for
from picofed.fleet.emulation import EmulationError, XtensaBoard, emulated
from picofed.toolchain.build import natmod

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared() -> Iterator[XtensaBoard]:
    with XtensaBoard(board_id=bytes(range(8))) as board:
        yield board


def test_it_computes_and_says_what_it_is(shared: XtensaBoard) -> None:
    assert (
        mpremote(shared, "exec", "print(6 * 7, 1 / 3, 2 ** 70, 1e10 * 3)")
        == "42 0.3333333 1180591620717411303424 3e+10\n"
    )
    told = mpremote(shared, "exec", "import sys; print(sys.path, sys.maxsize, hex(sys.implementation._mpy))")
    # 32-bit words; .mpy version 6.3 with native code for xtensawin
    assert told == f"['', '/lib', '.frozen'] 2147483647 {10 << 10 | 3 << 8 | 6:#x}\n"


def test_heap_is_an_esp32s(shared: XtensaBoard) -> None:
    free = int(mpremote(shared, "exec", "import gc; gc.collect(); print(gc.mem_free())"))
    assert 150_000 < free < 160 * 1024


def test_files_survive_resets_and_are_the_hosts_to_read(tmp_path: Path) -> None:
    with XtensaBoard(tmp_path) as board:
        mpremote(board, "exec", "import os; os.mkdir('/d'); x = open('/d/a', 'w'); x.write('kept'); x.close()")
        with pytest.raises(EmulationError, match="running"):
            board.read_files()
        mpremote(board, "soft-reset")
        mpremote(board, "reset")
        wait_for(lambda: board.boots >= 3)
        assert mpremote(board, "resume", "exec", "print(open('/d/a').read(), 'x' in globals())") == "kept False\n"
        board.power_off()
        assert board.read_files() == {"/d/a": b"kept"}
        board.install({"/d/a": b"changed", "/lib/b.py": b"C = 7"})
        board.reset()
        assert mpremote(board, "exec", "import b; print(open('/d/a').read(), b.C)") == "changed 7\n"


def test_boot_and_main_run_and_a_soft_reset_forgets_ram(tmp_path: Path) -> None:
    board = XtensaBoard(tmp_path)
    board.install({"/boot.py": b"booted = 'boot'\n", "/main.py": b"print(booted, 'main')\n"})
    with board:
        mpremote(board, "exec", "kept = 1")
        with opened(board) as port:
            port.write(b"\x02\x04")
            until(port, b"MPY: soft reboot\r\nboot main\r\n")
            until(port, b">>> ")
            port.write(b"kept\r")
            until(port, b"NameError")


TALK = b"""
import boardserve
for i in range(3000): print('x' * 100)
boardserve.power_cut_after(1)
boardserve.flash_op()
"""


def test_a_board_without_a_listener_runs_on(tmp_path: Path) -> None:
    board = XtensaBoard(tmp_path)
    board.install({"/main.py": TALK})
    with board:
        assert board.wait_power_cut(PATIENCE)


def test_native_module_is_imported_and_outlives_collections(shared: XtensaBoard) -> None:
    shared.power_off()
    shared.install({"/lib/picofed_core.mpy": natmod("xtensawin").read_bytes()})
    shared.reset()
    code = (
        "import gc, picofed_core as core\n"
        "out = bytearray(32)\n"
        "for i in range(3):\n"
        " gc.collect()\n"
        " fill = [bytearray(50) for _ in range(1000)]\n"
        " del fill\n"
        " core.blake2b(out, b'', b'abc')\n"
        "print(out.hex(), core.__name__)"
    )
    assert mpremote(shared, "exec", code) == hashlib.blake2b(b"abc", digest_size=32).hexdigest() + " picofed_core\n"


WRITES = b"""
import boardserve
for i in range(5):
    boardserve.flash_op()
    open('f%d' % i, 'w').close()
    boardserve.flash_op()
"""


@pytest.mark.parametrize("step", [1, 2, 5, 10])
def test_power_cut_in_a_flash_step(tmp_path: Path, step: int) -> None:
    board = XtensaBoard(tmp_path, power_cut=step)
    board.install({"/main.py": WRITES})
    with board:
        assert board.wait_power_cut(PATIENCE)
        assert len([name for name in board.read_files() if name.startswith("/f")]) == step // 2
        board.reset()
        with opened(board) as port:
            port.write(b"\r")
            until(port, b">>> ")
        board.power_off()
        assert len(board.read_files()) == 6


def test_idle_boards_use_little_processor_time() -> None:
    with XtensaBoard() as first, XtensaBoard() as second:
        for board in (first, second):
            mpremote(board, "exec", "pass")
        ticks = os.sysconf("SC_CLK_TCK")

        def used() -> float:
            stats = (
                Path(f"/proc/{board.process_id}/stat").read_text().rpartition(")")[2].split()
                for board in (first, second)
            )
            return sum(int(stat[11]) + int(stat[12]) for stat in stats) / ticks

        before = used()
        time.sleep(2)
        assert used() - before <= 0.1


def test_the_board_dies_with_its_emulator() -> None:
    code = (
        "import sys, time; from picofed.fleet.emulation import emulated\n"
        "with emulated('xtensa') as board:\n"
        "    print(board.process_id, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        process = int(emulator.stdout.readline())
        emulator.kill()
        emulator.wait(PATIENCE)

    def gone() -> bool:
        try:
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_for(gone)
    assert isinstance(emulated("xtensa"), XtensaBoard)
