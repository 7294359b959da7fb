"""The two pictures of the privacy report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from picofed.privacy.statement import Statement
from picofed.report import text as tx
from picofed.report.svg import Drawing, spread, ticks

_FONT = 12.0


def moment(time: float, span: float) -> str:
    """A time in UTC, as exact as the span of the picture needs."""
    form = "%H:%M:%S" if span < 600 else "%H:%M" if span < 86400 else "%d %b" if span < 2e7 else "%b %Y"
    return datetime.fromtimestamp(time, UTC).strftime(form)


def epsilon_over_time(s: Statement, width: float) -> Drawing:
    """A stair for each board, the one that has spent most on top and named, and what the boards allow."""
    boards = [board for board in s.boards if board.history and all(math.isfinite(p.epsilon) for p in board.history)]
    finite = [board.allowed for board in s.boards if math.isfinite(board.allowed)]
    d = Drawing(width, 280.0)
    if not boards:
        d.text(width / 2, 140, "no release yet, or none with a bound", "t m", "middle")
        return d
    boards.sort(key=lambda board: board.history[-1].epsilon)
    first = min(board.history[0].time for board in boards)
    last = max(max(p.time for p in board.history) for board in boards)
    span = max(last - first, 1.0)
    allowed = min(finite) if finite else None
    most = max(board.history[-1].epsilon for board in boards)
    marks = ticks(max(most, allowed or 0.0) * 1.02, 4)
    labels = [f"most: {tx.epsilon(most)}", f"limit: {tx.epsilon(allowed)}" if allowed is not None else ""]
    x0, x1 = 40.0, width - 16 - max(tx.width(label, _FONT) for label in labels)
    y0, y1 = 238.0, 14.0

    def at(time: float, epsilon: float) -> tuple[float, float]:
        return x0 + (time - first) / span * (x1 - x0), y0 - epsilon / marks[-1] * (y0 - y1)

    for mark in marks:
        y = at(first, mark)[1]
        d.line(x0, y, x1, y, "axis" if mark == 0 else "grid")
        d.text(x0 - 6, y + 4, tx.short_number(mark), "t m", "end")
    for share in (0.0, 0.5, 1.0) if width > 400 else (0.0, 1.0):
        time = first + share * span
        where = "start" if share == 0 else "end" if share == 1 else "middle"
        d.text(at(time, 0)[0], y0 + 18, moment(time, span), "t m", where)  # type: ignore[arg-type]
    day = datetime.fromtimestamp(first, UTC).strftime("%d %B %Y")
    axis = f"when the release arrived, UTC, from {day}"
    d.text(max((x0 + x1) / 2, tx.width(axis, _FONT) / 2), 276, axis, "t m", "middle")
    if allowed is not None:
        y = at(first, allowed)[1]
        d.line(x0, y, x1, y, "target")
    for board in boards:
        stairs = [at(first, 0.0)]
        for point in board.history:
            x, y = at(point.time, point.epsilon)
            stairs += [(x, stairs[-1][1]), (x, y)]
        stairs.append((x1, stairs[-1][1]))
        d.polyline(stairs, "l private" if board is boards[-1] else "l rest")
    ends = [at(last, most)[1], at(last, allowed)[1]] if allowed is not None else [at(last, most)[1]]
    for y, label, kind in zip(spread(ends, 16, y1, y0), labels, ("private-t", "plain-t"), strict=False):
        d.text(x1 + 8, y + 4, label, f"t b {kind}")
    return d


def claimed_and_shown(audit: Mapping[str, Any], width: float) -> Drawing:
    """The claim beside what an attack has shown, as bars from 0."""
    claimed, shown = float(audit["epsilon_claimed"]), float(audit["epsilon_lower_bound"])
    d = Drawing(width, 96.0)
    x0 = 8 + max(tx.width(label, _FONT) for label in ("claimed: at most", "shown: at least"))
    x1 = width - 64
    for row, (label, value, kind) in enumerate(
        (("claimed: at most", claimed, "private"), ("shown: at least", shown, "down" if shown <= claimed else "miss"))
    ):
        y = 8.0 + 42 * row
        length = (x1 - x0) * value / max(claimed, shown, 1e-9)
        d.text(x0 - 8, y + 19, label, "t m", "end")
        d.rect(x0, y, max(length, 1.0), 28, f"fill {kind}", tip=f"{label} {value:.3f}")
        number = tx.epsilon(value) if row == 0 else f"{math.floor(100 * value) / 100:.2f}"
        d.text(x0 + length + 8, y + 19, number, "t b")
    return d
