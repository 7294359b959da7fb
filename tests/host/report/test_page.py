"""The page: well-formed, self-contained, complete, and honest about what is not known."""

from __future__ import annotations

import re

import pytest
from picofed.report import render, validate
from picofed.report import text as tx
from report_samples import CASES, OPTIONAL, Page, page_of, sample


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


def test_a_run_that_nobody_metered_or_evaluated_claims_neither() -> None:
    """What `picofed report` knows of a job that `picofed run` ran."""
    document = sample() | {"bytes_down_per_round": None, "versions": [], "accuracy": None}
    for board in document["board_list"]:
        board["bytes_down"] = 0
    words = page_of(document).text
    assert "No version has been made yet" not in words and "--data" in words
    assert "frames included" not in words and "to them" not in words and "bytes of updates" in words
    assert "Of RAM for the trainer" in words
    assert "frames included" in page_of(sample()).text and "to them" in page_of(sample()).text


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


def test_the_conditional_epsilon_stands_beside_the_boards_own() -> None:
    page = render(validate(sample() | {"epsilon_distributed": 1.2344, "honest": 5}))
    assert f"if 5 boards of each and the helper are honest: {tx.epsilon(1.2344)}." in page
    assert "and the helper are honest" not in render(validate(sample()))
