"""How many names the firmware brings: a board keeps each for good, in pools of which the next is twice as large."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from picofed.fleet.emulation import emulated
from picofed.fleet.provision import board_files
from picofed.fleet.repl import Repl
from picofed.link.stream import SerialStream
from picofed.toolchain.build import firmware_bytecode, natmod

pytestmark = pytest.mark.slow

# MicroPython's qstr_add: each pool holds twice as many as the one before, which first is 10 in ROM on all ports
POOLS = (20, 40, 80, 160, 320)
MOST = sum(POOLS)


@pytest.mark.parametrize("kind", ["qemu_m3", "xtensa"])
def test_all_modules_bring_no_more_names_than_five_pools_hold(kind: str, tmp_path: Path) -> None:
    board = emulated(kind, tmp_path, entropy=bytes(32).hex(), board_id=bytes(range(1, 9)))
    files = board_files(natmod(board.natmod_arch), None)
    del files["/main.py"]
    board.install(files)
    modules = sorted(path.stem for path in firmware_bytecode().glob("*.mpy"))
    # frozen weights are read from flash in place, which only an RP2040 has
    modules = [name for name in modules if name not in ("__init__", "frozen")]
    with board:
        stream = SerialStream(str(board.port))
        repl = Repl(stream, 600.0)
        repl.enter()
        for name in ["main", *modules]:
            repl.run(f"import picofed.{name}")
        said = repl.run("import micropython\nmicropython.qstr_info()")
        stream.close()
    found = re.search(r"n_pool=(\d+), n_qstr=(\d+)", said)
    assert found is not None, said
    pools, names = map(int, found.groups())
    print(f"{kind}: {names} names in {pools} pools, which hold {MOST}")
    assert names <= MOST and pools <= len(POOLS), (
        f"{names} names where five pools hold {MOST}: the next takes 4.5 kB of a board's heap. Attributes, parameters, "
        "globals, keyword arguments and short strings are names, locals and constants with an underscore are none: "
        "use a name that is there already"
    )
