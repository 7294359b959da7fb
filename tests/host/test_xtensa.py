"""The compiler for the ESP32: what its command line takes, what its objects look like, what its code computes."""

import ctypes
import io
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from picofed.fleet.emulation.xtensa import PROCESSOR
from picofed.toolchain import build, command, xtensa, xtensa_gcc
from picofed.toolchain.layout import repo_root

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "xtensa"
PORT = repo_root() / "boards" / "xtensa" / "port"
RUNTIME = repo_root() / "boards" / "xtensa" / "compiler"


@pytest.fixture(scope="module")
def gcc() -> str:
    return str(xtensa.front() / "bin" / xtensa.COMPILER)


@pytest.fixture
def compiled(gcc: str, tmp_path: Path) -> Callable[..., ELFFile]:
    """compiled(source, *options) -> the object file."""

    def work(source: str, *options: str) -> ELFFile:
        (tmp_path / "unit.c").write_text(source)
        out = tmp_path / "unit.o"
        subprocess.run([gcc, *options, "-Os", "-c", "-o", str(out), str(tmp_path / "unit.c")], check=True)
        return ELFFile(io.BytesIO(out.read_bytes()))

    return work


def test_command_line_is_mapped() -> None:
    mode, options, sources, for_module = xtensa_gcc.split(
        ["-I.", "-fpic", "-mlongcalls", "-fsingle-precision-constant", "-D", "X=a.c", "-o", "b.o", "-c", "dir/a.c"]
    )
    assert (mode, sources, for_module) == ("-c", ["dir/a.c"], True)
    assert options == ["-I.", "-Xclang", "-cl-single-precision-constant", "-D", "X=a.c", "-o", "b.o"]
    assert xtensa_gcc.output(options) == ("b.o", options[:-2])
    assert xtensa_gcc.split(["-E", "a.c", "b.c"]) == ("-E", ["-E"], ["a.c", "b.c"], False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.o"],
        ["lib.a", "-c", "a.c"],
        ["-S", "a.c"],
        ["-c", "a.c", "-mcpu=lx6"],
        ["-c", "a.c", "-lm"],
        ["-Wl,-x", "a.c"],
    ],
)
def test_what_it_cannot_do_is_refused(arguments: list[str]) -> None:
    with pytest.raises(xtensa_gcc.Refused):
        xtensa_gcc.split(arguments)


def test_refusals_are_one_line_and_a_failure(gcc: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").touch()
    for arguments in (["a.c"], ["-c", "a.c", "a.c"], ["a.o"], ["-c", "-o", "missing/a.o", "a.c"]):
        done = subprocess.run([gcc, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("xtensa-esp32-elf-gcc: ") and done.stderr.count("\n") == 1
    (tmp_path / "a.c").write_text("this is no C\n")
    done = subprocess.run([gcc, "-c", "a.c"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "error: unknown type name" in done.stderr


def test_it_answers_as_makefiles_ask(gcc: str) -> None:
    def answer(*words: str) -> str:
        return subprocess.run([gcc, *words], check=True, capture_output=True, text=True).stdout.strip()

    assert "clang" in answer("--version") and xtensa.front().name in answer("--version")
    assert answer("-dumpmachine") == "xtensa-esp32-elf"
    assert Path(answer("-Os", "--print-libgcc-file-name")).is_file()
    assert answer("--print-file-name=libm.a") == "libm.a"


SOURCE = """
static const int table[3] = {1, 20000, 3};
static const int *const pointers[2] = {table, table + 1};
extern int other(int);
int two(int i) { return table[i] + 12345678; }
int three(int i) { return other(*pointers[i]) + 87654321; }
"""


def test_objects_for_the_module_linker(compiled: Callable[..., ELFFile]) -> None:
    elf = compiled(SOURCE, "-fpic")
    names = [section.name for section in elf.iter_sections()]
    # mpy_ld.py tells literals by file and offset: there must be one section of them, in front of the code.
    assert [name for name in names if name.startswith(".literal")] == [".literal"]
    assert names.index(".literal") < min(names.index(name) for name in names if name.startswith(".text."))
    assert not [name for name in names if name.startswith(".rodata")]
    assert [name for name in names if name.startswith(".data.rel.ro") and name.endswith(".unit_c")]
    loads = 0
    for section in elf.iter_sections("SHT_RELA"):
        code = elf.get_section(section["sh_info"]).data()
        for entry in section.iter_relocations():
            if entry["r_info_type"] == 20:
                at = entry["r_offset"]
                assert code[at] & 15 == 1 and code[at + 1 : at + 3] == b"\0\0"
                loads += 1
            elif elf.get_section(section["sh_info"]).name == ".literal":
                assert entry["r_addend"] == 0
    assert loads >= 5


OFFSET = """
	.text
	.literal .Lplace, array+12
third:
	l32r a2, .Lplace
"""


def test_an_offset_that_the_module_linker_would_drop_is_refused(gcc: str, tmp_path: Path) -> None:
    """Clang itself makes none; with GNU's linker they are fine."""
    (tmp_path / "a.s").write_text(OFFSET)
    local = OFFSET + "\t.data\n\t.long 0\narray:\n\t.long 1\n"
    (tmp_path / "b.s").write_text(local)
    for file, options, code in (("a.s", ["-fpic"], 1), ("a.s", [], 0), ("b.s", ["-fpic"], 0)):
        done = subprocess.run([gcc, *options, "-c", file], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (code, code)


@pytest.mark.parametrize("level", ["-O0", "-Os", "-O2"])
def test_code_computes_what_another_compiler_for_another_machine_computes(gcc: str, tmp_path: Path, level: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    subprocess.run(
        ["gcc", "-std=gnu11", "-O1", "-fwrapv", "-o", here, HERE / "differential.c", HERE / "on_host.c"], check=True
    )
    sources = [HERE / "differential.c", HERE / "on_xtensa.c", PORT / "system.c", PORT / "start.S"]
    objects = [str(tmp_path / f"{source.stem}.o") for source in sources]
    for source, out in zip(sources, objects, strict=True):
        options = ["-std=gnu11", level, "-fwrapv", f"-I{PORT}"] if source.suffix == ".c" else []
        subprocess.run([gcc, *options, "-c", "-o", out, str(source)], check=True)
    linker = command.require("xtensa-lx106-elf-ld")
    flags = ["--no-relax", "--no-warn-rwx-segments", "-z", "noexecstack", "-T", str(PORT / "link.ld")]
    library = str(xtensa.front() / "lib" / "libgcc.a")
    subprocess.run([linker, *flags, "-o", str(there), *objects, library], check=True)
    expected = subprocess.run([here], check=True, capture_output=True, text=True).stdout
    found = subprocess.run(
        [command.require("qemu-xtensa"), "-cpu", PROCESSOR, there], check=True, capture_output=True, text=True
    ).stdout
    assert expected.count("\n") == 10
    assert found == expected


def test_runtime_agrees_with_the_hosts_arithmetic(tmp_path: Path) -> None:
    """The functions that stand in for instructions, compiled for this machine under other names."""
    names = ["__muldi3", "__udivdi3", "__umoddi3", "__divdi3", "__moddi3"]
    names += ["__divsf3", "__truncdfsf2", "__extendsfdf2", "__floatsidf"]
    library = tmp_path / "runtime.so"
    renamed = [f"-D{name}=own{name}" for name in names]
    host = tmp_path / "host.c"
    host.write_text("float host_divide(float a, float b) { return a / b; }\n")
    sources = [str(RUNTIME / "runtime.c"), str(RUNTIME / "runtime_float.c"), str(host)]
    subprocess.run(["gcc", "-std=c99", "-O2", "-shared", "-fPIC", *renamed, "-o", str(library), *sources], check=True)
    own = ctypes.CDLL(str(library))

    def function(name: str, result: type, *arguments: type) -> Callable[..., float]:
        found = getattr(own, f"own{name}" if name in names else name)
        found.restype, found.argtypes = result, arguments
        return found  # type: ignore[no-any-return]

    rng = random.Random(1)
    u64, i64 = ctypes.c_uint64, ctypes.c_int64
    multiply, divide, rest = (function(name, u64, u64, u64) for name in names[:3])
    signed_divide, signed_rest = (function(name, i64, i64, i64) for name in names[3:5])
    for _ in range(5000):
        a, b = (rng.getrandbits(64) >> rng.randrange(64) for _ in range(2))
        b = b or 1
        assert multiply(a, b) == a * b % 2**64
        assert (divide(a, b), rest(a, b)) == divmod(a, b)
        x, y = a - 2**63, b - 2**63 or 1
        quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        if quotient < 2**63:
            assert (signed_divide(x, y), signed_rest(x, y)) == (quotient, x - quotient * y)

    def float_bits(value: float) -> int:
        return int(struct.unpack("<I", struct.pack("<f", value))[0]) if value == value else -1

    f32, f64 = ctypes.c_float, ctypes.c_double
    float_divide, host_divide = (function(name, f32, f32, f32) for name in ("__divsf3", "host_divide"))
    narrow, widen = function("__truncdfsf2", f32, f64), function("__extendsfdf2", f64, f32)
    from_int = function("__floatsidf", f64, ctypes.c_int32)
    special = [0, 0x80000000, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x3F800000]
    for _ in range(20000):
        p, q = (rng.choice(special) if rng.random() < 0.2 else rng.getrandbits(32) for _ in range(2))
        if rng.random() < 0.2:
            p &= 0x80FFFFFF
        a32, b32 = (struct.unpack("<f", struct.pack("<I", each))[0] for each in (p, q))
        assert float_bits(float_divide(a32, b32)) == float_bits(host_divide(a32, b32))
        wide = widen(a32)
        assert wide == a32 or (wide != wide and a32 != a32)
        number = struct.unpack("<d", struct.pack("<Q", (p << 32 | q) & ~(7 << 60) | rng.choice([3, 4]) << 60))[0]
        assert float_bits(narrow(number)) == float_bits(ctypes.c_float(number).value)
        whole = rng.getrandbits(32) - 2**31
        assert from_int(whole) == float(whole)


def test_espressifs_own_compiler_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / xtensa.COMPILER
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert xtensa.compiler() == xtensa.front() / "bin"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert xtensa.compiler() is None


def test_native_module_for_the_esp32() -> None:
    module = build.natmod("xtensawin")
    # Magic, format 6, architecture xtensawin (10) and ABI 3 in the third byte.
    header = module.read_bytes()[:3]
    assert header[:2] == b"M\x06" and header[2] >> 2 == 10 and header[2] & 3 == 3
    assert build.natmod("xtensawin") == module
