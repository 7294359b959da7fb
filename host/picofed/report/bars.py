"""Bar charts: epsilon of each board, bytes of an update, memory on a board."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from picofed.report import text as tx
from picofed.report.summary import BoardSummary, Summary
from picofed.report.svg import Drawing, ticks

_SIZE = 12.0
_BOLD = 13.2  # semi-bold letters are wider by a tenth
_MAX_HEIGHT = 620.0  # of the rows of a large fleet
_NAMED = 14.0  # pitch from which a row has room for its name
_MAX_PARTS = 10


def named_rows(count: int, pitch: float = 26.0) -> tuple[float, bool]:
    """(height of a row, whether it has room for a name) so that a large fleet stays on one page."""
    pitch = min(pitch, _MAX_HEIGHT / max(count, 1))
    return pitch, pitch >= _NAMED


def by_spending(boards: Sequence[BoardSummary]) -> list[BoardSummary]:
    """The order of a chart whose rows are too thin to be named."""
    return sorted(boards, key=lambda b: (-b.epsilon_spent, -b.epsilon_left, b.name))


def rows_by_board(s: Summary, width: float) -> tuple[list[BoardSummary], float, bool, float]:
    """(boards from top to bottom, height of a row, whether it is named, where its marks begin)"""
    boards = list(s.board_list)
    pitch, named = named_rows(len(boards), 24.0)
    if not named:
        return by_spending(boards), pitch, named, 2.0
    longest = max(tx.width(tx.clean(b.name), _SIZE) for b in boards)
    return boards, pitch, named, min(longest, width * 0.28) + 10


def epsilon_by_board(s: Summary, width: float) -> Drawing:
    """One bar a board: epsilon spent, then epsilon left; the target as a line across."""
    boards = list(s.board_list)
    pitch, named = named_rows(len(boards))
    if not named:
        boards = by_spending(boards)
    labels = [f"{tx.epsilon(b.epsilon_spent)} of {tx.epsilon(b.epsilon_spent + b.epsilon_left)}" for b in boards]
    left = min(max(tx.width(tx.clean(b.name), _SIZE) for b in boards), width * 0.28) + 10 if named else 8.0
    right = max(tx.width(one, _SIZE) for one in labels) + 10 if named else 16.0
    top = 44.0
    foot = top + pitch * len(boards)
    d = Drawing(width, foot + 40)
    x0, x1 = left, width - right
    finite = [e for b in boards for e in (b.epsilon_spent, b.epsilon_spent + b.epsilon_left) if math.isfinite(e)]
    if s.epsilon_target is not None:
        finite.append(s.epsilon_target)
    marks = ticks(max(finite, default=0.0), max(int((x1 - x0) / 60), 4))
    scale = (x1 - x0) / marks[-1]

    _legend(d, (("spent", "fill private"), ("left", "fill rest")))
    for mark in marks:
        x = x0 + mark * scale
        d.line(x, top - 4, x, foot + 4, "grid")
        d.text(x, foot + 18, tx.short_number(mark), "t m", "middle")
    d.text((x0 + x1) / 2, foot + 35, f"epsilon at delta {tx.delta(s.delta)}", "t m", "middle")
    for i, (board, label) in enumerate(zip(boards, labels, strict=True)):
        y = top + i * pitch
        bar = pitch * (0.62 if named else 0.8)
        pad = (pitch - bar) / 2
        total = board.epsilon_spent + board.epsilon_left
        tip = f"{board.name}: epsilon {label}" if named else f"{board.name}: {label}"
        spent = min(board.epsilon_spent * scale, x1 - x0) if math.isfinite(board.epsilon_spent) else 0.0
        whole = min(total * scale, x1 - x0) if math.isfinite(total) else x1 - x0
        if math.isfinite(total):
            d.rect(x0 + spent, y + pad, whole - spent, bar, "fill rest", tip=tip)
        else:
            d.rect(x0 + spent, y + pad, whole - spent, bar, "open", tip=tip)
        if spent > 0:
            d.rect(x0, y + pad, spent, bar, "fill private", tip=tip)
        if named:
            d.text(x0 - 8, y + pitch / 2 + 4, tx.fit(board.name, _SIZE, left - 10), "t", "end")
            d.text(x1 + 8, y + pitch / 2 + 4, label, "t m")
    if s.epsilon_target is not None:
        x = x0 + s.epsilon_target * scale
        d.line(x, top - 6, x, foot + 4, "target")
        label = f"target {tx.short_number(s.epsilon_target)}"
        half = tx.width(label, _BOLD) / 2
        d.text(min(max(x, half), width - half), top - 12, label, "t b", "middle")
    return d


def _legend(d: Drawing, entries: Sequence[tuple[str, str]]) -> None:
    x = 1.0
    for name, cls in entries:
        d.rect(x, 4, 12, 12, cls)
        d.text(x + 18, 14, name, "t")
        x += 18 + tx.width(name, _SIZE) + 16


@dataclass(frozen=True)
class Bar:
    """A bar under its own line of words, so that long words fit a narrow screen."""

    name: str
    value: float
    label: str
    cls: str


def update_bars(s: Summary) -> list[Bar]:
    """Bytes of an update as sent, of the same update in float32, and of the global model on its way down."""
    bars = []
    if s.bytes_per_update_float32 is not None:
        bars.append(
            Bar(
                "float32 FedAvg, one update",
                s.bytes_per_update_float32,
                tx.size(s.bytes_per_update_float32),
                "other",
            )
        )
    if s.bytes_per_update is not None:
        label = tx.size(s.bytes_per_update)
        gain = tx.saving(s.bytes_per_update, s.bytes_per_update_float32)
        bars.append(Bar("picofed, one update", s.bytes_per_update, f"{label}, {gain}" if gain else label, "private"))
    if s.bytes_down_per_round is not None:
        bars.append(
            Bar(
                "picofed, down to a board per round",
                s.bytes_down_per_round,
                tx.size(s.bytes_down_per_round),
                "down",
            )
        )
    return bars


def memory_bars(s: Summary) -> list[Bar]:
    """The parts of a board's memory, largest first, the small ones of a long list in one."""
    parts = sorted(s.ram, key=lambda item: -item[1])
    if len(parts) > _MAX_PARTS:
        tail = parts[_MAX_PARTS - 1 :]
        parts = [*parts[: _MAX_PARTS - 1], (f"{len(tail)} smaller parts", sum(size for _, size in tail))]
    bars = [Bar(name, size, tx.size(size), "private") for name, size in parts]
    named = sum(size for _, size in s.ram)
    if s.ram_bytes is not None and s.ram_bytes > named:
        rest = s.ram_bytes - named
        bars.append(Bar("not broken down" if bars else "in all", rest, tx.size(rest), "other"))
    return bars


def labelled_bars(bars: Sequence[Bar], width: float) -> Drawing:
    """Horizontal bars, each with its name above it and its value at its end; all on one scale from zero."""
    pitch, bar = 44.0, 16.0
    d = Drawing(width, pitch * len(bars) + 2)
    room = max((tx.width(one.label, _BOLD) for one in bars), default=0.0) + 10
    scale = (width - room) / max((one.value for one in bars), default=1.0) if any(one.value for one in bars) else 0.0
    for i, one in enumerate(bars):
        y = i * pitch
        length = max(one.value * scale, 1.0 if one.value else 0.0)
        d.text(0, y + 13, tx.fit(one.name, _SIZE, width), "t")
        d.rect(0, y + 19, length, bar, f"fill {one.cls}", tip=f"{one.name}: {one.label}")
        d.text(length + 7, y + 31.5, one.label, "t b")
    return d
