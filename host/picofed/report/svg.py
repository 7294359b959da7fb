"""The few SVG shapes that the charts need. Colours live in style.py: a shape only names its class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from picofed.report.text import safe

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


def num(value: float) -> str:
    """A coordinate with at most one decimal, as short as can be."""
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class Drawing:
    """An SVG picture in CSS pixels at its natural width; it scales with its container."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._parts: list[str] = []

    def rect(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        cls: str,
        opacity: float | None = None,
        tip: str | None = None,
    ) -> None:
        attributes = f'x="{num(x)}" y="{num(y)}" width="{num(max(w, 0))}" height="{num(max(h, 0))}" class="{cls}"'
        if opacity is not None:
            attributes += f' fill-opacity="{opacity:.2f}"'
        self._shape("rect", attributes, tip)

    def circle(self, x: float, y: float, r: float, cls: str, tip: str | None = None) -> None:
        self._shape("circle", f'cx="{num(x)}" cy="{num(y)}" r="{num(r)}" class="{cls}"', tip)

    def line(self, x1: float, y1: float, x2: float, y2: float, cls: str) -> None:
        self._parts.append(f'<line x1="{num(x1)}" y1="{num(y1)}" x2="{num(x2)}" y2="{num(y2)}" class="{cls}"/>')

    def polyline(self, points: Sequence[Point], cls: str) -> None:
        joined = " ".join(f"{num(x)},{num(y)}" for x, y in points)
        self._parts.append(f'<polyline points="{joined}" class="{cls}"/>')

    def cells(self, rects: Sequence[tuple[float, float, float, float]], cls: str) -> None:
        """Many rectangles (x, y, w, h) of one class as one path: a fleet's grid stays small."""
        if rects:
            d = "".join(f"M{num(x)} {num(y)}h{num(w)}v{num(h)}h{num(-w)}z" for x, y, w, h in rects)
            self._parts.append(f'<path d="{d}" class="{cls}"/>')

    def text(self, x: float, y: float, text: str, cls: str = "t", anchor: Anchor = "start") -> None:
        where = f'x="{num(x)}" y="{num(y)}" class="{cls}"'
        if anchor != "start":
            where += f' text-anchor="{anchor}"'
        self._parts.append(f"<text {where}>{safe(text)}</text>")

    def render(self, ident: str, cls: str, title: str, description: str) -> str:
        """The <svg> element; ident must be unique in the page."""
        return (
            f'<svg class="{cls}" viewBox="0 0 {num(self.width)} {num(self.height)}" role="img" '
            f'aria-labelledby="{ident}-t {ident}-d" style="--w:{num(self.width)}px">'
            f'<title id="{ident}-t">{safe(title)}</title><desc id="{ident}-d">{safe(description)}</desc>'
            f"{''.join(self._parts)}</svg>"
        )

    def _shape(self, name: str, attributes: str, tip: str | None) -> None:
        end = "/>" if tip is None else f"><title>{safe(tip)}</title></{name}>"
        self._parts.append(f"<{name} {attributes}{end}")


def ticks(high: float, wanted: int) -> list[float]:
    """Round numbers from 0 to at least `high`, about `wanted` of them."""
    if high <= 0 or not math.isfinite(high):
        return [0.0, 1.0]
    raw = high / wanted
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= raw * (1 - 1e-9))
    return [i * step for i in range(math.ceil(high / step * (1 - 1e-9)) + 1)]


def whole_ticks(low: int, high: int, wanted: int) -> list[int]:
    """Whole numbers within low..high at a round step; both ends of a short range."""
    if high <= low:
        return [low]
    raw = (high - low) / wanted
    scale = 10 ** max(math.floor(math.log10(raw)), 0) if raw > 0 else 1
    step = max(next(m * scale for m in (1, 2, 5, 10) if m * scale >= raw), 1)
    return [n for n in range(math.ceil(low / step) * step, high + 1, step)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in the same order, at least `gap` apart, ending at `high` at most."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    at = low - gap
    for i in order:
        at = max(wanted[i], at + gap)
        placed[i] = at
    ceiling = high + gap
    for i in reversed(order):
        ceiling = min(placed[i], ceiling - gap)
        placed[i] = ceiling
    return placed
