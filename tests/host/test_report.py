"""The report: summary.json is checked; the page is whole, self-contained, readable, true to its numbers."""

from __future__ import annotations

import copy
import json
import math
import random
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from picofed.errors import PicofedError
from picofed.report import Summary, load, render, validate, write
from picofed.report import text as tx
from picofed.report.grids import bins_of
from picofed.report.svg import spread, ticks, whole_ticks

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
_BUDGET = 46567813  # epsilon 8 at delta 1e-5, privacy.md section 3


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


@pytest.mark.parametrize("name", CASES)
def test_page_is_well_formed(name: str) -> None:
    page = page_of(CASES[name])
    idents = [values["id"] for _, values in page.tags if "id" in values]
    assert len(idents) == len(set(idents))
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert not re.search(r"\b(nan|inf|None)\b", render(validate(CASES[name])).split("</style>")[1])


@pytest.mark.parametrize("name", CASES)
def test_page_fetches_nothing_and_runs_nothing(name: str) -> None:
    markup = render(validate(CASES[name]))
    assert not re.search(r"https?:|//|url\(|@import|javascript:|data:", markup)
    for tag, values in Page(markup).tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "use", "image", "form", "a")
        assert not {"src", "href", "xlink:href", "srcset", "action"} & set(values)
        assert not any(key.startswith("on") for key in values)


@pytest.mark.parametrize("name", CASES)
def test_every_coordinate_is_inside_the_view_box(name: str) -> None:
    drawings = page_of(CASES[name]).drawings
    assert drawings or name == "nothing yet"
    for attributes, shapes in drawings:
        _, _, width, height = map(float, attributes["viewbox"].split())
        for tag, v, words in shapes:
            for x, y in _extent(tag, v, words):
                assert -0.6 <= x <= width + 0.6, (name, attributes["aria-labelledby"], tag, v, words)
                assert -0.6 <= y <= height + 0.6, (name, attributes["aria-labelledby"], tag, v, words)


def _extent(tag: str, v: dict[str, str], words: str) -> list[tuple[float, float]]:
    """Corners of a shape; of a text too, by its estimated width."""
    if tag == "rect":
        x, y, w, h = (float(v[k]) for k in ("x", "y", "width", "height"))
        return [(x, y), (x + w, y + h)]
    if tag == "line":
        return [(float(v["x1"]), float(v["y1"])), (float(v["x2"]), float(v["y2"]))]
    if tag == "circle":
        x, y, r = float(v["cx"]), float(v["cy"]), float(v["r"])
        return [(x - r, y - r), (x + r, y + r)]
    if tag == "polyline":
        return [(float(x), float(y)) for x, y in (pair.split(",") for pair in v["points"].split())]
    if tag == "path":
        number = r"(-?[\d.]+)"
        corners = re.findall(rf"M{number} {number}h{number}v{number}h{number}z", v["d"])
        assert "".join(re.findall(r"M", v["d"])) == "M" * len(corners)
        return [
            p for x, y, w, h, _ in corners for p in ((float(x), float(y)), (float(x) + float(w), float(y) + float(h)))
        ]
    if tag == "text":
        x, y, long = float(v["x"]), float(v["y"]), tx.width(words, 12)
        start = x - {"start": 0.0, "middle": long / 2, "end": long}[v.get("text-anchor", "start")]
        return [(start, y - 10), (start + long, y + 1)]
    assert tag in ("title", "desc")
    return []


def test_charts_are_accessible() -> None:
    page = page_of(sample())
    known = {values["id"] for _, values in page.tags if "id" in values}
    assert len(page.drawings) >= 7 * 2
    for attributes, shapes in page.drawings:
        assert attributes["role"] == "img"
        assert set(attributes["aria-labelledby"].split()) <= known
        assert [tag for tag, _, _ in shapes][:2] == ["title", "desc"]
    tags = [tag for tag, _ in page.tags]
    assert tags.count("figure") == tags.count("details") == tags.count("figcaption") == 7
    assert tags.count("table") == tags.count("caption") == 8  # one behind each chart, and the boards
    assert all(values.get("scope") in ("col", "row") for tag, values in page.tags if tag == "th")
    assert ("html", {"lang": "en"}) in page.tags


def test_every_number_is_on_the_page() -> None:
    document = sample()
    words = page_of(document).text.replace(tx.THIN, " ").replace(tx.NBSP, " ")
    expected = [
        "79 %",
        "83 %",
        "16 %",
        "\u03b5 \u2264 8.00",
        "1e-5",
        "246 bytes",
        "1,288",
        "761",
        "7,312 bytes",
        "80 % less",
    ]
    expected += [
        "Accuracy on people never seen",
        "one 2-second window",
        "zero-out adjacency",
        "Nobody but the board.",
    ]
    expected += [
        "softmax 45-7",
        "322 parameters",
        "315",
        "4,096",
        "16,384",
        "FedBuff",
        "momentum 0.9",
        "0.1.0",
    ]
    expected += [
        "picofed demo --epsilon 8",
        "person 3, person 9",
        "The boards are emulated.",
        "8 boards",
        "40 rounds",
    ]
    expected += [
        f"{document['records']:,} records",
        "privacy costs 3.3 points",
        "Target: 8",
        "accumulators",
        "2,048",
    ]
    for v in document["versions"]:
        expected += [
            f"{100 * v['accuracy']:.1f} %",
            f"{100 * v['accuracy_nonprivate']:.1f} %",
            tx.epsilon(v["epsilon"]),
        ]
    for b in document["board_list"]:
        expected += [
            b["name"],
            b["board"],
            b["state"],
            tx.epsilon(b["epsilon_spent"]),
            f"{b['spent']:,}",
            f"{b['budget']:,}",
        ]
        expected += [str(b["records"]), str(b["releases"]), f"{b['bytes_up']:,}", f"{b['bytes_down']:,}"]
    expected += [str(n) for row in document["confusion"]["counts"] for n in row] + document["confusion"]["labels"]
    expected += ["74.1 %", "79.2 %", "82.3 %", "2.1 points", "none (no privacy)"]
    assert [one for one in expected if one not in words] == []


def test_hostile_text_stays_text() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=y>\"'&amp; \u202egnp.exe \x00\x1b[31m \ud800 "
    evil += "]]> </title></style>"
    document = sample(2, 2, 2)
    document["command"] = document["picofed"] = evil
    document["job"].update(name=evil, model=evil, aggregator=evil, optimiser=evil)
    document["ram"] = {evil: 5}
    document["confusion"]["labels"] = [evil, evil]
    document["held_out"] = document["notes"] = [evil]
    document["privacy"] = dict.fromkeys(document["privacy"], evil)
    for board in document["board_list"]:
        board.update(name=evil, board=evil, state=evil)
    markup = render(validate(document))
    markup.encode("utf-8")
    assert not re.search("[\u202e\x00\x1b]", markup)
    assert {tag for tag, _ in Page(markup).tags} == {tag for tag, _ in page_of(sample(2, 2, 2)).tags}
    assert markup.count("</style>") == 1 and "<script" not in markup and "<img" not in markup
    assert "<script>alert(1)</script>" in Page(markup).text


def test_what_is_unknown_is_said_not_made_up() -> None:
    words = page_of(CASES["nothing yet"]).text
    assert "not measured" in words and "No version has been made yet." in words
    assert "None" not in words


def test_infinite_epsilon_is_called_what_it_is() -> None:
    words = page_of(CASES["no bound"]).text
    assert "no privacy guarantee" in words and "no bound" in words
    assert "right at most" not in words


def test_missing_optional_keys_are_fine() -> None:
    document = sample()
    for key in OPTIONAL:
        del document[key]
    assert validate(document).curve == ()
    page_of(document)


def test_over_the_target_is_flagged() -> None:
    document = sample()
    document["epsilon_target"] = 4
    assert "Target: 4, exceeded" in page_of(document).text


def test_a_useless_model_is_flagged() -> None:
    document = sample()
    document["accuracy"] = 0.15
    assert "learned nothing of use" in page_of(document).text


def test_demo_page_is_small_and_always_the_same() -> None:
    summary = validate(sample(8, 40))
    assert len(render(summary).encode()) < 300_000
    assert render(summary) == render(summary)
    assert len(render(validate(sample(200, 60))).encode()) < 2_000_000


def test_light_dark_and_print() -> None:
    markup = render(validate(sample()))
    assert "prefers-color-scheme: dark" in markup and "@media print" in markup and 'name="viewport"' in markup


# --- summary.json


def test_load_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(sample()), encoding="utf-8")
    summary = load(path)
    assert isinstance(summary, Summary)
    assert summary == validate(sample())
    assert summary.curve[-1].epsilon == math.inf


def _set(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(sample(2, 2, 2))
    at: Any = document
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for p in parents:
        at = at[p]
    if value is KeyError:
        del at[last]
    else:
        at[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("format", 2, "format 2"),
        ("format", KeyError, "format"),
        ("seed", "7", "seed"),
        ("boards", 3, "board_list"),
        ("boards", True, "boards"),
        ("records", -1, "records"),
        ("records", 1.5, "records"),
        ("accuracy", 1.2, "accuracy"),
        ("accuracy", math.nan, "accuracy"),
        ("epsilon", -1, "epsilon"),
        ("epsilon", KeyError, "epsilon"),
        ("epsilon", math.nan, "epsilon"),
        ("epsilon", -math.inf, "epsilon"),
        ("delta", None, "delta"),
        ("delta", 2, "delta"),
        ("bytes_per_update", math.inf, "bytes_per_update"),
        ("job", [], "job"),
        ("job.model", None, "job.model"),
        ("versions", None, "versions"),
        ("versions.0.accuracy", None, "versions[0].accuracy"),
        ("versions.1.epsilon", KeyError, "versions[1].epsilon"),
        ("board_list.1.spent", "x" * 500, "board_list[1].spent"),
        ("board_list.0.contributions", {}, "board_list[0].contributions"),
        ("board_list.0.contributions.0.staleness", -1, "contributions[0].staleness"),
        ("confusion.counts", [[1, 2]], "confusion.counts"),
        ("confusion.counts", [[1, 2], [3]], "confusion.counts"),
        ("confusion.counts.0.1", "2", "confusion.counts[0][1]"),
        ("confusion.labels.0", 5, "confusion.labels[0]"),
        ("curve.0.epsilon", 0, "curve[0].epsilon"),
        ("curve.0.accuracy", None, "curve[0].accuracy"),
        ("ram", {"a\nb": -1}, "ram"),
        ("ram", {5: 1}, "ram"),
        ("held_out", "person", "held_out"),
        ("notes.0", 1, "notes[0]"),
        ("privacy", None, "privacy"),
        ("privacy.unit", 0, "privacy.unit"),
    ],
)
def test_malformed_summary_is_one_line(path: str, value: object, said: str) -> None:
    with pytest.raises(PicofedError) as caught:
        validate(_set(path, value))
    line = str(caught.value)
    assert said in line and "picofed demo" in line
    assert "\n" not in line and len(line) < 300


@pytest.mark.parametrize("document", [None, [], 5, "text", {}])
def test_not_even_an_object(document: object) -> None:
    with pytest.raises(PicofedError):
        validate(document)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b"[]"])
def test_load_of_a_broken_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "summary.json"
    path.write_bytes(content)
    with pytest.raises(PicofedError) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_load_of_no_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(PicofedError, match=r"nowhere\.json"):
        load(tmp_path / "nowhere.json")


# --- writing


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    summary = validate(sample())
    write(summary, path)
    assert path.read_text(encoding="utf-8") == render(summary)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


def test_write_that_fails_leaves_the_old_page_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PicofedError, match="No space left"):
        write(validate(sample()), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_write_into_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(PicofedError, match="name a folder"):
        write(validate(sample()), tmp_path / "none" / "report.html")


# --- numbers and places


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.00"),
        (8.0, "8.00"),
        (3.999990, "4.00"),
        (3.341411, "3.35"),
        (1e-9, "0.01"),
        (math.inf, "\u221e"),
        (1e9, "over 1e6"),
    ],
)
def test_epsilon_is_never_rounded_down(value: float, shown: str) -> None:
    assert tx.epsilon(value) == shown


def test_printed_spent_and_left_add_up() -> None:
    rng = random.Random(11)
    for _ in range(500):
        spent, left = rng.random() * 9, rng.random() * 9
        total = float(tx.epsilon(spent)) + float(tx.epsilon_left(spent, left))
        assert total == pytest.approx(float(tx.epsilon(spent + left)), abs=1e-9)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1 byte"),
        (986, "986 bytes"),
        (7312, "7,312 bytes"),
        (12_400, "12.4 kB"),
        (999_700, "1 MB"),
        (246.5, "246.5 bytes"),
    ],
)
def test_sizes(value: float, shown: str) -> None:
    assert tx.size(value).replace(tx.NBSP, " ") == shown


def test_savings_are_not_flattered() -> None:
    assert tx.saving(201, 1000) == f"79{tx.THIN}% less"
    assert tx.saving(1001, 1000) == f"1{tx.THIN}% more"
    assert tx.saving(None, 1000) is None and tx.saving(5, 0) is None


def test_chance_of_a_right_guess() -> None:
    boards = validate(sample(2, 4)).board_list
    mu = math.sqrt(max(b.spent for b in boards) / 2**24)
    assert tx.guess_bound(boards) == pytest.approx(NormalDist().cdf(mu / 2))
    assert tx.guess_bound(()) is None


def test_names_are_shortened_in_the_middle() -> None:
    short = tx.fit("a board in the very last room 17", 12, 100)
    assert short.startswith("a board") and short.endswith("17") and tx.width(short, 12) <= 100
    assert tx.fit("watch-10", 12, tx.width("watch-10", 12) + 10 - 10) == "watch-10"


def test_ranges() -> None:
    assert tx.ranges([3, 1, 2, 2, 7]) == "1\u20133, 7"


def test_ticks_cover_and_are_round() -> None:
    assert ticks(8, 4) == [0, 2, 4, 6, 8]
    assert ticks(0, 4) == [0, 1]
    assert whole_ticks(1, 40, 4) == [10, 20, 30, 40]
    assert whole_ticks(3, 3, 4) == [3]
    rng = random.Random(2)
    for _ in range(300):
        high = 10 ** rng.uniform(-6, 9)
        marks = ticks(high, rng.randrange(2, 9))
        assert marks[-1] >= high * (1 - 1e-6) and len(marks) <= 22


def test_labels_that_would_overlap_move_apart() -> None:
    placed = spread([50, 50, 51, 300], 16, 14, 280)
    assert all(b - a >= 15.999 for a, b in zip(sorted(placed), sorted(placed)[1:], strict=False))
    assert max(placed) <= 280


def test_many_versions_share_columns() -> None:
    first, per_column, columns = bins_of(list(range(1, 2001)), 220)
    assert first == 1 and columns <= 55 and per_column * columns >= 2000
