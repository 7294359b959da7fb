"""The demo's recordings: shoulder exercises worn on a smart-watch, as the int16 counts of a sensor.

seglearn's `load_watch` (D. Burns et al., arXiv 1802.01489; BSD licence): 140 recordings, 7 exercises by 10
people with either arm, accelerometer and gyroscope at 50 Hz. The file holds physical units; `load` turns them
into what an inertial sensor emits at its usual wide ranges: boards see raw counts, and no scale is a
statistic of the recordings.
"""

import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from picofed.errors import PicofedError

AXES = ("ax", "ay", "az", "wx", "wy", "wz")
# The file's order: pendulum, abduction, forward elevation, internal, external rotation, trapezius, row.
EXERCISES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")

ACCELEROMETER_FULL_SCALE_G = 8
GYROSCOPE_FULL_SCALE_DPS = 2000
COUNTS_PER_G = 32768 / ACCELEROMETER_FULL_SCALE_G
COUNTS_PER_RADIAN_PER_SECOND = 32768 / math.radians(GYROSCOPE_FULL_SCALE_DPS)


class WatchDataError(PicofedError):
    """The recordings' file cannot be read or is not the one expected."""


@dataclass(frozen=True, eq=False, slots=True)
class Recording:
    """One set of repetitions by one person with one arm.

    person: 0 to 9 (the file's subject number less one). exercise: index into EXERCISES.
    samples: int16 [n, 6], columns as in AXES, 50 a second; COUNTS_PER_G to the g,
    COUNTS_PER_RADIAN_PER_SECOND to the rad/s.
    """

    person: int
    exercise: int
    samples: npt.NDArray[np.int16]


def load(path: Path) -> list[Recording]:
    """The 140 recordings of the .npy file at `path`, in the file's order. Raises WatchDataError."""
    try:
        with path.open("rb") as file:
            data = _read_pickled_npy(file)
        exercises = [int(value) for value in data["y"]]
        people = [int(value) - 1 for value in data["subject"]]
        signals = [np.asarray(signal, dtype=np.float64) for signal in data["X"]]
        labels = (tuple(data["X_labels"]), tuple(data["y_labels"]))
    except OSError as error:
        raise WatchDataError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle may raise almost anything
        raise WatchDataError(f"{path} does not hold the watch recordings: fetch it again") from error
    if labels != (AXES, EXERCISES) or not len(signals) == len(exercises) == len(people):
        raise WatchDataError(f"{path} holds other recordings than seglearn 1.2.5's: fetch it again")
    return [
        Recording(person, exercise, to_counts(signal))
        for person, exercise, signal in zip(people, exercises, signals, strict=True)
    ]


def to_counts(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    """Sensor counts, int16 [n, 6], of float64 [n, 6] in g and rad/s: nearest (ties to even), saturated."""
    counts_per_unit = np.array([COUNTS_PER_G] * 3 + [COUNTS_PER_RADIAN_PER_SECOND] * 3)
    counts: npt.NDArray[np.float64] = np.clip(np.rint(signal * counts_per_unit), -32768, 32767)
    return counts.astype(np.int16)


# All that the file's pickle needs. It names numpy's modules as they were called before numpy 2.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    """A pickle can call any function; this one may only build numpy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        if name == "_reconstruct":
            return _reconstruct
        return super().find_class(module, name)


def _reconstruct(_kind: type, shape: tuple[int, ...], dtype: bytes) -> npt.NDArray[Any]:
    return np.ndarray(shape, dtype.decode())


def _read_pickled_npy(file: BinaryIO) -> dict[str, Any]:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("unexpected .npy version")
    np.lib.format.read_array_header_1_0(file)
    array = _ArraysOnly(file).load()
    data = array.item()
    if not isinstance(data, dict):
        raise ValueError("no dictionary")
    return data
