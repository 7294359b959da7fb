"""Line charts: accuracy by version, and accuracy against epsilon."""

from __future__ import annotations

import math
from dataclasses import dataclass

from picofed.report import text as tx
from picofed.report.summary import Summary
from picofed.report.svg import Drawing, Point, spread, whole_ticks

_LEFT = 40.0  # room for "100 %"
_TOP = 14.0
_BOTTOM = 42.0
_LABEL = 12.0  # font size of the labels in style.py


@dataclass(frozen=True)
class _Series:
    """One line: its points (or one level), its class, and the words at its right end."""

    points: tuple[tuple[float, float], ...]
    cls: str
    label: str
    level: float | None = None

    @property
    def last(self) -> float:
        return self.points[-1][1] if self.level is None else self.level


def accuracy_by_version(s: Summary, width: float) -> Drawing:
    """Accuracy of each version, with the levels to compare it with, all labelled at the right."""
    series = _levels(s)
    if s.versions:
        private = tuple((float(v.version), v.accuracy) for v in s.versions)
        series.insert(0, _Series(private, "private", f"private {tx.percent(private[-1][1])}"))
    height = 300.0 if width < 400 else 320.0
    right = max((tx.width(one.label, _LABEL) for one in series), default=0.0) + 14
    d = Drawing(width, height)
    x0, x1, y0, y1 = _LEFT, width - right, height - _BOTTOM, _TOP
    numbers = [v.version for v in s.versions] or [0]
    low, high = min(numbers), max(numbers)

    def at(version: float, accuracy: float) -> Point:
        share = 0.5 if high == low else (version - low) / (high - low)
        return x0 + share * (x1 - x0), y0 - accuracy * (y0 - y1)

    _percent_axis(d, x0, x1, y0, y1)
    for n in whole_ticks(low, high, max(int((x1 - x0) / 60), 2)):
        d.text(at(n, 0)[0], y0 + 18, str(n), "t m", "middle")
    d.text((x0 + x1) / 2, height - 6, "version of the global model", "t m", "middle")
    for one in reversed(series):
        if one.level is not None:
            y = at(low, one.level)[1]
            d.line(x0, y, x1, y, f"l {one.cls}")
        elif len(one.points) > 1:
            d.polyline([at(*p) for p in one.points], f"l {one.cls}")
    for one in series:
        if one.level is None:
            d.circle(*at(*one.points[-1]), 4.5, f"dot {one.cls}")
    _end_labels(d, series, [at(high, one.last)[1] for one in series], x1, y1, y0)
    return d


def _levels(s: Summary) -> list[_Series]:
    series: list[_Series] = []
    plain = tuple((float(v.version), v.accuracy_nonprivate) for v in s.versions if v.accuracy_nonprivate is not None)
    if plain:
        series.append(_Series(plain, "plain", f"no privacy {tx.percent(plain[-1][1])}"))
    elif s.accuracy_nonprivate is not None:
        label = f"no privacy {tx.percent(s.accuracy_nonprivate)}"
        series.append(_Series((), "plain", label, s.accuracy_nonprivate))
    if s.accuracy_float is not None:
        series.append(_Series((), "float", f"float {tx.percent(s.accuracy_float)}", s.accuracy_float))
    if s.accuracy_majority is not None:
        series.append(_Series((), "majority", f"majority {tx.percent(s.accuracy_majority)}", s.accuracy_majority))
    return series


def _percent_axis(d: Drawing, x0: float, x1: float, y0: float, y1: float) -> None:
    for tick in range(0, 101, 20):
        y = y0 - tick / 100 * (y0 - y1)
        d.line(x0, y, x1, y, "axis" if tick == 0 else "grid")
        d.text(x0 - 6, y + 4, f"{tick}{tx.THIN}%", "t m", "end")


def _end_labels(d: Drawing, series: list[_Series], ys: list[float], x: float, top: float, bottom: float) -> None:
    """A label at the right end of each line; labels that would overlap move apart and keep a thin leader."""
    for one, y, placed in zip(series, ys, spread(ys, 16, top, bottom), strict=True):
        d.line(x + 1, y, x + 9, placed, f"leader {one.cls}")
        d.text(x + 12, placed + 4, one.label, f"t b {one.cls}-t")


def accuracy_by_epsilon(s: Summary, width: float) -> Drawing:
    """Accuracy of whole runs against epsilon (logarithmic); the run without privacy stands apart."""
    points = sorted(s.curve, key=lambda p: p.epsilon)
    finite = sorted({p.epsilon for p in points if math.isfinite(p.epsilon)})
    height = 300.0
    d = Drawing(width, height)
    has_level = s.accuracy_majority is not None
    x0, x1, y0, y1 = _LEFT, width - 24, height - _BOTTOM, _TOP + 8
    end = x1 - 62 if any(math.isinf(p.epsilon) for p in points) else x1
    first = x0 + 24
    low, high = (math.log(finite[0]), math.log(finite[-1])) if finite else (0.0, 0.0)

    def at(epsilon: float, accuracy: float) -> Point:
        y = y0 - accuracy * (y0 - y1)
        if math.isinf(epsilon):
            return x1 - 14, y
        return (first + end) / 2 if high == low else first + (math.log(epsilon) - low) / (high - low) * (end - first), y

    _percent_axis(d, x0, x1, y0, y1)
    if s.accuracy_majority is not None:
        y = at(math.inf, s.accuracy_majority)[1]
        d.line(x0, y, x1, y, "l majority")
        d.text(x0 + 4, y - 5, f"majority {tx.percent(s.accuracy_majority)}", "t b majority-t")
    line = [at(p.epsilon, p.accuracy) for p in points if math.isfinite(p.epsilon)]
    if len(line) > 1:
        d.polyline(line, "l private")
    if end < x1:
        d.line(end + 24, y0, end + 24, y1, "grid dash")
    marked, named = -math.inf, -math.inf
    for p in points:
        x, y = at(p.epsilon, p.accuracy)
        cls = "plain" if math.isinf(p.epsilon) else "private"
        spread_up = spread_down = 0.0
        if p.accuracy_sd:
            top, foot = (
                at(p.epsilon, min(p.accuracy + p.accuracy_sd, 1))[1],
                at(p.epsilon, max(p.accuracy - p.accuracy_sd, 0))[1],
            )
            spread_up, spread_down = y - top, foot - y
            d.line(x, top, x, foot, f"bar {cls}")
            d.line(x - 7, top, x + 7, top, f"bar {cls}")
            d.line(x - 7, foot, x + 7, foot, f"bar {cls}")
        tip = f"epsilon {tx.short_number(p.epsilon)}: {tx.percent(p.accuracy)}"
        d.circle(x, y, 4, f"dot {cls}", tip)
        if x - marked >= 40:
            above = y - max(spread_up, 6) - 5
            near_level = has_level and abs(above - at(p.epsilon, s.accuracy_majority or 0)[1]) < 12
            label_y = y + max(spread_down, 6) + 14 if above < 12 or near_level else above
            d.text(x, min(label_y, y0 - 2), tx.percent(p.accuracy), f"t b {cls}-t", "middle")
            marked = x
        name = "none" if math.isinf(p.epsilon) else tx.short_number(p.epsilon)
        if x - named >= max(30, tx.width(name, _LABEL) + 8):
            d.text(x, y0 + 18, name, "t m", "middle")
            named = x
    d.text((x0 + x1) / 2, height - 6, "epsilon: smaller is more private", "t m", "middle")
    return d
