"""Labelled data that the operator holds: for evaluation, and for simulated boards.

An .npz file has `labels` (shape (n,)), and either `windows` (of 16 bits, shape (n, window, 6)) or `features` (Q7, -127
to 127, shape (n, inputs)), whole numbers of any width; optionally `clients` (shape (n,)): whose each example is, by
name or number. A .npy file is the watch recordings (learn.watch), a .bin file a board's record store, a .csv file has a
header: `label`, perhaps `client`, and features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picofed import records
from picofed.learn import fronts, watch
from picofed.learn.clients import Examples
from picofed.learn.job import Job
from picofed.simulation import dataset
from picofed.simulation.dataset import DatasetError

ALL = "all"


def sessions_by_person(path: Path) -> dict[str, list[records.Session]]:
    """The watch recordings as boards record them, by person."""
    people: dict[str, list[records.Session]] = {}
    for recording in watch.load(path):
        session = records.Session(recording.samples, recording.exercise)
        people.setdefault(f"person-{recording.person}", []).append(session)
    return dict(sorted(people.items()))


def from_sessions(sessions: list[records.Session], job: Job, every: bool = False) -> Examples:
    """What a board that holds these recordings trains on; `every`: windows of other classes too."""
    slots = sum(-(-len(session.samples) // 20) for session in sessions)
    layout = records.Layout(bytes(8), channels=job.channels, slots=max(1, slots))
    return Examples.from_records(records.write(layout, sessions), job, every)


def load(path: Path | str, job: Job, every: bool = False) -> dict[str, Examples]:
    """Examples by client; `every`: those of other classes than the job's too, where labels are not what is learnt.
    Raises DatasetError in words for the user."""
    every = every and job.target != "label"
    path = Path(path)
    try:
        if path.suffix == ".npy":
            return {name: from_sessions(sessions, job, every) for name, sessions in sessions_by_person(path).items()}
        if path.suffix == ".bin":
            return {path.stem: Examples.from_records(path.read_bytes(), job, every)}
        if path.suffix == ".csv":
            pool = dataset.read(path)
            owners = {} if pool.owners is None else {"clients": pool.owners}
            return _examples(path, {"labels": pool.labels, "features": pool.features, **owners}, job, every)
        if path.suffix == ".npz":
            return _examples(path, dataset.arrays_of(path, ("labels", "windows", "features", "clients")), job, every)
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    raise DatasetError(f"{path} is not a data file: give an .npz or .csv file, the watch's .npy or a record store")


def _fits(array: NDArray[Any], shape: tuple[int, ...], least: int, most: int) -> bool:
    """Whole numbers of whatever width, all of them in range."""
    if array.shape != shape or array.dtype.kind not in "iu":
        return False
    return not array.size or (int(array.min()) >= least and int(array.max()) <= most)


def _examples(path: Path, arrays: dict[str, NDArray[Any]], job: Job, every: bool) -> dict[str, Examples]:
    labels = arrays.get("labels")
    if labels is None and "windows" in arrays and job.target != "label" and not job.labels:
        labels = np.full(len(arrays["windows"]), 255)
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise DatasetError(f"{path} needs `labels`: one whole number for each example")
    if job.target == "label" and (labels.min() < 0 or labels.max() >= job.labels):
        raise DatasetError(
            f"{path} has labels outside 0 to {job.labels - 1}, which the job knows: {labels.min()} to {labels.max()}"
        )
    count = len(labels)
    inputs = job.model.widths[0]
    targets = None
    if "features" in arrays and job.target != "label":
        raise DatasetError(f"{path} needs `windows`: this job's targets are made from them")
    if "features" in arrays:
        features = arrays["features"]
        if not _fits(features, (count, inputs), -127, 127):
            raise DatasetError(
                f"{path}: `features` must be whole numbers from -127 to 127 of shape ({count}, {inputs}), "
                f"not {dataset.described(features)}"
            )
        features = features.astype(np.int8)
    elif "windows" in arrays:
        windows = arrays["windows"]
        if not _fits(windows, (count, job.window, job.channels), -(1 << 15), (1 << 15) - 1):
            raise DatasetError(
                f"{path}: `windows` must be whole numbers of 16 bits of shape ({count}, {job.window}, {job.channels}), "
                f"not {dataset.described(windows)}"
            )
        features, targets = fronts.records(job, list(windows.astype(np.int16)))
    else:
        raise DatasetError(f"{path} needs `windows` or `features`")
    clients = arrays.get("clients", np.full(count, ALL))
    if clients.shape != (count,):
        raise DatasetError(f"{path}: `clients` must name one client for each example")
    found = {}
    for name in np.unique(clients):
        part = clients == name
        if job.target != "label" and job.labels and not every:
            part = part & (labels >= 0) & (labels < job.labels)
        kept = np.where((labels < 0) | (labels > 255), 255, labels)[part].astype(np.uint8)
        found[str(name)] = Examples(features[part], kept, None if targets is None else targets[part])
    return found
