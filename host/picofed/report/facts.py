"""From a job's store to the numbers of summary.json: what the boards sent, what it cost, who contributed when."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from picofed import __version__, accounting, native
from picofed.errors import PicofedError
from picofed.learn.evaluate import Evaluation
from picofed.learn.job import MODES, Job, Plan
from picofed.learn.updates import Update
from picofed.learn.versions import deployed
from picofed.report.summary import FORMAT
from picofed.store import SET_ASIDE, BoardRow, Store, StoredUpdate

Evaluate = Callable[[Any], Evaluation]


@dataclass(frozen=True)
class Traffic:
    """What a meter counted for one board (link.meter.Meter), bytes."""

    up: int
    down: int
    update_bytes: int
    heap_used: int


def describe(job: Job) -> str:
    """The model in a few letters, such as "softmax 45-7"."""
    kind = job.model.loss if len(job.model.widths) == 2 else "MLP"
    return f"{kind} {'-'.join(str(width) for width in job.model.widths)}"


def summarise(
    store: Store,
    job: Job,
    plan: Plan,
    *,
    command: str,
    evaluate: Evaluate | None = None,
    labels: Sequence[str] = (),
    held_out: Sequence[str] = (),
    traffic: Mapping[bytes, Traffic] | None = None,
    states: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """A dict that report.validate accepts. Raises PicofedError where the store holds nothing of this job.

    traffic: by board id; states: why boards left, by name, beside what the store's diary says. Without `evaluate`
    there are no accuracies.
    """
    rows = {stored.row: stored for stored in store.updates(job.id, None)}
    by_seq = {(stored.board, stored.seq): _Sent(stored) for stored in rows.values()}
    samples = samples_a_release(store)
    latest = store.latest(job.id)
    if latest is None:
        raise PicofedError("the store holds no version of this job: run it first")
    boards = [row for row in store.boards() if any(board == row.id for board, _ in by_seq)]
    first = store.version(job.id, 0)
    began = first.created if first is not None and first.created is not None else 0.0
    versions, contributions = _versions(store, job, plan, samples, latest.number, by_seq, evaluate, began)
    refused = _refused(rows.values(), began)
    parted = _parted(store)
    summary: dict[str, Any] = {
        "format": FORMAT,
        "picofed": __version__,
        "command": command,
        "seed": plan.seed,
        "job": {
            "name": job.name,
            "model": describe(job),
            "parameters": job.model.parameters,
            "trainable": len(job.model.trainable),
            "clip_norm": job.clip,
            "log2_sigma": job.log2_sigma,
            "aggregator": plan.aggregator,
            "optimiser": _optimiser(plan),
        },
        "boards": len(boards),
        "rounds": latest.number,
        "delta": plan.delta,
        "epsilon_target": plan.epsilon,
        "versions": versions,
        "held_out": list(held_out),
        "notes": list(notes),
        "bytes_per_update_float32": 4 * job.model.parameters,
        "privacy": _privacy(job),
    }
    entries = [
        _board(row, plan, samples, [sent for (board, _), sent in by_seq.items() if board == row.id], traffic or {})
        | {
            "state": (states or {}).get(row.name) or parted.get(row.id, "took part to the end"),
            "contributions": contributions.get(row.id, []),
            "refused": refused.get(row.id, []),
        }
        for row in boards
    ]
    summary["board_list"] = entries
    summary["records"] = sum(entry["records"] for entry in entries)
    summary["epsilon"] = max((entry["epsilon_spent"] for entry in entries), default=0.0)
    _measured(summary, job, len(by_seq), traffic or {}, [sent.length for sent in by_seq.values()])
    if evaluate is not None:
        final = evaluate(deployed(latest))
        summary["accuracy"] = final.accuracy
        summary["confusion"] = {"labels": list(labels), "counts": final.confusion.tolist()}
    return summary


def _parted(store: Store) -> dict[bytes, str]:
    """Why boards are not here, as the diary has it."""
    found: dict[bytes, str] = {}
    for event in store.events():
        if event.board is not None and event.kind == "left":
            found[event.board] = event.text
        elif event.board is not None and event.kind == "joined":
            found.pop(event.board, None)
    return found


class _Sent:
    """An update as far as a report needs it."""

    def __init__(self, stored: StoredUpdate) -> None:
        update = Update.parse(stored.data, None)
        self.row = stored.row
        self.version = stored.version
        self.records = update.records
        self.cumulative = update.cumulative
        self.length = len(stored.data)
        self.received = stored.received or 0.0


def _since(began: float, received: float) -> float:
    """Seconds, to the millisecond; a clock that was set back makes none negative."""
    return round(max(0.0, received - began), 3)


def _refused(updates: Iterable[StoredUpdate], began: float) -> dict[bytes, list[dict[str, Any]]]:
    refused: dict[bytes, list[dict[str, Any]]] = {}
    for one in updates:
        if one.state == SET_ASIDE:
            entry = {"version": one.version, "seconds": _since(began, one.received or 0.0), "reason": one.reason}
            refused.setdefault(one.board, []).append(entry)
    return refused


def _versions(
    store: Store,
    job: Job,
    plan: Plan,
    samples: int,
    newest: int,
    by_seq: Mapping[tuple[bytes, int], _Sent],
    evaluate: Evaluate | None,
    began: float,
) -> tuple[list[dict[str, Any]], dict[bytes, list[dict[str, Any]]]]:
    versions: list[dict[str, Any]] = []
    contributions: dict[bytes, list[dict[str, Any]]] = {}
    spent = seq = 0
    for number in range(1, newest + 1):
        members = [(board, by_seq[board, seq], weight) for board, seq, weight in store.members(job.id, number)]
        newest_row = max((sent.row for _, sent, _ in members), default=0)
        # Also what was set aside was released.
        before = [(key[1], sent.cumulative) for key, sent in by_seq.items() if sent.row <= newest_row]
        seq = max([seq, *(number for number, _ in before)])
        spent = max([spent, *(cumulative for _, cumulative in before)])
        for board, sent, weight in members:
            entry = {
                "version": number,
                "staleness": number - 1 - sent.version,
                "seconds": _since(began, sent.received),
                "weight": weight,
            }
            contributions.setdefault(board, []).append(entry)
        made = store.version(job.id, number)
        if evaluate is not None and made is not None:
            versions.append(
                {
                    "version": number,
                    "accuracy": evaluate(deployed(made)).accuracy,
                    "updates": len(members),
                    "epsilon": epsilon_of_ledger(spent, plan.delta, seq * samples),
                }
            )
    return versions, contributions


def _board(
    row: BoardRow, plan: Plan, samples: int, updates: Sequence[_Sent], traffic: Mapping[bytes, Traffic]
) -> dict[str, Any]:
    counted = traffic.get(row.id)
    spent = epsilon_of_ledger(row.spent, plan.delta, samples * row.seq)
    allowed = epsilon_of_ledger(row.budget, plan.delta, samples * row.seq)
    return {
        "name": row.name,
        "board": row.id.hex(),
        "records": max((sent.records for sent in updates), default=0),
        "releases": len(updates),
        "spent": row.spent,
        "budget": row.budget,
        "epsilon_spent": spent,
        "epsilon_left": max(0.0, allowed - spent) if spent < math.inf else 0.0,
        "bytes_up": counted.up if counted else sum(sent.length for sent in updates),
        "bytes_down": counted.down if counted else 0,
    }


def samples_of(job: Job, releases: int = 1) -> int:
    """Noise samples in so many releases of a job."""
    return len(job.model.trainable) * job.steps * releases


def samples_a_release(store: Store) -> int:
    """Noise samples in the largest release of any job of a store: times a ledger's seq, at least what was released."""
    return max((samples_of(Job.parse(body)) for _, _, body in store.jobs()), default=0)


def epsilon_of_ledger(units: int, delta: float, samples: int) -> float:
    """Epsilon of a ledger's cumulative charge, the sampler's distance from its ideal included; math.inf where there
    is no bound: the ledger is saturated, or there were more samples than delta allows. samples: at least as many as
    were released. Raises AccountingError for a delta that makes no sense."""
    accounting.epsilon(0.0, delta)
    if units > accounting.UNITS_MAX:
        return math.inf
    try:
        return accounting.epsilon(accounting.mu_squared_of(units), delta, samples)
    except accounting.AccountingError:
        return math.inf


def _measured(
    summary: dict[str, Any], job: Job, updates: int, traffic: Mapping[bytes, Traffic], lengths: Sequence[int]
) -> None:
    """Bytes on the wire and on the boards: as counted where the link was metered, else the update objects' own."""
    trainer = native.Trainer(job.model.descriptor, MODES.index(job.mode)).size
    if not traffic or not updates:
        summary["bytes_per_update"] = mean(lengths) if lengths else None
        summary["ram_bytes"] = trainer
        summary["ram"] = {"trainer": trainer}
        return
    summary["bytes_per_update"] = sum(each.update_bytes for each in traffic.values()) / updates
    summary["bytes_down_per_round"] = sum(each.down for each in traffic.values()) / updates
    used = max(each.heap_used for each in traffic.values())
    summary["ram_bytes"] = used
    summary["ram"] = {
        "training: weights, accumulators, scratch": trainer,
        "firmware, link and record buffers": max(0, used - trainer),
    }


def _optimiser(plan: Plan) -> str:
    if plan.optimiser == "sgd":
        kind = "Nesterov momentum" if plan.nesterov else "momentum"
        return f"SGD, {kind} {plan.momentum:g}, learning rate {plan.learning_rate:g}"
    return f"{plan.optimiser}, learning rate {plan.learning_rate:g}"


def _privacy(job: Job) -> dict[str, str]:
    return {
        "unit": f"one {job.window / 50:g}-second window" if job.features == "imu45" else f"one {job.unit}",
        "adjacency": "zero-out adjacency: a record's contribution replaced by zero; the number of records is public",
        "mechanism": (
            f"each record's gradient clipped to norm {job.clip}, discrete Gaussian noise of sigma 2^{job.log2_sigma} "
            "added before the first record, every release charged to the board's own ledger (Gaussian DP)"
        ),
        "trusted": "the board's owner, for its firmware and keys; nobody else: not the host, not other boards",
    }
