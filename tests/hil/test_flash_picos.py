"""MicroPython onto several emulated Picos at once: folders are their boot loaders' drives, and a thread is the USB that
brings a drive, an image onto a chip, and the board back."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from picofed.fleet.emulation import Rp2040jsBoard
from picofed.fleet.flashing import Options, Target, flash
from picofed.fleet.images import Image
from picofed.fleet.keys import Keys, Wanted
from picofed.fleet.micropython import Installer
from picofed.fleet.provision import Registry
from picofed.owner import Owner
from picofed.toolchain import build, rp2, uf2

pytestmark = pytest.mark.slow

USB = "2e8a:0005"


def show_drive(folder: Path) -> None:
    """Make a folder what a Pico's boot loader shows."""
    folder.mkdir(exist_ok=True)
    (folder / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n")


class Bench:
    """Picos with MicroPython alone on them, and what happens between them and this machine."""

    def __init__(self, folder: Path, count: int) -> None:
        self.boards = [
            Rp2040jsBoard(folder / f"pico{number}", firmware="plain", board_id=b"pico %d.." % number)
            for number in range(count)
        ]
        self.drives = [folder / f"drive{number}" for number in range(count)]
        self.most = 0  # drives that were shown at the same time
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Bench:
        for board in self.boards:
            board.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for board in self.boards:
            board.close()

    def ports(self) -> list[tuple[str, str, str]]:
        """As serial_ports()."""
        return [(str(board.port), USB, "") for board in self.boards if board.running]

    def _work(self) -> None:
        while not self._end.is_set():
            for board, drive in zip(self.boards, self.drives, strict=True):
                if board.in_boot_loader and not drive.exists():
                    show_drive(drive)
                if drive.exists() and (file := next(drive.glob("*.uf2"), None)) and self._is_whole(file):
                    board.load(file)
                    shutil.rmtree(drive)
                    board.reset()
            self.most = max(self.most, sum(drive.exists() for drive in self.drives))
            time.sleep(0.05)

    @staticmethod
    def _is_whole(file: Path) -> bool:
        head = file.read_bytes()[:32]
        return len(head) == 32 and file.stat().st_size == 512 * int.from_bytes(head[24:28], "little")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, 2) as made:
        yield made


def test_picos_get_their_micropython_at_the_same_time_and_a_full_drive_keeps_nobody(
    bench: Bench, tmp_path: Path
) -> None:
    image = Image(rp2.rp2_firmware() / "firmware.uf2", "own.uf2")
    full = tmp_path / "full"
    show_drive(full)
    (full / image.path.name).symlink_to("/dev/full")
    owner = Owner.create(tmp_path / "owner.key")
    keys = Keys(Registry(tmp_path / "boards.json"), Wanted(), {}, lambda: owner)
    seen: set[tuple[str, str, bool]] = set()
    targets = [Target(drive=full), *(Target(str(board.port)) for board in bench.boards)]
    outcomes = flash(
        targets,
        Options(image=image),
        keys,
        lambda label, what, _, total: seen.add((label, what, total > 0)),
        installer=Installer(lambda: [full, *bench.drives], bench.ports),
    )
    assert outcomes[0].problem == f"cannot write to {full}: No space left on device" and outcomes[0].did == []
    for outcome in outcomes[1:]:
        assert outcome.problem == "", outcomes
        assert outcome.did[0] == "installed MicroPython (own.uf2)" and outcome.did[-1] == "self-test passed"
        assert outcome.kind == "rpi_pico" and outcome.copied == ["/main.py"]
    assert sorted(outcome.port for outcome in outcomes[1:]) == sorted(str(board.port) for board in bench.boards)
    assert sorted(outcome.board for outcome in outcomes[1:]) == sorted(
        board.provision.policy.board.hex() for board in Registry(tmp_path / "boards.json")
    )
    assert {(target.port or str(full), "installing MicroPython", True) for target in targets} <= seen
    # What a board has is not installed again, and an image that was made of anything else is.
    port = str(bench.boards[0].port)
    (again,) = flash([Target(port)], Options(image=image), keys, lambda *_: None)
    assert again.did == ["MicroPython is up to date", "files are up to date", "self-test passed"]
    other = tmp_path / "other.uf2"
    digest = build.picofed_digest().encode()
    content = (rp2.rp2_firmware() / "firmware.bin").read_bytes()
    assert content.count(digest) == 1
    other.write_bytes(uf2.from_binary(content.replace(digest, digest[::-1])))
    newer, erased = (
        Options(image=Image(other, "other.uf2"), dry_run=True),
        Options(image=image, erase=True, dry_run=True),
    )
    for options in (newer, erased):
        (told,) = flash([Target(port)], options, keys, lambda *_: None)
        assert told.did[0].startswith("would install MicroPython") and told.did[1:] == ["would leave its keys"]
