"""Firmware files, flash images and the boot ROM of the emulated Pico, without a board."""

import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from picofed.fleet.emulation import EmulationError
from picofed.fleet.emulation.littlefs import BLOCK, Image
from picofed.toolchain import rp2, uf2
from picofed.toolchain.command import ToolchainError
from picofed.toolchain.layout import repo_root
from unicorn import UC_ARCH_ARM, UC_MODE_THUMB, Uc
from unicorn.arm_const import UC_ARM_REG_LR, UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_SP

RAM = 0x20000000
STOP = 0x3F00
WHERE = Path("flash.img")


@pytest.mark.parametrize("length", [1, 256, 257, 5000])
def test_uf2_holds_the_image_page_by_page(length: int) -> None:
    image = random.Random(length).randbytes(length)
    file = uf2.from_binary(image)
    assert len(file) == 512 * -(-length // 256)
    # The format's own description: 32 bytes of header, 256 of data, the rest zeros, the end mark.
    assert struct.unpack_from("<8I", file) == (
        0x0A324655,
        0x9E5D5157,
        0x2000,
        0x10000000,
        256,
        0,
        -(-length // 256),
        0xE48BFF56,
    )
    assert file[508:512] == struct.pack("<I", 0x0AB16F30)
    pages = uf2.pages_of(file)
    assert [address for address, _ in pages] == list(range(0x10000000, 0x10000000 + length, 256))
    assert b"".join(content for _, content in pages).rstrip(b"\0") == image.rstrip(b"\0")


def test_uf2_that_is_damaged_or_for_another_chip_is_refused() -> None:
    file = bytearray(uf2.from_binary(bytes(600)))
    for at in (0, 4, 508, 512):
        broken = file.copy()
        broken[at] ^= 1
        with pytest.raises(ToolchainError, match="damaged"):
            uf2.pages_of(bytes(broken))
    with pytest.raises(ToolchainError, match="512"):
        uf2.pages_of(bytes(file[:-1]))
    other = uf2.from_binary(bytes(600), family=0xE48BFF59)
    with pytest.raises(ToolchainError, match="family"):
        uf2.pages_of(other)
    with pytest.raises(ToolchainError, match="one byte"):
        uf2.from_binary(b"")


def test_image_keeps_files_over_writes() -> None:
    content = bytearray(b"\xff" * (64 * BLOCK))
    image = Image(content, 256, WHERE)
    image.format()
    files = {"/lib/a/b.py": b"x = 1\n", "/main.py": b"", "/data.bin": random.Random(1).randbytes(9000)}
    image.write(files)
    image.write({"/main.py": b"print(1)\n"})
    assert Image(content, 256, WHERE).read() == {**files, "/main.py": b"print(1)\n"}


@pytest.mark.parametrize("name", ["main.py", "/a/../b", "/a//b", "/"])
def test_image_refuses_what_is_no_path(name: str) -> None:
    content = bytearray(b"\xff" * (16 * BLOCK))
    image = Image(content, 256, WHERE)
    image.format()
    with pytest.raises(EmulationError):
        image.write({name: b"x"})


def test_image_says_when_it_is_full_or_none() -> None:
    content = bytearray(b"\xff" * (16 * BLOCK))
    with pytest.raises(EmulationError, match="has no readable file system"):
        Image(content, 256, WHERE).read()
    image = Image(content, 256, WHERE)
    image.format()
    with pytest.raises(EmulationError, match="take"):
        image.write({"/big": bytes(20 * BLOCK)})


class Rom:
    """The boot ROM on a Cortex-M emulator that shares nothing with rp2040js."""

    def __init__(self) -> None:
        self.image = rp2.boot_rom().read_bytes()
        self.machine = Uc(UC_ARCH_ARM, UC_MODE_THUMB)
        self.machine.mem_map(0, 0x4000)
        self.machine.mem_map(RAM, 0x10000)
        self.machine.mem_write(0, self.image)

    def _entry(self, table: int, code: bytes) -> int:
        at = int(struct.unpack_from("<H", self.image, table)[0])
        while self.image[at : at + 2] != code:
            assert self.image[at : at + 2] != b"\0\0", code
            at += 4
        return int(struct.unpack_from("<H", self.image, at + 2)[0])

    def function(self, code: bytes) -> Callable[..., int]:
        return self._callable(self._entry(0x14, code))

    def arithmetic(self, table: bytes, offset: int) -> Callable[..., int]:
        return self._callable(int(struct.unpack_from("<I", self.image, self._entry(0x16, table) + offset)[0]))

    def _callable(self, address: int) -> Callable[..., int]:
        assert address & 1

        def call(*arguments: int) -> int:
            for register, value in zip((UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2), arguments, strict=False):
                self.machine.reg_write(register, value & 0xFFFFFFFF)
            self.machine.reg_write(UC_ARM_REG_SP, RAM + 0x10000)
            self.machine.reg_write(UC_ARM_REG_LR, STOP | 1)
            self.machine.emu_start(address, STOP)
            return int(self.machine.reg_read(UC_ARM_REG_R0))

        return call


@pytest.fixture(scope="module")
def rom() -> Rom:
    return Rom()


def test_boot_rom_has_what_the_data_sheet_says_where_it_says(rom: Rom) -> None:
    assert len(rom.image) <= rp2.ROM_BYTES
    stack, start = struct.unpack_from("<2I", rom.image)
    assert stack == 0x20041F00 and start & 1 and start < rp2.ROM_BYTES
    assert rom.image[0x10:0x14] == b"Mu\1\3"
    lookup = rom._callable(int(struct.unpack_from("<H", rom.image, 0x18)[0]))
    table = int(struct.unpack_from("<H", rom.image, 0x14)[0])
    assert lookup(table, int.from_bytes(b"RP", "little")) == rom._entry(0x14, b"RP")
    assert lookup(table, int.from_bytes(b"??", "little")) == 0


def test_boot_rom_counts_bits(rom: Rom) -> None:
    values = [0, 1, 0x80000000, 0xFFFFFFFF, *(random.Random(2).getrandbits(32) >> n for n in range(32))]
    for value in values:
        text = f"{value:032b}"
        assert rom.function(b"P3")(value) == text.count("1")
        assert rom.function(b"R3")(value) == int(text[::-1], 2)
        assert rom.function(b"L3")(value) == len(text) - len(text.lstrip("0"))
        assert rom.function(b"T3")(value) == len(text) - len(text.rstrip("0"))


def test_boot_rom_copies_and_sets_exactly_what_it_is_told(rom: Rom) -> None:
    rng = random.Random(3)
    for _ in range(150):
        to, source, length = rng.randrange(40), 256 + rng.randrange(40), rng.choice((0, 1, 2, 3, rng.randrange(90)))
        memory = bytearray(rng.randbytes(512))
        rom.machine.mem_write(RAM, bytes(memory))
        assert rom.function(b"MC")(RAM + to, RAM + source, length) == RAM + to
        memory[to : to + length] = memory[source : source + length]
        assert rom.machine.mem_read(RAM, 512) == memory
        assert rom.function(b"MS")(RAM + source, 0x1A5, length) == RAM + source
        memory[source : source + length] = b"\xa5" * length
        assert rom.machine.mem_read(RAM, 512) == memory


def test_boot_rom_converts_floats_as_documented(rom: Rom) -> None:
    def bits(value: float) -> int:
        return int(struct.unpack("<I", struct.pack("<f", value))[0])

    to_int, to_uint = rom.arithmetic(b"SF", 0x1C), rom.arithmetic(b"SF", 0x24)
    cases = {0.0: 0, 1.5: 1, -1.5: -2, -0.25: -1, -7.0: -7, 3e9: 2**31 - 1, -3e9: -(2**31)}
    for value, expected in cases.items():
        assert to_int(bits(value)) == expected & 0xFFFFFFFF, value
    for value, unsigned in {-1.0: 0, 2.9: 2, 3e9: 3000000000, 5e9: 2**32 - 1}.items():
        assert to_uint(bits(value)) == unsigned
    for a, b in ((1.5, 2.25), (-3.0, 0.125), (1e30, 1e-30)):
        assert rom.arithmetic(b"SF", 0x00)(bits(a), bits(b)) == bits(a + b)
        assert rom.arithmetic(b"SF", 0x08)(bits(a), bits(b)) == bits(a * b)
    assert rom.arithmetic(b"SF", 0x20)(bits(1.75), 4) == 28


@pytest.mark.parametrize("setting", ["00ff", "stuck:5a", "biased", "constant"])
def test_entropy_streams_are_those_of_the_unix_board(setting: str, tmp_path: Path) -> None:
    from picofed.learn.clients import emulated_entropy

    node = shutil.which("node")
    assert node, "install nodejs"
    module = repo_root() / "boards" / "rp2040js" / "streams.mjs"
    script = tmp_path / "print.mjs"
    script.write_text(
        f"import {{ stream }} from '{module.as_uri()}';\n"
        "const bytes = stream(process.argv[2], 3);\n"
        "console.log(Buffer.from(Array.from({ length: 80 }, () => bytes.next().value)).toString('hex'));\n"
    )
    done = subprocess.run([node, str(script), setting], capture_output=True, text=True, check=True, timeout=60)
    found = bytes.fromhex(done.stdout)
    plain = emulated_entropy(b"", 3, 160)
    expected = {
        "00ff": emulated_entropy(b"\x00\xff", 3, 80),
        "stuck:5a": b"\x5a" * 80,
        "biased": bytes(plain[2 * k] | plain[2 * k + 1] for k in range(80)),
        "constant": (emulated_entropy(b"", 0, 32) * 3)[:80],
    }
    assert found == expected[setting], zlib.crc32(found)
