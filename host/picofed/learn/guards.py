"""Calls of rules that somebody else wrote: what goes wrong in them is told in one line, by rule and method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from numbers import Real
from typing import Any, Final

import numpy as np

from picofed.errors import PicofedError
from picofed.learn.aggregators import Aggregate


class RuleError(PicofedError):
    """A rule that is not there, cannot be loaded, fails, or may not be used where it is asked for."""


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda result: isinstance(result, kinds)


# By method: what it has to return, and in words. `weights` is looked at by whoever sums.
_Wanted = Mapping[str, tuple[Callable[[Any], bool], str]]
AGGREGATOR: Final[_Wanted] = {
    "offer": (_is(str, type(None)), "a reason or None"),
    "refuse": (_is(str, type(None)), "a reason or None"),
    "ready": (_is(int, np.bool_), "true or false"),
    "weights": (_is(object), ""),
    "take": (_is(Aggregate), "an Aggregate"),
    "advance": (_is(type(None)), "nothing"),
    "due": (_is(Real, type(None)), "a number or None"),
}
STALENESS: Final[_Wanted] = {"weight": (_is(Real), "a number")}


def optimiser(size: int) -> _Wanted:
    """An optimiser's methods, for so many trained parameters."""

    def vector(result: Any) -> bool:
        return isinstance(result, np.ndarray) and result.shape == (size,) and bool(np.isfinite(result).all())

    return {
        "move": (vector, f"{size} finite numbers, one for each trained parameter"),
        "state": (_is(bytes), "bytes"),
        "load": (_is(type(None)), "nothing"),
    }


def guard(rule: object, what: str, methods: _Wanted) -> None:
    """From now on whatever these methods of `rule` raise is a RuleError; `what` says whose they are."""
    for name, (fits, words) in methods.items():
        method = getattr(rule, name, None)
        if method is not None:  # refuse and weights are Buffered's alone
            setattr(rule, name, _guarded(method, f"{what}: {name}", fits, words))


@contextmanager
def failures(where: str) -> Iterator[None]:
    """What another's code raises in here becomes a RuleError that says `where`."""
    try:
        yield
    except PicofedError:
        raise
    except Exception as error:
        raise RuleError(f"{where} failed: {type(error).__name__}: {error}") from error


def _guarded(method: Callable[..., Any], where: str, fits: Callable[[Any], bool], words: str) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        with failures(where):
            result = method(*arguments, **named)
        if not fits(result):
            shown = " ".join(repr(result).split())  # an array's has several lines
            raise RuleError(f"{where} returned {shown[:80]}: it should be {words}")
        return result

    return call
