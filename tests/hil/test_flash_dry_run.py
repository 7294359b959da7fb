"""A dry run of picofed flash takes the decisions of the run itself, and changes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flash_world import client_of, registry, run
from picofed import accounting
from picofed.fleet.emulation import UnixBoard
from picofed.provisioning import Provision
from picofed.toolchain import uf2
from test_flash import on_board, small_disk
from test_flash_micropython import PICO
from test_flash_picos import show_drive

pytestmark = pytest.mark.slow


def kept(board: UnixBoard) -> dict[str, bytes]:
    return {path: data for path, data in board.read_files().items() if "flash.bin" not in path}


def test_erasing_is_foretold_as_it_happens(site: Path, board: UnixBoard) -> None:
    run(site, board)
    before = kept(board)
    (dry,) = json.loads(run(site, board, "--erase", "--dry-run", "--json").stdout)
    assert kept(board) == before
    (real,) = json.loads(run(site, board, "--erase", "--json").stdout)
    assert dry["copied"] == real["copied"] and dry["removed"] == real["removed"] == []
    assert len(dry["copied"]) == len(before) - len([path for path in before if path.startswith("/picofed-data")])


@pytest.mark.parametrize("running", [True, False])
def test_a_board_of_another_owner_is_refused_before_anything_is_changed(
    site: Path, board: UnixBoard, tmp_path: Path, running: bool
) -> None:
    run(site, board)
    board.install({"/lib/picofed/old.mpy": b"left"})
    board.reset()
    if not running:
        on_board(board, "")  # and there it sits
    before = kept(board)
    other = tmp_path / "other"
    for words in (("--dry-run",), ("--erase",), ()) if running else (("--dry-run", "--erase"),):
        assert "it has keys that this site does not know" in run(other, board, *words, ok=False).stderr
        assert kept(board) == before and not other.exists()
    assert "would give it new keys" in run(other, board, "--dry-run", "--new-keys").stdout
    assert kept(board) == before and not other.exists()
    assert "would leave its keys" in run(site, board, "--dry-run").stdout


def test_whose_keys_a_board_has_comes_before_another_policy(site: Path, board: UnixBoard, tmp_path: Path) -> None:
    run(site, board)
    run(tmp_path / "other", board, "--new-keys")
    registered = (site / "boards.json").read_bytes()
    for words in (("--dry-run",), ()):
        on_board(board, "")  # there it sits, and cannot tell whose it is
        before = kept(board)
        said = run(site, board, "--epsilon", 2, *words, ok=False).stderr
        assert "it has keys that this site does not know: use the --site that has them" in said
        assert kept(board) == before and (site / "boards.json").read_bytes() == registered
    asked = ("--new-keys", "--epsilon", 3)
    assert "would give it new keys" in run(site, board, *asked, "--dry-run").stdout
    assert run(site, board, *asked).stdout.endswith("files are up to date, new keys, self-test passed\n")


def test_a_lost_ledger_comes_before_another_policy(site: Path, board: UnixBoard) -> None:
    run(site, board)
    (known,) = registry(site)
    board.power_off()
    (board.flash / "picofed-data" / "flash.bin").unlink()
    board.reset()
    for words in (("--dry-run",), ()):
        assert "keys again (" in run(site, board, "--epsilon", 2, *words).stdout
    with client_of(site, board) as client:
        assert client.hello().budget == accounting.budget(2.0, 1e-5)
    (given,) = registry(site)
    assert isinstance(given.provision, Provision) and isinstance(known.provision, Provision)
    assert given.provision.key == known.provision.key
    on_board(board, "")
    assert "would change its policy" in run(site, board, "--epsilon", 3, "--dry-run").stdout
    on_board(board, "")
    assert "new policy, self-test passed" in run(site, board, "--epsilon", 3).stdout


def test_what_is_left_of_keys_that_nobody_knows_gives_way_to_new_ones(site: Path, board: UnixBoard) -> None:
    run(site, board, "--no-keys")
    board.power_off()
    board.install({"/picofed-data/board.0": b"half"})
    board.reset()
    for words, said in ((("--dry-run",), "would give it new keys\n"), ((), "new keys, self-test passed\n")):
        assert run(site, board, *words).stdout.endswith(f"files are up to date, {said}")


def test_what_the_run_refuses_a_dry_run_refuses(site: Path, board: UnixBoard, tmp_path: Path) -> None:
    (tmp_path / "pico.uf2").write_bytes(uf2.from_binary(bytes(256), family=PICO))
    (tmp_path / "other.uf2").write_bytes(uf2.from_binary(bytes(256), family=0xE48BFF59))
    drive = tmp_path / "drive"
    show_drive(drive)
    for words, said in (
        (("--micropython", tmp_path / "pico.uf2", "--board", "unix"), "unix brings its own MicroPython"),
        (("--micropython", tmp_path / "pico.uf2", "--board", "rpi_pico"), "wrong board"),
        (("--micropython", tmp_path / "pico.uf2"), "unix brings its own MicroPython"),
    ):
        for more in ((), ("--dry-run",)):
            assert said in run(site, board, *words, *more, ok=False).stderr
    for more in ((), ("--dry-run",)):
        wrong = ("--drive", drive, "--micropython", tmp_path / "other.uf2", *more)
        assert "wrong image: other.uf2" in run(site, [], *wrong, ok=False).stderr
    told = run(site, [], "--drive", drive, "--micropython", tmp_path / "pico.uf2", "--dry-run").stdout
    assert told == f"{drive}: would install MicroPython (pico.uf2), then firmware and keys\n"
    assert [path.name for path in drive.iterdir()] == ["INFO_UF2.TXT"]
    assert board.read_files() == {} and not site.exists()


def test_a_dry_run_sees_that_files_do_not_fit(site: Path, board: UnixBoard) -> None:
    board.install(small_disk(64))
    board.reset()
    said = run(site, board, "--dry-run", ok=False).stderr
    assert re.search(r"its file system is full: \d+ kB are needed", said)
