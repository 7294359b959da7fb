"""Vectors of floating-point numbers in .npy files: the first weights and the moments that `[server]` names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picofed.learn.job import JobError


def load(path: Path | str, what: str, count: int, wanted: str) -> NDArray[np.float64]:
    """float64[count]. what: of the file, in words; wanted: the same for what it must hold. Raises JobError."""
    kind = what.split()[-1]
    try:
        numbers = np.load(path, allow_pickle=False)
    except OSError as error:
        raise JobError(f"cannot read the {what} {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise JobError(f"{path} is not an .npy file of {kind}") from error
    if not isinstance(numbers, np.ndarray) or numbers.dtype.kind != "f" or numbers.shape != (count,):
        raise JobError(f"{path} must hold {wanted}")
    if not np.isfinite(numbers).all():
        raise JobError(f"{path} holds {kind} that are not finite")
    return numbers.astype(np.float64)


def save(path: Path, numbers: NDArray[np.float64]) -> None:
    """What `load` reads. Raises JobError."""
    try:
        with path.open("wb") as file:
            np.save(file, numbers, allow_pickle=False)
    except OSError as error:
        raise JobError(f"cannot write {path}: {error.strerror or error}") from error
