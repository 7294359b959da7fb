"""What people and tools do on a board's console, on boards that run MicroPython at full speed. What every board must do
beyond that is in test_boards.py and test_bit_identical.py."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from console import PROMPT, check_ctrl_c, enter_raw, entropy_stream, mpremote, opened, run_raw, until, wait_for
from picofed.fleet.emulation import EmulatedBoard, emulated

pytestmark = pytest.mark.slow

KINDS = ("unix", "xtensa")


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest) -> Iterator[EmulatedBoard]:
    with emulated(request.param, board_id=bytes(range(8))) as board:
        yield board


def test_errors_are_reported(shared: EmulatedBoard) -> None:
    assert mpremote(shared, "exec", "print(6 * 7)") == "42\n"
    mpremote(shared, "exec", "1 / 0", ok=False)


def test_files_are_copied_both_ways_and_listed(shared: EmulatedBoard, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(20_000)
    (tmp_path / "out.bin").write_bytes(data)
    mpremote(shared, "cp", str(tmp_path / "out.bin"), ":data.bin")
    mpremote(shared, "cp", ":data.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == data
    mpremote(shared, "mkdir", ":folder")
    listing = mpremote(shared, "ls")
    assert "data.bin" in listing and "folder/" in listing
    mpremote(shared, "rm", ":data.bin")
    assert "data.bin" not in mpremote(shared, "ls")


def test_run_a_host_file_and_mount_a_host_folder(shared: EmulatedBoard, tmp_path: Path) -> None:
    (tmp_path / "where.py").write_text("HERE = 'on the host'\n")
    (tmp_path / "program.py").write_text("print('running')\n")
    assert mpremote(shared, "run", str(tmp_path / "program.py")) == "running\n"
    out = mpremote(shared, "mount", str(tmp_path), "exec", "import where; print(where.HERE)")
    assert "on the host" in out


def test_machine_module_resets_and_identifies(shared: EmulatedBoard) -> None:
    assert mpremote(shared, "exec", "import machine; print(machine.unique_id().hex())") == "0001020304050607\n"
    mpremote(shared, "reset")
    wait_for(lambda: mpremote(shared, "resume", "exec", "import machine; print(machine.reset_cause())") == "1\n")
    with opened(shared) as port:
        enter_raw(port)
        port.write(b"import machine; machine.soft_reset()\x04")
        until(port, PROMPT)
        assert run_raw(port, "import machine; print(machine.reset_cause())") == "5\n"


def test_hard_reset_keeps_the_open_port(shared: EmulatedBoard) -> None:
    with opened(shared) as port:
        enter_raw(port)
        run_raw(port, "with open('kept.txt', 'w') as kept: kept.write('flash')")
        for _ in range(3):
            shared.reset()
            enter_raw(port)
            assert run_raw(port, "print('kept' in globals(), open('kept.txt').read())") == "False flash\n"


def test_ctrl_c_stops_a_running_loop_and_is_data_when_asked(shared: EmulatedBoard) -> None:
    with opened(shared) as port:
        # Often: a signal that meets a system call as it begins must not be lost.
        check_ctrl_c(port, 25, b"\n" if shared.name == "unix" else b"\r\n")


ECHO = """
import sys, micropython, time
micropython.kbd_intr(-1)
print('ready' + '!')
time.sleep_ms(200)
left = 60000
while left:
    got = sys.stdin.buffer.read(min(left, 1000))
    sys.stdout.buffer.write(got)
    left -= len(got)
"""


def test_60_kilobytes_of_any_bytes_come_back_intact(shared: EmulatedBoard) -> None:
    """Though the board reads late: what was sent by then waits."""
    data = random.Random(2).randbytes(60_000)
    with opened(shared) as port:
        enter_raw(port)
        port.write(ECHO.encode() + b"\x04")
        until(port, b"ready!")
        until(port, b"\n")
        writer = threading.Thread(target=port.write, args=(data,))
        writer.start()
        assert port.read(len(data)) == data
        writer.join()
        until(port, b"\x04\x04>")


def test_what_is_typed_during_a_soft_reset_is_not_lost(shared: EmulatedBoard) -> None:
    with opened(shared) as port:
        for number in range(40):
            enter_raw(port)
            port.write(b"\x04" + f"print({number} + 40)\x04".encode())
            until(port, b"soft reboot\r\n" + PROMPT)
            assert until(port, b"\x04\x04>").split() == [f"OK{number + 40}".encode(), b"\x04\x04>"]


@pytest.mark.parametrize("kind", KINDS)
def test_entropy_is_predictable_and_never_repeats(kind: str, tmp_path: Path) -> None:
    read = "import boardserve; print((boardserve.entropy(5) + boardserve.entropy(100)).hex())"
    with emulated(kind, tmp_path, entropy="00ff10") as board, opened(board) as port:
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


@pytest.mark.parametrize("kind", KINDS)
def test_broken_entropy_sources(kind: str) -> None:
    read = "import boardserve; print(boardserve.entropy(4096).hex())"

    def source(entropy: str | None) -> bytes:
        with emulated(kind, entropy=entropy) as board:
            return bytes.fromhex(mpremote(board, "resume", "exec", read))

    assert source("stuck:5a") == b"\x5a" * 4096
    assert source("constant") == entropy_stream(b"", 0, 32) * 128
    assert 0.74 < sum(byte.bit_count() for byte in source("biased")) / (8 * 4096) < 0.76
    assert source(None) != source(None)
