"""Grids: the confusion matrix, and which board contributed to which version."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from picofed.report import text as tx
from picofed.report.bars import rows_by_board
from picofed.report.summary import Confusion, Summary
from picofed.report.svg import Drawing, whole_ticks

_SIZE = 12.0
_FILL_MID, _FILL_HIGH = 0.60, 0.86  # where black and white ink change places, in dark and in light colours
STALENESS = ("0: fresh", "1", "2", "3 or more")
TALL = (1.0, 0.74, 0.5, 0.3)  # height of a mark of that staleness


def confusion(matrix: Confusion, width: float) -> Drawing:
    """Rows are the truth, columns what the model said. Fill: share of its row; blue right, orange wrong."""
    n = len(matrix.labels)
    longest = max(tx.width(tx.clean(label), _SIZE) for label in matrix.labels)
    code = tx.width(f"{n} ", _SIZE) + 2
    named = min(longest, width * 0.3)
    cell = (width - named - 10) / n
    headed = all(tx.width(tx.clean(label), _SIZE) <= cell - 2 for label in matrix.labels)
    left = named + 10 if headed else min(longest + code, width * 0.34) + 10
    cell = (width - left) / n
    high = min(max(cell * 0.72, 34.0) if cell >= 34 else cell, 52.0)
    top = 44.0
    d = Drawing(width, top + high * n + 1)
    d.text(left + cell * n / 2, 14, "what the model said", "t m", "middle")
    d.text(0, 36, "truth", "t m")
    for i, label in enumerate(matrix.labels):
        middle = left + (i + 0.5) * cell
        y = top + (i + 0.5) * high + 4
        if headed:
            d.text(middle, 36, tx.clean(label), "t", "middle")
            d.text(left - 8, y, tx.fit(label, _SIZE, left - 8), "t", "end")
        elif high >= 12:
            if cell >= code:
                d.text(middle, 36, str(i + 1), "t b", "middle")
            d.text(0, y, str(i + 1), "t b")
            d.text(code, y, tx.fit(label, _SIZE, left - code - 6), "t")
    for i, row in enumerate(matrix.counts):
        total = sum(row)
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            x, y = left + j * cell, top + i * high
            kind = "hit" if i == j else "miss"
            tip = f"{matrix.labels[i]}, taken for {matrix.labels[j]}: {count} of {total}"
            d.rect(x + 0.75, y + 0.75, cell - 1.5, high - 1.5, "cell", tip=None if count else tip)
            if count:
                d.rect(x + 0.75, y + 0.75, cell - 1.5, high - 1.5, f"fill {kind}", _opacity(share), tip)
            ink = _ink(share)
            value = str(count)
            if not count or tx.width(value, _SIZE) > cell - 3:
                continue
            if cell >= 34 and high >= 34:
                d.text(x + cell / 2, y + high / 2 - 2, value, f"t b {ink}", "middle")
                d.text(x + cell / 2, y + high / 2 + 12, f"{100 * share:.0f}{tx.THIN}%", f"t s {ink}", "middle")
            elif high >= 14:
                d.text(x + cell / 2, y + high / 2 + 4, value, f"t {ink}", "middle")
    return d


def _opacity(share: float) -> float:
    """Fill of a cell; the floor keeps one window in a hundred visible."""
    return 0.08 + 0.92 * share


def _ink(share: float) -> str:
    """The class of text that is readable on a cell in light and in dark colours."""
    fill = _opacity(share)
    return "k-hi" if fill >= _FILL_HIGH else "k-mid" if fill >= _FILL_MID else "k-lo"


def all_versions(s: Summary) -> list[int]:
    """Every version that is listed or contributed to, in order."""
    return sorted({v.version for v in s.versions} | {c.version for b in s.board_list for c in b.contributions})


def bins_of(versions: Sequence[int], room: float) -> tuple[int, int, int]:
    """(first version, versions a column, columns): columns stay at least 4 units wide."""
    first, last = (versions[0], versions[-1]) if versions else (0, 0)
    span = last - first + 1
    per_column = max(math.ceil(span / max(int(room / 4), 1)), 1)
    return first, per_column, math.ceil(span / per_column)


def contributions(s: Summary, width: float) -> Drawing:
    """Rows are boards, columns versions. The staler an update, the shorter and warmer its mark."""
    boards, pitch, named, left = rows_by_board(s, width)
    first, per_column, columns = bins_of(all_versions(s), width - left - 4)
    column = min((width - left - 4) / columns, 64.0)
    top = 34.0
    foot = top + pitch * len(boards)
    d = Drawing(width, foot + 40)
    staleness_legend(d)
    for n in whole_ticks(first, first + per_column * columns - 1, max(int(column * columns / 50), 2)):
        x = left + ((n - first) // per_column + 0.5) * column
        d.line(x, foot + 1, x, foot + 5, "axis")
        d.text(min(x, width - tx.width(str(n), _SIZE) / 2), foot + 18, str(n), "t m", "middle")
    d.text(left + column * columns / 2 if column * columns > 120 else left, foot + 35, "version",
           "t m", "middle" if column * columns > 120 else "start")  # fmt: skip
    marks: list[list[tuple[float, float, float, float]]] = [[] for _ in STALENESS]
    gap = min(1.5, column * 0.15)
    tall = pitch * (0.75 if named else 0.85)
    for i, board in enumerate(boards):
        middle = top + (i + 0.5) * pitch
        if named:
            d.line(left, middle, left + column * columns, middle, "grid")
            d.text(left - 8, middle + 4, tx.fit(board.name, _SIZE, left - 10), "t", "end")
        worst: dict[int, int] = {}
        for one in board.contributions:
            at = (one.version - first) // per_column
            worst[at] = max(worst.get(at, 0), one.staleness)
        for at, length, level in _runs(worst, join=not named):
            high = tall * TALL[level]
            marks[level].append((left + at * column + gap / 2, middle - high / 2, length * column - gap, high))
    for level, rects in enumerate(marks):
        d.cells(rects, f"fill stale{level}")
    return d


def _runs(worst: Mapping[int, int], join: bool) -> list[tuple[int, int, int]]:
    """(column, columns, level) of each mark; if `join`, equal neighbours share one: smaller pages."""
    runs: list[tuple[int, int, int]] = []
    for at, staleness in sorted(worst.items()):
        level = min(staleness, len(STALENESS) - 1)
        if join and runs and runs[-1][0] + runs[-1][1] == at and runs[-1][2] == level:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, level)
        else:
            runs.append((at, 1, level))
    return runs


def staleness_legend(d: Drawing) -> None:
    """What the marks of each staleness look like."""
    d.text(0, 14, "staleness", "t m")
    x = tx.width("staleness", _SIZE) + 10
    for level, name in enumerate(STALENESS):
        high = 14 * TALL[level]
        d.rect(x, 10 - high / 2, 9, high, f"fill stale{level}")
        d.text(x + 13, 14, name, "t")
        x += 13 + tx.width(name, _SIZE) + 10
