"""How the tests are dealt out to processes: a file at a time, as its tests share what is dear to make; the tests that
run on every kind of board a file and kind at a time.
"""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    # As soon as there is an item: the plugin that deals them out looks before other hooks run.
    callspec = getattr(item, "callspec", None)
    kind = callspec.params.get("dut", "") if callspec else ""
    item.add_marker(pytest.mark.xdist_group(f"{item.path}{kind}"))
