"""Speed of the simulator and of the server's sum; rewrites simulation.md.

python benchmarks/simulation.py            measure all, write benchmarks/simulation.md (minutes)
python benchmarks/simulation.py --check    measure the smaller sizes, and fail if a ratio is worse than allowed below

Rates are of the machine that ran it and are not checked. Seconds are processor time of all threads, so that what else
runs on the machine counts little. What is checked are ratios of two measurements of one run.
"""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from picofed.learn.job import Plan
from picofed.learn.model import Model
from picofed.native import Trainer, update_decode
from picofed.native_batch import Batch, Round, sum_vectors
from picofed.simulation.api import Setup, run
from picofed.simulation.dataset import Population
from picofed.simulation.fleet import Fleet
from picofed.simulation.task import make_task

TABLE = Path(__file__).resolve().parent / "simulation.md"
RECORDS, INPUTS, CLASSES = 30, 64, 10
MODEL = Model.dense([INPUTS, CLASSES])
SIZES = (100, 1000, 10000, 100000)
LINEAR_MAX = 2.0
"""Processor time of an update in the largest fleet measured, against 1,000 clients."""
BATCH_MIN = 1.5
"""Updates a second in batches, against one trainer call by call."""
SUM_MIN = 1.0
"""Updates summed a second, against numpy's addition of one after the other."""


def population(clients: int) -> Population:
    """Clients of 30 records each of ten classes."""
    draw = np.random.default_rng(1)
    labels = draw.integers(0, CLASSES, clients * RECORDS, dtype=np.uint8)
    centres = draw.integers(-60, 61, (CLASSES, INPUTS), dtype=np.int8)
    features = centres[labels]
    for start in range(0, len(features), 1 << 16):  # in pieces: the draws are larger than the data
        part = features[start : start + (1 << 16)]
        part += draw.integers(-60, 61, part.shape, dtype=np.int8)
    starts = np.arange(clients + 1, dtype=np.int64) * RECORDS
    return Population(features, labels, starts, tuple(f"client-{i}" for i in range(clients)))


def fleet_setup(clients: int, plan: Plan) -> Setup:
    """A simulation of the 650-parameter softmax with noise."""
    training = population(clients)
    held_out = Population(training.features[:3000], training.labels[:3000], np.array([0, 3000]), ("held out",))
    job = make_task("bench", MODEL, plan, clients=clients, records=RECORDS)
    return Setup(job, plan, training, held_out, Fleet(), 1, plan.rounds)


def seconds(action: Callable[[], object], repeats: int = 3) -> float:
    """Processor time, the least of several."""
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        begin = time.process_time()
        action()
        best = min(best, time.process_time() - begin)
    return best


def core() -> tuple[float, float]:
    """Client updates a second and core: in batches, and one trainer call by call."""
    clients = 500
    data = population(clients)
    settings = Round(18, 1 << 18, round_shift=17)
    keys = np.random.default_rng(2).integers(0, 256, (clients, 32), dtype=np.uint8)
    weights = np.zeros((1, MODEL.parameters), np.int16)
    table = np.zeros((clients, 3), np.uint32)
    table[:, 1], table[:, 2] = data.starts[:-1], RECORDS
    batch, single = Batch(MODEL.descriptor), Trainer(MODEL.descriptor)

    def one_by_one() -> None:
        for client in range(clients):
            examples = data.examples(client)
            single.set_weights(weights[0])
            single.begin(keys[client].tobytes(), settings.log2_sigma, settings.clip_norm)
            single.fill()
            single.examples(examples.features, examples.labels)
            update_decode(single.encode(settings.round_shift), single.trainable)

    fast = seconds(lambda: batch.run(settings, table, weights, data.features, data.labels, keys), 5)
    return clients / fast, clients / seconds(one_by_one)


def sums() -> tuple[float, float]:
    """Updates of 10,000 parameters summed a second: from bytes in the core, and in numpy."""
    draw = np.random.default_rng(3)
    updates = [draw.integers(-(2**31), 2**31, 10000).astype("<i4") for _ in range(1000)]
    data = [update.tobytes() for update in updates]

    def numpy_sum() -> None:
        total = np.zeros(10000, np.int64)
        for one in data:
            total += np.frombuffer(one, "<i4")

    return len(data) / seconds(lambda: sum_vectors(data, 10000), 5), len(data) / seconds(numpy_sum, 5)


def growth(clients: int) -> tuple[int, float, float]:
    """Updates, processor seconds and gigabytes of a fleet in which everyone takes part twice, in its own process."""
    code = f"import simulation; print(*simulation.grown({clients}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=TABLE.parent, capture_output=True, text=True, check=True)
    updates, used, memory = done.stdout.split()
    return int(updates), float(used), float(memory)


def grown(clients: int) -> tuple[int, float, float]:
    """What `growth` does, here."""
    plan = Plan(rounds=2 * clients // 100, epsilon=8.0, aggregator="fedbuff", capacity=100, max_staleness=10**9)
    setup = fleet_setup(clients, plan)
    begin = time.process_time()
    outcome = run(setup)
    used = time.process_time() - begin
    return len(outcome.updates["client"]), used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def rounds() -> float:
    """Processor seconds of 500 clients in 200 synchronous rounds."""
    setup = fleet_setup(500, Plan(rounds=200, epsilon=8.0, aggregator="fedavg"))
    return seconds(lambda: run(setup), 1)


def main() -> int:
    """Exit status 1: a ratio is worse than allowed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="the smaller sizes; compare ratios, write nothing")
    check = parser.parse_args().check
    batch, single = core()
    summed, plain = sums()
    sizes = SIZES[:-1] if check else SIZES
    rows = {clients: growth(clients) for clients in sizes}
    cost = {clients: used / updates for clients, (updates, used, _) in rows.items()}
    ratios = {
        "batches against call by call": (batch / single, BATCH_MIN, True),
        "the core's sum against numpy's": (summed / plain, SUM_MIN, True),
        f"an update in a fleet of {sizes[-1]:,} against 1,000": (cost[sizes[-1]] / cost[1000], LINEAR_MAX, False),
    }
    lines = ["| ratio | measured | allowed |", "|---|---|---|"]
    for name, (value, limit, least) in ratios.items():
        lines.append(f"| {name} | {value:.2f} | {'at least' if least else 'at most'} {limit:.1f} |")
    bad = [name for name, (value, limit, least) in ratios.items() if (value < limit if least else value > limit)]
    text = "\n".join(lines)
    if check:
        print(text)
        print("".join(f"worse than allowed: {name}\n" for name in bad), end="")
        return bool(bad)
    growths = "\n".join(
        f"| {clients:,} | {updates:,} | {used:.1f} | {1e6 * used / updates:.0f} | {memory:.2f} |"
        for clients, (updates, used, memory) in rows.items()
    )
    TABLE.write_text(f"""# Speed of the simulator

Written by `python benchmarks/simulation.py`; `--check` compares the ratios, which hold on any machine. Seconds are
processor time of all threads together, on whatever machine ran it last; clients are the 650-parameter softmax on 30
records, with noise.

{text}

| | |
|---|---|
| client updates a second and core, in batches | {batch:,.0f} |
| updates of 10,000 parameters summed a second and core, from bytes | {summed:,.0f} |
| 500 clients in 200 synchronous rounds, processor seconds | {rounds():.1f} |

Every client takes part twice, `fedbuff` of 100:

| clients | updates | processor seconds | microseconds an update | GB of memory at most |
|---|---|---|---|---|
{growths}
""")
    print(TABLE.read_text())
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
