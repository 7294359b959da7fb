"""What a masked job's sums show of one board: the conditional epsilon beside the one of its ledger."""

from __future__ import annotations

import math

from picofed import accounting
from picofed.distributed import epsilon_of_sums
from picofed.learn.job import Job, Plan
from picofed.learn.unmask import weight_spread
from picofed.report.facts import samples_a_release
from picofed.store import Store


def sums_text(store: Store, job: Job, plan: Plan) -> str:
    """The conditional number in a sentence, with its conditions."""
    found = epsilon_distributed(store, job, plan)
    number = "no bound" if math.isinf(found) else f"{math.ceil(found * 1000 - 1e-9) / 1000:.3f}"
    return (
        f"epsilon {number} at delta {plan.delta:g} against a host that saw sums only: if {plan.honest} boards in each "
        "sum are honest, and the helper is and keeps what it knows from the host"
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
