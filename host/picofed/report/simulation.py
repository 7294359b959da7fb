"""A simulation's curves as one page: accuracy, or the explained part, against virtual time, bytes sent and energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from picofed.errors import PicofedError
from picofed.report import text as tx
from picofed.report.style import CSS
from picofed.report.svg import Drawing, ticks
from picofed.report.text import safe

# By column: words for it and, of each unit from the largest on, its name and size. Taken is the largest that the axis
# is longer than.
_AXES: Final = (
    ("seconds", "of virtual time", (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))),
    ("bytes_up", "sent by all clients", (("megabytes", 1e6), ("kilobytes", 1e3), ("bytes", 1.0))),
    ("joules", "spent by all clients", (("kilojoules", 1e3), ("joules", 1.0))),
)
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 20.0, 14.0, 44.0


def curve(xs: Sequence[float], quality: Sequence[float | None], words: str, width: float) -> Drawing:
    """Accuracy, or the explained part, over one of the axes, from 0 on: what is worse than foretelling nothing is drawn
    at 0."""
    points = [(x, max(0.0, y)) for x, y in zip(xs, quality, strict=True) if y is not None]
    marks = ticks(max((x for x, _ in points), default=0.0), 5)
    drawing = Drawing(width, 280.0)
    x1, y0 = width - _RIGHT, drawing.height - _BOTTOM
    across, up = (x1 - _LEFT) / marks[-1], y0 - _TOP
    for share in range(0, 101, 20):
        y = y0 - share / 100 * up
        drawing.line(_LEFT, y, x1, y, "axis" if share == 0 else "grid")
        drawing.text(_LEFT - 6, y + 4, f"{share}{tx.THIN}%", "t m", "end")
    for mark in marks:
        drawing.text(_LEFT + mark * across, y0 + 18, tx.short_number(mark), "t m", "middle")
    drawing.text((_LEFT + x1) / 2, drawing.height - 6, words, "t m", "middle")
    placed = [(_LEFT + x * across, y0 - y * up) for x, y in points]
    drawing.polyline(placed, "l private")
    if placed:
        drawing.circle(*placed[-1], 4.5, "dot private", tx.percent(points[-1][1]))
    return drawing


def page(title: str, versions: Mapping[str, Sequence[Any]]) -> str:
    """The whole page, without script and without anything to fetch. versions: columns of simulation.results."""
    name = "explained" if "explained" in versions else "accuracy"
    figures = []
    for number, (column, words, units) in enumerate(_AXES):
        most = max(versions[column])
        unit, size = next((one for one in units if most > one[1]), units[-1])
        words = f"{unit} {words}"
        xs = [float(value) / size for value in versions[column]]
        drawing = curve(xs, versions[name], words, 540.0)
        picture = drawing.render(f"c{number}", "v-m", f"{name} by {words}", f"one line, {len(xs)} versions")
        # The style hides a picture of this size that is not the last in a wide figure: there a larger one follows.
        caption = f"{name} by {words}"
        figures.append(f'<figure class="card chart"><figcaption>{safe(caption)}</figcaption>{picture}</figure>')
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{safe(title)}</title>\n"
        f"<style>{CSS} .chart svg.v-m {{ display: block; }} main {{ padding-top: 20px; }}</style>\n</head>\n<body>\n"
        f"<header><h1>{safe(title)}</h1></header>\n<main>\n" + "\n".join(figures) + "\n</main>\n</body>\n</html>\n"
    )


def write(path: Path, title: str, versions: Mapping[str, Sequence[Any]]) -> None:
    """Write the page. Raises PicofedError."""
    try:
        path.write_text(page(title, versions), "utf-8")
    except OSError as error:
        raise PicofedError(f"cannot write {path}: {error.strerror or error}") from error
