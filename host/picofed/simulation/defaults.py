"""Settings of a fleet for which nobody says them.

A job's own defaults are for a handful of boards, of whose updates 4 make a version. In a fleet of hundreds that is one
update in fifty: most would come too late to count, on steps that are far too long for what is late. So what is not said
follows from the fleet's size (docs/simulation.md).
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from picofed.learn import registry
from picofed.learn.job import RATES, Plan

PART: Final = 0.75  # of the clients: updates that make a version
BUFFERED: Final = {"learning_rate": 1.0, "decay": 0.5}  # with optimiser sgd
SETTINGS: Final = frozenset({"capacity", *BUFFERED})


def sized(plan: Plan, clients: int, unsaid: Collection[str]) -> Plan:
    """The plan for so many clients that train. unsaid: those of SETTINGS that nobody has said; all others stay."""
    found: dict[str, Any] = {}
    if has_buffer(plan):
        found |= {"capacity": max(1, round(PART * clients)), **(BUFFERED if plan.optimiser == "sgd" else {})}
    if plan.optimiser in RATES:
        found["learning_rate"] = RATES[plan.optimiser]
    return replace(plan, **{name: value for name, value in found.items() if name in unsaid})


def has_buffer(plan: Plan) -> bool:
    """Whether the plan's aggregator makes a version of `capacity` updates."""
    return "capacity" in inspect.signature(registry.find_aggregator(plan.aggregator)).parameters
