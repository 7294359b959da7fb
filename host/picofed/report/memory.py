"""A subset's page: measured accuracy, or explained part, against the memory of a board's trainer, and what each part of
the model contributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from picofed.report import text as tx
from picofed.report.html import document, figure
from picofed.report.svg import Drawing, Point, ticks
from picofed.report.tables import table
from picofed.report.text import safe


@dataclass(frozen=True)
class Step:
    """One selection, and what it reached when it was trained. best: nothing measured is better and takes no more."""

    memory: int
    trainable: int
    measured: float
    words: str
    best: bool


def accuracy_by_memory(steps: Sequence[Step], limit: int, chosen: int, width: float) -> Drawing:
    """A dot each; a line through the best; the limit as a line across. chosen: index into steps."""
    height, left, top, foot = 300.0, 44.0, 20.0, 258.0
    d = Drawing(width, height)
    marks = ticks(max(step.memory for step in steps) * 1.02, max(int(width / 110), 3))
    x1 = width - 14

    def at(memory: float, accuracy: float) -> Point:
        return left + min(memory / marks[-1], 1.0) * (x1 - left), foot - max(accuracy, 0.0) * (foot - top)

    for percent in range(0, 101, 20):
        y = at(0, percent / 100)[1]
        d.line(left, y, x1, y, "axis" if percent == 0 else "grid")
        d.text(left - 6, y + 4, f"{percent}{tx.THIN}%", "t m", "end")
    for mark in marks:
        d.text(at(mark, 0)[0], foot + 18, tx.size(int(mark)), "t m", "middle" if mark < marks[-1] else "end")
    d.text((left + x1) / 2, height - 6, "memory of a board's trainer", "t m", "middle")
    if limit <= marks[-1]:
        x = at(limit, 0)[0]
        d.line(x, top - 6, x, foot, "target")
        d.text(x, top - 9, "limit", "t b", "middle" if left + 20 < x < x1 - 20 else "end")
    best = [step for step in steps if step.best]
    if len(best) > 1:
        d.polyline([at(step.memory, step.measured) for step in best], "l float")
    for number, step in sorted(enumerate(steps), key=lambda each: each[0] == chosen):  # on top of all others
        tip = f"{tx.size(step.memory)}: {tx.percent(step.measured)}; {step.words}"
        d.circle(*at(step.memory, step.measured), 6.5 if number == chosen else 4, "dot private", tip)
    return d


def page(
    name: str,
    steps: Sequence[Step],
    limit: int,
    chosen: int,
    parts: Sequence[tuple[str, float]],
    start: float,
    dense: float,
    quality: str = "accuracy",
) -> str:
    """The whole page. parts: words and contribution of each part of the model alone; quality: what is measured."""
    best = steps[chosen]
    whole = max(step.memory for step in steps)
    say = (
        f"Trained: {best.words}. {tx.size(best.memory)} of the {tx.size(limit)} that there are reach "
        f"{tx.percent(best.measured)} {quality} on the operator's data; "
        f"everything, with {tx.size(whole)}, {tx.percent(dense)}; the model as it starts, {tx.percent(start)}."
    )
    rows = [
        (tx.size(s.memory), tx.whole(s.trainable), tx.percent(s.measured), "yes" if s.best else "", s.words)
        for s in steps
    ]
    columns = [("memory", "r"), ("parameters", "r"), (quality, "r"), ("best so far", "w"), ("trained", "w")]
    body = figure(
        "memory",
        f"{quality.capitalize()} against memory",
        say,
        lambda width: accuracy_by_memory(steps, limit, chosen, width),
        table("Every selection that was measured", columns, rows),
        ("v-s", "v-m", "v-l"),
    )
    gained = table(
        f"{quality.capitalize()} gained by training one part alone",
        [("part", "w"), ("gain", "r")],
        [(words, f"{100 * gain:+.1f} points") for words, gain in parts],
    )
    return document(
        f"{name}: subset",
        f'<header><p class="over">picofed subset</p><h1>{safe(name)}</h1></header>\n<main>{body}'
        f'<section class="card"><h3>Contributions</h3>{gained}</section></main>',
    )
