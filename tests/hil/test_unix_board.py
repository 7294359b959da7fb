"""The default emulated board, driven as people drive boards: with mpremote and pyserial on its port."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from console import PATIENCE, enter_raw, mpremote, opened, until, wait_for
from picofed.fleet.emulation import EmulationError, Fleet, UnixBoard
from picofed.toolchain.build import natmod


@pytest.fixture(scope="module")
def shared() -> Iterator[UnixBoard]:
    with UnixBoard() as board:
        yield board


def test_it_says_what_it_is(shared: UnixBoard) -> None:
    assert mpremote(shared, "exec", "import sys; print(sys.path, sys.version)").startswith("['', '/lib', '.frozen']")


def test_namespace_of_a_program_starts_empty(shared: UnixBoard) -> None:
    names = mpremote(shared, "exec", "print(sorted(n for n in dir() if n != 'gc'), __name__)")
    assert names == "['__name__'] __main__\n"


def test_heap_is_smaller_than_a_picos(shared: UnixBoard) -> None:
    free = int(mpremote(shared, "exec", "import gc; gc.collect(); print(gc.mem_free())"))
    assert 180_000 < free < 192 * 1024


def test_modules_are_imported_from_lib(shared: UnixBoard) -> None:
    (shared.flash / "lib").mkdir(exist_ok=True)
    (shared.flash / "lib" / "library.py").write_text("VALUE = 5\n")
    assert mpremote(shared, "exec", "import library; print(library.VALUE)") == "5\n"


def test_boot_and_main_run_and_a_soft_reset_forgets_ram(tmp_path: Path) -> None:
    with UnixBoard(tmp_path) as board:
        (board.flash / "boot.py").write_text("booted = 'boot'\n")
        (board.flash / "main.py").write_text("print(booted, 'main')\n")
        mpremote(board, "exec", "kept = 1")
        with opened(board) as port:
            port.write(b"\x02\x04")
            until(port, b"MPY: soft reboot\r\nboot main\n")
            until(port, b">>> ")
            port.write(b"kept\r")
            until(port, b"NameError")
        before = board.boots
        mpremote(board, "soft-reset")
        assert board.boots == before + 1


def test_native_module_is_imported(shared: UnixBoard) -> None:
    (shared.flash / "lib").mkdir(exist_ok=True)
    shutil.copy(natmod("x64"), shared.flash / "lib")
    out = mpremote(shared, "exec", "import picofed_core; print(picofed_core.__name__, len(dir(picofed_core)) > 3)")
    assert out == "picofed_core True\n"


def test_ctrl_c_stops_main_py(tmp_path: Path) -> None:
    with UnixBoard(tmp_path) as board:
        (board.flash / "main.py").write_text("while True: pass\n")
        board.reset()
        assert mpremote(board, "exec", "print('alive')") == "alive\n"


def test_a_board_without_a_listener_runs_on(tmp_path: Path) -> None:
    with UnixBoard(tmp_path) as board:
        (board.flash / "main.py").write_text("for i in range(3000): print('x' * 100)\nopen('done', 'w').close()\n")
        board.reset()
        wait_for((board.flash / "done").exists)
        assert mpremote(board, "exec", "print('alive')") == "alive\n"


def test_closing_the_port_mid_output_neither_kills_nor_hangs(tmp_path: Path) -> None:
    with UnixBoard(tmp_path) as board:
        with opened(board) as port:
            enter_raw(port)
            port.write(b"while True: print('x' * 100)\x04")
            port.read(10_000)
        assert mpremote(board, "exec", "print('alive')") == "alive\n"
        assert board.running


def test_power_off_and_on(shared: UnixBoard) -> None:
    states = [shared.running]
    for change in (shared.power_off, shared.reset):
        change()
        states.append(shared.running)
    assert states == [True, False, True]
    assert mpremote(shared, "exec", "print(1)") == "1\n"


def test_malformed_entropy_is_refused_at_once() -> None:
    with pytest.raises(EmulationError, match="entropy"), UnixBoard(entropy="xyz"):
        pass


WRITES = """
import boardserve
for i in range(5):
    boardserve.flash_op()
    open('f%d' % i, 'w').close()
    boardserve.flash_op()
"""


@pytest.mark.parametrize("step", range(1, 11))
def test_power_cut_in_every_flash_step(tmp_path: Path, step: int) -> None:
    with UnixBoard(tmp_path, power_cut=step) as board:
        (board.flash / "main.py").write_text(WRITES)
        with opened(board) as port:
            # A soft reset runs main.py and counts on, it does not start the count anew.
            port.write(b"\r\x04")
            assert board.wait_power_cut(PATIENCE)
        assert len(list(board.flash.glob("f*"))) == step // 2
        board.reset()
        wait_for((board.flash / "f4").exists)
        assert board.running


def test_power_cut_armed_by_the_program() -> None:
    with UnixBoard() as board, opened(board) as port:
        enter_raw(port)
        port.write(b"import boardserve\nboardserve.power_cut_after(3)\nfor _ in range(9): boardserve.flash_op()\x04")
        assert board.wait_power_cut(PATIENCE)


def test_eight_boards_at_once() -> None:
    def work(board: UnixBoard) -> str:
        mpremote(board, "exec", "open('id', 'w').write('x')")
        return mpremote(board, "exec", "import machine; print(machine.unique_id()[-1], sum(range(50000)))")

    with Fleet(["unix"] * 8) as boards, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, boards)) == [f"{number} 1249975000\n" for number in range(1, 9)]
        processes = [board.process_id for board in boards]
    assert not any(Path(f"/proc/{process}").exists() for process in processes)


def test_flash_survives_and_a_folder_is_used_once_at_a_time(tmp_path: Path) -> None:
    with UnixBoard(tmp_path) as board:
        identity = mpremote(board, "exec", "import machine; print(machine.unique_id()); open('a', 'w').write('b')")
        with pytest.raises(EmulationError, match="another folder"), UnixBoard(tmp_path):
            pass
        assert board.running
    with UnixBoard(tmp_path) as board:
        assert mpremote(board, "exec", "import machine; print(machine.unique_id())") == identity
        assert (board.flash / "a").read_text() == "b"


def test_a_board_outlives_the_thread_that_started_it() -> None:
    board = UnixBoard()
    thread = threading.Thread(target=board.__enter__)
    thread.start()
    thread.join()
    try:
        assert mpremote(board, "exec", "print(1)") == "1\n"
    finally:
        board.close()


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_board_outlives_its_emulator(death: signal.Signals) -> None:
    code = (
        "import signal, sys, time; from picofed.fleet.emulation import Fleet\n"
        # A shell that runs the tests in the background has had SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with Fleet(['unix'] * 2) as boards:\n"
        "    print(*[b.process_id for b in boards], flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as emulator:
        assert emulator.stdout is not None
        processes = [int(word) for word in emulator.stdout.readline().split()]
        assert len(processes) == 2
        emulator.send_signal(death)
        emulator.wait(PATIENCE)

    def gone(process: int) -> bool:
        try:
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_for(lambda: all(gone(process) for process in processes))


def test_idle_boards_use_no_processor_time() -> None:
    with Fleet(["unix"] * 3) as boards:
        for board in boards:
            mpremote(board, "exec", "pass")
        ticks = os.sysconf("SC_CLK_TCK")

        def used() -> float:
            stats = (Path(f"/proc/{board.process_id}/stat").read_text().rpartition(")")[2].split() for board in boards)
            return sum(int(stat[11]) + int(stat[12]) for stat in stats) / ticks

        before = used()
        time.sleep(1.5)
        assert used() - before <= 0.05
