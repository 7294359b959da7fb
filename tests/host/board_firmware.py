"""Modules of the firmware, run by CPython on the core that hosts have: a board's rules and parsers."""

from __future__ import annotations

import gc
import importlib
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from picofed import native

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware" / "picofed"
PACKAGE = "board_firmware"
Load = Callable[[str], ModuleType]


def _blake2b(out: bytearray | memoryview, key: bytes, data: bytes) -> None:
    out[:] = native.blake2b(bytes(data), len(out), bytes(key))


def _x25519(out: bytearray, secret: bytes, public: bytes | None) -> int:
    try:
        out[:] = native.x25519_public(secret) if public is None else native.x25519(secret, bytes(public))
    except native.CoreArgumentError:
        out[:] = bytes(32)
    return 0


def _charge(clip: int, log2_sigma: int, steps: int) -> int:
    try:
        return native.charge(clip, log2_sigma, steps)
    except native.CoreArgumentError:
        return (1 << 32) - 1


def _core() -> ModuleType:
    core = ModuleType("picofed_core")
    functions = {
        "blake2b": _blake2b,
        "charge": _charge,
        "crc32": lambda data, start=0: zlib.crc32(data, start),
        "differ": lambda one, other: int(bytes(one) != bytes(other)),
        "eddsa_check": lambda signature, key, data: -int(not native.eddsa_check(bytes(signature), key, bytes(data))),
        "trainer_wipe": lambda data: data.__setitem__(slice(None), bytes(len(data))),
        "x25519": _x25519,
    }
    for name, function in functions.items():
        setattr(core, name, function)
    return core


@contextmanager
def firmware() -> Iterator[Load]:
    """load(name) -> a module of firmware/picofed. Of MicroPython it takes const() and free memory."""
    language = ModuleType("micropython")
    language.const = lambda value: value  # type: ignore[attr-defined]
    package = ModuleType(PACKAGE)
    package.__path__ = [str(FIRMWARE)]
    with pytest.MonkeyPatch.context() as patch:
        for module in (language, _core(), package):
            patch.setitem(sys.modules, module.__name__, module)
        patch.setattr(gc, "mem_free", lambda: 1 << 20, raising=False)
        patch.setattr(gc, "collect", lambda: 0)  # takes CPython a tenth of a second
        try:
            yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
        finally:
            for name in [name for name in sys.modules if name.startswith(PACKAGE + ".")]:
                del sys.modules[name]
