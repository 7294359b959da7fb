"""What flashing decides without a board: images, drives, payloads, limits."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from picofed import __version__
from picofed.fleet import catalog, images, limits, micropython
from picofed.fleet.payload import PayloadError, check
from picofed.fleet.probe import Probe, hardware_id
from picofed.learn.model import Model
from picofed.native import blake2b
from picofed.toolchain.layout import repo_root
from picofed.toolchain.mpy import Abi
from picofed.toolchain.uf2 import from_binary
from webserver import served

PICO = 0xE48BFF56
GOOD = Probe(Abi("armv6m", "6.3"), "a board", (1, 25, 0), b"12345678", False, "", 100000, 4096, False)


def uf2(family: int, blocks: int = 3, content: bytes = b"") -> bytes:
    """An image of a few blocks of 256 bytes, or as many as the content fills."""
    return from_binary(content or b"".join(bytes([number] * 256) for number in range(blocks)), family=family)


@pytest.fixture
def drive(tmp_path: Path) -> micropython.Drive:
    """A folder as a Pico's boot loader shows it."""
    place = tmp_path / "drive"
    place.mkdir()
    (place / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n")
    found = micropython.drive_at(place)
    assert found is not None
    return found


def test_a_drive_is_known_by_its_file_and_takes_only_images_of_its_family(
    drive: micropython.Drive, tmp_path: Path
) -> None:
    assert "rpi_pico_w" in [kind.name for kind in drive.kinds]
    assert micropython.drive_at(tmp_path) is None
    for name, data in (("good.uf2", uf2(PICO)), ("other.uf2", uf2(0xE48BFF59)), ("no.uf2", b"MZ" * 256)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "short.uf2").write_bytes(uf2(PICO)[:-1])
    pico, pico2 = catalog.kind("rpi_pico_w"), catalog.kind("rpi_pico2")
    for kind in (pico, None):
        micropython.copy_to(drive, images.image(str(tmp_path / "good.uf2"), None), kind)
        assert (drive.path / "good.uf2").read_bytes() == uf2(PICO)
    for name, kind, words in (
        ("other.uf2", pico, "wrong image: other.uf2 is for family e48bff59, not e48bff56"),
        ("other.uf2", None, "wrong image"),
        ("good.uf2", pico2, "wrong board: the drive at .* is a RPI-RP2, not RP2350"),
        ("no.uf2", pico, "not a UF2 image: block 0"),
        ("short.uf2", pico, "not made of blocks of 512 bytes"),
    ):
        with pytest.raises(images.ImageError, match=words):
            micropython.copy_to(drive, images.image(str(tmp_path / name), None), kind)
        assert name == "good.uf2" or not (drive.path / name).exists()


def test_a_drive_that_is_full_or_read_only_is_one_line(drive: micropython.Drive, tmp_path: Path) -> None:
    (tmp_path / "good.uf2").write_bytes(uf2(PICO))
    (drive.path / "good.uf2").symlink_to("/dev/full")
    with pytest.raises(images.ImageError, match=r"cannot write to .*: No space left"):
        micropython.copy_to(drive, images.image(str(tmp_path / "good.uf2"), None), None)


def test_an_rp2350_image_may_begin_with_a_block_of_another_family() -> None:
    assert images.families(uf2(0xE48BFF57, 1) + uf2(0xE48BFF59)) == {"e48bff59"}


def test_an_image_from_the_network_is_what_its_hash_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICOFED_CACHE", str(tmp_path / "cache"))
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "good.uf2").write_bytes(uf2(PICO))
    digest = hashlib.sha256(uf2(PICO)).hexdigest()
    with served(tmp_path / "web") as address:
        url = f"{address}/good.uf2"
        made = images.image(url, digest.upper())
        assert made.path.read_bytes() == uf2(PICO) and made.name == "good.uf2"
        for wrong, sha256, words in (
            (url, None, "needs --sha256"),
            (url, "0" * 64, f"has the SHA-256 {digest}, not the one given"),
            (url, "0" * 63, "64 hex digits"),
            (f"{address}/none.uf2", digest, "cannot fetch .*/none.uf2: .*not found"),
        ):
            with pytest.raises(images.ImageError, match=words):
                images.image(wrong, sha256)
    assert images.image(url, digest).path == made.path  # the server has gone
    with pytest.raises(images.ImageError, match="cannot fetch"):
        images.image(url, "1" * 64)


def test_what_a_board_must_have() -> None:
    check(GOOD)
    for changes, words in (
        ({"version": (1, 22, 2)}, r"MicroPython 1\.22\.2 is too old"),
        ({"frozen": "0.0.9"}, r"has picofed 0\.0\.9 built in"),
        ({"frozen": __version__, "sources": "0" * 64}, r"has another picofed \S+ built in"),
        ({"abi": Abi("none", "6.3")}, "loads no native modules"),
    ):
        with pytest.raises(PayloadError, match=words):
            check(Probe(**{**vars(GOOD), **changes}))
    check(Probe(**{**vars(GOOD), "abi": Abi("none", "6.3"), "built_in": True}))


def test_an_image_is_what_a_board_runs_only_if_all_of_it_is_the_same(tmp_path: Path) -> None:
    has = replace(GOOD, banner="3.4.0; MicroPython v1.25.0", machine="a Pico", frozen="0.1.0", sources="5" * 64)
    plain = replace(has, frozen="", sources="")
    begins = f"{has.banner}\0{has.machine}\0".ljust(250)  # what is sought then lies in two blocks
    for content, board, same in (
        (f"{begins}picofed_sources.py\0{has.sources}", has, True),
        (f"{begins}picofed_sources.py\0{'6' * 64}", has, False),
        (begins, has, False),
        (begins, plain, True),
        (f"{begins}picofed_sources.py\0{has.sources}", plain, False),
        (begins.replace("1.25.0", "1.25.1"), plain, False),
        (begins.replace("a Pico", "a Pica"), plain, False),
        (f"{begins}{has.sources}", replace(has, sources=""), False),  # of a firmware that does not say
    ):
        for name, data in (("image.uf2", uf2(PICO, content=content.encode())), ("image.bin", content.encode())):
            (tmp_path / name).write_bytes(data)
            assert images.runs(images.image(str(tmp_path / name), None), board) == same, content


def test_the_board_id_is_the_firmwares() -> None:
    assert hardware_id(b"123456") == b"123456\0\0" and hardware_id(b"12345678") == b"12345678"
    assert hardware_id(bytes(range(12))) == blake2b(bytes(range(12)), 8)
    assert [hardware_id(raw) for raw in (None, bytes(8), b"\xff" * 8, bytes(4))] == [None] * 4


def test_the_largest_model_is_the_largest_that_fits() -> None:
    for kind in catalog.kinds().values():
        limit = limits.largest(kind)
        inputs, hidden, outputs = limit.widths
        assert limits.fits(Model.dense(limit.widths), kind) and limit.bytes <= kind.memory.for_jobs
        assert not limits.fits(Model.dense((inputs, hidden + 1, outputs)), kind)
        assert limit.parameters == hidden * (inputs + 1) + outputs * (hidden + 1)


def test_the_limits_count_as_many_records_as_the_firmware_takes_at_once() -> None:
    firmware = (repo_root() / "firmware" / "picofed" / "train.py").read_text()
    assert f"_BATCH = const({limits._BATCH})" in firmware
