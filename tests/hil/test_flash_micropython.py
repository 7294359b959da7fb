"""picofed flash --micropython, on emulated boards: what is decided before a board's own MicroPython is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from flash_world import client_of, recordings, run, spend
from picofed.fleet.emulation import UnixBoard
from picofed.link.messages import State
from picofed.toolchain import uf2

pytestmark = pytest.mark.slow

PICO = 0xE48BFF56


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "pico.uf2").write_bytes(uf2.from_binary(bytes(256), family=PICO))
    return tmp_path / "pico.uf2"


def test_before_micropython_is_replaced_an_update_that_waits_is_seen(site: Path, board: UnixBoard, image: Path) -> None:
    run(site, board)
    recordings(site, board)
    head = spend(site, board)
    said = run(site, board, "--micropython", image, ok=False).stderr
    assert "holds an update that nobody has fetched: run or collect first, or lose it with --interrupt" in said
    with client_of(site, board) as client:
        info = client.hello()
    assert info.state is State.READY and (info.seq, info.spent) == head


def test_before_micropython_is_replaced_a_wrong_board_and_a_wrong_image_are_seen(
    site: Path, board: UnixBoard, image: Path
) -> None:
    run(site, board)
    boots = board.boots
    said = run(site, board, "--micropython", image, "--board", "rpi_pico", ok=False).stderr
    assert "wrong board: picofed unix board with a host CPU (x64) is no rpi_pico (armv6m)" in said
    said = run(site, board, "--micropython", image, ok=False).stderr
    assert "unix brings its own MicroPython: leave --micropython away" in said
    with client_of(site, board) as client:  # started again, though it was stopped to be asked
        assert client.hello().state is State.IDLE
    assert board.boots > boots
