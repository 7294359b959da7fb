"""The emulated Pico: the UF2 that a real one takes, from its boot ROM to a round under noise. What every board must do
is in test_boards.py; here is what only this one has. Emulation is slow: one board for many tests, and no test asks for
an answer within seconds.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from console import mpremote
from picofed.fleet.emulation import EmulatedBoard, Rp2040jsBoard, UnixBoard
from picofed.fleet.emulation.rp2040js import FLASH_BYTES, REGION_BYTES, STORAGE_BYTES
from picofed.fleet.provision import board_files
from picofed.learn import weights
from picofed.link.client import BoardClient
from picofed.link.messages import BoardError, Info, State
from picofed.link.stream import SerialStream
from picofed.link.transfer import upload
from picofed.provisioning import Provision
from picofed.store import Version
from picofed.toolchain import build, rp2
from world import IDENTITY, SEED, SOFTMAX, charge_of, provision, sessions

pytestmark = pytest.mark.slow

# For one answer of a board that may still be starting, on a machine that does other things too.
PATIENCE = 600.0
CHARGE = charge_of(SOFTMAX)
WEIGHTS = struct.pack(
    f"<{SOFTMAX.model.parameters}h", *(random.Random(5).choices(range(-900, 900), k=SOFTMAX.model.parameters))
)
ENTROPY = -8


def client_of(board: EmulatedBoard) -> BoardClient:
    # Repeated: what is sent just before a reset is lost.
    return BoardClient(SerialStream(str(board.port)), board.name, (20.0,) * int(PATIENCE / 20.0))


def hello(board: EmulatedBoard) -> Info:
    client = client_of(board)
    try:
        return client.hello()
    finally:
        client.close()


def one_round(board: EmulatedBoard, number: int = 0) -> bytes:
    """The update of one round that starts from WEIGHTS."""
    client = client_of(board)
    try:
        mtu = client.hello().mtu
        job = client.job(upload(client, SOFTMAX.body, mtu))
        packed = weights.pack(SOFTMAX, Version(number, WEIGHTS, b"", b""))
        client.round(job, upload(client, packed, mtu))
        while (status := client.status()).state not in (State.READY, State.IDLE):
            pass
        assert status.update is not None, status
        data = b""
        while len(data) < status.update_length:
            data += client.get(status.update, len(data), 700)
        client.drop(status.update)
        return data
    finally:
        client.close()


def without_code(files: dict[str, bytes]) -> dict[str, bytes]:
    """What a board with picofed frozen into its firmware still needs."""
    return {name: content for name, content in files.items() if not name.startswith("/lib/")}


@dataclass
class Known:
    given: Provision
    files: dict[str, bytes]
    update: bytes


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """A round's update on the unix board, which the Pico must send to the byte."""
    given = provision(IDENTITY, SOFTMAX, 100)
    board = UnixBoard(tmp_path_factory.mktemp("unix") / "board", board_id=IDENTITY, entropy=SEED.hex())
    board.install(board_files(build.natmod("x64"), given, sessions()))
    with board:
        update = one_round(board)
    return Known(given, board_files(build.natmod("armv6m"), given, sessions()), update)


@pytest.fixture(scope="module")
def frozen(known: Known, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rp2040jsBoard]:
    """The firmware with picofed in it, running."""
    place = tmp_path_factory.mktemp("frozen") / "board"
    board = Rp2040jsBoard(place, board_id=IDENTITY, entropy=SEED.hex())
    board.install(without_code(known.files))
    with board:
        yield board


def test_frozen_firmware_answers_passes_its_selftest_and_sends_the_unix_boards_bytes(
    frozen: Rp2040jsBoard, known: Known
) -> None:
    info = hello(frozen)
    assert (info.board, info.name, info.boot, info.spent) == (IDENTITY, "dut", 1, 0)
    assert info.machine == "Raspberry Pi Pico with RP2040"
    assert info.heap > 200_000 and info.used < 40_000
    client = client_of(frozen)
    try:
        lines = client.selftest()
    finally:
        client.close()
    assert len(lines) == 8 and all(line.passed for line in lines), lines
    assert one_round(frozen) == known.update
    assert hello(frozen).spent == CHARGE


def test_mpremote_works_and_files_and_ledger_outlive_resets(frozen: Rp2040jsBoard, tmp_path: Path) -> None:
    before = hello(frozen)
    code = "import machine, sys; print(machine.unique_id().hex(), sys.platform, 6 * 7, 1.5 * 1.5)"
    assert mpremote(frozen, "exec", code).split() == [IDENTITY.hex(), "rp2", "42", "2.25"]
    data = random.Random(1).randbytes(3000)
    (tmp_path / "data.bin").write_bytes(data)
    (tmp_path / "where.py").write_text("print('on the host')\n")
    mpremote(frozen, "cp", str(tmp_path / "data.bin"), ":data.bin")
    assert "data.bin" in mpremote(frozen, "soft-reset", "ls")
    assert "on the host" in mpremote(frozen, "mount", str(tmp_path), "exec", "import where")
    # The ledger is in raw flash, not in a file.
    code = "import os, picofed.platform as p; print(p._raw_device()[1:], os.listdir('/picofed-data'))"
    shown = mpremote(frozen, "exec", code)
    assert shown.startswith(f"({STORAGE_BYTES // 4096 - 4}, 256)") and "flash.bin" not in shown
    mpremote(frozen, "reset")
    after = hello(frozen)
    assert (after.boot, after.spent, after.seq) == (before.boot + 1, before.spent, before.seq)
    frozen.power_off()
    assert frozen.read_files()["/data.bin"] == data
    frozen.reset()
    assert hello(frozen).boot == after.boot + 1


def test_power_fails_inside_a_page_and_inside_a_sector(frozen: Rp2040jsBoard) -> None:
    """Half of the page is programmed, half of the sector erased; what came before that is whole."""
    last = STORAGE_BYTES // 4096 - 1
    code = f"""
import rp2
flash = rp2.Flash()
flash.ioctl(6, {last})
flash.writeblocks({last}, bytes(256), 0)
flash.writeblocks({last}, b"U" * 256, 256)
"""
    torn_page = bytes(256) + b"U" * 128 + b"\xff" * (4096 - 384)
    torn_sector = b"\xff" * 2048 + b"\x12" * 2048
    frozen.power_off()
    before = frozen.flash.read_bytes()
    for step, sector in ((3, torn_page), (1, torn_sector)):
        frozen.flash.write_bytes(before[:-4096] + b"\x12" * 4096)
        frozen.install({"/main.py": code.encode()})
        frozen.reset(power_cut=step)
        assert frozen.wait_power_cut(PATIENCE), frozen.log
        assert frozen.flash.read_bytes()[-4096:] == sector
    frozen.flash.write_bytes(before)
    frozen.reset()
    assert hello(frozen).board == IDENTITY


def test_watchdog_resets_the_board(frozen: Rp2040jsBoard) -> None:
    hello(frozen)
    starts = frozen.boots
    mpremote(frozen, "exec", "--no-follow", "import machine, time; machine.WDT(timeout=200); time.sleep(5)")
    while frozen.boots < starts + 1:
        assert frozen.running
    hello(frozen)
    assert mpremote(frozen, "exec", "import machine; print(machine.reset_cause() == machine.WDT_RESET)") == "True\n"


def test_boot_loader_takes_the_plain_firmware(frozen: Rp2040jsBoard) -> None:
    mpremote(frozen, "bootloader")
    assert frozen._process is not None and frozen._process.wait(PATIENCE) == 0
    assert frozen.in_boot_loader
    frozen.load(rp2.rp2_firmware("plain") / "firmware.uf2")
    frozen.reset()
    assert not frozen.in_boot_loader
    code = "import sys\ntry:\n import picofed_core\nexcept ImportError: print('plain', sys.implementation[1][:2])"
    assert mpremote(frozen, "exec", code) == "plain (1, 25)\n"


def test_plain_firmware_loads_the_native_module_and_moves_to_the_frozen_one(known: Known, tmp_path: Path) -> None:
    """Files and native module on MicroPython as it comes; then an update by UF2, which loses no budget."""
    board = Rp2040jsBoard(tmp_path / "board", firmware="plain", board_id=IDENTITY, entropy=SEED.hex())
    board.install(known.files)
    with board:
        assert hello(board).heap > 100_000
        client = client_of(board)
        try:
            lines = client.selftest()
        finally:
            client.close()
        assert len(lines) == 8 and all(line.passed for line in lines), lines
        assert one_round(board) == known.update
        board.power_off()
        files = board.read_files()
        assert len(files["/picofed-data/flash.bin"]) == REGION_BYTES
        board.load(rp2.rp2_firmware("picofed") / "firmware.uf2")
        board.reset()
        info = hello(board)
        assert (info.spent, info.seq, info.boot) == (CHARGE, 1, 2)
        board.power_off()
        assert board.read_files()["/lib/picofed_core.mpy"] == files["/lib/picofed_core.mpy"]


@pytest.mark.parametrize("entropy", ["constant", "stuck:ff"])
def test_ring_oscillator_that_gives_no_entropy_fails_closed(known: Known, tmp_path: Path, entropy: str) -> None:
    """stuck:ff is what rp2040js has where nothing is injected."""
    board = Rp2040jsBoard(tmp_path / "board", board_id=IDENTITY, entropy=entropy)
    board.install(without_code(known.files))
    with board:
        client = client_of(board)
        try:
            assert client.status().error == ENTROPY
            with pytest.raises(BoardError) as refused:
                client.job(upload(client, SOFTMAX.body, client.hello().mtu))
            assert refused.value.code == ENTROPY
        finally:
            client.close()


def test_hosts_entropy_comes_through_the_ring_oscillator(known: Known, tmp_path: Path) -> None:
    """No module on the board stands for the hardware: the firmware reads the register, as on a real Pico."""
    board = Rp2040jsBoard(tmp_path / "board", board_id=IDENTITY)
    board.install(without_code(known.files))
    with board:
        assert hello(board).board == IDENTITY
        update = one_round(board)
        assert len(update) > 50 and update != known.update
        client = client_of(board)
        try:
            assert all(line.passed for line in client.selftest())
        finally:
            client.close()
        board.power_off()
        assert "/lib/boardserve.py" not in board.read_files()


def test_what_the_pico_is_given_is_a_uf2_for_it() -> None:
    for flavour in rp2.FLAVOURS:
        folder = rp2.rp2_firmware(flavour)
        image = (folder / "firmware.bin").read_bytes()
        # The second stage is there, with its checksum; then the vectors: a stack in SRAM, a start in flash.
        stack, start = struct.unpack_from("<2I", image, 256)
        assert 0x20000000 < stack <= 0x20042000 and 0x10000100 < start < 0x10000000 + len(image)
        assert len(image) <= FLASH_BYTES - STORAGE_BYTES
