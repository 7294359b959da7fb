"""What has run of a grid, in one small file: tables and pictures are made of it in a minute, and anybody can take a run
out of it and do it again.

Lines of JSON, compressed with xz, in the order of the searches and of the tables: `id` as bench.cache knows a run,
`run`, all that its result depends on, and `result`. Of a trial of a search the result is its accuracy, which is all
that is asked of it; of the others the curve is thinned as `short` says.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, Final

from picofed import files
from picofed.bench.cache import Cache
from picofed.bench.driver import reported
from picofed.bench.settings import SEARCH_SEED, Run, Scale, Setting, Variant, searches
from picofed.bench.trial import identity, perform
from picofed.errors import PicofedError

DIGITS: Final = {"seconds": 3, "joules": 3, "accuracy": 10, "bytes_up": 0, "bytes_down": 0}
_LINE_MAX: Final = 1 << 20
_FILE_MAX: Final = 1 << 30


def short(run: Run, result: dict[str, Any]) -> dict[str, Any]:
    """A run's result as it is kept. curve: seconds and joules to a thousandth, accuracies to 1e-10, which is less than
    any two that differ."""
    if run.seed == SEARCH_SEED:
        return {"accuracy": result["accuracy"]}
    curve = {name: [round(value, digits or None) for value in result["curve"][name]] for name, digits in DIGITS.items()}
    return {**result, "curve": curve}


def keep(path: Path, scale: Scale, chosen: Sequence[Setting], variants: Sequence[Variant], cache: Cache) -> int:
    """Write what has run of these settings; returns how many runs that is. Raises PicofedError."""
    items = [
        {"id": identity(run), "run": words(run), "result": short(run, result)}
        for run, result in known(scale, chosen, variants, cache)
    ]
    text = "".join(json.dumps(item, separators=(",", ":")) + "\n" for item in items)
    data = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    try:
        files.write(path, data)
    except OSError as error:
        raise PicofedError(f"cannot write {path}: {error.strerror or error}") from error
    return len(items)


def known(
    scale: Scale, chosen: Sequence[Setting], variants: Sequence[Variant], cache: Cache
) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Runs of which a cache has results: of the searches, then of the tables."""
    for run in chain(searches(scale, chosen, variants), reported(scale, chosen, variants, cache)):
        result = cache.get(run)
        if result is not None:
            yield run, result


def again(run: Run, result: dict[str, Any]) -> bool:
    """Do a run again: whether it comes to the kept result, to the last digit. Raises PicofedError."""
    return short(run, perform(run)) == short(run, result)


def take(path: Path, cache: Cache) -> int:
    """Let a cache know what is kept in a file, and return how many runs that is; what it knows already stays. Raises
    PicofedError."""
    count = 0
    for item in _items(path):
        cache.learn(item["id"], item["result"])
        count += 1
    return count


def _items(path: Path) -> Iterator[dict[str, Any]]:
    wrong = f"{path} holds no results that picofed bench keep wrote: name such a file"
    read = 0
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            while line := file.readline(_LINE_MAX):
                read += len(line)
                item = json.loads(line)
                if read > _FILE_MAX or not _is_kept(item):
                    raise PicofedError(wrong)
                yield item
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise PicofedError(wrong) from error
    except OSError as error:
        raise PicofedError(f"cannot read {path}: {error.strerror or error}") from error


def _is_kept(item: object) -> bool:
    match item:
        case {"id": str(), "run": {"seed": int(seed)}, "result": {"accuracy": float()} as result}:
            return seed == SEARCH_SEED or _is_whole(result)
    return False


def _is_whole(result: object) -> bool:
    """Whether a result has all that tables and pictures are made of."""
    match result:
        case {"curve": dict(curve), "update_bytes": float(), "trainable": int(), "epsilon": float() | None}:
            columns = [column for name in DIGITS if isinstance(column := curve.get(name), list)]
            numbers = (type(value) in (int, float) for column in columns for value in column)
            return len(columns) == len(DIGITS) and len({*map(len, columns)}) == 1 and bool(columns[0]) and all(numbers)
    return False


def words(run: Run) -> dict[str, Any]:
    """For people: what is the same for all runs, the scale, is left out. epsilon: none where there is no noise."""
    setting = asdict(run.setting) | {"epsilon": run.setting.epsilon if run.setting.private else None}
    return {"rule": run.variant.name, **setting, "seed": run.seed, "hyper": asdict(run.hyper)}
