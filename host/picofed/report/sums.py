"""The two epsilons of masked jobs, in one place: each board's own, and the conditional one of whoever saw sums only.

Both exist of one job alone, and of everything that a board ever released; words say which is which. The first is what
the other is part of: mu^2 adds up over jobs, so that a job's own epsilon is never all that a board has spent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from picofed import accounting
from picofed.distributed import DistributedError, epsilon_of_parts, share
from picofed.learn.job import Job, Plan
from picofed.learn.unmask import weight_spread
from picofed.report.facts import epsilon_of_ledger, samples_a_release, samples_of
from picofed.store import BoardRow, Store

CONDITIONS = (
    "against a host that saw masked sums only: if {honest} boards in each sum are honest, and the helper is and keeps "
    "what it knows from the host (where masks are pairwise: the host keeps to the protocol)"
)
LEDGER = "by the board's own ledger, whoever looks"


@dataclass(frozen=True)
class Figures:
    """The largest epsilons of any board; math.inf where there is no bound. job: of one job's updates, 0 where there
    are none; ever: of everything that a board released; sums: against whoever saw masked updates in sums only."""

    job: float
    job_sums: float
    ever: float
    ever_sums: float


def of_job(job: Job, delta: float, honest: int, releases: int, part: Fraction) -> tuple[float, float]:
    """A board's own epsilon of so many releases of a masked job, and that of sums. part: see share()."""
    units, samples = accounting.charge(job.clip, job.log2_sigma, job.steps) * releases, samples_of(job, releases)
    own = epsilon_of_ledger(units, delta, samples)
    return own, _in_sums([(units, part)], 0, delta, samples * honest, own)


def planned(job: Job, plan: Plan, releases: int) -> tuple[float, float]:
    """The same before anything is released: with the most unlike weights that the plan can give. Raises JobError."""
    part = share(job.log2_sigma, job.round_shift, plan.honest, weight_spread(job, plan))
    return of_job(job, plan.delta, plan.honest, releases, part)


def _in_sums(parts: Sequence[tuple[int, Fraction]], others: int, delta: float, samples: int, own: float) -> float:
    """Who saw sums only, saw no more than who saw everything: never above a board's own."""
    try:
        return min(own, epsilon_of_parts(parts, others, delta, samples))
    except accounting.AccountingError:
        return own


class Conditional:
    """The conditional epsilon of boards, from what a site's store has seen of masked jobs.

    honest: boards taken to be honest in each sum; where a version had fewer members, those. Weights are those that
    versions were made with. Every masked update counts as if its sum had been seen, also one that was dropped; what a
    ledger holds beyond masked updates that the store knows counts in full.
    """

    def __init__(self, store: Store, delta: float, honest: int) -> None:
        self._delta, self._honest = delta, honest
        self._samples = samples_a_release(store)
        self._shares: dict[bytes, Fraction] = {}
        self._releases: dict[bytes, Counter[bytes]] = {}  # by job, of each board
        self._charges: dict[bytes, int] = {}
        for ident, _, body in store.jobs():
            job = Job.parse(body)
            if job.mask_bits:
                self._shares[ident] = _share_of(store, ident, job, honest)
                self._charges[ident] = accounting.charge(job.clip, job.log2_sigma, job.steps)
                self._releases[ident] = Counter(update.board for update in store.updates(ident, None))

    def epsilon(self, board: BoardRow) -> float | None:
        """Of everything that the board ever released. None where there was nothing masked; math.inf where there is no
        bound."""
        masked = [ident for ident, releases in self._releases.items() if releases[board.id]]
        if not masked:
            return None
        own = self.own(board)
        left, parts = board.spent, []
        if left > accounting.UNITS_MAX:
            return math.inf
        for ident in sorted(masked, key=lambda one: -self._shares[one]):
            parts.append((min(self._releases[ident][board.id] * self._charges[ident], left), self._shares[ident]))
            left -= parts[-1][0]
        return _in_sums(parts, left, self._delta, self._samples * board.seq * self._honest, own)

    def own(self, board: BoardRow) -> float:
        """The board's own, of everything that it ever released."""
        return epsilon_of_ledger(board.spent, self._delta, self._samples * board.seq)

    def job(self, board: BoardRow, job: Job) -> tuple[float, float]:
        """Of a masked job's updates alone: the board's own, and that of sums."""
        releases = self._releases.get(job.id, Counter())[board.id]
        return of_job(job, self._delta, self._honest, releases, self._shares[job.id]) if releases else (0.0, 0.0)


def figures(store: Store, job: Job, plan: Plan, boards: Sequence[BoardRow] | None = None) -> Figures:
    """What a masked job and all that was before it have cost the boards (None: all of the store), with the plan's delta
    and honest boards."""
    conditional = Conditional(store, plan.delta, plan.honest)
    rows = store.boards() if boards is None else boards
    alone = [conditional.job(row, job) for row in rows]
    own = [conditional.own(row) for row in rows]
    sums = [conditional.epsilon(row) for row in rows]
    return Figures(
        max((one for one, _ in alone), default=0.0),
        max((one for _, one in alone), default=0.0),
        max(own, default=0.0),
        max((alone if one is None else one for one, alone in zip(sums, own, strict=True)), default=0.0),
    )


def words(found: Figures, plan: Plan) -> list[str]:
    """Lines that say the figures and what each covers."""
    alone = "this job alone: nothing was released"
    if found.job:
        alone = f"this job alone: epsilon {text(found.job)} {LEDGER}; {text(found.job_sums)} in sums"
    return [
        alone,
        f"everything a board ever released: epsilon {text(found.ever)} {LEDGER}; {text(found.ever_sums)} in sums",
        in_sums(plan),
    ]


def in_sums(plan: Plan) -> str:
    """What the number of sums is conditional on."""
    trusted = "the helper is and keeps what it knows from the host"
    if plan.masks == "pairwise":
        trusted = "the host keeps to the protocol (docs/proofs, lemma 10)"
    return (
        f"in sums: against a host that saw masked sums only, if {plan.honest} boards in each are honest, and {trusted}"
    )


def text(epsilon: float) -> str:
    """Three decimals, rounded up: never less than the truth."""
    return "no bound" if math.isinf(epsilon) else f"{math.ceil(epsilon * 1000 - 1e-9) / 1000:.3f}"


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
