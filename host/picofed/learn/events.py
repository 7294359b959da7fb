"""What a run tells whoever shows it, and what it writes into its store's diary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from picofed.store import Store


@dataclass(frozen=True)
class Event:
    """Something to show: kind is one of joined, left, lost, training, cohort, update, refused, version,
    finished.

    board: its name, or "" for the whole; data: numbers that go with the kind (all plain Python values).
    """

    kind: str
    board: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


EventSink = Callable[[Event], None]


def no_events(event: Event) -> None:
    """An EventSink that shows nothing."""


class Journal:
    """Both of one run. name: what people call a board. The caller holds the coordinator's lock."""

    def __init__(self, store: Store, sink: EventSink, name: Callable[[bytes], str]) -> None:
        self._store, self._sink, self._name = store, sink, name

    def show(self, kind: str, who: bytes | str, text: str, **data: Any) -> None:
        """An event that is not worth a line in the diary. who: a board's id; "" for the whole, or another name."""
        self._sink(Event(kind, who if isinstance(who, str) else self._name(who), text, data))

    def note(self, kind: str, board: bytes, text: str, **data: Any) -> None:
        """An event that the diary keeps."""
        self._store.event(kind, text, board)
        self.show(kind, board, text, **data)
