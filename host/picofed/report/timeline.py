"""When each board's updates came, how stale they were, and which were refused."""

from __future__ import annotations

from collections import Counter

from picofed.report import text as tx
from picofed.report.bars import rows_by_board
from picofed.report.grids import STALENESS, TALL, staleness_legend
from picofed.report.summary import BoardSummary, Summary
from picofed.report.svg import Drawing, ticks
from picofed.report.tables import table

_SIZE = 12.0
_UNITS = (("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0), ("days", 86400.0))


def moments(board: BoardSummary) -> list[float]:
    """Seconds at which a board's updates came, used or not."""
    used = [one.seconds for one in board.contributions]
    return sorted(at for at in (*used, *(one.seconds for one in board.refused)) if at is not None)


def known(s: Summary) -> bool:
    """Whether there is anything to draw: a summary of an earlier version has no times."""
    return any(moments(board) for board in s.board_list)


def unit_of(seconds: float) -> tuple[str, float]:
    """Name and length of the unit in which so many seconds are said."""
    return next((unit for unit in reversed(_UNITS) if seconds >= 2 * unit[1]), _UNITS[0])


def timeline(s: Summary, width: float) -> Drawing:
    """Rows are boards, time runs to the right. A bar is an update that counted, the staler the shorter and warmer; a
    dashed box is one that was refused."""
    boards, pitch, named, left = rows_by_board(s, width)
    end = max((at for b in boards for at in moments(b)), default=1.0)
    name, length = unit_of(end)
    marks = ticks(end / length, max(int((width - left) / 70), 2))
    scale = (width - left - 8) / (marks[-1] * length)
    top = 34.0
    foot = top + pitch * len(boards)
    d = Drawing(width, foot + 40)
    staleness_legend(d)
    for mark in marks:
        x = left + mark * length * scale
        d.line(x, top - 4, x, foot + 4, "grid")
        d.text(min(x, width - 10), foot + 18, tx.short_number(mark), "t m", "middle")
    d.text((left + width) / 2, foot + 35, f"{name} since the first version", "t m", "middle")
    cells: list[list[tuple[float, float, float, float]]] = [[] for _ in STALENESS]
    tall = pitch * (0.75 if named else 0.85)
    for i, board in enumerate(boards):
        middle = top + (i + 0.5) * pitch
        if named:
            d.line(left, middle, width - 8, middle, "grid")
            d.text(left - 8, middle + 4, tx.fit(board.name, _SIZE, left - 10), "t", "end")
        for one in board.contributions:
            if one.seconds is not None:
                level = min(one.staleness, len(STALENESS) - 1)
                high = tall * TALL[level]
                cells[level].append((left + one.seconds * scale - 1.5, middle - high / 2, 3.0, high))
        for refusal in board.refused:
            if refusal.seconds is not None:
                x = left + refusal.seconds * scale
                d.rect(x - 3, middle - tall / 2, 6, tall, "open", tip=f"{board.name}: {refusal.reason}")
    for level, rects in enumerate(cells):
        d.cells(rects, f"fill stale{level}")
    return d


def numbers(s: Summary) -> str:
    """The same as a table: when a board was heard of, its longest silence, what it counted, what was refused."""
    columns = [
        ("board", "w"),
        ("updates", "r"),
        ("first", "r"),
        ("last", "r"),
        ("longest silence", "r"),
        ("weight: mean", "r"),
        ("refused", "w"),
    ]
    rows = []
    for board in s.board_list:
        at = moments(board)
        gaps = [b - a for a, b in zip([0.0, *at], at, strict=False)]
        weights = [one.weight for one in board.contributions if one.weight is not None]
        reasons = Counter(refusal.reason for refusal in board.refused)
        rows.append(
            (
                board.name,
                str(len(at)),
                _duration(at[0]) if at else tx.DASH,
                _duration(at[-1]) if at else tx.DASH,
                _duration(max(gaps)) if gaps else tx.DASH,
                f"{sum(weights) / len(weights):.2f}" if weights else tx.DASH,
                "; ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items())) or "none",
            )
        )
    return table("When updates came, since the first version", columns, rows)


def _duration(seconds: float) -> str:
    name, length = unit_of(seconds)
    return f"{seconds / length:.1f}{tx.NBSP}{name}"
