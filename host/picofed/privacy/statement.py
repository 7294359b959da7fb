"""What a data-protection officer asks, answered from a site's store: the facts, without words around them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picofed.errors import PicofedError
from picofed.learn.job import Job
from picofed.learn.updates import Update
from picofed.masking import COHORT_MIN
from picofed.report.facts import epsilon_of_ledger, samples_a_release
from picofed.report.sums import Conditional
from picofed.store import Store

_AUDIT: Mapping[str, type | tuple[type, ...]] = {
    "passed": bool,
    "epsilon_claimed": (int, float),
    "epsilon_lower_bound": (int, float),
    "delta": (int, float),
    "mu_claimed": (int, float),
    "mu_standard_error": (int, float),
    "canaries": int,
    "releases": int,
    "clip_norm": int,
    "log2_sigma": int,
}
_OPTIONAL: Mapping[str, type | tuple[type, ...]] = {
    "findings": list,
    "models": list,
    "hidden": list,
    "largest_contribution": (int, float),
    "shift": int,
    "seed": int,
    "board": str,
}


@dataclass(frozen=True)
class Point:
    """What a board had spent once a release of it had arrived. time: seconds since 1970, by the host's clock."""

    time: float
    epsilon: float


@dataclass(frozen=True)
class BoardStatement:
    """One board. mu: of its ledger now; releases: those that this site has; sums: the conditional epsilon of masked
    sums, None where there was nothing masked."""

    name: str
    ident: str
    releases: int
    records: int
    spent: float
    allowed: float
    mu: float
    history: tuple[Point, ...]
    sums: float | None = None


@dataclass(frozen=True)
class JobStatement:
    """One job, as far as privacy goes."""

    name: str
    unit: str
    clip_norm: int
    log2_sigma: int
    trained: int
    releases: int
    window: int


@dataclass(frozen=True)
class Statement:
    """Everything that the page says. honest: boards of each masked sum that are taken to be honest."""

    delta: float
    boards: tuple[BoardStatement, ...]
    jobs: tuple[JobStatement, ...]
    bytes_received: int
    audit: Mapping[str, Any] | None
    honest: int = COHORT_MIN


def load_audit(path: Path) -> dict[str, Any]:
    """The JSON of `picofed audit --json`. Raises PicofedError."""
    try:
        item = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PicofedError(f"cannot read the audit {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PicofedError(f"{path} is not the JSON of picofed audit: {error}") from error
    if not isinstance(item, dict):
        raise PicofedError(f"{path} is not the JSON of picofed audit")
    for key, kind in _AUDIT.items():
        value = item.get(key)
        if not isinstance(value, kind) or (kind is not bool and (isinstance(value, bool) or not _finite(value))):
            raise PicofedError(f"{path} is not the JSON of picofed audit: {key} is missing or wrong")
    estimate = item.get("mu_estimate")
    if estimate is not None and (isinstance(estimate, bool) or not isinstance(estimate, int | float)):
        raise PicofedError(f"{path} is not the JSON of picofed audit: mu_estimate is wrong")
    for key, kind in _OPTIONAL.items():
        value = item.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise PicofedError(f"{path} is not the JSON of picofed audit: {key} is wrong")
    if not all(isinstance(finding, str) for finding in item.get("findings") or []):
        raise PicofedError(f"{path} is not the JSON of picofed audit: findings is wrong")
    for model in item.get("models") or []:
        widths = model.get("widths") if isinstance(model, dict) else None
        if not isinstance(widths, list) or not all(type(width) is int for width in widths):
            raise PicofedError(f"{path} is not the JSON of picofed audit: models is wrong")
    if not all(type(width) is int for width in item.get("hidden") or []):
        raise PicofedError(f"{path} is not the JSON of picofed audit: hidden is wrong")
    return {key: value for key, value in item.items() if value is not None or key not in _OPTIONAL}


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value) and value >= 0
    except OverflowError:
        return False


def state(
    store: Store, delta: float = 1e-5, audit: Mapping[str, Any] | None = None, honest: int = COHORT_MIN
) -> Statement:
    """The facts of a site. Raises PicofedError where no board was ever seen."""
    rows = store.boards()
    if not rows:
        raise PicofedError("this site has not seen a board yet: there is nothing to report")
    samples = samples_a_release(store)
    conditional = Conditional(store, delta, honest)
    points: dict[bytes, list[Point]] = {row.id: [] for row in rows}
    records: dict[bytes, int] = {}
    count: dict[bytes, int] = {}
    size = 0
    for board, seq, received, of, data in store.releases():
        update = Update.parse(data, None)
        points.setdefault(board, []).append(Point(received, epsilon_of_ledger(update.cumulative, delta, samples * seq)))
        records[board] = max(records.get(board, 0), update.records)
        count[of] = count.get(of, 0) + 1
        size += len(data)
    boards = tuple(
        BoardStatement(
            name=row.name,
            ident=row.id.hex(),
            releases=len(points[row.id]),
            records=records.get(row.id, 0),
            spent=epsilon_of_ledger(row.spent, delta, samples * row.seq),
            allowed=epsilon_of_ledger(row.budget, delta, samples * row.seq),
            mu=math.sqrt(row.spent / 2**24),
            history=tuple(points[row.id]),
            sums=conditional.epsilon(row),
        )
        for row in rows
    )
    jobs = []
    for ident, name, body in store.jobs():
        job = Job.parse(body)
        unit = f"{job.window / 50:g}-second window" if job.features == "imu45" else job.unit
        trained, released = len(job.model.trainable), count.get(ident, 0)
        jobs.append(JobStatement(name, unit, job.clip, job.log2_sigma, trained, released, job.window))
    return Statement(delta, boards, tuple(jobs), size, audit, honest)
