"""The privacy report: one page for whoever has to answer for the data, in words that need no mathematics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from picofed import __version__
from picofed.privacy.drawing import claimed_and_shown, epsilon_over_time
from picofed.privacy.paper import CSS
from picofed.privacy.statement import BoardStatement, JobStatement, Statement
from picofed.report import text as tx
from picofed.report.html import document
from picofed.report.sums import CONDITIONS
from picofed.report.tables import table
from picofed.report.text import safe

_WIDTHS = (("v-s", 320.0), ("v-m", 540.0), ("v-l", 1080.0))
_LISTED = 24


def render(s: Statement) -> str:
    """The whole page. The same statement gives the same text."""
    body = [_header(s), "<main>", _data(s), _spent(s), _meaning(s), _trust(s), _audited(s), "</main>", _footer()]
    return document("Privacy report", "\n".join(part for part in body if part), CSS)


def _worst(s: Statement) -> BoardStatement:
    return max(s.boards, key=lambda board: board.spent)


def _released(s: Statement) -> list[JobStatement]:
    """The jobs for which anything left a board."""
    return [job for job in s.jobs if job.releases]


def _each(items: list[str]) -> str:
    """Once each: a job that was set up again is another job with the same name."""
    return "; ".join(dict.fromkeys(items))


def _units(s: Statement) -> str:
    units = sorted({job.unit for job in _released(s)})
    return " or ".join(f"one {unit}" for unit in units) or "one record"


def _header(s: Statement) -> str:
    worst, limit = _worst(s), max(board.allowed for board in s.boards)
    releases = sum(board.releases for board in s.boards)
    names = ", ".join(sorted({job.name for job in _released(s)})) or "no job yet"
    lead = (
        f"<strong>{tx.count(len(s.boards), 'board')}</strong> took part in: {safe(names)}. "
        "No recording has left a board."
    )
    audit = ("not audited", "Run picofed audit and give this report its result.", True)
    if s.audit is not None:
        shown = math.floor(100 * float(s.audit["epsilon_lower_bound"])) / 100
        if s.audit["passed"]:
            other = bool(_unlike(s, s.audit))
            but = " But a job ran at another clipping norm or noise: see below." if other else ""
            audit = ("passed", f"Its attack could show {shown:.2f}, less than is claimed.{but}", other)
        else:
            audit = ("FAILED", "The software gives less privacy than it claims: stop and look.", True)
    endless = math.isinf(worst.spent)
    tiles = [
        _tile(
            f"\u03b5 \u2264 {tx.epsilon(worst.spent)}",
            "Privacy spent so far",
            f"By the board that has spent most, at delta {tx.delta(s.delta)}. Smaller is more private.",
            endless,
        ),
        _tile(
            f"\u03b5 \u2264 {tx.epsilon(limit)}",
            "Privacy that can ever be spent",
            "Each board counts for itself and refuses to go beyond, whatever it is asked.",
            math.isinf(limit),
        ),
        *_sums_tile(s),
        _tile(tx.whole(releases), "Releases received", f"{tx.size(s.bytes_received)} in all, each clipped and noised."),
        _tile(audit[0], "Audit", audit[1], audit[2]),
    ]
    return (
        f'<header><p class="over">picofed</p><h1>Privacy report</h1><p class="lead">{lead}</p>'
        f'<div class="tiles">{"".join(tiles)}</div></header>'
    )


def _largest_sums(s: Statement) -> float | None:
    return max((board.sums for board in s.boards if board.sums is not None), default=None)


def _sums_tile(s: Statement) -> list[str]:
    """The conditional number, where there is one."""
    largest = _largest_sums(s)
    if largest is None:
        return []
    say = "At most, for masked updates, if others keep their word: see below. If not, the first number holds."
    return [_tile(f"\u03b5 \u2264 {tx.epsilon(largest)}", "Seen in sums", say, math.isinf(largest))]


def _tile(number: str, key: str, say: str, alarm: bool = False) -> str:
    cls = "card tile alarm" if alarm else "card tile"
    size = f"<small>{safe(number)}</small>" if len(number) > 11 else safe(number)
    return f'<div class="{cls}"><p class="n">{size}</p><p class="k">{safe(key)}</p><p class="s">{safe(say)}</p></div>'


def _list(title: str, items: list[str]) -> str:
    inner = "".join(f"<li>{safe(item)}</li>" for item in items)
    return f'<section class="card"><h3>{title}</h3><ul>{inner}</ul></section>'


def _data(s: Statement) -> str:
    records = sum(board.records for board in s.boards)
    what = _units(s)
    noise = _each([f"{job.name}: {tx.count(job.trained, 'number')} a release" for job in _released(s)])
    collected = [
        f"Recordings of motion in records ({what}), each with a class label; {tx.count(records, 'record')} in use.",
        "Where: in the flash memory of the board that made them. They are not encrypted there.",
    ]
    leaves = [
        "Releases: sums over all records of a board, to which each record's part was limited and random noise added "
        f"before the first record. {noise}." if noise else "Nothing yet.",
        "With each: the board's name and number, how many records it used, what its privacy ledger says.",
        "To whoever asks, and in clear: its kind, free memory, state, budget, and how much is recorded.",
        "How many recordings there are, how long each is and of which class: from jobs that are broken off.",
    ]  # fmt: skip
    never = [
        "Recordings, features, and anything else computed from what one record holds.",
        "A sum without noise: none exists, not even in the board's memory.",
        "A release that would exceed the board's budget, and after a power failure none that was not paid for.",
    ]
    cards = [_list("Collected", collected), _list("Leaves a board", leaves), _list("Never leaves", never)]
    return f'<section><h2>The data</h2><div class="three">{"".join(cards)}</div></section>'


def _spent(s: Statement) -> str:
    title = "Epsilon spent by each board over time"
    worst = _worst(s)
    say = (
        f"{worst.name} has spent most: {tx.epsilon(worst.spent)} of {tx.epsilon(worst.allowed)}. "
        "Every release adds; nothing is ever given back."
    )
    pictures = "".join(epsilon_over_time(s, width).render(f"time-{cls}", cls, title, say) for cls, width in _WIDTHS)
    columns = [("board", "w"), ("id", "i"), ("releases", "r"), ("spent", "r"), ("allowed", "r")]
    masked = _largest_sums(s) is not None
    if masked:
        columns.append(("in sums", "r"))
    rows = [
        (
            *(b.name, b.ident, tx.whole(b.releases), tx.epsilon(b.spent), tx.epsilon(b.allowed)),
            *(["-" if b.sums is None else tx.epsilon(b.sums)] if masked else []),
        )
        for b in sorted(s.boards, key=lambda board: -board.spent)
    ]
    more = f"; the {_LISTED} that have spent most" if len(rows) > _LISTED else ""
    sums = f"; in sums: if {s.honest} boards of each are honest" if masked else ""
    listed = table(f"Epsilon at delta {tx.delta(s.delta)}, rounded up{sums}{more}", columns, rows[:_LISTED])
    return (
        '<section><h2>What was spent</h2><div class="pair spent"><figure class="card" id="time"><figcaption>'
        f'<h3>{title}</h3><p class="say">{safe(say)}</p></figcaption><div class="chart">{pictures}</div></figure>'
        f'<section class="card"><h3>Board by board</h3>{listed}</section></div></section>'
    )


def _meaning(s: Statement) -> str:
    worst = _worst(s)
    facts = [
        ("Unit", f"{_units(s)}: one record. Many records of one person together are protected less."),
        ("Compared", "The record used, or its contribution replaced by zero; how many records there are is public."),
        ("Mechanism", _each([f"{job.name}: {_setting(job)}" for job in _released(s)]) or "none yet"),
    ]
    if _largest_sums(s) is not None:
        conditions = CONDITIONS.format(honest=s.honest)
        facts.append(("Seen in sums", f"The smaller number holds {conditions}. If not, the larger one of the board."))
    if math.isfinite(worst.spent) and worst.mu > 0:
        chance = min(math.ceil(100 * 0.5 * (1 + math.erf(worst.mu / 2 / math.sqrt(2)))), 100)
        plain = (
            "Take someone who saw everything that a board ever sent, who knows all its other records and chose what it "
            f"computed, and who asks whether one record was used. They are right at most {chance}{tx.THIN}% of the "
            f"time; a coin is right 50{tx.THIN}%."
        )
        facts.insert(0, ("In plain words", plain))
    rows = "".join(f"<dt>{name}</dt><dd>{safe(value)}</dd>" for name, value in facts)
    return f'<section><h2>What the number means</h2><section class="card"><dl>{rows}</dl></section></section>'


def _trust(s: Statement) -> str:
    columns = [("This", "w"), ("holds against", "w"), ("if you trust", "w"), ("and does not cover", "w")]
    rows = [
        (
            "Epsilon of a board",
            "everyone who sees its releases: the operator, the host, other boards, whoever listens",
            "the board: that it runs this software, and that its random numbers are secret",
            "who holds the board in their hands; timing and radio",
        ),
        (
            "The limit of a board",
            "a host that asks for more, replays, or cuts the power",
            "the board, and that nobody rewrites its flash memory",
            "a board that is set up anew without its old ledger",
        ),
        (
            "This page",
            "nobody",
            "the host's store, from which it was made, and that boards are who they say",
            "what boards have released to other hosts, until a board has been seen again here",
        ),
    ]
    if _largest_sums(s) is not None:
        rows.insert(
            1,
            (
                "Epsilon in sums",
                "the host, and whoever sees what it sees",
                f"the board; {s.honest} boards of each sum; the helper, and that it keeps what it knows from the host",
                "host and helper together: then the epsilon of a board holds",
            ),
        )
    listed = table("Epsilon of a board needs no trust in the operator, the host or other boards", columns, rows)
    return f'<section><h2>Who must be trusted for what</h2><section class="card">{listed}</section></section>'


def _audited(s: Statement) -> str:
    if s.audit is None:
        return (
            '<section><h2>How it was audited</h2><section class="card"><p class="say">It was not: no audit was given. '
            "<code>picofed audit --json</code> makes one.</p></section></section>"
        )
    a = s.audit
    title = "Claimed, and shown by attack"
    say = (
        f"{a['canaries']:,} records made to be found, each in or out by a coin, in {a['releases']} releases with "
        f"clipping norm {a['clip_norm']:,} and sigma 2^{a['log2_sigma']}, through {_through(a)}. "
        f"{_verdict(a)} {_compared(s, a)}"
    )
    pictures = "".join(
        claimed_and_shown(a, width).render(f"audit-{cls}", cls, title, say) for cls, width in _WIDTHS[:2]
    )  # fmt: skip
    estimate = "without limit" if a.get("mu_estimate") is None else f"{float(a['mu_estimate']):.4f}"
    facts = [
        ("Epsilon claimed", f"{tx.epsilon(float(a['epsilon_claimed']))} at delta {tx.delta(float(a['delta']))}"),
        ("Shown, with 95 % confidence", f"at least {math.floor(1000 * float(a['epsilon_lower_bound'])) / 1000:.3f}"),
        ("mu claimed, and as measured", f"{a['mu_claimed']:.4f}; {estimate} \u00b1 {a['mu_standard_error']:.4f}"),
        *_largest(a),
        ("To repeat", _repeat(a)),
    ]
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in facts)
    return (
        f'<section><h2>How it was audited</h2><div class="pair"><figure class="card" id="audit"><figcaption><h3>{title}'
        f'</h3><p class="say">{safe(say)}</p></figcaption><div class="chart">{pictures}</div></figure>'
        f'<section class="card"><h3>The audit in numbers</h3><dl>{rows}</dl></section></div></section>'
    )


def _verdict(audit: Mapping[str, Any]) -> str:
    if audit["passed"]:
        return "The attack shows less than was claimed, as it must."
    findings = "; ".join(audit.get("findings", []))
    return f"The audit FAILED: {findings}." if findings else "The audit FAILED; its file does not say why."


def _setting(job: JobStatement) -> str:
    return f"clipping norm {job.clip_norm:,}, Gaussian noise of sigma 2^{job.log2_sigma}"


def _unlike(s: Statement, audit: Mapping[str, Any]) -> list[JobStatement]:
    """The jobs whose releases are not of the kind that was audited."""
    audited = (audit["clip_norm"], audit["log2_sigma"])
    return [job for job in _released(s) if (job.clip_norm, job.log2_sigma) != audited]


def _compared(s: Statement, audit: Mapping[str, Any]) -> str:
    """Whether what was audited is what boards did here."""
    released = _released(s)
    if not released:
        return "No job has releases here to compare it with."
    unlike = _unlike(s, audit)
    if unlike:
        others = _each([f"{job.name} ({_setting(job)})" for job in unlike])
        return f"That is NOT what ran here: {others}. Audit that job's file: picofed audit JOB --json."
    most = max(board.releases for board in s.boards)
    same = (
        f"The jobs here ran at this clipping norm and noise; the most that a board released is {tx.whole(most)} times"
    )
    return f"{same}{', more than was audited' if most > audit['releases'] else ''}."


def _largest(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What leaving a record out changed, where that was measured."""
    largest = audit.get("largest_contribution")
    if largest is None:
        return []
    models = ", ".join("-".join(map(str, model["widths"])) for model in audit.get("models", []))
    return [("One record changes, at most", f"{largest:.4f} of the clipping norm, through {models or 'whole models'}")]


def _repeat(audit: Mapping[str, Any]) -> str:
    words = [f"--canaries {audit['canaries']}"]
    hidden = audit.get("hidden", [])
    if audit.get("shift") or (len(audit.get("models", [])) == 1 and not hidden):  # a job's own rounding and model
        words.insert(0, "JOB")
    else:
        names = ("clip_norm", "log2_sigma", "releases", "delta")
        words += [f"--{name.replace('_', '-')} {audit[name]}" for name in names]
    words += [f"--hidden {width}" for width in hidden]
    words += [f"--{name} {audit[name]}" for name in ("board", "seed") if audit.get(name) is not None]
    return " ".join(("picofed audit", *words))


def _through(audit: Mapping[str, Any]) -> str:
    kind = audit.get("board")
    return "the compiled core" if kind is None else f"the firmware on emulated boards ({kind})"


def _footer() -> str:
    day = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    return (
        f"<footer><p>Written by picofed {safe(__version__)} on {day}. Every epsilon is rounded up, every shown "
        "bound down. This page holds no script and fetches nothing.</p></footer>"
    )
