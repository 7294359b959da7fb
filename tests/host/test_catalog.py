"""boards/: every folder is as docs/boards.md says, and what is not is one clear line."""

import re
import tomllib
from pathlib import Path

import pytest
from picofed.fleet import catalog
from picofed.fleet.emulation import BACKENDS
from picofed.toolchain import mpy
from picofed.toolchain.layout import repo_root
from picofed.toolchain.products import ARCHITECTURES

BOARDS = repo_root() / "boards"
SHARED = ("common", "qemu")  # what several boards are built from
FOLDERS = sorted(path.name for path in BOARDS.iterdir() if path.is_dir() and path.name not in SHARED)
GOOD = (BOARDS / "rpi_pico2" / "board.toml").read_text().replace("heap = 450000", "heap = 450000\nword = 4")


@pytest.mark.parametrize("name", FOLDERS)
def test_every_folder_is_a_board(name: str) -> None:
    made = catalog.load(BOARDS / name)
    assert catalog.kind(name) == made and made.title
    assert made.natmod_arch in ARCHITECTURES
    readme = (BOARDS / name / "README.md").read_text()
    assert readme.startswith(f"# {name}")
    sections = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL))
    for wanted in ("Wiring", "Quirks", "What was tried"):
        assert any(title.startswith(wanted) and text.strip() for title, text in sections.items()), wanted
    assert made.emulated or "picofed flash" in readme
    assert made.emulated or made.flash.method != "none"


def test_emulated_kinds_are_those_that_have_an_emulator() -> None:
    assert set(BACKENDS) == {name for name in FOLDERS if catalog.kind(name).emulated}


def test_kinds_are_found_by_what_they_show() -> None:
    assert [made.name for made in catalog.by_drive("RP2350")] == ["rpi_pico2"]
    assert "rpi_pico2" in [made.name for made in catalog.by_usb("2e8a:0005")]
    assert catalog.by_usb("0000:0000") == []
    found = catalog.by_machine("Raspberry Pi Pico W with RP2040")
    assert found is not None and found.name == "rpi_pico_w"
    assert catalog.by_machine("a toaster") is None
    with pytest.raises(catalog.CatalogError, match=r"no board 'toaster': choose one of .*rpi_pico2"):
        catalog.kind("toaster")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('natmod_arch = "armv7emsp"', 'natmod_arch = "z80"', "natmod_arch 'z80': one of x64, armv6m"),
        ('natmod_arch = "armv7emsp"', 'natmod_arch = "x86"', "natmod_arch 'x86': one of x64, armv6m"),
        ('title = "Raspberry Pi Pico 2 (RP2350, its ARM cores)"', 'title = " "', "title is not a line of text"),
        ('port = "rp2"', 'port = "nonsense"', "micropython: port 'nonsense': one of esp32"),
        ('drive = "RP2350"', 'drive = "RP2350"\noffset = 4096', "offset goes with method esptool only"),
        (
            'method = "uf2"\ndrive = "RP2350"\nfamily = "e48bff59"',
            'method = "esptool"\nchip = "toaster"',
            "flash: chip 'toaster': one of esp32, esp32s2",
        ),
        ("emulated = false", "", "emulated is missing"),
        ("emulated = false", 'emulated = "no"', "emulated is 'no': it should be true or false"),
        ("emulated = false", "emulated = true", "has a table \\[emulate\\]"),
        ("emulated = false", "emulated = false\ncolour = 1", "unknown field 'colour'"),
        ("flash = 4194304", "flash = -1", "memory: flash is -1: it should be a whole number"),
        ("heap = 450000", "heap = true", "memory: heap is True"),
        ("heap = 450000", "heap = 5", "firmware_heap < heap <= ram"),
        ("word = 4", "job_heap = 400000", "job_heap <= heap - firmware_heap"),
        ('ids = ["2e8a:0005"]', 'ids = ["2E8A:5"]', "USB id '2E8A:5' is not vid:pid"),
        ('ids = ["2e8a:0005"]', 'ids = "2e8a:0005"', "ids is '2e8a:0005': it should be a list of texts"),
        ('method = "uf2"', 'method = "magic"', "flash method 'magic': one of uf2"),
        ('method = "uf2"', 'method = "esptool"', "drive and family go with method uf2"),
        ('family = "e48bff59"', 'family = "e48b"', "eight hex digits"),
        ("clock_hz = 150000000", "clock_hz = 0", "clock_hz is not 0"),
        ("[profile]", "[profile", "is not TOML"),
        ("[memory]", "[memories]", "unknown field 'memories'"),
    ],
)
def test_what_is_not_a_board_is_one_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    place = tmp_path / "wrong"
    place.mkdir()
    (place / "board.toml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(catalog.CatalogError, match=words) as error:
        catalog.load(place)
    assert "\n" not in str(error.value) and "wrong/board.toml" in str(error.value)


@pytest.mark.parametrize(
    ("name", "backend", "words"),
    [
        ("mine", "rpi_pico2", "mine/board.toml: emulate: backend 'rpi_pico2': one of unix"),
        ("unix", "qemu_m0", "unix/board.toml: emulate: backend 'qemu_m0': one of unix"),
    ],
)
def test_only_an_emulated_board_stands_for_others(tmp_path: Path, name: str, backend: str, words: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "board.toml").write_text(GOOD.replace("[flash]", '[emulate]\nbackend = "unix"\n\n[flash]'))
    (tmp_path / "unix").mkdir()
    (tmp_path / "unix" / "board.toml").write_text((BOARDS / "unix" / "board.toml").read_text())
    assert list(catalog.load_all(tmp_path)) == ["mine", "unix"]
    wrong = tmp_path / name / "board.toml"
    wrong.write_text(wrong.read_text().replace('backend = "unix"', f'backend = "{backend}"'))
    catalog.load_all.cache_clear()
    with pytest.raises(catalog.CatalogError, match=words):
        catalog.load_all(tmp_path)


def test_a_folder_without_its_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(catalog.CatalogError, match="cannot read"):
        catalog.load(tmp_path / "none")


def test_the_documents_name_every_field() -> None:
    text = (repo_root() / "docs" / "boards.md").read_text()
    tables = [tomllib.loads((BOARDS / name / "board.toml").read_text()) for name in FOLDERS]
    names = {key for table in tables for key in table}
    names |= {key for table in tables for inner in table.values() if isinstance(inner, dict) for key in inner}
    assert names and not {name for name in names if f"`{name}`" not in text and f"`[{name}]`" not in text}


def test_cycles_are_those_of_the_committed_table() -> None:
    text = (repo_root() / "benchmarks" / "m0_cycles.md").read_text()
    sample = re.search(r"^\| pf_noise_fill, a sample \| (\d+)", text, re.MULTILINE)
    assert sample
    stated = [kind.profile for kind in catalog.kinds().values() if kind.natmod_arch == "armv6m" and kind.profile]
    measured = [profile.cycles_per_noise_sample for profile in stated if profile.cycles_per_noise_sample]
    assert measured and set(measured) == {int(sample[1])}


def test_one_chip_may_be_several_kinds_by_its_micropython_alone() -> None:
    for first, second, maybe in (
        ("rpi_pico", "rpi_pico_w", True),
        ("rpi_pico", "rpi_pico2", False),
        ("rpi_pico", "esp32", False),
        ("esp32", "esp32_s3", False),
        ("unix", "unix", True),
        ("unix", "qemu_m3", False),
        ("qemu_m3", "armv7m", True),  # of a board that no folder describes
        ("armv6m", "xtensawin", False),
        ("", "esp32", True),  # of a registry that does not say
        ("a folder that is gone", "esp32", True),
    ):
        for pair in ((first, second), (second, first)):
            assert catalog.may_be_one_chip(*pair) == maybe, pair


def test_abis_of_files_and_boards() -> None:
    assert str(mpy.of_board(2822)) == "x64_6.3"
    assert str(mpy.of_file(b"M\x06\x13\x1f")) == "armv6m_6.3"
    pico, pico2 = mpy.of_board(0x1306), mpy.Abi("armv7emsp", "6.3")
    assert pico == mpy.Abi("armv6m", "6.3")
    assert pico2.loads(pico) and not pico.loads(pico2)
    assert not pico2.loads(mpy.Abi("rv32imc", "6.3")) and not pico2.loads(mpy.Abi("armv7emsp", "6.2"))
    for wrong in (b"", b"X\x06\x13\x1f", b"M\x06\xfb\x1f"):
        with pytest.raises(mpy.MpyError):
            mpy.of_file(wrong)
