"""The page for a data-protection officer: what it says follows from the store, and it survives hostile names."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import os
import re
import stat
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commandline import program
from picofed import accounting, native
from picofed.errors import PicofedError
from picofed.learn.job import Job
from picofed.learn.model import Model
from picofed.learn.updates import Update
from picofed.privacy import page
from picofed.privacy.statement import load_audit, state
from picofed.store import Store, Version

CHARGE = accounting.charge(1 << 18, 20)
AUDIT = {
    "passed": True, "epsilon_claimed": 3.3414, "epsilon_lower_bound": 1.5029, "delta": 1e-5, "mu_claimed": 0.79,
    "mu_estimate": 0.78, "mu_standard_error": 0.015, "canaries": 20460, "releases": 10, "clip_norm": 1 << 18,
    "log2_sigma": 20, "seed": 1, "findings": [],
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two boards, one of which has released three times, the other once; a third that was only seen."""
    found = Store(tmp_path / "store.db")
    model = Model.dense([45, 7])
    job = Job(name="<i>watch</i>", model=model, clip=1 << 18, log2_sigma=20, window=100, stride=100, labels=7)
    found.add_job(job.id, job.name, job.body)
    found.start(job.id, Version(0, b"", b"", b""))
    for number, releases in ((1, 3), (2, 1), (3, 0)):
        board, key = bytes([number] * 8), bytes([number] * 32)
        found.seen(board=board, name=f"board {number} <script>", port="", seq=1, spent=0, budget=10 * CHARGE)
        for release in range(releases):
            values = native.update_encode([0] * 322, 19)
            update = Update(0, 20, release + 2, 0, 150, 1 << 18, 1, (release + 1) * CHARGE, job.id, board, values)
            found.accept(
                board=board, seq=release + 2, update_id=bytes([number, release]) * 4, job=job.id, version=0,
                data=update.pack(key), spent=update.cumulative,
            )  # fmt: skip
    yield found
    found.close()


class Checker(HTMLParser):
    """That every element that is opened is closed, and nothing is fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "link", "iframe", "i")
        assert not any(name in ("src", "href") or name.startswith("on") for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("line", "rect", "circle", "polyline", "path")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_facts_are_the_stores(store: Store) -> None:
    statement = state(store, 1e-5)
    first, second, third = statement.boards
    assert [board.releases for board in statement.boards] == [3, 1, 0]
    assert [round(p.epsilon, 6) for p in first.history] == [
        round(accounting.epsilon(accounting.mu_squared_of(n * CHARGE), 1e-5, 322 * (n + 1)), 6) for n in (1, 2, 3)
    ]
    assert first.spent == first.history[-1].epsilon > second.spent > 0.0 <= third.spent < 1e-12
    assert first.mu == math.sqrt(3 * CHARGE / 2**24) and statement.audit is None
    [job] = statement.jobs
    assert (job.trained, job.releases, job.unit) == (322, 4, "2-second window")


@pytest.mark.parametrize("audit", [None, AUDIT, AUDIT | {"passed": False, "mu_estimate": None, "findings": ["<b>"]}])
def test_the_page_is_whole_and_says_what_it_must(store: Store, audit: dict[str, object] | None) -> None:
    text = page.render(state(store, 1e-5, audit))
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    for words in (
        "2-second window",
        "replaced by zero",
        "if you trust",
        "Never leaves",
        "board 1 &lt;script&gt;",
    ):
        assert words in text, words
    assert len(re.findall(r'<polyline [^>]*class="l ', text)) == 3 * 2  # two boards with releases, at three widths
    if audit is None:
        assert "not audited" in text
    else:
        assert "at least 1.502" in text and ("FAILED" in text) == (not audit["passed"])


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)))


def test_jobs_that_never_released_are_not_what_left(store: Store) -> None:
    """Also one that was set up again under its name is listed once."""
    for name, outputs in (("<i>watch</i>", 7), ("rev", 3), ("rev", 4)):
        job = Job(name=name, model=Model.dense([45, outputs]), clip=1 << 18, log2_sigma=21, window=50, stride=50,
                  labels=outputs)  # fmt: skip
        store.add_job(job.id, job.name, job.body)
    statement = state(store)
    again = dataclasses.replace(statement, jobs=statement.jobs + statement.jobs[:1])
    text = _words(page.render(again))
    assert "rev" not in text and "1-second" not in text and "sigma 2^21" not in text
    assert len(re.findall(r"322\snumbers a release", text)) == 1 and text.count("sigma 2^20") == 1
    assert "took part in: &lt;i&gt;watch&lt;/i&gt;." in text


@pytest.mark.parametrize(
    ("change", "tile", "said"),
    [
        ({}, False, "The jobs here ran at this clipping norm and noise; the most that a board released is 3 times."),
        ({"releases": 2}, False, "released is 3 times, more than was audited."),
        ({"clip_norm": 1 << 17}, True, "That is NOT what ran here: &lt;i&gt;watch&lt;/i&gt; (clipping norm 262,144"),
        ({"log2_sigma": 19}, True, "Gaussian noise of sigma 2^20). Audit that job's file"),
    ],
)
def test_the_audit_is_compared_with_what_ran(store: Store, change: dict[str, object], tile: bool, said: str) -> None:
    page_text = page.render(state(store, 1e-5, AUDIT | change))
    text = html.unescape(_words(page_text)).replace("<", "&lt;").replace(">", "&gt;")
    assert said in text
    assert ("But a job ran at another clipping norm or noise" in text) == tile
    assert page_text.count('class="card tile alarm"') == tile
    assert f"--clip-norm {change.get('clip_norm', 1 << 18)} --log2-sigma {change.get('log2_sigma', 20)}" in text


@pytest.mark.parametrize(
    ("findings", "said"),
    [(["mu is 2", "epsilon too"], "FAILED: mu is 2; epsilon too."), ([], "FAILED; its file does not say why.")],
)
def test_a_failed_audit_says_why_or_that_it_does_not(store: Store, findings: list[str], said: str) -> None:
    assert said in page.render(state(store, 1e-5, AUDIT | {"passed": False, "findings": findings}))


def test_what_leaving_a_record_out_changed_is_told(store: Store) -> None:
    through = {"largest_contribution": 0.99991, "models": [{"widths": [45, 16, 7]}]}
    text = _words(page.render(state(store, 1e-5, AUDIT | through)))
    assert "0.9999 of the clipping norm, through 45-16-7" in text and "picofed audit JOB --canaries 20460" in text
    text = _words(page.render(state(store, 1e-5, AUDIT | through | {"hidden": [16]})))
    assert "picofed audit --canaries 20460 --clip-norm" in text and "--hidden 16" in text


def test_eight_boards_are_laid_out_for_one_sheet(store: Store) -> None:
    """What makes them fit, as no tool here counts pages: paper of its own, small type, the two columns side by side,
    nothing folded away that would open on paper, and all boards in one table."""
    for number in range(4, 9):
        store.seen(board=bytes([number] * 8), name=f"board {number}", port="", seq=1, spent=0, budget=10 * CHARGE)
    text = page.render(state(store, 1e-5, AUDIT))
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    paper = style[style.rindex("@media print") :]
    assert "size: A4 portrait" in paper and ".pair { grid-template-columns: repeat(2," in paper
    assert all(float(size) <= 8 for size in re.findall(r"(?:body|table|dl) \{ font-size: ([\d.]+)pt", paper))
    assert "<details" not in text and text.count('<div class="pair') == 2
    assert len(re.findall(r'<th scope="row"[^>]*>board \d', text)) == 8


def test_a_saturated_ledger_is_no_number(store: Store) -> None:
    store.seen(board=bytes([1] * 8), name="full", port="", seq=9, spent=2**32 - 1, budget=2**32 - 1)
    text = page.render(state(store))
    assert "\u221e" in text and "alarm" in text


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", json.dumps(AUDIT | {"passed": 1}), json.dumps(AUDIT | {"canaries": "many"}), "[" * 100_000,
     json.dumps(AUDIT | {"findings": "mu"}), json.dumps(AUDIT | {"findings": [1]}),
     json.dumps(AUDIT | {"hidden": ["8"]}),
     json.dumps(AUDIT | {"models": [3]}), json.dumps(AUDIT | {"largest_contribution": "x"}),
     json.dumps(AUDIT | {"mu_estimate": "x"}),
     json.dumps(AUDIT | {"delta": float("nan")})],
)  # fmt: skip
def test_what_is_no_audit_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    path.write_text(content)
    with pytest.raises(PicofedError, match="not the JSON of picofed audit"):
        load_audit(path)


def test_a_site_without_boards_is_one_line(tmp_path: Path) -> None:
    Store(tmp_path / "store.db").close()
    done = program("privacy-report", "--site", tmp_path, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1) and "not seen a board" in done.stderr


def test_a_page_goes_into_a_pipe_as_it_stands(store: Store, tmp_path: Path) -> None:
    """Renaming over a device would take it away for everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    done = program("privacy-report", "--site", tmp_path, "--output", pipe, timeout=60)
    assert done.returncode == 0 and stat.S_ISFIFO(pipe.lstat().st_mode)
    reader.join(30)
    assert read and read[0].startswith(b"<!DOCTYPE html>") and read[0].endswith(b"</html>\n")
