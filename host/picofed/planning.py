"""What a fleet could learn before there is one: noise, budget and expected accuracy for so many boards and records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import accounting
from picofed.distributed import epsilon_of_sums, local_budget
from picofed.errors import PicofedError
from picofed.learn.clients import Examples
from picofed.learn.job import Plan
from picofed.learn.model import Model
from picofed.learn.modulus import GRID
from picofed.simulation import api
from picofed.simulation.dataset import Pool
from picofed.simulation.task import make_task

ROUNDS: Final = (5, 10, 20, 40)
HELD_OUT: Final = "held out"
SHARE: Final = 0.2
RECORDS_MAX: Final = 1 << 22
EPSILON_MAX: Final = 100.0  # of each board by itself


@dataclass(frozen=True)
class Choice:
    """One number of rounds. budget_units: what all rounds are charged; epsilon: of that, on each board, whoever looks;
    epsilon_distributed: against a host that saw masked sums only, None without honest boards; accuracy: on held-out
    proxy records, the mean over simulations."""

    rounds: int
    clip_norm: int
    log2_sigma: int
    noise_multiplier: float
    charge_units: int
    budget_units: int
    epsilon: float
    epsilon_distributed: float | None
    accuracy: float


def deal(pool: Pool, boards: int, records: int, seed: int) -> dict[str, Examples]:
    """Boards with so many proxy records each, and records held out from all of them. Records are drawn again where
    there are too few: a simulation of more data than there is promises no more than that data holds."""
    if boards * records > RECORDS_MAX:
        raise PicofedError(f"{boards} boards with {records} records are more than {RECORDS_MAX}: plan a smaller fleet")
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(pool.labels))
    held = max(1, round(SHARE * len(order)))
    if len(order) - held < 1:
        raise PicofedError("the proxy data is too small: it needs at least 2 records")
    rest = order[held:]
    wanted = boards * records
    drawn = np.concatenate([generator.permutation(rest) for _ in range(-(-wanted // len(rest)))])[:wanted]

    def pick(rows: NDArray[np.int64]) -> Examples:
        return Examples(pool.features[rows], pool.labels[rows])

    found = {f"board-{i}": pick(drawn[i * records : (i + 1) * records]) for i in range(boards)}
    return found | {HELD_OUT: pick(order[:held])}


def _own_epsilon(epsilon: float, delta: float, honest: int, samples: int) -> float:
    """What each board's ledger may come to where `epsilon` is that of sums over `honest` honest boards."""
    units = local_budget(epsilon, delta, honest, GRID, samples * honest)
    try:
        found = accounting.epsilon(accounting.mu_squared_of(units), delta, samples)
    except accounting.AccountingError:  # at such an epsilon the sampler's distance is more than delta allows
        found = EPSILON_MAX + 1
    if found > EPSILON_MAX:
        raise PicofedError("each board by itself would have no epsilon worth the name: plan a smaller one for the sums")
    return found


def explore(
    data: str | Path | Pool,
    boards: int,
    records: int,
    epsilon: float,
    *,
    delta: float = 1e-5,
    rounds: Sequence[int] = ROUNDS,
    hidden: Sequence[int] = (),
    honest: int = 0,
    learning_rate: float = 2.0,
    seeds: int = 3,
    share: bool = False,
) -> list[Choice]:
    """A Choice for each number of rounds. honest: of each sum under masks, 0: no masks. share: boards add only their
    share of the noise; `epsilon` is then that of the sums, else each board's own. Raises PicofedError.
    """
    if share and not honest:
        raise PicofedError("a share of the noise needs honest boards that add the others: say how many")
    if boards < 1 or records < 1 or honest > boards:
        raise PicofedError("plan for at least one board with one record, and no more honest boards than there are")
    pool = api.pool_of(data)
    model = Model.dense([pool.features.shape[1], *hidden, pool.classes])
    found = []
    for number in rounds:
        own = _own_epsilon(epsilon, delta, honest, len(model.trainable) * number) if share else epsilon
        plan = Plan(rounds=number, epsilon=own, delta=delta, aggregator="fedavg", learning_rate=learning_rate)
        job = make_task("plan", model, plan, clients=boards, records=records)
        charge = accounting.charge(job.clip, job.log2_sigma)
        units, samples = charge * number, len(model.trainable) * number
        conditional = None
        if honest:
            shift = job.log2_sigma - GRID
            conditional = epsilon_of_sums(units, 0, delta, honest, job.log2_sigma, shift, samples * honest)
        accuracies = []
        for seed in range(seeds):
            clients = deal(pool, boards, records, seed)
            setup = api.prepare(clients, job=job, plan=plan, seed=seed, hold_out=[HELD_OUT], evaluate_every=number)
            accuracies.append(api.run(setup).versions["accuracy"][-1])
        found.append(
            Choice(
                number,
                job.clip,
                job.log2_sigma,
                2.0**job.log2_sigma / job.clip,
                charge,
                units,
                accounting.epsilon(accounting.mu_squared_of(units), delta, samples),
                conditional,
                float(np.mean(accuracies)),
            )
        )
    return found
