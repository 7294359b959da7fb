"""The words of the report: the headline row, and who saw what."""

from __future__ import annotations

import math
import re

from picofed.report import text as tx
from picofed.report.summary import Summary
from picofed.report.text import safe

_PERSON = re.compile(r"\b(person|people|patient|wearer|user|subject|participant|client|board)s?\b", re.IGNORECASE)


def lead(s: Summary) -> str:
    """One sentence under the title (HTML)."""
    learned = f"learned one model ({safe(s.job.model)}) in {tx.count(s.rounds, 'round')}"
    if s.boards == 1:
        records = tx.count(s.records, "record")
        return f"<strong>One board</strong> with {records} {learned}. The records stayed on it."
    return (
        f"<strong>{tx.count(s.boards, 'board')}</strong> with {tx.count(s.records, 'record')} between them "
        f"{learned}. "
        "The records stayed where they were made."
    )


def headline(s: Summary) -> str:
    """The four numbers that matter, each in plain words (HTML)."""
    tiles = [_accuracy(s), _epsilon(s), _bytes(s), _memory(s)]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(key: str, number: str, say: str, alarm: bool = False) -> str:
    """number and say are text, escaped here."""
    cls = "card tile alarm" if alarm else "card tile"
    size = f"<small>{safe(number)}</small>" if len(number) > 11 else safe(number)
    return f'<div class="{cls}"><p class="n">{size}</p><p class="k">{safe(key)}</p>' + (
        f'<p class="s">{safe(say)}</p></div>'
    )


def _accuracy(s: Summary) -> str:
    key = "Accuracy on people never seen" if s.held_out else "Accuracy"
    if s.accuracy is None:
        return _tile(key, tx.UNKNOWN, "No evaluation data was given.")
    say = []
    if s.accuracy_nonprivate is not None:
        lost = s.accuracy_nonprivate - s.accuracy
        effect = f"privacy costs {tx.points(lost)}" if lost >= 0 else f"privacy happens to gain {tx.points(lost)}"
        say.append(f"{tx.percent(s.accuracy_nonprivate, 0)} without privacy: {effect}.")
    if s.accuracy_float is not None:
        say.append(f"{tx.percent(s.accuracy_float, 0)} with float arithmetic.")
    if s.accuracy_majority is not None:
        say.append(f"{tx.percent(s.accuracy_majority, 0)} by always naming the commonest class.")
    worthless = s.accuracy_majority is not None and s.accuracy <= s.accuracy_majority
    if worthless:
        say.append("The model has learned nothing of use.")
    return _tile(key, tx.percent(s.accuracy, 0), " ".join(say), worthless)


def _epsilon(s: Summary) -> str:
    p = s.privacy
    if math.isinf(s.epsilon):
        return _tile("Privacy spent", "no bound", "This run gives no privacy guarantee: epsilon is infinite.", True)
    say = (
        f"At most epsilon {tx.epsilon(s.epsilon)} at delta {tx.delta(s.delta)} per board; "
        f"unit: {p.unit}; {_adjacency(p.adjacency)}."
    )
    over = s.epsilon_target is not None and s.epsilon > s.epsilon_target
    if s.epsilon_target is not None:
        say += f" Target: {tx.short_number(s.epsilon_target)}{', exceeded' if over else ''}."
    if s.epsilon_distributed is not None:
        say += f" In sums, if {s.honest} boards of each and the helper are honest: {tx.epsilon(s.epsilon_distributed)}."
    return _tile("Privacy spent", f"\u03b5 \u2264 {tx.epsilon(s.epsilon)}", say, over)


def _adjacency(text: str) -> str:
    return text if "adjacen" in text.lower() else f"{text} adjacency"


def _bytes(s: Summary) -> str:
    gain = tx.saving(s.bytes_per_update, s.bytes_per_update_float32)
    if s.bytes_per_update is None:
        return _tile("Sent per update", tx.UNKNOWN, "No update has been sent yet.")
    say = "By a board, as encoded on the wire."
    if gain:
        say = f"By a board: {gain} than the {tx.size(s.bytes_per_update_float32)} of float32 FedAvg."
    return _tile("Sent per update", tx.size(s.bytes_per_update), say)


def _memory(s: Summary) -> str:
    if s.ram_bytes is None:
        return _tile("Memory on a board", tx.UNKNOWN, "No board has reported its memory.")
    which = f"the largest of {tx.count(s.boards, 'board')}" if s.boards > 1 else "on the board"
    what = (
        f"Of RAM for learning, {which}." if s.metered else "Of RAM for the trainer; the firmware's own was not asked."
    )
    return _tile("Memory on a board", tx.size(s.ram_bytes), what)


def privacy_section(s: Summary) -> str:
    """What left the boards, what did not, and who has to be trusted for that (HTML)."""
    columns = (
        ("What left the boards", _left(s)),
        ("What did not", _stayed(s)),
        ("Whom you must trust for this number", _trust(s)),
    )
    cards = "".join(
        f'<section class="card"><h3>{title}</h3><ul>{"".join(f"<li>{safe(one)}</li>" for one in items)}</ul></section>'
        for title, items in columns
    )
    return f'<section><h2>What happened to the data</h2><div class="three">{cards}</div></section>'


def _left(s: Summary) -> list[str]:
    releases = sum(b.releases for b in s.board_list)
    up, down = sum(b.bytes_up for b in s.board_list), sum(b.bytes_down for b in s.board_list)
    many = f"{tx.count(releases, 'update')}" if s.board_list else "Updates"
    items = [
        f"{many}, each a list of {tx.count(s.job.trainable, 'whole number')}: a sum over all records of one board."
    ]
    if math.isinf(s.epsilon):
        items.append("At least one board's updates carry no bound on what they tell about a record.")
    else:
        items.append(
            f"Before the sum each record's part was cut to norm {s.job.clip_norm:,}, and random noise "
            f"of standard deviation {tx.power_of_two(s.job.log2_sigma)} was there first: "
            "a sum without noise never existed, not even in the board's memory."
        )
    items.append("Each board's name and id, how many records it holds, and what its ledger says it has spent.")
    if s.board_list:
        items.append(
            f"In all {tx.size(up)} from the boards, {tx.size(down)} to them."
            if s.metered
            else f"In all {tx.size(up)} of updates."
        )
    return items


def _stayed(s: Summary) -> list[str]:
    every = "All" if s.records != 1 else "The"
    items = [
        f"{every} {tx.count(s.records, 'record')}: the recordings, their labels, and everything computed "
        "from one record alone.",
        "Any update that would have gone over a board's budget: the board refuses, whatever it is asked.",
    ]
    if s.held_out:
        who = tx.count(len(s.held_out), "person", "people")
        items.append(
            f"Not part of this: the recordings of {who} held out, which the operator holds to measure accuracy."
        )
    return items


def _trust(s: Summary) -> list[str]:
    p = s.privacy
    items = [p.trusted]
    bound = tx.guess_bound(s.board_list)
    if bound is not None:
        chance = min(math.ceil(100 * bound), 100)
        items.append(
            "In plain words: take someone who saw everything that a board sent, knows all its other records, "
            f"and asks whether one record ({p.unit}) was used. They would be right at most "
            f"{chance}{tx.THIN}% of the time; a coin is right 50{tx.THIN}%."
        )
    if not _PERSON.search(p.unit):
        items.append(f"The promise is for {p.unit} at a time. Many records of one person together are protected less.")
    items.append(f"Assumed: {_adjacency(p.adjacency)}; {p.mechanism}. Every epsilon on this page is rounded up.")
    return items
