"""The report as one HTML page, without script and without anything to fetch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from picofed import files
from picofed.errors import PicofedError
from picofed.report import bars, charts, grids, tables, timeline
from picofed.report import text as tx
from picofed.report.prose import headline, lead, privacy_section
from picofed.report.style import CSS
from picofed.report.summary import Summary
from picofed.report.svg import Drawing
from picofed.report.text import safe

_LISTED = 32  # boards in an open table
_WIDTHS = {"v-s": 320.0, "v-m": 540.0, "v-l": 1080.0}


def render(summary: Summary) -> str:
    """The whole page. The same summary gives the same text."""
    body = [
        _header(summary),
        "<main>",
        privacy_section(summary),
        _learning(summary),
        _privacy_cost(summary),
        _price(summary),
        _fleet(summary),
        _making(summary),
        "</main>",
        f"<footer><p>Written by picofed {safe(summary.picofed)}. "
        "This page holds no script and fetches nothing; "
        "its numbers are those of summary.json beside it.</p></footer>",
    ]
    return document(f"{summary.job.name}: picofed report", "\n".join(part for part in body if part))


def document(title: str, body: str, css: str = "") -> str:
    """A whole page around `body`, which is HTML; title: text; css: of this page, behind that of all."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # the browser itself is told to fetch nothing and run nothing
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{safe(title)}</title>\n<style>{CSS}{css}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def write(summary: Summary, path: Path) -> None:
    """Write the page of a job. Raises PicofedError."""
    save(render(summary), path)


def save(text: str, path: Path) -> None:
    """Write a page: `path` is at every instant the old page or the whole new one. Raises PicofedError."""
    try:
        files.write(Path(path), text.encode("utf-8"))
    except OSError as error:
        raise PicofedError(
            f"cannot write {path}: {error.strerror or error}; "
            "name a folder that exists, that you may write to and that has room"
        ) from None


def _header(s: Summary) -> str:
    return (
        f'<header><p class="over">picofed report</p><h1>{safe(s.job.name)}</h1><p class="lead">{lead(s)}</p>'
        f"{headline(s)}</header>"
    )


def figure(
    ident: str,
    title: str,
    say: str,
    draw: Callable[[float], Drawing],
    table: str,
    sizes: tuple[str, ...] = ("v-s", "v-m"),
) -> str:
    """A card: what it shows, what it says, the chart at several widths (CSS shows one), and its numbers."""
    pictures = "".join(draw(_WIDTHS[size]).render(f"{ident}-{size}", size, title, say) for size in sizes)
    return (
        f'<figure class="card" id="{ident}"><figcaption><h3>{safe(title)}</h3>'
        f'<p class="say">{safe(say)}</p></figcaption>'
        f'<div class="chart">{pictures}</div>'
        f"<details><summary>The numbers</summary>{table}</details></figure>"
    )


def _missing(title: str, say: str) -> str:
    return f'<section class="card"><h3>{safe(title)}</h3><p class="say">{safe(say)}</p></section>'


def _learning(s: Summary) -> str:
    cards = []
    title = "Accuracy by version"
    if s.versions:
        last, best = s.versions[-1], max(s.versions, key=lambda v: v.accuracy)
        say = f"Version {last.version}, the last, is right in {tx.percent(last.accuracy)} of cases"
        if best.accuracy > last.accuracy:
            say += f"; the best was version {best.version} with {tx.percent(best.accuracy)}"
        compared = [
            f"{tx.percent(value)} {how}"
            for value, how in (
                (_last_plain(s), "without privacy"),
                (s.accuracy_float, "in float without privacy"),
                (s.accuracy_majority, "by always naming the commonest class"),
            )
            if value is not None
        ]
        say += f". To compare: {', '.join(compared)}." if compared else "."
        cards.append(figure("accuracy", title, say, lambda w: charts.accuracy_by_version(s, w), tables.versions(s)))
    else:
        why = "Not measured: give `picofed report` records with labels that you hold (--data)."
        cards.append(_missing(title, why if s.rounds else "No version has been made yet."))
    if s.confusion is not None:
        matrix = s.confusion
        total = sum(map(sum, matrix.counts))
        right = sum(row[i] for i, row in enumerate(matrix.counts))
        say = f"{right:,} of {total:,} right ({tx.percent(right / total if total else None)})."
        mistakes = [(n, i, j) for i, row in enumerate(matrix.counts) for j, n in enumerate(row) if i != j and n]
        if mistakes:
            n, i, j = max(mistakes, key=lambda m: m[0])
            say += f" Most often confused: {matrix.labels[i]} taken for {matrix.labels[j]}, {n:,} times."
        cards.append(
            figure(
                "confusion",
                "What is taken for what",
                say,
                lambda w: grids.confusion(matrix, w),
                tables.confusion(matrix),
            )
        )
    return _pair("How well it works", cards)


def _last_plain(s: Summary) -> float | None:
    last = s.versions[-1].accuracy_nonprivate
    return s.accuracy_nonprivate if last is None else last


def _privacy_cost(s: Summary) -> str:
    cards = []
    if s.board_list:
        spent = [b.epsilon_spent for b in s.board_list]
        most = max(b.epsilon_spent + b.epsilon_left for b in s.board_list)
        say = (
            f"Between {tx.epsilon(min(spent))} and {tx.epsilon(max(spent))} spent"
            if tx.epsilon(min(spent)) != tx.epsilon(max(spent))
            else f"{tx.epsilon(spent[0])} spent by {'every board' if len(spent) > 1 else 'the board'}"
        )
        if math.isinf(max(spent)):
            say += "; \u221e stands for a board whose releases have no bound."
        else:
            say += f"; a board's own ledger stops it at {tx.epsilon(most)} at the latest."
        if not bars.named_rows(len(s.board_list))[1]:
            say += " Boards in order of what they have spent; their names are in the table."
        cards.append(
            figure(
                "epsilon",
                "Privacy spent and left, by board",
                say,
                lambda w: bars.epsilon_by_board(s, w),
                tables.epsilons(s),
            )
        )
    if s.curve:
        say = f"Each dot is a whole run of this job at that epsilon, delta {tx.delta(s.delta)}."
        if any(p.accuracy_sd is not None for p in s.curve):
            say += " The bars show one standard deviation."
        cards.append(
            figure(
                "curve",
                "Accuracy against privacy",
                say,
                lambda w: charts.accuracy_by_epsilon(s, w),
                tables.curve(s),
            )
        )
    return _pair("What it cost in privacy", cards)


def _price(s: Summary) -> str:
    cards = []
    update = bars.update_bars(s)
    if update:
        gain = tx.saving(s.bytes_per_update, s.bytes_per_update_float32)
        say = "As encoded on the wire, frames included." if s.metered else "As encoded, without the link's frames."
        if gain:
            counted = "Counted as sent on the wire, frames included." if s.metered else say
            say = f"An update takes {gain} than the same parameters in float32. {counted}"
        table = tables.sizes("Bytes on the wire", update)
        cards.append(figure("bytes", "Bytes per update", say, lambda w: bars.labelled_bars(update, w), table))
    memory = bars.memory_bars(s)
    if memory:
        say = (
            f"{'Picofed' if s.metered else 'The trainer'} takes {tx.size(s.ram_bytes)}"
            f" on {'the board that needs most' if s.metered else 'a board'}."
            if s.ram_bytes is not None
            else "By part."
        )
        if s.ram_bytes is not None and sum(size for _, size in s.ram) > s.ram_bytes:
            say += " Parts share memory, so that they add up to more than is ever in use at once."
        table = tables.sizes("Memory on a board, in bytes", memory)
        cards.append(figure("memory", "Memory on a board", say, lambda w: bars.labelled_bars(memory, w), table))
    return _pair("What it cost in bytes and memory", cards)


def _fleet(s: Summary) -> str:
    if not s.board_list:
        return ""
    cards = []
    ages = [c.staleness for b in s.board_list for c in b.contributions]
    if ages:
        fresh = sum(age == 0 for age in ages)
        say = f"{tx.count(len(ages), 'update')} went into a version; {fresh:,} computed on the newest one"
        say += f", the stalest was {tx.count(max(ages), 'version')} behind." if max(ages) else ", none was stale."
        numbers = grids.all_versions(s)
        if not bars.named_rows(len(s.board_list), 24.0)[1]:
            say += " Boards in order of what they have spent; their names are in the table."
        if numbers[-1] - numbers[0] >= 60:
            say += " On a narrow screen a column may stand for several versions and shows the stalest."
        sizes = ("v-s", "v-m", "v-l")
        cards.append(
            figure(
                "who",
                "Who contributed what, and how stale",
                say,
                lambda w: grids.contributions(s, w),
                tables.contributions(s),
                sizes,
            )
        )
    if timeline.known(s):
        refused = sum(len(board.refused) for board in s.board_list)
        say = "A gap is a board that slept, was slow or out of reach; nobody waited for it. "
        say += f"{tx.count(refused, 'update')} came too late or could not be used." if refused else "None was refused."
        cards.append(
            figure(
                "when",
                "When updates came, and which were refused",
                say,
                lambda w: timeline.timeline(s, w),
                timeline.numbers(s),
                ("v-s", "v-m", "v-l"),
            )
        )
    listed = tables.boards(s)
    if len(s.board_list) > _LISTED:
        listed = f"<details><summary>All {len(s.board_list):,} boards</summary>{listed}</details>"
    cards.append(f'<section class="card"><h3>Boards</h3>{listed}</section>')
    return f"<section><h2>Who took part</h2>{''.join(cards)}</section>"


def _pair(title: str, cards: list[str]) -> str:
    if not cards:
        return ""
    inner = f'<div class="pair">{"".join(cards)}</div>' if len(cards) > 1 else cards[0]
    return f"<section><h2>{safe(title)}</h2>{inner}</section>"


def _making(s: Summary) -> str:
    job = s.job
    sigma = 2.0**job.log2_sigma if job.log2_sigma < 64 else math.inf
    facts = [
        ("Command", f"<code>{safe(s.command)}</code>"),
        ("Seed", f"<code>{s.seed}</code>"),
        ("Job", safe(job.name)),
        (
            "Model",
            f"{safe(job.model)}, {tx.count(job.parameters, 'parameter')}, {job.trainable:,} of them trained",
        ),
        ("Aggregator", safe(job.aggregator)),
        ("Server optimiser", safe(job.optimiser)),
        ("Clipping norm", f"{job.clip_norm:,}"),
        (
            "Noise",
            f"discrete Gaussian, sigma = 2<sup>{job.log2_sigma}</sup> = {tx.whole(sigma)}"
            + _multiplier(job.clip_norm, sigma),
        ),
        ("Mechanism", safe(s.privacy.mechanism)),
        ("Rounds", f"{s.rounds:,}"),
    ]
    if s.held_out:
        facts.append(("Held out, never on a board", safe(", ".join(s.held_out))))
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    notes = "".join(f"<li>{safe(note)}</li>" for note in s.notes)
    notes = f'<section class="card"><h3>Notes</h3><ul>{notes}</ul></section>' if notes else ""
    return f'<section><h2>How this was made</h2><section class="card"><dl>{rows}</dl></section>{notes}</section>'


def _multiplier(clip_norm: int, sigma: float) -> str:
    return (
        f"; noise multiplier (sigma / clipping norm) {sigma / clip_norm:.3g}"
        if clip_norm and math.isfinite(sigma)
        else ""
    )
