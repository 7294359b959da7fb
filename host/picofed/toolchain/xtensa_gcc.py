#!/usr/bin/env -S python3 -I
"""Clang behind GCC's command line: windowed Xtensa objects as MicroPython's mpy_ld.py and GNU ld take them.

`xtensa.py` installs a copy of this file, under the name of Espressif's compiler, into the folder that holds
the compiler: it needs nothing but Python's own library. One file at a time is compiled:

    clang -S  ->  sections put in order  ->  clang as the assembler  ->  relocations in GNU's form

-fpic, which MicroPython passes for native modules only, asks for objects for mpy_ld.py.
"""

import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

NAME = "xtensa-esp32-elf-gcc"
TARGET = "xtensa-none-elf"
# What the ESP32 (LX6), the ESP32-S3 (LX7) and QEMU's de233_fpu have in common; no mul32high, which QEMU lacks. No fp:
# with it, clang cannot compile `c ? 1.0f : 0.0f`. Floats go through libgcc.a.
FEATURES = ["density", "windowed", "mul16", "mul32", "div32", "sext", "nsa", "minmax", "bool", "coprocessor"]
SOURCES = (".c", ".S", ".s")

_ALWAYS = [
    f"--target={TARGET}",
    *(word for feature in FEATURES for word in ("-Xclang", "-target-feature", "-Xclang", f"+{feature}")),
    *("-nostdlibinc", "-ffreestanding", "-fno-builtin", "-fno-pic", "-fomit-frame-pointer", "-fno-stack-protector"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-fno-addrsig", "-fno-ident"),
    # mpy_ld.py knows no tables of code addresses; a section a function keeps literals within reach of their code.
    *("-fno-jump-tables", "-ffunction-sections", "-fdata-sections"),
]
# GCC's words that are met by what is always passed, or that say nothing to clang.
_MEANINGLESS = {
    *("-fpic", "-fPIC", "-fno-tree-loop-distribute-patterns", "-fwhole-program"),
    *("-mlongcalls", "-mtext-section-literals", "-mno-serialize-volatile"),
}
_MAPPED = {"-fsingle-precision-constant": ["-Xclang", "-cl-single-precision-constant"]}
_WITH_VALUE = {"-o", "-D", "-U", "-I", "-include", "-isystem", "-MF", "-MT", "-MQ", "-x"}

_R_XTENSA_32 = 1
_R_XTENSA_SLOT0_OP = 20
_SHT_SYMTAB = 2
_SHT_RELA = 4
_STT_SECTION = 3


class Refused(Exception):
    """This compiler cannot do what was asked for."""


class Elf:
    """The parts of a 32-bit little-endian object file that are looked at; `data` is changed in place."""

    def __init__(self, data: bytearray) -> None:
        self.data = data
        (table,) = struct.unpack_from("<I", data, 32)
        size, count, names_at = struct.unpack_from("<HHH", data, 46)
        self.sections = [struct.unpack_from("<10I", data, table + i * size) for i in range(count)]
        self._names = self.sections[names_at][4]
        symbols = next(section for section in self.sections if section[1] == _SHT_SYMTAB)
        self._strings = self.sections[symbols[6]][4]
        self.symbols = [struct.unpack_from("<IIIBBH", data, symbols[4] + at) for at in range(0, symbols[5], symbols[9])]

    def _text(self, at: int) -> str:
        return self.data[at : self.data.index(0, at)].decode()

    def section_name(self, section: tuple[int, ...]) -> str:
        return self._text(self._names + section[0])

    def symbol_name(self, symbol: tuple[int, ...]) -> str:
        return self._text(self._strings + symbol[0])

    def relocations(self) -> Iterable[tuple[tuple[int, ...], int]]:
        """(section they are for, place of the entry in `data`)"""
        for section in self.sections:
            if section[1] == _SHT_RELA:
                for at in range(section[4], section[4] + section[5], section[9]):
                    yield self.sections[section[7]], at


def settle_relocations(data: bytearray, for_module: bool) -> None:
    """Write the relocations of an object of clang's assembler as GNU's assembler does.

    mpy_ld.py adds to what an L32R holds (so that must be zero), wants offsets into a section beside the
    relocation and not within it, and silently drops an offset to a symbol.
    """
    elf = Elf(data)
    for target, at in elf.relocations():
        offset, info, addend = struct.unpack_from("<IIi", data, at)
        place = target[4] + offset
        kind, symbol = info & 0xFF, elf.symbols[info >> 8]
        if kind == _R_XTENSA_SLOT0_OP:
            if data[place] & 0xF != 1:
                raise Refused("a relocation of an instruction that is not L32R")
            data[place + 1 : place + 3] = b"\0\0"
        elif kind == _R_XTENSA_32 and addend != 0 and elf.section_name(target).startswith(".literal"):
            if symbol[3] & 0xF == _STT_SECTION:
                struct.pack_into("<I", data, place, addend & 0xFFFFFFFF)
                struct.pack_into("<i", data, at + 8, 0)
            elif for_module and elf.symbol_name(symbol) != "mp_fun_table":
                raise Refused(f"an offset into {elf.symbol_name(symbol)}: mpy_ld.py would drop it; make it static")


_LITERAL = re.compile(r"\s*\.literal\s+([\w.$]+)\s*,\s*([^#]+)")
_SECTION = re.compile(r"\s*\.section\s+\"?(\.(?:rodata|data|bss)[\w.$]*)\"?\s*,(.*)")


def arrange_sections(assembly: str, tag: str, for_module: bool) -> str:
    """One section of literals, in front of the code, since L32R only reaches back; data sections with names of
    their own.

    mpy_ld.py tells literals by file and offset, places in data by the name of the section alone, and takes
    pointers in constants only from .data.rel.ro.
    """
    literals = ['\t.section\t.literal,"ax",@progbits', "\t.p2align\t2"]
    lines = []
    for line in assembly.splitlines():
        match = _SECTION.match(line)
        literal = _LITERAL.match(line)
        bare = line.strip()
        if literal:
            literals += [f"{literal[1]}:", f"\t.long\t{literal[2].strip()}"]
            continue
        if bare.startswith(".literal_position"):
            continue
        if match:
            name, attributes = match.groups()
            if for_module and name.startswith(".rodata") and "M" not in attributes:
                name = ".data.rel.ro" + name.removeprefix(".rodata")
                attributes = attributes.replace('"a"', '"aw"')
            line = f"\t.section\t{name}.{tag},{attributes}"
        elif bare in (".data", ".bss"):
            line = f'\t.section\t{bare}.{tag},"aw",{"@nobits" if bare == ".bss" else "@progbits"}'
        elif bare == ".text":
            line = f'\t.section\t.text.{tag},"ax",@progbits'
        lines.append(line)
    return "\n".join([*literals, f'\t.section\t.text.{tag},"ax",@progbits', *lines]) + "\n"


class Compiler:
    """The clang in `folder`, which xtensa.py fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        root = folder / "root" / "usr"
        libraries = root / "lib" / "x86_64-linux-gnu"
        llvm = root / "lib" / "llvm-22"
        program = str(llvm / "bin" / "clang")
        # Through its own loader and libc: those of the machine may be older.
        self._clang = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", f"{libraries}:{llvm / 'lib'}"]
        self._clang += ["--argv0", program, program, "-resource-dir", str(llvm / "lib" / "clang" / "22")]
        includes = [folder / "include", root / "lib" / "xtensa-lx106-elf" / "include"]
        self._includes = [word for path in includes for word in ("-isystem", str(path))]

    def clang(self, arguments: list[str]) -> None:
        done = subprocess.run([*self._clang, *arguments], check=False)
        if done.returncode != 0:
            raise SystemExit(done.returncode if done.returncode > 0 else 1)

    def version(self) -> str:
        """One line; it names the folder too, whose name says what is in it."""
        out = subprocess.run([*self._clang, "--version"], check=True, capture_output=True, text=True).stdout
        return f"{NAME} ({out.partition(chr(10))[0]}; {self.folder.name})"

    def preprocess(self, options: list[str], sources: list[str]) -> None:
        # One at a time: with more, clang starts itself again, which does not work through a loader.
        for source in sources or [""]:
            self.clang([*_ALWAYS, *self._includes, *options, *([source] if source else [])])

    def compile(self, options: list[str], source: str, out: str, for_module: bool) -> None:
        with tempfile.TemporaryDirectory(prefix="picofed-xtensa-") as name:
            assembly = Path(name, "a.s")
            if source.endswith(".c"):
                self.clang([*_ALWAYS, *self._includes, *options, "-S", "-o", str(assembly), source])
            elif source.endswith(".S"):
                self.clang([*_ALWAYS, *options, "-E", "-x", "assembler-with-cpp", "-o", str(assembly), source])
            else:
                assembly.write_text(Path(source).read_text())
            tag = re.sub(r"\W", "_", Path(source).name)
            assembly.write_text(arrange_sections(assembly.read_text(), tag, for_module))
            whole = Path(name, "a.o")
            cpu = ["-Xclangas", "-target-cpu", "-Xclangas", "esp32"]
            self.clang([f"--target={TARGET}", *cpu, "-c", "-o", str(whole), str(assembly)])
            data = bytearray(whole.read_bytes())
            settle_relocations(data, for_module)
            Path(out).write_bytes(data)


def split(arguments: list[str]) -> tuple[str, list[str], list[str], bool]:
    """(-E, -c or "", options without -o, sources, whether the object is for a module); see also output()."""
    mode, options, sources = "", [], []
    words = iter(arguments)
    for word in words:
        if word in ("-c", "-E"):
            mode = word
            options += ["-E"] if word == "-E" else []
        elif word in _WITH_VALUE:
            options += [word, next(words, "")]
        elif word.endswith(SOURCES) and not word.startswith("-"):
            sources.append(word)
        elif word == "-S" or word.startswith(("-mcpu=", "-march=", "-l", "-L", "-Wl,", "-shared")):
            raise Refused(f"{word}: this compiler compiles (-c) and preprocesses (-E), for one processor")
        elif word.endswith((".o", ".a")) and not word.startswith("-"):
            raise Refused(f"{word}: this compiler does not link; use xtensa-lx106-elf-ld or mpy_ld.py")
        elif word not in _MEANINGLESS:
            options += _MAPPED.get(word, [word])
    return mode, options, sources, bool({"-fpic", "-fPIC"} & set(arguments))


def output(options: list[str]) -> tuple[str, list[str]]:
    """What -o names, and the options without it."""
    if "-o" not in options:
        return "", options
    at = options.index("-o")
    return options[at + 1], options[:at] + options[at + 2 :]


def run(compiler: Compiler, arguments: list[str]) -> None:
    if "--version" in arguments:
        print(compiler.version())
        return
    if "-dumpmachine" in arguments:
        print("xtensa-esp32-elf")
        return
    for word in arguments:
        question = word.lstrip("-")
        if question == "print-libgcc-file-name":
            print(compiler.folder / "lib" / "libgcc.a")
            return
        if question.startswith("print-file-name="):
            # As GCC answers for what it does not have.
            print(question.partition("=")[2])
            return
    mode, options, sources, for_module = split(arguments)
    if mode == "-E":
        compiler.preprocess(options, sources)
        return
    if mode == "" or len(sources) != 1:
        raise Refused("give -c and one source file, or -E: this compiler does not link")
    out, options = output(options)
    compiler.compile(options, sources[0], out or Path(sources[0]).stem + ".o", for_module)


def main(arguments: list[str]) -> int:
    try:
        run(Compiler(Path(__file__).resolve().parents[1]), arguments)
    except Refused as reason:
        print(f"{NAME}: {reason}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{NAME}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
