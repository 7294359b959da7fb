"""Aggregators and age terms by name: built-in, an installed package's entry point, or `module:Class`.

A class's keyword-only parameters are filled by name from the plan; beside the plan's settings there are `exponent`
and `threshold` (its staleness_exponent, staleness_threshold), `staleness` (the age term, made) and `noise`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, TypeVar

from picofed.errors import PicofedError
from picofed.learn.aggregators import Aggregator, FedAvg, FedBuff
from picofed.learn.semiasync import FedAsync, Ftte
from picofed.learn.staleness import Constant, Exponential, Polynomial, Staleness, Threshold
from picofed.learn.variance import Noise

if TYPE_CHECKING:
    from picofed.learn.job import Plan

AGGREGATORS: Final[Mapping[str, type[Aggregator]]] = {rule.name: rule for rule in (FedAvg, FedAsync, FedBuff, Ftte)}
STALENESS: Final[Mapping[str, type[Staleness]]] = {
    "constant": Constant,
    "polynomial": Polynomial,
    "exponential": Exponential,
    "threshold": Threshold,
}
_Kind = TypeVar("_Kind")


class RuleError(PicofedError):
    """A rule that is not there, cannot be loaded, or may not be used where it is asked for."""


def find_aggregator(name: str) -> type[Aggregator]:
    """The class behind a plan's `aggregator`. Raises RuleError."""
    return _find("aggregator", name, AGGREGATORS, Aggregator)  # type: ignore[type-abstract]


def find_staleness(name: str) -> type[Staleness]:
    """The class behind a plan's `staleness`. Raises RuleError."""
    return _find("staleness", name, STALENESS, Staleness)  # type: ignore[type-abstract]


def _find(setting: str, name: str, built_in: Mapping[str, type[_Kind]], kind: type[_Kind]) -> type[_Kind]:
    if name in built_in:
        return built_in[name]
    group = "picofed.aggregators" if setting == "aggregator" else "picofed.staleness"
    installed = entry_points(group=group)
    try:
        found: Any
        if ":" in name:
            module, _, attribute = name.partition(":")
            found = getattr(import_module(module), attribute)
        elif name in installed.names:
            found = installed[name].load()
        else:
            known = ", ".join([*built_in, *sorted(installed.names - built_in.keys())])
            raise RuleError(f"{setting} {name!r} is not known: use one of {known}, or module:Class")
    except RuleError:
        raise
    except Exception as error:  # whatever somebody else's module may raise
        raise RuleError(f"{setting} {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, kind)) or inspect.isabstract(found):
        raise RuleError(f"{setting} {name!r} is not a complete subclass of {kind.__module__}.{kind.__name__}")
    return found


def make(plan: Plan, version: int, now: float, noise: Noise) -> Aggregator:
    """The aggregator that a plan names, with its age term. Raises RuleError."""
    settings = {
        **vars(plan),
        "exponent": plan.staleness_exponent,
        "threshold": plan.staleness_threshold,
        "noise": noise,
    }
    age = find_staleness(plan.staleness)
    settings["staleness"] = age(**_wanted(age, settings))
    rule = find_aggregator(plan.aggregator)
    make_rule: Any = rule
    made: Aggregator = make_rule(version, now, **_wanted(rule, settings))
    if plan.masked:
        check_maskable(made)
    return made


def _wanted(rule: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {}
    for name, parameter in inspect.signature(rule).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            if name in settings:
                wanted[name] = settings[name]
            elif parameter.default is parameter.empty:
                raise RuleError(f"{rule.__name__} wants {name!r}, which no setting of a plan is: give it a default")
    return wanted


def check_maskable(rule: Aggregator) -> None:
    """Refuse a rule whose weights depend on the updates: the host sees only the sum of masked ones. Raises
    RuleError."""
    if not rule.public_weights:
        raise RuleError(
            f"{rule.name} weighs updates by what is in them, which masks hide: use fedavg, fedasync, fedbuff, "
            "or ftte with variance = false"
        )
