"""The windowed-Xtensa board as people drive boards: with mpremote and pyserial on its port. What every board must do
beyond that is in test_boards.py and test_bit_identical.py."""

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from console import PATIENCE, PROMPT, enter_raw, entropy_stream, mpremote, opened, run_raw, until, wait_for
from picofed.fleet.emulation import EmulationError, XtensaBoard, emulated
from picofed.toolchain.build import natmod

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared() -> Iterator[XtensaBoard]:
    with XtensaBoard(board_id=bytes(range(8))) as board:
        yield board


def test_exec_prints_and_reports_errors(shared: XtensaBoard) -> None:
    assert (
        mpremote(shared, "exec", "print(6 * 7, 1 / 3, 2 ** 70, 1e10 * 3)")
        == "42 0.3333333 1180591620717411303424 3e+10\n"
    )
    mpremote(shared, "exec", "1 / 0", ok=False)
    told = mpremote(shared, "exec", "import sys; print(sys.path, sys.maxsize, hex(sys.implementation._mpy))")
    # 32-bit words; .mpy version 6.3 with native code for xtensawin
    assert told == f"['', '/lib', '.frozen'] 2147483647 {10 << 10 | 3 << 8 | 6:#x}\n"


def test_heap_is_an_esp32s(shared: XtensaBoard) -> None:
    free = int(mpremote(shared, "exec", "import gc; gc.collect(); print(gc.mem_free())"))
    assert 150_000 < free < 160 * 1024


def test_files_are_copied_both_ways_and_listed(shared: XtensaBoard, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(20_000)
    (tmp_path / "out.bin").write_bytes(data)
    mpremote(shared, "cp", str(tmp_path / "out.bin"), ":data.bin")
    mpremote(shared, "cp", ":data.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == data
    mpremote(shared, "mkdir", ":folder")
    listing = mpremote(shared, "ls")
    assert "20000 data.bin" in listing and "folder/" in listing
    mpremote(shared, "rm", ":data.bin")
    assert "data.bin" not in mpremote(shared, "ls")


def test_run_a_host_file_and_mount_a_host_folder(shared: XtensaBoard, tmp_path: Path) -> None:
    (tmp_path / "where.py").write_text("HERE = 'on the host'\n")
    (tmp_path / "program.py").write_text("print('running')\n")
    assert mpremote(shared, "run", str(tmp_path / "program.py")) == "running\n"
    out = mpremote(shared, "mount", str(tmp_path), "exec", "import where; print(where.HERE)")
    assert "on the host" in out


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


def test_machine_module_resets_and_identifies(shared: XtensaBoard) -> None:
    assert mpremote(shared, "exec", "import machine; print(machine.unique_id().hex())") == "0001020304050607\n"
    mpremote(shared, "reset")
    wait_for(lambda: mpremote(shared, "resume", "exec", "import machine; print(machine.reset_cause())") == "1\n")
    with opened(shared) as port:
        enter_raw(port)
        port.write(b"import machine; machine.soft_reset()\x04")
        until(port, PROMPT)
        assert run_raw(port, "import machine; print(machine.reset_cause())") == "5\n"


def test_hard_reset_keeps_the_open_port(shared: XtensaBoard) -> None:
    with opened(shared) as port:
        enter_raw(port)
        run_raw(port, "with open('kept.txt', 'w') as kept: kept.write('flash')")
        for _ in range(3):
            shared.reset()
            enter_raw(port)
            assert run_raw(port, "print('kept' in globals(), open('kept.txt').read())") == "False flash\n"


def test_ctrl_c_stops_a_running_loop_and_is_data_when_asked(shared: XtensaBoard) -> None:
    with opened(shared) as port:
        enter_raw(port)
        for busy in 10 * (
            "while True: pass",
            "import time\ntime.sleep(1000)",
            "import sys\nsys.stdin.read(5)",
            "import select, sys\np = select.poll()\np.register(sys.stdin, select.POLLIN)\np.poll()",
        ):
            port.write(f"print('go')\n{busy}\x04".encode())
            until(port, b"go\r\n")
            port.write(b"\x03")
            assert b"KeyboardInterrupt" in until(port, b"\x04>")
        port.write(
            b"import sys, micropython\nmicropython.kbd_intr(-1)\nprint('go')\nprint(sys.stdin.buffer.read(3))\x04"
        )
        until(port, b"go\r\n")
        port.write(b"\x01\x03\x04")
        assert b"b'\\x01\\x03\\x04'" in until(port, b"\x04>")


ECHO = """
import sys, micropython, time
micropython.kbd_intr(-1)
print('ready')
time.sleep_ms(200)
left = 60000
while left:
    got = sys.stdin.buffer.read(min(left, 1000))
    sys.stdout.buffer.write(got)
    left -= len(got)
"""


def test_60_kilobytes_of_any_bytes_come_back_intact(shared: XtensaBoard) -> None:
    data = random.Random(2).randbytes(60_000)
    with opened(shared) as port:
        enter_raw(port)
        port.write(ECHO.encode() + b"\x04")
        until(port, b"ready\r\n")
        writer = threading.Thread(target=port.write, args=(data,))
        writer.start()
        assert port.read(len(data)) == data
        writer.join()
        until(port, b"\x04\x04>")


def test_what_is_typed_during_a_soft_reset_is_not_lost(shared: XtensaBoard) -> None:
    with opened(shared) as port:
        for number in range(20):
            enter_raw(port)
            port.write(b"\x04" + f"print({number} + 40)\x04".encode())
            until(port, b"soft reboot\r\n" + PROMPT)
            until(port, f"OK{number + 40}\r\n\x04\x04>".encode())


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


def test_entropy_is_predictable_and_never_repeats(tmp_path: Path) -> None:
    read = "import boardserve; print((boardserve.entropy(5) + boardserve.entropy(100)).hex())"
    with XtensaBoard(tmp_path, entropy="00ff10") as board, opened(board) as port:
        for restart in range(4):
            if restart == 2:
                board.reset()
            elif restart:
                port.write(b"\x04")
                until(port, PROMPT)
            enter_raw(port)
            got = bytes.fromhex(run_raw(port, read))
            assert got == entropy_stream(b"\x00\xff\x10", board.boots - 1, 105)
            assert board.boots == restart + 1


def test_broken_entropy_sources() -> None:
    read = "import boardserve; print(boardserve.entropy(4096).hex())"

    def source(entropy: str | None) -> bytes:
        with XtensaBoard(entropy=entropy) as board:
            return bytes.fromhex(mpremote(board, "resume", "exec", read))

    assert source("stuck:5a") == b"\x5a" * 4096
    assert source("constant") == entropy_stream(b"", 0, 32) * 128
    assert 0.74 < sum(byte.bit_count() for byte in source("biased")) / (8 * 4096) < 0.76
    assert source(None) != source(None)


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
