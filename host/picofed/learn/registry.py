"""Aggregators, age terms, server optimisers and partitions by name: built-in, an installed package's entry point, or
`module:Class`.

A class's keyword-only parameters are filled by name from the plan; beside the plan's settings there are `exponent`
and `threshold` (its staleness_exponent, staleness_threshold), `staleness` (the age term, made) and `noise`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, TypeVar

from picofed.learn import guards
from picofed.learn.aggregators import Aggregator, FedAvg, FedBuff
from picofed.learn.guards import RuleError as RuleError  # also by this name
from picofed.learn.guards import failures, guard
from picofed.learn.optimisers import Adam, Optimiser, Sgd, Yogi
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
OPTIMISERS: Final[Mapping[str, type[Optimiser]]] = {rule.name: rule for rule in (Sgd, Adam, Yogi)}
GROUPS: Final[Mapping[str, str]] = {
    "aggregator": "picofed.aggregators",
    "staleness": "picofed.staleness",
    "optimiser": "picofed.optimisers",
    "split": "picofed.partitions",
}
_Kind = TypeVar("_Kind")


def find_aggregator(name: str) -> type[Aggregator]:
    """The class behind a plan's `aggregator`. Raises RuleError."""
    return _find("aggregator", name, AGGREGATORS, Aggregator)  # type: ignore[type-abstract]


def find_staleness(name: str) -> type[Staleness]:
    """The class behind a plan's `staleness`. Raises RuleError."""
    return _find("staleness", name, STALENESS, Staleness)  # type: ignore[type-abstract]


def find_optimiser(name: str) -> type[Optimiser]:
    """The class behind a plan's `optimiser`. Raises RuleError."""
    return _find("optimiser", name, OPTIMISERS, Optimiser)  # type: ignore[type-abstract]


def _find(setting: str, name: str, built_in: Mapping[str, type[_Kind]], kind: type[_Kind]) -> type[_Kind]:
    if name in built_in:
        return built_in[name]
    found = load(setting, name, list(built_in), "module:Class")
    if not (isinstance(found, type) and issubclass(found, kind)) or inspect.isabstract(found):
        raise RuleError(f"{setting} {name!r} is not a complete subclass of {kind.__module__}.{kind.__name__}")
    return found


def load(setting: str, name: str, built_in: list[str], form: str) -> Any:
    """What an installed package or a module has under this name. built_in, form: what else there is to say. Raises
    RuleError."""
    installed = entry_points(group=GROUPS[setting])
    try:
        if ":" in name:
            module, _, attribute = name.partition(":")
            return getattr(import_module(module), attribute)
        if name in installed.names:
            return installed[name].load()
    except Exception as error:  # whatever somebody else's module may raise
        raise RuleError(f"{setting} {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    known = ", ".join([*built_in, *sorted(installed.names - set(built_in))])
    raise RuleError(f"{setting} {name!r} is not known: use one of {known}, or {form}")


def make_optimiser(plan: Plan, size: int) -> Optimiser:
    """The optimiser that a plan names, for so many trained parameters. Raises RuleError."""
    rule = find_optimiser(plan.optimiser)
    methods = guards.optimiser(size)
    made: Optimiser = _made(f"optimiser {plan.optimiser}", rule, vars(plan), methods, size, plan.learning_rate)
    return made


def make(plan: Plan, version: int, now: float, noise: Noise) -> Aggregator:
    """The aggregator that a plan names, with its age term. Raises RuleError."""
    settings = {
        **vars(plan),
        "exponent": plan.staleness_exponent,
        "threshold": plan.staleness_threshold,
        "noise": noise,
    }
    age = find_staleness(plan.staleness)
    settings["staleness"] = _made(f"staleness {plan.staleness}", age, settings, guards.STALENESS)
    rule = find_aggregator(plan.aggregator)
    made: Aggregator = _made(f"aggregator {plan.aggregator}", rule, settings, guards.AGGREGATOR, version, now)
    if plan.masked:
        check_maskable(made)
    return made


def _made(what: str, rule: Any, settings: Mapping[str, Any], methods: Any, *given: Any) -> Any:
    """A rule; if it is not one of ours, its failures are told by name."""
    wanted = _wanted(rule, settings, len(given))
    if rule.__module__.startswith("picofed."):
        return rule(*given, **wanted)
    with failures(f"{what}: __init__"):
        made = rule(*given, **wanted)
        guard(made, what, methods)
    if isinstance(made, Aggregator):
        with failures(f"{what}: held"):  # not a method, but it shows whether Buffered's __init__ was called
            _ = made.held
    return made


def _wanted(rule: type, settings: Mapping[str, Any], given: int) -> dict[str, Any]:
    """Keyword-only parameters and their values. given: parameters in front of them that get something else."""
    wanted = {}
    for place, (name, parameter) in enumerate(inspect.signature(rule).parameters.items()):
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and place >= given:
            raise RuleError(f"{rule.__name__} takes {name!r} by position: settings of a plan stand behind a * alone")
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
