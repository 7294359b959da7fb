"""How the tests are dealt out to processes: a file at a time, as its tests share what is dear to make; the tests that
run on every kind of board a file and kind at a time; those that share little one by one. And lets all of them import
what lies beside this file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from picofed.fleet.emulation import BACKENDS
from xdist.scheduler import LoadScopeScheduling

ONE_BY_ONE = ["tests/native/test_fuzz.py"]  # in CI a minute for each parser

sys.path.append(str(Path(__file__).parent))


class FileAndKind(LoadScopeScheduling):
    """A unit of work is a file, what a file does with one kind of board, or a test.

    The plugin's own grouping by mark rests on node ids that newer versions of pytest no longer let it change.
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, rest = nodeid.partition("::")
        if path in ONE_BY_ONE:
            return nodeid
        parameters = rest.partition("[")[2].rstrip("]").split("-")
        kinds = sorted(BACKENDS.keys() & set(parameters)) if path.startswith("tests/hil/") else []
        return "@".join([path, *kinds])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return FileAndKind(config, log)
