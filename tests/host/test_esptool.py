"""MicroPython onto ESP32 boards, by the real esptool up to where the chip would be: see esp_loader.py."""

from __future__ import annotations

import importlib.metadata
import os
import pty
import sys
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import picofed
from esp_loader import EspLoader
from esptool.bin_image import ImageSegment
from esptool.targets import CHIP_DEFS
from picofed.fleet import catalog, esp32, images
from picofed.fleet.flash_options import FlashError
from picofed.fleet.micropython import Installer


def kind(chip: str) -> catalog.Kind:
    return next(each for each in catalog.kinds().values() if each.flash.chip == chip)


def made(folder: Path, chip: str, size: int = 150_000, table: bool = True) -> images.Image:
    """A firmware file as MicroPython's for these chips are: a boot loader, by esptool's own code, and a partition table
    at 0x8000 of the flash; what follows stands for the program."""
    loader = CHIP_DEFS[chip].BOOTLOADER_IMAGE()
    segment = ImageSegment(0x3FFF0000, bytes(64))
    segment.name = "data"
    loader.segments.append(segment)
    path = folder / f"{chip}.bin"
    loader.save(str(path))
    data = bytearray(path.read_bytes().ljust(size, b"\xff"))
    at = 0x8000 - (kind(chip).flash.offset if chip in ("esp32", "esp32s3", "esp32c3") else 0)
    data[at : at + 2] = b"\xaa\x50" if table else b"\0\0"
    data[0x10000:] = os.urandom(size - 0x10000)
    path.write_bytes(data)
    return images.image(str(path), None)


def install(image: images.Image, chip: str, port: str) -> list[tuple[int, int]]:
    """What was told while it was written."""
    told: list[tuple[int, int]] = []
    assert Installer().onto_port(port, image, kind(chip), None, lambda *done: told.append(done)) == port
    return told


@pytest.mark.parametrize("chip", ["esp32", "esp32s3"])
def test_esptool_writes_the_image_where_it_belongs_and_nothing_else(tmp_path: Path, chip: str) -> None:
    image, offset = made(tmp_path, chip), kind(chip).flash.offset
    with EspLoader(chip) as loader:
        told = install(image, chip, loader.port)
        data = image.path.read_bytes()
        assert loader.flash[offset : offset + len(data)] == data
        assert loader.erased == [(offset, len(data))]
    assert told[-1] == (100, 100) and len(told) > 3 and told == sorted(told)


def test_a_cable_that_is_pulled_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    image = made(tmp_path, "esp32")
    with (
        EspLoader("esp32", breaks_after=2) as loader,
        pytest.raises(
            images.ImageError, match=r"^esptool: (No more data to read|Serial data stream stopped)[^\n]{,60}$"
        ),
    ):
        install(image, "esp32", loader.port)


def test_who_interrupts_leaves_no_esptool_behind(tmp_path: Path) -> None:
    image = made(tmp_path, "esp32")

    def interrupted(_: int, __: int) -> None:
        raise FlashError("interrupted")

    with EspLoader("esp32") as loader, pytest.raises(FlashError):
        Installer().onto_port(loader.port, image, kind("esp32"), None, interrupted)
    with EspLoader("esp32") as loader:  # again, and it goes on
        install(image, "esp32", loader.port)


@pytest.fixture(params=["silent", "noisy"])
def nobody(request: pytest.FixtureRequest) -> Iterator[str]:
    """A port with no boot loader behind it."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    over = threading.Event()

    def chatter() -> None:
        while not over.wait(0.01):
            os.write(master, b"\xc0rst:0x1 (POWERON_RESET)\r\n" if request.param == "noisy" else b"")

    thread = threading.Thread(target=chatter)
    thread.start()
    yield os.ttyname(slave)
    over.set()
    thread.join()
    os.close(slave)
    os.close(master)


def test_what_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    """One attempt of the seven, by esptool's own setting: they are all alike."""
    monkeypatch.setenv("ESPTOOL_CONNECT_ATTEMPTS", "1")
    image = made(tmp_path, "esp32")
    with pytest.raises(images.ImageError) as error:
        install(image, "esp32", nobody)
    said = str(error.value)
    assert said.startswith("esptool: Failed to connect to ESP32: ") and "\n" not in said
    assert said.endswith("(hold BOOT while you press reset, and try again)")


def test_a_chip_of_another_kind_is_one_line_and_an_exit_status(tmp_path: Path) -> None:
    """By the command itself, which waits for MicroPython in vain first: an ESP32 may have none yet."""
    image = made(tmp_path, "esp32")
    words = ("flash", "--board", "esp32", "--site", str(tmp_path / "site"), "--micropython", str(image.path))
    with EspLoader("esp32s3") as loader:
        done = picofed(*words, "--port", loader.port, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1:] == [
        f"picofed: {loader.port}: wrong board: esptool says This chip is ESP32-S3, not ESP32"
    ]
    assert not (tmp_path / "site").exists()


def test_images_for_other_chips_are_refused_before_esptool_runs(tmp_path: Path) -> None:
    for chip, number in catalog.CHIPS.items():
        image = made(tmp_path, chip)
        assert number == CHIP_DEFS[chip].IMAGE_CHIP_ID
        for other in ("esp32", "esp32s3", "esp32c3"):
            if other == chip:
                images.check_image(image, kind(other))
                continue
            with pytest.raises(images.ImageError, match=f"wrong image: {chip}.bin is for {chip}, not {other}"):
                images.check_image(image, kind(other))
    with pytest.raises(images.ImageError, match="is no whole firmware: take the"):
        images.check_image(made(tmp_path, "esp32", table=False), kind("esp32"))
    for data in (b"\xe9", b"", bytes(8192)):
        (tmp_path / "firmware.bin").write_bytes(data)
        with pytest.raises(images.ImageError, match="is none for ESP32"):
            images.check_image(images.image(str(tmp_path / "firmware.bin"), None), kind("esp32"))
    with pytest.raises(images.ImageError, match="unix brings its own MicroPython"):
        images.check_image(made(tmp_path, "esp32"), catalog.kind("unix"))


def test_without_esptool_or_with_an_old_one_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = made(tmp_path, "esp32")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "esptool", None)
        with pytest.raises(images.ImageError, match=r"boards need esptool: pip install 'picofed\[esp32\]'"):
            install(image, "esp32", "/dev/none")
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "4.8.1")
    assert "need esptool 5 or later, this is 4.8.1" in esp32.complaint()
    monkeypatch.undo()
    with pytest.raises(
        images.ImageError, match=r"esptool: Could not open /dev/none, the port is busy or doesn't exist"
    ):
        install(image, "esp32", "/dev/none")
