"""Hardware in the loop: which boards the suite runs on.

    pytest tests/hil                                          every emulated board
    pytest tests/hil --board qemu_m3 --board unix             some of them
    pytest tests/hil --board rpi_pico --port /dev/ttyACM0     a real one, whose flash is EMPTIED

A test that takes the fixture `dut` runs once on each; the marks cuts_power and emulated keep it off real boards. What
is missing for an emulated board fails the run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from picofed.fleet.emulation import BACKENDS

sys.path.insert(0, str(Path(__file__).parent))

from dut import Dut
from dut.emulated import EmulatedDut
from dut.real import RealDut
from world import IDENTITY, SEED


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hardware in the loop")
    group.addoption("--board", action="append", metavar="NAME", help="folder in boards/; repeat for more")
    group.addoption("--port", metavar="PORT", help="where a real board is; its flash is emptied")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dut" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--board", None) or sorted(BACKENDS)
    port = metafunc.config.getoption("--port", None)
    unknown = [name for name in chosen if port is None and name not in BACKENDS]
    if unknown:
        raise pytest.UsageError(f"no emulated board is called {unknown[0]}: give --port for a real one")
    emulated_only = any(metafunc.definition.get_closest_marker(name) for name in ("cuts_power", "emulated"))
    if port is not None and emulated_only:
        chosen = []
    metafunc.parametrize("dut", chosen, indirect=True)


@pytest.fixture
def dut(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dut]:
    """The board under test, not yet begun."""
    port = request.config.getoption("--port", None)
    if port is not None:
        yield RealDut(request.param, port)
        return
    board = EmulatedDut(request.param, tmp_path / "board", IDENTITY, SEED)
    try:
        yield board
    finally:
        board.close()
