"""docs/jobs.md knows every setting that a job file may have, and says its default right."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from picofed.learn import jobfile
from picofed.learn.job import Plan

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "jobs.md").read_text("utf-8")
FILES = [tomllib.loads(text) for text in re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]
EXAMPLE = FILES[0]


def test_every_setting_is_documented() -> None:
    known = {key for keys in jobfile._SECTIONS.values() for key in keys} | {field.name for field in fields(Plan)}
    shown = set(re.findall(r"^(\w+) =", TEXT, re.MULTILINE)) | set(re.findall(r"`\[?(\w+)\]?[`, ]", TEXT))
    shown |= {section for file in FILES for section in file}
    assert known <= shown, known - shown


def test_the_defaults_shown_are_the_defaults() -> None:
    assert set(EXAMPLE["server"]) == {field.name for field in fields(Plan)} - {"epsilon", "delta"}
    shown = {**EXAMPLE["server"], "delta": EXAMPLE["privacy"]["delta"], "rounds": 20}
    assert {key: getattr(Plan(), key) for key in shown} == shown
    spare = {"name": "x", "records": {"window": 100, "labels": 4}, "privacy": {"epsilon": 8.0, "delta": 1e-5}}
    records = {**EXAMPLE, "privacy": spare["privacy"], "server": {}, "name": "x"}
    assert jobfile.parse(spare) == jobfile.parse(records)
