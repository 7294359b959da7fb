"""Writing the page; numbers as text; places in the charts."""

from __future__ import annotations

import math
import random
import re
import stat
from pathlib import Path
from statistics import NormalDist

import pytest
from picofed.errors import PicofedError
from picofed.report import render, timeline, validate, write
from picofed.report import text as tx
from picofed.report.grids import bins_of
from picofed.report.svg import spread, ticks, whole_ticks
from report_samples import sample

# --- writing


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    summary = validate(sample())
    write(summary, path)
    assert path.read_text(encoding="utf-8") == render(summary)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


def test_write_that_fails_leaves_the_old_page_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PicofedError, match="No space left"):
        write(validate(sample()), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_write_into_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(PicofedError, match="name a folder"):
        write(validate(sample()), tmp_path / "none" / "report.html")


# --- numbers and places


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.00"),
        (8.0, "8.00"),
        (3.999990, "4.00"),
        (3.341411, "3.35"),
        (1e-9, "0.01"),
        (math.inf, "\u221e"),
        (1e9, "over 1e6"),
    ],
)
def test_epsilon_is_never_rounded_down(value: float, shown: str) -> None:
    assert tx.epsilon(value) == shown


def test_printed_spent_and_left_add_up() -> None:
    rng = random.Random(11)
    for _ in range(500):
        spent, left = rng.random() * 9, rng.random() * 9
        total = float(tx.epsilon(spent)) + float(tx.epsilon_left(spent, left))
        assert total == pytest.approx(float(tx.epsilon(spent + left)), abs=1e-9)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1 byte"),
        (986, "986 bytes"),
        (7312, "7,312 bytes"),
        (12_400, "12.4 kB"),
        (999_700, "1 MB"),
        (246.5, "246.5 bytes"),
    ],
)
def test_sizes(value: float, shown: str) -> None:
    assert tx.size(value).replace(tx.NBSP, " ") == shown


def test_savings_are_not_flattered() -> None:
    assert tx.saving(201, 1000) == f"79{tx.THIN}% less"
    assert tx.saving(1001, 1000) == f"1{tx.THIN}% more"
    assert tx.saving(None, 1000) is None and tx.saving(5, 0) is None


def test_chance_of_a_right_guess() -> None:
    boards = validate(sample(2, 4)).board_list
    mu = math.sqrt(max(b.spent for b in boards) / 2**24)
    assert tx.guess_bound(boards) == pytest.approx(NormalDist().cdf(mu / 2))
    assert tx.guess_bound(()) is None


def test_names_are_shortened_in_the_middle() -> None:
    short = tx.fit("a board in the very last room 17", 12, 100)
    assert short.startswith("a board") and short.endswith("17") and tx.width(short, 12) <= 100
    assert tx.fit("watch-10", 12, tx.width("watch-10", 12) + 10 - 10) == "watch-10"


def test_ranges() -> None:
    assert tx.ranges([3, 1, 2, 2, 7]) == "1\u20133, 7"


def test_ticks_cover_and_are_round() -> None:
    assert ticks(8, 4) == [0, 2, 4, 6, 8]
    assert ticks(0, 4) == [0, 1]
    assert whole_ticks(1, 40, 4) == [10, 20, 30, 40]
    assert whole_ticks(3, 3, 4) == [3]
    rng = random.Random(2)
    for _ in range(300):
        high = 10 ** rng.uniform(-6, 9)
        marks = ticks(high, rng.randrange(2, 9))
        assert marks[-1] >= high * (1 - 1e-6) and len(marks) <= 22


def test_labels_that_would_overlap_move_apart() -> None:
    placed = spread([50, 50, 51, 300], 16, 14, 280)
    assert all(b - a >= 15.999 for a, b in zip(sorted(placed), sorted(placed)[1:], strict=False))
    assert max(placed) <= 280


def test_many_versions_share_columns() -> None:
    first, per_column, columns = bins_of(list(range(1, 2001)), 220)
    assert first == 1 and columns <= 55 and per_column * columns >= 2000


# --- when updates came


def test_the_timeline_shows_every_update_and_names_every_reason() -> None:
    item = sample()
    for number, board in enumerate(item["board_list"]):
        for at, entry in enumerate(board["contributions"]):
            entry.update(seconds=600.0 * at + number, weight=0.5)
        board["refused"] = []
    item["board_list"][0]["refused"] = [{"version": 1, "seconds": 9000.0, "reason": "stale by 12 <versions>"}]
    summary = validate(item)
    page = render(summary)
    assert 'id="when"' in page and "1 x stale by 12 &lt;versions&gt;" in page and "stale by 12 <versions>" not in page
    assert timeline.unit_of(9000.0) == ("hours", 3600.0) and timeline.unit_of(7.0) == ("seconds", 1.0)
    moments = timeline.moments(summary.board_list[0])
    assert (
        9000.0 in moments
        and moments == sorted(moments)
        and len(moments) == len(item["board_list"][0]["contributions"]) + 1
    )
    drawn = timeline.timeline(summary, 800.0).render("x", "v-l", "t", "d")
    marks = sum(part.count("M") for part in re.findall(r'<path d="([^"]*)" class="fill stale', drawn))
    assert marks == sum(len(board["contributions"]) for board in item["board_list"])
    assert drawn.count('class="open"') == 1


def test_a_summary_without_times_has_no_timeline() -> None:
    assert 'id="when"' not in render(validate(sample()))
