"""What each part of the FTTE-style rule is worth: with it against without it, on the same clients and seeds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from picofed.bench import document
from picofed.bench.cache import Cache
from picofed.bench.driver import Progress, run
from picofed.bench.measure import Result, interval, ran
from picofed.bench.settings import VARIANTS, Scale, Setting, Variant

WHOLE: Final = "ftte"
_WITHOUT: Final = {
    "no-age": "age term",
    "no-variance": "variance term",
    "no-moments": "moments",
    "no-turns": "turns",
    "no-subset": "subset",
}
_OF_PUBLIC: Final = ("no-turns",)  # with noise one turn trains the subset: there is nothing to leave out


def variants(private: bool) -> list[Variant]:
    """The whole rule, and the rule without each of its parts."""
    names = {WHOLE, *_WITHOUT} - set(_OF_PUBLIC if private else ())
    return [variant for variant in VARIANTS if variant.name in names]


def perform(
    scale: Scale,
    chosen: Sequence[Setting],
    cache: Cache,
    *,
    workers: int,
    minutes: float | None,
    progress: Progress,
) -> bool:
    """Run what is not there yet, as `driver.run` does; small fleets first, as they take the least time for a line of
    the table. False: something is left. Raises PicofedError."""
    whole = True
    for clients, private in itertools.product(sorted({one.clients for one in chosen}), (True, False)):
        part = [one for one in chosen if (one.clients, one.private) == (clients, private)]
        if part:
            whole &= run(scale, part, variants(private), cache, workers=workers, minutes=minutes, progress=progress)
    return whole


@dataclass(frozen=True)
class Worth:
    """Of one part in one setting. seeds: of both; points: of final accuracy, in %, that the whole rule has more than
    the rule without the part, mean of the seeds; half: of a 95 % interval (Student), None: one seed has none."""

    seeds: int
    points: float
    half: float | None


def by_rule(scale: Scale, setting: Setting, cache: Cache) -> dict[str, dict[int, Result]]:
    """What has run of the whole rule and of those without a part, by name and seed."""
    return {one.name: ran(scale, setting, one, cache) for one in variants(setting.private)}


def worths(by_name: Mapping[str, Mapping[int, Result]]) -> dict[str, Worth]:
    """Of every part of which something has run. by_name: as `by_rule` gives it."""
    found = {}
    for name in _WITHOUT:
        seeds = sorted(by_name[WHOLE].keys() & by_name.get(name, {}).keys())
        if seeds:
            gaps = [100 * (by_name[WHOLE][seed]["accuracy"] - by_name[name][seed]["accuracy"]) for seed in seeds]
            found[name] = Worth(len(seeds), *interval(gaps))
    return found


def summary(scale: Scale, chosen: Sequence[Setting], cache: Cache) -> list[dict[str, Any]]:
    """A row for each setting of which something has run: setting, accuracy of the whole rule in %, and by part seeds,
    points and half as in Worth."""
    rows = []
    for setting in chosen:
        by_name = by_rule(scale, setting, cache)
        found = worths(by_name)
        if found:
            accuracy, half = interval([100 * result["accuracy"] for result in by_name[WHOLE].values()])
            rows.append(
                {
                    "setting": setting.key,
                    "clients": setting.clients,
                    "epsilon": setting.epsilon if setting.private else None,
                    "seeds": min(one.seeds for one in found.values()),
                    "accuracy": accuracy,
                    "accuracy_interval": half,
                    "parts": {name: vars(one) for name, one in found.items()},
                }
            )
    return rows


def means(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each size of fleet and epsilon: the mean over its settings, and in how many of them the interval lies
    above or below zero."""

    def kind(row: Mapping[str, Any]) -> tuple[int, float | None]:
        return row["clients"], row["epsilon"]

    lines = _head(["clients", "epsilon", "settings"])
    for clients, epsilon in sorted(dict.fromkeys(map(kind, rows)), key=lambda one: -one[0]):
        group = [row for row in rows if kind(row) == (clients, epsilon)]

        def cell(name: str, group: Sequence[Mapping[str, Any]] = group) -> str:
            found = [row["parts"][name] for row in group if name in row["parts"]]
            sure = [one["points"] for one in found if one["half"] is not None and abs(one["points"]) > one["half"]]
            signs = f" ({sum(one > 0 for one in sure)} up, {sum(one < 0 for one in sure)} down)" if sure else ""
            return f"{sum(one['points'] for one in found) / len(found):+.1f}{signs}" if found else "-"

        lines.append(_row([str(clients), "inf" if epsilon is None else f"{epsilon:g}", str(len(group))], cell))
    return lines


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each setting."""
    lines = _head(["setting", "seeds, at least", "FTTE-style, %"])
    for row in rows:

        def cell(name: str, found: Mapping[str, Mapping[str, Any]] = row["parts"]) -> str:
            if name not in found:
                return "-"
            half = found[name]["half"]
            return f"{found[name]['points']:+.1f}" + ("" if half is None else f" ± {half:.1f}")

        lines.append(_row([row["setting"], str(row["seeds"]), f"{row['accuracy']:.1f}"], cell))
    return lines


def _head(first: Sequence[str]) -> list[str]:
    head = [*first, *(f"{words}, points" for words in _WITHOUT.values())]
    return [document.line(head), document.line(["---"] * len(head))]


def _row(first: Sequence[str], cell: Callable[[str], str]) -> str:
    return document.line([*first, *map(cell, _WITHOUT)])


def text(scale: Scale, chosen: Sequence[Setting], rows: Sequence[Mapping[str, Any]], cache: Cache) -> str:
    """Markdown."""
    parts = ["## By size of fleet and epsilon", "", *means(rows), ""]
    parts += ["## Setting by setting", "", *table(rows), ""]
    parts += ["## The search", "", *document.search(scale, chosen, variants(private=False), cache), ""]
    left = len(chosen) - len(rows)
    parts += ["## What has not run", "", f"{left} of {len(chosen)} settings of the grid."]
    return "\n".join(parts) + "\n"


def write(page: Path, scale: Scale, chosen: Sequence[Setting], rows: Sequence[Mapping[str, Any]], cache: Cache) -> None:
    """Rewrite everything behind the page's mark. Raises PicofedError."""
    document.rewrite(page, lambda: text(scale, chosen, rows, cache))
