"""What a run tells whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


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
