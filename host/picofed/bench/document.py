"""The part of docs/benchmark-ftte.md that is numbers: tables of results, what is missed, the search, pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from picofed.bench import figure
from picofed.bench.cache import Cache
from picofed.bench.driver import trials
from picofed.bench.measure import NEAR, TARGETS, results, verdicts
from picofed.bench.settings import BASE, Hyper, Scale, Setting, Variant, searched
from picofed.errors import PicofedError

MARK: Final = "<!-- written by picofed bench ftte; do not edit below -->"
_COLUMNS: Final = {
    "fedavg": "FedAvg",
    "fedavg-deadline": "with a deadline",
    "fedasync": "FedAsync",
    "fedbuff": "FedBuff",
    "ftte": "FTTE-style",
}
_DRAWN: Final = {name: words for name, words in _COLUMNS.items() if name != "fedavg-deadline"}
_WORDS: Final = {
    "time_to_target_ratio": "less time",
    "memory_ratio": "less memory",
    "payload_ratio": "less payload",
    "accuracy": "accuracy not below FedBuff's",
}


def write(
    page: Path,
    scale: Scale,
    chosen: Sequence[Setting],
    variants: Sequence[Variant],
    rows: Sequence[Mapping[str, Any]],
    cache: Cache,
) -> None:
    """Rewrite everything behind MARK, and the pictures beside the page. Raises PicofedError."""

    def made() -> str:
        names = pictures(page, scale, chosen, variants, cache)
        return text(scale, chosen, variants, rows, names, cache)

    rewrite(page, made)


def rewrite(page: Path, made: Callable[[], str]) -> None:
    """Put what is `made` in the place of everything behind MARK. Raises PicofedError."""
    try:
        above = page.read_text("utf-8").partition(MARK)[0] if page.exists() else "# Benchmark\n\n"
        page.write_text(above + MARK + "\n\n" + made(), "utf-8")
    except OSError as error:
        raise PicofedError(f"cannot write {page}: {error.strerror or error}") from error


def text(
    scale: Scale,
    chosen: Sequence[Setting],
    variants: Sequence[Variant],
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    cache: Cache,
) -> str:
    """Markdown."""
    ran = {row["setting"] for row in rows}
    left = [setting.key for setting in chosen if setting.key not in ran]
    first = {setting.key for setting in scale.headline}
    near = [row for row in rows if row["setting"] in first]
    rest = [row for row in rows if row["setting"] not in first]
    parts = ["## Targets", "", *targets(near), ""]
    for row in near:
        parts += [f"## {row['setting']}", ""]
        if row["setting"] in names:
            parts += [f"![accuracy over virtual time]({names[row['setting']]})", ""]
        parts += [*table(row, variants), ""]
    if rest:
        parts += ["## The rest of the grid", "", *grid(rest), ""]
    parts += ["## The search", "", *search(scale, chosen, variants, cache), ""]
    parts += ["## What has not run", "", f"{len(left)} of {len(chosen)} settings of the grid, which is all of:", ""]
    parts += [f"- fleets of {', '.join(map(str, scale.clients))} clients, {', '.join(scale.splits)}"]
    parts += [f"- stragglers {', '.join(f'{part:.0%}' for part in scale.stragglers)}"]
    parts += [f"- epsilon {', '.join(f'{epsilon:g}' for epsilon in scale.epsilons)}"]
    parts += [f"- seeds {', '.join(map(str, scale.seeds))}; the tables say how many of them have run", ""]
    return "\n".join(parts).rstrip() + "\n"


def targets(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """FTTE-style against FedAvg in float32, setting by setting: what was asked for, and whether it is so."""
    head = ["setting", "seeds"]
    head += [f"{_WORDS[name]}, at least {1 - most:.0%}" for name, most in TARGETS]
    head += ["less time, the seeds' mean curve", f"less time to {NEAR:.0%} below", _WORDS["accuracy"]]
    lines = [line(head), line(["---"] * len(head))]
    for row in rows:
        mine, other = row["aggregators"].get("ftte"), row["aggregators"].get("fedbuff")
        if mine is None or other is None:
            continue
        met = verdicts(row)
        cells = [row["setting"], str(mine["seeds"])]
        for name, _ in TARGETS:
            value = mine[name]
            said = (
                f"{1 - value:.1%}"
                if value is not None
                else f"reached with {mine['target_reached']} of {mine['seeds']} seeds"
            )
            cells.append(f"{said}: {'met' if met[name] else '**missed**'}")
        cells.append(_less(mine["mean_time_to_target_ratio"]))
        near = mine["time_to_near_ratio"]
        cells.append(
            f"{1 - near:.1%}" if near is not None else f"reached with {mine['near_reached']} of {mine['seeds']} seeds"
        )
        gap = f"{100 * mine['accuracy']:.1f} against {100 * other['accuracy']:.1f} %"
        cells.append(f"{gap}: {'met' if met['accuracy'] else '**missed**'}")
        lines.append(line(cells))
    return lines


def grid(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a setting: what each rule ends with, and FTTE-style against FedAvg in float32."""
    head = ["setting", "seeds, at least", *(f"{words}, %" for words in _COLUMNS.values())]
    head += ["less memory", "less payload", "less time, the seeds' mean curve"]
    lines = [line(head), line(["---"] * len(head))]
    for row in rows:
        rules = row["aggregators"]
        cells = [row["setting"], str(min(rules[name]["seeds"] for name in _COLUMNS if name in rules))]
        cells += [f"{100 * rules[name]['accuracy']:.1f}" if name in rules else "-" for name in _COLUMNS]
        mine = rules.get("ftte")
        for name in ("memory_ratio", "payload_ratio", "mean_time_to_target_ratio"):
            cells.append("-" if mine is None else _less(mine[name]))
        if mine and mine["mean_time_to_target"] == 0:
            cells[-1] = "at the start"
        lines.append(line(cells))
    return lines


def table(row: Mapping[str, Any], variants: Sequence[Variant]) -> list[str]:
    """A setting's rules."""
    head = [
        "rule",
        "seeds",
        "final accuracy, %",
        "seconds to FedAvg's accuracy",
        f"seconds to {NEAR:.0%} below",
        "J until then",
        "MB up, down until then",
        "bytes an update",
        "bytes of memory",
        "epsilon",
    ]
    lines = [line(head), line(["---"] * len(head))]
    for variant in variants:
        item = row["aggregators"].get(variant.name)
        if item is None:
            continue
        near = item["joules_to_near"] is not None
        cells = [
            variant.words,
            str(item["seeds"]),
            _mean(100 * item["accuracy"], item["accuracy_interval"] and 100 * item["accuracy_interval"], 1),
            _time(item, "target"),
            _time(item, "near"),
            f"{item['joules_to_near']:.0f}" if near else "-",
            f"{item['bytes_up_to_near'] / 1e6:.1f}, {item['bytes_down_to_near'] / 1e6:.1f}" if near else "-",
            f"{item['update_bytes']:,.0f}",
            f"{item['memory']:,}",
            "none" if item["epsilon"] is None else f"{item['epsilon']:.3f}",
        ]
        lines.append(line(cells))
    return lines


def search(scale: Scale, chosen: Sequence[Setting], variants: Sequence[Variant], cache: Cache) -> list[str]:
    """Every trial: its hyper-parameters once, then the accuracy that each rule had with them."""
    fleets = list(dict.fromkeys(searched(setting, scale) for setting in chosen))
    number = range(scale.trials)
    hypers = [hyper for hyper, _ in trials(scale, fleets[0], variants[0], cache)]
    lines = [line(["trial", "hyper-parameters"]), line(["---"] * 2)]
    lines += [line([str(n), _hyper(hypers[n])]) for n in number]
    for fleet in fleets:
        found = {
            variant.name: [accuracy for _, accuracy in trials(scale, fleet, variant, cache)] for variant in variants
        }
        if all(accuracy is None for column in found.values() for accuracy in column):
            continue
        lines += ["", f"{fleet.key}, accuracy in % by trial, the best in bold:", ""]
        lines += [line(["rule", *map(str, number)]), line(["---"] * (1 + scale.trials))]
        for variant in variants:
            column = found[variant.name]
            top = max((accuracy for accuracy in column if accuracy is not None), default=None)
            lines.append(line([variant.words, *(_accuracy(accuracy, top) for accuracy in column)]))
    return lines


def pictures(
    page: Path, scale: Scale, chosen: Sequence[Setting], variants: Sequence[Variant], cache: Cache
) -> dict[str, str]:
    """A picture for each setting that the targets are about; file names by setting."""
    names = {}
    for setting in chosen:
        every = {v.name: results(scale, setting, v, cache) for v in variants if v.name in _DRAWN}
        found = {name: by_seed for name, by_seed in every.items() if by_seed}
        seeds = set.intersection(*(set(by_seed) for by_seed in found.values())) if found else set()
        if setting not in scale.headline or BASE not in found or not seeds:
            continue
        runs = {name: by_seed[min(seeds)] for name, by_seed in found.items()}
        curves = {
            name: list(zip(run["curve"]["seconds"], run["curve"]["accuracy"], strict=True))
            for name, run in runs.items()
        }
        title = f"{setting.key}, seed {min(seeds)}"
        name = f"{page.stem}-{re.sub('[^a-z0-9]+', '-', setting.key.lower())}.svg"
        drawn = figure.picture(title, curves, _DRAWN, float(runs[BASE]["accuracy"]))
        (page.parent / name).write_text(drawn, "utf-8")
        names[setting.key] = name
    return names


def line(cells: Sequence[str]) -> str:
    """Of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def _less(ratio: float | None) -> str:
    return "not reached" if ratio is None else f"{1 - ratio:.1%}"


def _mean(value: float, half: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if half is None else f"{value:.{digits}f} ± {half:.{digits}f}"


def _time(item: Mapping[str, Any], name: str) -> str:
    seconds = item[f"time_to_{name}"]
    if seconds is None:
        return f"{item[f'{name}_reached']} of {item['seeds']} seeds"
    return _mean(seconds, item[f"time_to_{name}_interval"], 0)


def _hyper(hyper: Hyper) -> str:
    return (
        f"{hyper.optimiser}, rate {hyper.rate:g}, momentum or beta1 {hyper.momentum:g}, average {hyper.average:g}, "
        f"capacity {hyper.capacity:g}, exponent {hyper.exponent:g}, patience {hyper.patience:g}, "
        f"deadline {hyper.deadline:g}, decay {hyper.decay:g}, halvings {hyper.finer}"
    )


def _accuracy(accuracy: float | None, top: float | None) -> str:
    if accuracy is None or math.isnan(accuracy):
        return "-"
    return f"**{100 * accuracy:.1f}**" if accuracy == top else f"{100 * accuracy:.1f}"
