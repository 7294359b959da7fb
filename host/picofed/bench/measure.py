"""From runs to numbers: time to the accuracy that FedAvg reaches, ratios against it, means with Student intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from picofed.bench import fleets
from picofed.bench.cache import Cache
from picofed.bench.driver import best
from picofed.bench.settings import BASE, Run, Scale, Setting, Variant

NEAR: Final = 0.02  # of accuracy: the second, softer target
# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom.
STUDENT: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
RATIOS: Final = (
    *("time_to_target_ratio", "mean_time_to_target_ratio", "time_to_near_ratio"),
    *("memory_ratio", "payload_ratio", "accuracy"),
)
Result = Mapping[str, Any]


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half the width of its 95 % confidence interval; None: one value has none."""
    middle = statistics.fmean(values)
    if len(values) < 2:
        return middle, None
    freedom = min(len(values) - 1, len(STUDENT))  # fewer give a wider interval
    return middle, STUDENT[freedom - 1] * statistics.stdev(values) / math.sqrt(len(values))


def reach(result: Result, target: float) -> int | None:
    """The first point of a run's curve with this accuracy; None: there is none."""
    # Less far than one record: the mean of five equal accuracies may be rounded up.
    return next((n for n, accuracy in enumerate(result["curve"]["accuracy"]) if accuracy >= target - 1e-9), None)


def ran(scale: Scale, setting: Setting, variant: Variant, cache: Cache) -> dict[int, Result]:
    """What has run, by seed, with the hyper-parameters that the search chose."""
    hyper = best(scale, setting, variant, cache)
    if hyper is None:
        return {}
    found = {seed: cache.get(Run(scale, setting, variant, hyper, seed)) for seed in scale.seeds}
    return {seed: result for seed, result in found.items() if result is not None}


def results(scale: Scale, setting: Setting, variant: Variant, cache: Cache) -> dict[int, Result]:
    """What has run, by seed, with the bytes of memory that it takes on a board."""
    found = ran(scale, setting, variant, cache)
    # Of this core, whatever ran when the results were made: nothing of a run depends on it.
    memory = fleets.memory(scale, variant, setting.private) if found else 0
    return {seed: {**result, "memory": memory} for seed, result in found.items()}


def compare(found: Mapping[int, Result], base: Mapping[int, Result]) -> dict[str, Any] | None:
    """One rule against FedAvg with the same seeds. Ratios are null where a seed does not reach the target; None: no
    seed has run with both."""
    seeds = sorted(found.keys() & base.keys())
    if not seeds:
        return None
    pairs = [(found[seed], base[seed]) for seed in seeds]
    accuracy, accuracy_half = interval([mine["accuracy"] for mine, _ in pairs])
    item: dict[str, Any] = {
        "seeds": len(seeds),
        "accuracy": accuracy,
        "accuracy_interval": accuracy_half,
        "memory": pairs[0][0]["memory"],
        "memory_ratio": pairs[0][0]["memory"] / pairs[0][1]["memory"],
        "update_bytes": statistics.fmean(mine["update_bytes"] for mine, _ in pairs),
        "payload_ratio": statistics.fmean(mine["update_bytes"] / other["update_bytes"] for mine, other in pairs),
        "epsilon": max((mine["epsilon"] for mine, _ in pairs if mine["epsilon"] is not None), default=None),
        "trainable": pairs[0][0]["trainable"],
    }
    return item | _target(pairs, 0.0, "target") | _target(pairs, NEAR, "near") | _middle(pairs)


def _target(pairs: Sequence[tuple[Result, Result]], below: float, name: str) -> dict[str, Any]:
    """Until the accuracy that FedAvg ends with, less `below`, in the same seed's run."""
    times, ratios, joules, traffic = [], [], [], []
    for mine, other in pairs:
        goal = other["accuracy"] - below
        at, reference = reach(mine, goal), reach(other, goal)
        if at is not None and reference is not None:
            curve = mine["curve"]
            times.append(curve["seconds"][at])
            ratios.append(curve["seconds"][at] / max(other["curve"]["seconds"][reference], 1e-9))
            joules.append(curve["joules"][at])
            traffic.append((curve["bytes_up"][at], curve["bytes_down"][at]))
    item: dict[str, Any] = {f"{name}_reached": len(times)}
    whole = len(times) == len(pairs)
    seconds, half = interval(times) if whole else (None, None)
    return item | {
        f"time_to_{name}": seconds,
        f"time_to_{name}_interval": half,
        f"time_to_{name}_ratio": statistics.fmean(ratios) if whole else None,
        f"joules_to_{name}": statistics.fmean(joules) if whole else None,
        f"bytes_up_to_{name}": statistics.fmean(up for up, _ in traffic) if whole else None,
        f"bytes_down_to_{name}": statistics.fmean(down for _, down in traffic) if whole else None,
    }


def _middle(pairs: Sequence[tuple[Result, Result]]) -> dict[str, Any]:
    """Time until the mean of all seeds' curves has the mean of what FedAvg ends with, against FedAvg's own mean: one
    seed's luck with the records that are held out is no longer in it. null: it is not reached."""
    goal = statistics.fmean(other["accuracy"] for _, other in pairs)
    mine, base = ([pair[which] for pair in pairs] for which in (0, 1))
    at, reference = _mean_reach(mine, goal), _mean_reach(base, goal)
    ratio = None if at is None or reference is None else at / max(reference, 1e-9)
    return {"mean_time_to_target": at, "mean_time_to_target_ratio": ratio}


def _mean_reach(runs: Sequence[Result], goal: float) -> float | None:
    """Seconds until the mean of the curves is at `goal`; between its points a curve stays where it is."""
    points = [(s, run, a) for run, one in enumerate(runs) for s, a in zip(*_curve(one), strict=True)]
    now = [one["curve"]["accuracy"][0] for one in runs]
    for seconds, run, accuracy in sorted(points):
        now[run] = accuracy
        if statistics.fmean(now) >= goal - 1e-9:
            return float(seconds)
    return None


def _curve(run: Result) -> tuple[Sequence[float], Sequence[float]]:
    return run["curve"]["seconds"], run["curve"]["accuracy"]


def summary(scale: Scale, chosen: Sequence[Setting], variants: Sequence[Variant], cache: Cache) -> list[dict[str, Any]]:
    """A row for each setting of which something has run."""
    rows = []
    for setting in chosen:
        by_name = {variant.name: results(scale, setting, variant, cache) for variant in variants}
        base = by_name.get(BASE, {})
        compared = {name: item for name, found in by_name.items() if (item := compare(found, base)) is not None}
        if not compared:
            continue
        row: dict[str, Any] = {
            "setting": setting.key,
            "clients": setting.clients,
            "stragglers": setting.stragglers,
            "split": setting.split,
            "epsilon": setting.epsilon if setting.private else None,
            "target": compared[BASE]["accuracy"],
            "aggregators": compared,
        }
        for name in RATIOS:
            row[name] = {rule: item[name] for rule, item in compared.items()}
        rows.append(row)
    return rows


TARGETS: Final = (("time_to_target_ratio", 0.15), ("memory_ratio", 0.15), ("payload_ratio", 0.05))


def verdicts(row: Mapping[str, Any]) -> dict[str, bool]:
    """Whether FTTE-style meets each target in a setting."""
    found = {}
    for name, most in TARGETS:
        value = row[name].get("ftte")
        found[name] = value is not None and value <= most
    mine, other = row["accuracy"].get("ftte"), row["accuracy"].get("fedbuff")
    found["accuracy"] = mine is not None and other is not None and mine >= other
    return found
