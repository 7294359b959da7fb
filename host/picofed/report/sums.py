"""What a masked job's sums show of one board: the conditional epsilon beside the one of its ledger."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

from picofed import accounting
from picofed.distributed import DistributedError, epsilon_of_parts, epsilon_of_sums, share
from picofed.learn.job import Job, Plan
from picofed.learn.unmask import weight_spread
from picofed.report.facts import samples_a_release
from picofed.store import BoardRow, Store


def sums_text(store: Store, job: Job, plan: Plan) -> str:
    """The conditional number in a sentence, with its conditions."""
    found = epsilon_distributed(store, job, plan)
    number = "no bound" if math.isinf(found) else f"{math.ceil(found * 1000 - 1e-9) / 1000:.3f}"
    trusted = "the helper is and keeps what it knows from the host"
    if plan.masks == "pairwise":
        trusted = "the host keeps to the protocol (docs/proofs, lemma 10)"
    return (
        f"epsilon {number} at delta {plan.delta:g} against a host that saw sums only: if {plan.honest} boards in each "
        f"sum are honest, and {trusted}"
    )


def epsilon_distributed(store: Store, job: Job, plan: Plan) -> float:
    """The largest of any board, given plan.honest honest boards in each sum; math.inf where there is no bound.

    What a ledger holds beyond this job's updates that the store knows counts in full.
    """
    charge = accounting.charge(job.clip, job.log2_sigma, job.steps)
    releases: dict[bytes, int] = {}
    for update in store.updates(job.id, None):
        releases[update.board] = releases.get(update.board, 0) + 1
    largest = 0.0
    for board in store.boards():
        masked = min(board.spent, releases.get(board.id, 0) * charge)
        samples = samples_a_release(store) * board.seq * plan.honest
        try:
            found = epsilon_of_sums(
                masked,
                board.spent - masked,
                plan.delta,
                plan.honest,
                job.log2_sigma,
                job.round_shift,
                samples,
                weight_spread(job, plan),
            )
        except accounting.AccountingError:
            found = math.inf
        largest = max(largest, found)
    return largest


CONDITIONS = (
    "against a host that saw masked sums only: if {honest} boards in each sum are honest, and the helper is and keeps "
    "what it knows from the host (where masks are pairwise: the host keeps to the protocol)"
)


class Conditional:
    """The conditional epsilon of boards, from what a site's store has seen of masked jobs.

    honest: boards taken to be honest in each sum; where a version had fewer members, those. Weights are those that
    versions were made with. What a ledger holds beyond masked updates that the store knows counts in full.
    """

    def __init__(self, store: Store, delta: float, honest: int) -> None:
        self._delta = delta
        self._samples = samples_a_release(store) * honest
        self._parts: dict[bytes, list[tuple[int, Fraction]]] = {}
        for ident, _, body in store.jobs():
            job = Job.parse(body)
            if job.mask_bits:
                part = _share_of(store, ident, job, honest)
                charge = accounting.charge(job.clip, job.log2_sigma, job.steps)
                for board, releases in Counter(update.board for update in store.updates(ident, None)).items():
                    self._parts.setdefault(board, []).append((releases * charge, part))

    def epsilon(self, board: BoardRow) -> float | None:
        """None where there was nothing masked; math.inf where there is no bound."""
        if board.id not in self._parts:
            return None
        left, parts = board.spent, []
        if left > accounting.UNITS_MAX:
            return math.inf
        for units, part in sorted(self._parts[board.id], key=lambda one: -one[1]):
            parts.append((min(units, left), part))
            left -= parts[-1][0]
        try:
            return epsilon_of_parts(parts, left, self._delta, self._samples * board.seq)
        except accounting.AccountingError:
            return math.inf


def _share_of(store: Store, ident: bytes, job: Job, honest: int) -> Fraction:
    """What is left of a job's mu^2 in the worst of its sums; 1 where nothing is proven."""
    latest = store.latest(ident)
    worst = share(job.log2_sigma, job.round_shift, honest)
    for number in range(1, latest.number + 1 if latest else 1):
        weights = [weight for _, _, weight in store.members(ident, number) if weight > 0]
        if weights:
            spread, exact = round(max(weights) / min(weights)), max(weights) / min(weights)
            try:
                if abs(spread - exact) > 1e-9 * exact:
                    return Fraction(1)
                worst = max(worst, share(job.log2_sigma, job.round_shift, min(honest, len(weights)), spread))
            except DistributedError:
                return Fraction(1)
    return worst
