"""summary.json: what is accepted, and one line for what is not."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from picofed.errors import PicofedError
from picofed.report import Summary, load, validate
from report_samples import sample

# --- summary.json


def test_load_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(sample()), encoding="utf-8")
    summary = load(path)
    assert isinstance(summary, Summary)
    assert summary == validate(sample())
    assert summary.curve[-1].epsilon == math.inf


def _set(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(sample(2, 2, 2))
    at: Any = document
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for p in parents:
        at = at[p]
    if value is KeyError:
        del at[last]
    else:
        at[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("format", 2, "format 2"),
        ("format", KeyError, "format"),
        ("seed", "7", "seed"),
        ("boards", 3, "board_list"),
        ("boards", True, "boards"),
        ("records", -1, "records"),
        ("records", 1.5, "records"),
        ("accuracy", 1.2, "accuracy"),
        ("accuracy", math.nan, "accuracy"),
        ("epsilon", -1, "epsilon"),
        ("epsilon", KeyError, "epsilon"),
        ("epsilon", math.nan, "epsilon"),
        ("epsilon", -math.inf, "epsilon"),
        ("delta", None, "delta"),
        ("delta", 2, "delta"),
        ("bytes_per_update", math.inf, "bytes_per_update"),
        ("job", [], "job"),
        ("job.model", None, "job.model"),
        ("versions", None, "versions"),
        ("versions.0.accuracy", None, "versions[0].accuracy"),
        ("versions.1.epsilon", KeyError, "versions[1].epsilon"),
        ("board_list.1.spent", "x" * 500, "board_list[1].spent"),
        ("board_list.0.contributions", {}, "board_list[0].contributions"),
        ("board_list.0.contributions.0.staleness", -1, "contributions[0].staleness"),
        ("confusion.counts", [[1, 2]], "confusion.counts"),
        ("confusion.counts", [[1, 2], [3]], "confusion.counts"),
        ("confusion.counts.0.1", "2", "confusion.counts[0][1]"),
        ("confusion.labels.0", 5, "confusion.labels[0]"),
        ("curve.0.epsilon", 0, "curve[0].epsilon"),
        ("curve.0.accuracy", None, "curve[0].accuracy"),
        ("ram", {"a\nb": -1}, "ram"),
        ("ram", {5: 1}, "ram"),
        ("held_out", "person", "held_out"),
        ("notes.0", 1, "notes[0]"),
        ("privacy", None, "privacy"),
        ("privacy.unit", 0, "privacy.unit"),
    ],
)
def test_malformed_summary_is_one_line(path: str, value: object, said: str) -> None:
    with pytest.raises(PicofedError) as caught:
        validate(_set(path, value))
    line = str(caught.value)
    assert said in line and "picofed demo" in line
    assert "\n" not in line and len(line) < 300


@pytest.mark.parametrize("document", [None, [], 5, "text", {}])
def test_not_even_an_object(document: object) -> None:
    with pytest.raises(PicofedError):
        validate(document)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b"[]"])
def test_load_of_a_broken_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "summary.json"
    path.write_bytes(content)
    with pytest.raises(PicofedError) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_load_of_no_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(PicofedError, match=r"nowhere\.json"):
        load(tmp_path / "nowhere.json")
