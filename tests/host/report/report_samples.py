"""Summaries of every kind, and a parser that sees a page as a reader does: shared by the tests beside it."""

from __future__ import annotations

import math
import random
from html.parser import HTMLParser
from statistics import NormalDist
from typing import Any

from picofed.report import render, validate

_VOID = {"meta", "line", "rect", "circle", "path", "polyline", "br", "link"}
_DELTA = 1e-5
OPTIONAL = (
    "accuracy",
    "accuracy_nonprivate",
    "accuracy_float",
    "accuracy_majority",
    "epsilon_target",
    "bytes_per_update",
    "bytes_per_update_float32",
    "bytes_down_per_round",
    "ram_bytes",
    "ram",
    "confusion",
    "curve",
    "held_out",
    "notes",
)
_BUDGET = 46567813  # picofed.accounting.budget(8, 1e-5)


def epsilon_of(units: int) -> float:
    """The GDP formula solved by bisection, so that the sample data agree with themselves."""
    if units == 0:
        return 0.0
    mu, phi = math.sqrt(units / 2**24), NormalDist().cdf
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        exact = phi(mu / 2 - middle / mu) - math.exp(middle) * phi(-mu / 2 - middle / mu)
        low, high = (middle, high) if exact > _DELTA else (low, middle)
    return high


def sample(boards: int = 8, rounds: int = 40, classes: int = 7, seed: int = 5) -> dict[str, Any]:
    """A summary of the demo's shape."""
    rng = random.Random(seed)
    charge = _BUDGET // max(rounds, 1)
    listed: list[dict[str, Any]] = []
    for i in range(boards):
        chosen = sorted(rng.sample(range(1, rounds + 1), max(rounds - rng.randrange(6), min(rounds, 1))))
        spent = len(chosen) * charge
        listed.append(
            {
                "name": f"watch-{i + 1}",
                "board": f"{rng.getrandbits(64):016x}",
                "records": rng.randrange(90, 180),
                "releases": len(chosen),
                "spent": spent,
                "budget": _BUDGET,
                "epsilon_spent": epsilon_of(spent),
                "epsilon_left": epsilon_of(_BUDGET) - epsilon_of(spent),
                "bytes_up": len(chosen) * 402,
                "bytes_down": len(chosen) * 761,
                "state": rng.choice(["ready", "out of budget"]),
                "contributions": [{"version": v, "staleness": rng.choice([0, 0, 0, 1, 2, 5])} for v in chosen],
            }
        )
    versions = [
        {
            "version": v,
            "accuracy": 0.79 - 0.6 * math.exp(-v / 8),
            "accuracy_nonprivate": 0.82 - 0.6 * math.exp(-v / 7),
            "updates": boards,
            "epsilon": epsilon_of(v * charge),
        }
        for v in range(1, rounds + 1)
    ]
    return {
        "format": 1,
        "picofed": "0.1.0",
        "command": "picofed demo --epsilon 8",
        "seed": 7,
        "job": {
            "name": "Shoulder exercises",
            "model": "softmax 45-7",
            "parameters": 322,
            "trainable": 315,
            "clip_norm": 4096,
            "log2_sigma": 14,
            "aggregator": "FedBuff",
            "optimiser": "momentum 0.9",
        },
        "boards": boards,
        "rounds": rounds,
        "records": sum(b["records"] for b in listed),
        "accuracy": 0.7931,
        "accuracy_nonprivate": 0.8264,
        "accuracy_float": 0.8312,
        "accuracy_majority": 0.1577,
        "epsilon": max((b["epsilon_spent"] for b in listed), default=0.0),
        "epsilon_target": 8.0,
        "delta": _DELTA,
        "bytes_per_update": 246,
        "bytes_per_update_float32": 1288,
        "bytes_down_per_round": 761,
        "ram_bytes": 7312,
        "ram": {"weights": 644, "accumulators": 1288, "link buffers": 2048},
        "versions": versions,
        "board_list": listed,
        "confusion": {
            "labels": [f"class {chr(65 + i)}" for i in range(classes)],
            "counts": [[21 + i if i == j else (i * j) % 5 for j in range(classes)] for i in range(classes)],
        },
        "curve": [
            {"epsilon": 1, "accuracy": 0.741, "accuracy_sd": 0.021},
            {"epsilon": 8, "accuracy": 0.792, "accuracy_sd": None},
            {"epsilon": None, "accuracy": 0.823, "accuracy_sd": None},
        ],
        "held_out": ["person 3", "person 9"],
        "privacy": {
            "unit": "one 2-second window",
            "adjacency": "zero-out",
            "mechanism": "discrete Gaussian on clipped sums",
            "trusted": "Nobody but the board.",
        },
        "notes": ["The boards are emulated."],
    }


class Page(HTMLParser):
    """Checks nesting while it reads; keeps tags, attributes, words, and each drawing."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.drawings: list[tuple[dict[str, str], list[tuple[str, dict[str, str], str]]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"attribute twice in <{tag}>"
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag == "svg":
            self.drawings.append((values, []))
        elif "svg" in self.open:
            self.drawings[-1][1].append((tag, values, ""))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        # a closed <rect><title/></rect> is void above
        if tag not in _VOID:
            assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style",):
            self.words.append(data)
        if self.open and self.open[-1] == "text" and "svg" in self.open:
            tag, values, old = self.drawings[-1][1][-1]
            self.drawings[-1][1][-1] = (tag, values, old + data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(document: dict[str, Any]) -> Page:
    return Page(render(validate(document)))


def edge_cases() -> dict[str, dict[str, Any]]:
    """Documents at the ends of what a report may be asked to show."""
    cases = {
        "demo": sample(),
        "one board, one round": sample(1, 1, 2),
        "fleet": sample(200, 60),
        "30": sample(30, 9),
    }
    empty = sample(0, 0)
    empty.update(dict.fromkeys(OPTIONAL))
    cases["nothing yet"] = empty
    infinite = sample(3, 5)
    infinite["epsilon"] = None
    infinite["board_list"][0].update(epsilon_spent=None, epsilon_left=None)
    infinite["board_list"][1].update(epsilon_left=math.inf)
    infinite["versions"][0]["epsilon"] = None
    cases["no bound"] = infinite
    odd = sample(3, 5, 20)
    odd["confusion"]["counts"][0] = [0] * 20
    odd["confusion"]["counts"][1] = [123456] * 20
    odd["versions"] = [{**odd["versions"][0], "version": 7, "accuracy": 1.0, "accuracy_nonprivate": None}]
    odd["curve"] = [{"epsilon": e, "accuracy": 1.0, "accuracy_sd": 0.4} for e in (0.01, 0.011, 0.012, 5, 1000)]
    odd["ram"] = {f"part {i}": i for i in range(40)}
    odd["ram_bytes"], odd["bytes_per_update"], odd["epsilon_target"] = 100, 4000.5, 0
    for board in odd["board_list"]:
        board["contributions"] = [{"version": v, "staleness": v % 9} for v in range(0, 2000, 3)]
        board["spent"], board["epsilon_spent"] = 2**32 - 1, 240.0
    cases["odd"] = odd
    nothing_spent = sample(2, 3)
    nothing_spent.update(
        curve=[{"epsilon": None, "accuracy": 0.0, "accuracy_sd": None}], epsilon_target=None, epsilon=0
    )
    nothing_spent["ram"] = {"a": 0}
    nothing_spent["ram_bytes"] = 0
    for board in nothing_spent["board_list"]:
        board.update(spent=0, epsilon_spent=0, epsilon_left=0, budget=0, contributions=[])
    cases["zeros"] = nothing_spent
    long = sample(9, 9)
    for i, board in enumerate(long["board_list"]):
        board["name"] = f"the watch that is worn on the left wrist of the visitor of room \u624b\u9996 {i} " * 3
    long["confusion"]["labels"] = [f"raising the arm as far as it will go, kind {i}" for i in range(7)]
    long["ram"] = {"a part of the memory whose name somebody made up late at night and never shortened": 644}
    cases["long names"] = long
    return cases


CASES = edge_cases()
