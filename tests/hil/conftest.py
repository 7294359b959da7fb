"""Hardware in the loop: which boards the suite runs on.

    pytest tests/hil                                          every emulated board
    pytest tests/hil --board qemu_m3 --board unix             some of them
    pytest tests/hil --board rpi_pico --port /dev/ttyACM0     a real one, whose flash is EMPTIED

A test that takes the fixture `dut` runs once on each; the marks cuts_power and emulated keep it off real boards. With
--board or --port, the tests that take none are left out. What is missing for an emulated board fails the run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from picofed.fleet import catalog
from picofed.fleet.emulation import BACKENDS, UnixBoard

sys.path.insert(0, str(Path(__file__).parent))

from dut import Dut
from dut.emulated import REAL_TIME_ALONE, EmulatedDut, JumpingDut
from dut.real import RealDut
from world import IDENTITY, SEED


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hardware in the loop")
    group.addoption("--board", action="append", metavar="NAME", help="folder in boards/; repeat for more")
    group.addoption("--hours", type=int, metavar="N", help="virtual hours of test_uptime.py; a week is 168")
    group.addoption("--port", metavar="PORT", help="where a real board is; its flash is emptied")


def pytest_configure(config: pytest.Config) -> None:
    chosen, port = config.getoption("--board", None) or [], config.getoption("--port", None)
    if port is not None and len(chosen) != 1:
        raise pytest.UsageError("--port is one board's: name its kind with one --board")
    known = catalog.kinds() if port is not None else BACKENDS
    for name in chosen:
        if name not in known:
            real = "" if port is not None or name not in catalog.kinds() else ", which is a real board: give its --port"
            raise pytest.UsageError(f"no board to test is called {name!r}{real or ': ' + ', '.join(sorted(known))}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dut" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--board", None) or sorted(BACKENDS)
        metafunc.parametrize("dut", chosen, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    port = config.getoption("--port", None)
    everything = port is None and not config.getoption("--board", None)

    def wanted(item: pytest.Item) -> bool:
        if item.get_closest_marker("jumps") and item.callspec.params["dut"] in REAL_TIME_ALONE:  # type: ignore[attr-defined]
            return False
        if everything:
            return True
        emulated_only = any(item.get_closest_marker(name) for name in ("cuts_power", "emulated"))
        return "dut" in getattr(item, "fixturenames", ()) and not (port is not None and emulated_only)

    left_out = [item for item in items if not wanted(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if wanted(item)]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where a host keeps what it knows of boards; nothing yet."""
    return tmp_path / "site"


@pytest.fixture
def board() -> Iterator[UnixBoard]:
    """An empty board, for tests whose subject is what is done to one."""
    with UnixBoard(board_id=b"one brd.") as made:
        yield made


@pytest.fixture
def dut(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dut]:
    """The board under test, not yet begun."""
    port = request.config.getoption("--port", None)
    if port is not None:
        yield RealDut(request.param, port)
        return
    made = EmulatedDut if request.param in REAL_TIME_ALONE else JumpingDut
    board = made(request.param, tmp_path / "board", IDENTITY, SEED)
    try:
        yield board
    finally:
        board.close()
