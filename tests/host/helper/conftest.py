"""Boards under masks and a helper's rules for them; and lets the tests of this folder import what they share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from picofed.helper.judge import Judge

sys.path.insert(0, str(Path(__file__).parent))
from helper_world import SECRET, Fleet, boards_of, masked, roster_of


@pytest.fixture
def fleet(make_world: Callable[..., Any]) -> Fleet:
    world = make_world(5)
    return Fleet(boards_of(world), masked(world))


@pytest.fixture
def judge(fleet: Fleet, tmp_path: Path) -> Iterator[Judge]:
    made = Judge(tmp_path / "log.db", SECRET, roster_of(fleet.boards, 3))
    yield made
    made.close()
