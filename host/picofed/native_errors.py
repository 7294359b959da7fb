"""The error codes of the core (SPEC 1.3), each mapped to one exception. The same table serves the reference."""

from __future__ import annotations

from typing import ClassVar, Final

from picofed.errors import PicofedError


class CoreError(PicofedError):
    """Root of the core's errors. code is the negative number that the C function returned."""

    code: ClassVar[int]
    advice: ClassVar[str]

    def __init__(self, what: str = "") -> None:
        super().__init__(f"{what}: {self.advice}" if what else self.advice)


class CoreArgumentError(CoreError):
    """PF_E_ARGUMENT."""

    code = -1
    advice = "an argument is outside its documented range"


class CoreRangeError(CoreError):
    """PF_E_RANGE."""

    code = -2
    advice = (
        "the model or its weights leave the proven fixed-point ranges: use fewer or narrower layers, smaller weights"
    )


class CoreMemoryError(CoreError):
    """PF_E_MEMORY."""

    code = -3
    advice = "a buffer is too small or not aligned to 8 bytes: give a larger one"


class CoreStateError(CoreError):
    """PF_E_STATE."""

    code = -4
    advice = "calls out of order: begin a round and fill its noise before examples, open a store before using it"


class BudgetExceededError(CoreError):
    """PF_E_BUDGET."""

    code = -5
    advice = "the release would exceed the privacy budget: no further release is possible under this policy"


class BlankStoreError(CoreError):
    """PF_E_BLANK."""

    code = -6
    advice = "the ledger or seed store was never provisioned, or was erased: provision the board again"


class CoreFlashError(CoreError):
    """PF_E_FLASH."""

    code = -7
    advice = "the flash does not hold what was written: open the store again, and replace the board if it happens again"


class EntropyError(CoreError):
    """PF_E_ENTROPY."""

    code = -8
    advice = "the entropy source failed a health test: do not use this board"


class MalformedError(CoreError):
    """PF_E_FRAME."""

    code = -9
    advice = "a frame or an encoded update is malformed: ask for it again"


class CorruptStoreError(CoreError):
    """PF_E_CORRUPT."""

    code = -10
    advice = "the flash holds records that this key did not write: provision the board again"


ERRORS: Final[dict[int, type[CoreError]]] = {
    error.code: error
    for error in (
        CoreArgumentError,
        CoreRangeError,
        CoreMemoryError,
        CoreStateError,
        BudgetExceededError,
        BlankStoreError,
        CoreFlashError,
        EntropyError,
        MalformedError,
        CorruptStoreError,
    )
}


def check(status: int, what: str = "") -> int:
    """Pass on a count (>= 0); raise the exception of a negative status. `what` names the operation for the user."""
    if status < 0:
        raise ERRORS[status](what)
    return status
