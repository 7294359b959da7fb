"""The numbers behind each chart, as tables that a screen reader and a spreadsheet can take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from picofed.report import text as tx
from picofed.report.bars import Bar
from picofed.report.summary import Confusion, Summary
from picofed.report.text import safe

_ALIGN = {"l": ' class="l"', "i": ' class="i"', "r": ' class="r"', "w": ' class="w"'}


def table(caption: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls by itself; the first cell of a row heads it.

    columns: (heading, alignment), with "l" for left, "i" left for an id, "w" left and wide, "r" right.
    """
    head = "".join(f'<th scope="col"{_ALIGN[align]}>{safe(name)}</th>' for name, align in columns)
    body = []
    for row in rows:
        first, *others = [(safe(cell), _ALIGN[align]) for cell, (_, align) in zip(row, columns, strict=True)]
        cells = "".join(f"<td{align}>{cell}</td>" for cell, align in others)
        body.append(f'<tr><th scope="row"{first[1]}>{first[0]}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{safe(caption)}"><table>'
        f"<caption>{safe(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def versions(s: Summary) -> str:
    columns = [
        ("version", "r"),
        ("accuracy", "r"),
        ("without privacy", "r"),
        ("updates", "r"),
        ("epsilon, largest", "r"),
    ]
    rows = (
        (
            str(v.version),
            tx.percent(v.accuracy),
            tx.percent(v.accuracy_nonprivate),
            tx.whole(v.updates),
            tx.epsilon(v.epsilon),
        )
        for v in s.versions
    )
    levels = [
        f"{name} {tx.percent(value)}"
        for name, value in (("float training", s.accuracy_float), ("majority baseline", s.accuracy_majority))
        if value is not None
    ]
    return table("Accuracy of each version" + "".join(f"; {one}" for one in levels), columns, rows)


def curve(s: Summary) -> str:
    columns = [("epsilon", "r"), ("accuracy", "r"), ("standard deviation", "r")]
    rows = (
        (
            "none (no privacy)" if math.isinf(p.epsilon) else tx.short_number(p.epsilon),
            tx.percent(p.accuracy),
            tx.UNKNOWN if p.accuracy_sd is None else tx.points(p.accuracy_sd),
        )
        for p in sorted(s.curve, key=lambda p: p.epsilon)
    )
    return table(f"Accuracy of a whole run at each epsilon, delta {tx.delta(s.delta)}", columns, rows)


def epsilons(s: Summary) -> str:
    columns = [
        ("board", "w"),
        ("epsilon spent", "r"),
        ("epsilon left", "r"),
        ("at most", "r"),
        ("ledger: spent", "r"),
        ("budget", "r"),
    ]
    rows = (
        (
            b.name,
            tx.epsilon(b.epsilon_spent),
            tx.epsilon_left(b.epsilon_spent, b.epsilon_left),
            tx.epsilon(b.epsilon_spent + b.epsilon_left),
            tx.whole(b.spent),
            tx.whole(b.budget),
        )
        for b in s.board_list
    )
    note = "Epsilon per board, rounded up; the ledger counts units of 2^-24 mu squared"
    return table(note, columns, rows)


def boards(s: Summary) -> str:
    columns = [
        ("board", "w"), ("id", "i"), ("state", "l"), ("records", "r"), ("releases", "r"),
        ("epsilon spent", "r"),
        ("epsilon left", "r"), ("bytes up" if s.metered else "bytes of updates", "r"), ("bytes down", "r"),
    ]  # fmt: skip
    rows = (
        (
            b.name,
            b.board,
            b.state,
            tx.whole(b.records),
            tx.whole(b.releases),
            tx.epsilon(b.epsilon_spent),
            tx.epsilon_left(b.epsilon_spent, b.epsilon_left),
            tx.whole(b.bytes_up),
            tx.whole(b.bytes_down) if s.metered else tx.DASH,
        )
        for b in s.board_list
    )
    return table("Every board of this job", columns, rows)


def contributions(s: Summary) -> str:
    columns = [
        ("board", "w"),
        ("updates", "r"),
        ("to versions", "w"),
        ("staleness: mean", "r"),
        ("largest", "r"),
        ("how often", "w"),
    ]
    rows = []
    for b in s.board_list:
        ages = [c.staleness for c in b.contributions]
        often = ", ".join(f"{age}: {n} times" for age, n in sorted(Counter(ages).items()))
        mean = f"{sum(ages) / len(ages):.2f}" if ages else tx.DASH
        worst = str(max(ages)) if ages else tx.DASH
        rows.append(
            (
                b.name,
                str(len(ages)),
                tx.ranges(c.version for c in b.contributions) or "none",
                mean,
                worst,
                often,
            )
        )
    return table("Updates that went into a version, and how many versions old they were", columns, rows)


def confusion(matrix: Confusion) -> str:
    columns = [("truth", "w"), *((label, "r") for label in matrix.labels), ("all", "r"), ("right", "r")]
    rows = []
    for i, (label, counts) in enumerate(zip(matrix.labels, matrix.counts, strict=True)):
        total = sum(counts)
        cells = (f"{n} ({100 * n / total:.0f}{tx.THIN}%)" if total and n else str(n) for n in counts)
        rows.append((label, *cells, str(total), tx.percent(counts[i] / total if total else None, 0)))
    return table("Rows: the truth. Columns: what the model said. In brackets: share of the row", columns, rows)


def sizes(caption: str, bars: Sequence[Bar]) -> str:
    rows = ((one.name, tx.whole(one.value)) for one in bars)
    return table(caption, [("what", "w"), ("bytes", "r")], rows)
