"""Accuracy over virtual time, a line for each rule, as a picture by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from picofed.report import text as tx
from picofed.report.style import CSS
from picofed.report.svg import Drawing, spread

LINES: Final = {"fedavg": "plain", "fedasync": "float", "fedbuff": "majority", "ftte": "private"}
_LEFT, _TOP, _BOTTOM, _GAP = 48.0, 34.0, 44.0, 16.0
Curve = Sequence[tuple[float, float]]  # seconds, accuracy


def picture(title: str, curves: Mapping[str, Curve], words: Mapping[str, str], target: float) -> str:
    """An SVG file's text. curves, words: by rule, those of LINES; target: a level to be drawn."""
    drawing = Drawing(760.0, 320.0)
    right = max(tx.width(words[name], 12.0) for name in curves) + 30
    x1, y0 = drawing.width - right, drawing.height - _BOTTOM
    longest = max(seconds for curve in curves.values() for seconds, _ in curve)
    first = min(seconds for curve in curves.values() for seconds, _ in curve if seconds > 0)
    low, high = math.floor(math.log10(first)), math.log10(longest)

    def at(seconds: float, accuracy: float) -> tuple[float, float]:
        share = max(0.0, (math.log10(max(seconds, 1e-9)) - low) / (high - low))
        return _LEFT + share * (x1 - _LEFT), y0 - accuracy * (y0 - _TOP)

    drawing.text(_LEFT, 18, title, "t b")
    for share in range(0, 101, 20):
        y = at(1, share / 100)[1]
        drawing.line(_LEFT, y, x1, y, "axis" if share == 0 else "grid")
        drawing.text(_LEFT - 6, y + 4, f"{share}{tx.THIN}%", "t m", "end")
    for power in range(low, math.floor(high) + 1):
        drawing.text(at(10.0**power, 0)[0], y0 + 18, tx.short_number(10.0**power), "t m", "middle")
    drawing.text((_LEFT + x1) / 2, drawing.height - 6, "seconds of virtual time", "t m", "middle")
    level = at(1, target)[1]
    drawing.line(_LEFT, level, x1, level, "target")
    ends = [(name, at(*curve[-1])) for name, curve in curves.items()]
    for name, curve in curves.items():
        drawing.polyline([at(*point) for point in curve if point[0] > 0], f"l {LINES[name]}")
    places = spread([y for _, (_, y) in ends], _GAP, _TOP, y0)
    for (name, (x, y)), place in zip(ends, places, strict=True):
        drawing.circle(x, y, 4.0, f"dot {LINES[name]}")
        drawing.line(x + 5, y, x1 + 12, place, f"leader {LINES[name]}")
        drawing.text(x1 + 16, place + 4, words[name], f"t b {LINES[name]}-t")
    drawn = drawing.render("f", "chart", title, f"{len(curves)} lines; dashed: what FedAvg ends with")
    dots = "".join(f".dot.{name} {{ fill: var(--{name}); }} " for name in LINES.values())
    style = f"<style>{CSS} svg {{ background: var(--card); }} {dots}</style>"
    head, mark, rest = drawn.partition("<desc")
    return head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + style + mark + rest + "\n"
