"""Runs what is not there yet, several at a time, in the order of its importance."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any

from picofed.bench.cache import Cache
from picofed.bench.settings import SEARCH_SEED as SEED
from picofed.bench.settings import Hyper, Run, Scale, Setting, Variant, searched, searched_fleets, searches, trial
from picofed.bench.trial import lower_priority, perform

Progress = Callable[[int, int, Run], None]  # how many are done, of how many, and which


def run(
    scale: Scale,
    chosen: Sequence[Setting],
    variants: Sequence[Variant],
    cache: Cache,
    *,
    workers: int = 1,
    minutes: float | None = None,
    progress: Progress = lambda done, total, run: None,
) -> bool:
    """Search, then run every setting with every seed. minutes: begin nothing more after that long; None: no limit.
    False: something is left for another time. Raises PicofedError."""
    until = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    total = (len(searched_fleets(scale, chosen)) * scale.trials + len(chosen) * len(scale.seeds)) * len(variants)
    counted = [0]

    def show(run: Run) -> None:
        counted[0] += 1
        progress(counted[0], total, run)

    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin_worker) as pool:
        if not _all(pool, searches(scale, chosen, variants), cache, workers, until, show):
            return False
        return _all(pool, reported(scale, chosen, variants, cache), cache, workers, until, show)


def begin_worker() -> None:
    """In a worker process, first: whoever sits at the machine comes first, and the worker ends when the process that
    started it does. However that was killed, the pipe between them closes; the pool's queues would never: each worker
    holds them open for the other."""
    lower_priority()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)  # a thread cannot end the others, and what was under way is nobody's any more


def _all(
    pool: ProcessPoolExecutor,
    runs: Iterable[Run],
    cache: Cache,
    workers: int,
    until: float,
    show: Callable[[Run], None],
) -> bool:
    """Few are handed in ahead of time, so that an interruption loses little; `runs` is read no further than that, nor
    when time is up: a grid may be larger than the time to list it."""
    under_way: dict[Any, Run] = {}
    complete = True

    def collect(most: int) -> None:
        while len(under_way) > most:
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                run = under_way.pop(future)
                cache.put(run, future.result())
                show(run)

    for run in runs:
        if cache.get(run) is not None:
            show(run)
        elif time.monotonic() >= until:
            complete = False
            break
        else:
            under_way[pool.submit(perform, run)] = run
            collect(workers)
    collect(0)
    return complete


def reported(scale: Scale, chosen: Sequence[Setting], variants: Sequence[Variant], cache: Cache) -> Iterator[Run]:
    """The runs of the tables; three seeds of what the targets are about come first."""
    first = [setting for setting in chosen if setting in scale.headline]
    rest = [setting for setting in chosen if setting not in scale.headline]
    for part, seeds in ((first, scale.seeds[:3]), (rest, scale.seeds), (first, scale.seeds[3:])):
        for seed in seeds:
            for setting in part:
                for variant in variants:
                    hyper = best(scale, setting, variant, cache)
                    if hyper is not None:
                        yield Run(scale, setting, variant, hyper, seed)


def trials(scale: Scale, fleet: Setting, variant: Variant, cache: Cache) -> list[tuple[Hyper, float | None]]:
    """A search's trials and the accuracy that each ended with; None: it has not run."""
    found = []
    for number in range(scale.trials):
        result = cache.get(Run(scale, fleet, variant, trial(number), SEED))
        found.append((trial(number), None if result is None else float(result["accuracy"])))
    return found


def best(scale: Scale, setting: Setting, variant: Variant, cache: Cache) -> Hyper | None:
    """The hyper-parameters with the highest final accuracy of the search; None: it is not complete."""
    found = []
    for number in range(scale.trials):
        result = cache.get(Run(scale, searched(setting, scale), variant, trial(number), SEED))
        if result is None:
            return None
        found.append((trial(number), float(result["accuracy"])))
    return max(found, key=lambda item: item[1])[0]
