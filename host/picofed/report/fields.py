"""Reading a JSON document field by field, so that an error names the field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Final, TypeVar

from picofed.errors import PicofedError

HINT: Final = "make it again with `picofed demo` or `picofed run`"
_T = TypeVar("_T")


class Fields:
    """One JSON object and where it stands in the document, so that an error can name the field."""

    def __init__(self, obj: object, path: str) -> None:
        if not isinstance(obj, Mapping):
            raise _error(path or "the document", "an object", obj)
        self._obj = obj
        self._path = path

    def get(self, key: str) -> object:
        return self._obj.get(key)

    def wrong(self, key: str, want: str, got: object) -> PicofedError:
        return _error(self._where(key), want, got)

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "text", value)
        return value

    def whole(self, key: str, low: int | None = 0) -> int:
        return self._whole(self.get(key), key, low)

    def wholes(self, value: object, key: str) -> tuple[int, ...]:
        if not isinstance(value, list | tuple):
            raise self.wrong(key, "a list of whole numbers", value)
        return tuple(self._whole(item, f"{key}[{i}]", 0) for i, item in enumerate(value))

    def number(self, key: str, high: float | None = None) -> float:
        value = self.get(key)
        want = "a number of at least 0" if high is None else f"a number from 0 to {high:g}"
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise self.wrong(key, want, value)
        number = float(value)
        if number < 0 or (high is not None and number > high):
            raise self.wrong(key, want, value)
        return number

    def fraction(self, key: str) -> float | None:
        return None if self.get(key) is None else self.number(key, high=1.0)

    def epsilon(self, key: str) -> float:
        if key not in self._obj:
            raise _error(self._where(key), "a number of at least 0, or null for no bound", "nothing")
        value = self.get(key)
        if value is None or (isinstance(value, float) and value == math.inf):
            return math.inf
        return self.number(key)

    def maybe(self, key: str, read: Callable[[str], _T]) -> _T | None:
        return None if self.get(key) is None else read(key)

    def fields(self, key: str) -> Fields:
        return Fields(self.get(key), self._where(key))

    def items(self, key: str, required: bool = True) -> list[object]:
        value = self.get(key)
        if value is None and not required:
            return []
        if not isinstance(value, list | tuple):
            raise self.wrong(key, "a list", value)
        return list(value)

    def rows(self, key: str, required: bool = False) -> list[Fields]:
        items = self.items(key, required)
        return [Fields(item, f"{self._where(key)}[{i}]") for i, item in enumerate(items)]

    def texts(self, key: str) -> tuple[str, ...]:
        items = self.items(key, required=False)
        for i, item in enumerate(items):
            if not isinstance(item, str):
                raise self.wrong(f"{key}[{i}]", "text", item)
        return tuple(str(item) for item in items)

    def sizes(self, key: str) -> tuple[tuple[str, int], ...]:
        if self.get(key) is None:
            return ()
        inner = self.fields(key)
        for name in inner._obj:
            if not isinstance(name, str):
                raise self.wrong(key, "an object of name: bytes", name)
        return tuple((name, inner.whole(name)) for name in inner._obj)

    def _whole(self, value: object, key: str, low: int | None) -> int:
        want = "a whole number" if low is None else f"a whole number of at least {low}"
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise self.wrong(key, want, value)
        number = int(value)
        if low is not None and number < low:
            raise self.wrong(key, want, value)
        return number

    def _where(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def _error(where: str, want: str, got: object) -> PicofedError:
    shown = "nothing" if got is None or got == "nothing" else repr(got)
    if len(shown) > 40:
        shown = f"{shown[:37]}..."
    where = where if len(where) <= 80 else f"{where[:77]}..."
    # repr of the path keeps a hostile key from breaking the one line
    plain = where if where.isprintable() else repr(where)
    return PicofedError(f"the summary is malformed: {plain} must be {want}, not {shown}; {HINT}")
