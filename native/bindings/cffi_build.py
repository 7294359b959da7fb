"""Builds picofed._native, the core as a cffi extension (API mode). Run by setuptools through setup.py.

The declarations come from picofed.h itself: comments and preprocessor lines are dropped, number macros filled in.
"""

import os
import platform
import re
import sys
from pathlib import Path

from cffi import FFI

NATIVE = Path(__file__).resolve().parent.parent
HEADER = NATIVE / "include" / "picofed.h"

HOOKS = """
extern "Python" int picofed_flash_read(void *context, uint32_t offset, uint8_t *data, uint32_t len);
extern "Python" int picofed_flash_program(void *context, uint32_t offset, const uint8_t *data, uint32_t len);
extern "Python" int picofed_flash_erase(void *context, uint32_t offset);
"""


def declarations(header: str) -> str:
    """What cffi needs to know of a C header that uses only number macros."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    numbers = dict(re.findall(r"^#define\s+(\w+)\s+(\d+)u?\s*$", text, flags=re.M))
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    for name, value in numbers.items():
        text = re.sub(rf"\b{name}\b", value, text)
    macros = "".join(f"#define {name} {value}\n" for name, value in numbers.items())
    return macros + text


def monocypher() -> Path:
    """Folder of monocypher.c: MONOCYPHER_DIR, or the pinned source from the package registry."""
    named = os.environ.get("MONOCYPHER_DIR")
    if named:
        folder = Path(named)
        if not (folder / "monocypher.c").is_file():
            raise SystemExit(f"MONOCYPHER_DIR is {folder}, which has no monocypher.c: correct it or unset it")
        return folder
    sys.path.insert(0, str(NATIVE.parent / "host"))  # the package is not installed yet
    try:
        from picofed.errors import PicofedError
        from picofed.toolchain.sources import monocypher_source
    finally:
        sys.path.pop(0)
    try:
        return monocypher_source()
    except PicofedError as error:
        raise SystemExit(f"picofed: {error}; or set MONOCYPHER_DIR to a folder with monocypher.c") from error


# The GNU C library's loader chooses between versions of a function; other systems get the plain one.
CLONED = ["-DPF_KERNELS_CLONED"] if platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc" else []

ffibuilder = FFI()
ffibuilder.cdef(declarations(HEADER.read_text()) + HOOKS)
ffibuilder.set_source(
    "picofed._native",
    # The loops of wide.c and batch.c are for hosts only: unit.c, which boards compile too, does not know them.
    '#include "unit.c"\n#include "wide.c"\n#include "batch.c"',
    include_dirs=[str(NATIVE / "include"), str(NATIVE / "src"), str(monocypher())],
    depends=sorted(str(path) for pattern in ("include/*.h", "src/*.[ch]") for path in NATIVE.glob(pattern)),
    extra_compile_args=["-O3", "-fvisibility=hidden", *CLONED],
)
