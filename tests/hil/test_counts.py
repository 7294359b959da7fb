"""benchmarks/boards.md, measured again: all of it on the kind that is quickest, two rows on others."""

from __future__ import annotations

import sys

import pytest
from picofed.toolchain.layout import repo_root

sys.path.insert(0, str(repo_root() / "benchmarks"))

import on_boards
from counts import jobs
from counts.measure import KINDS, Counter

pytestmark = pytest.mark.slow
MODEL = "softmax 45-7"


@pytest.mark.parametrize("kind", ["rp2040js", "qemu_rv32"])
def test_an_example_and_its_noise_cost_what_the_document_says(kind: str) -> None:
    assert kind in KINDS
    with Counter(kind) as board:
        accumulators, noise, examples = board.example(MODEL)
    assert accumulators == jobs.MODELS[MODEL].parameters
    measured = {
        f"{MODEL}: an example": round(examples / jobs.RECORDS),
        f"{MODEL}: noise and {jobs.RECORDS} examples": noise + examples,
    }
    assert on_boards.differences(on_boards.committed()[kind], measured) == []


def test_calls_rounds_cryptography_heap_and_stack_cost_what_the_document_says() -> None:
    kind = "qemu_m3"
    measured = on_boards.measure(kind)
    assert set(measured) == set(on_boards.committed()[kind])
    assert on_boards.differences(on_boards.committed()[kind], measured) == []


def test_a_change_of_more_than_two_per_cent_is_told() -> None:
    old = {"a": 1000, "b": None, "c": 5}
    assert on_boards.differences(old, {"a": 1020, "b": None, "c": 5}) == []
    assert len(on_boards.differences(old, {"a": 1021, "b": 1, "c": None, "d": 1})) == 4


def test_a_part_of_a_round_may_differ_by_what_the_heap_does_its_memory_may_not() -> None:
    old = {"motion: noise": 338_000, "motion: heap at most": 36_000}
    assert on_boards.differences(old, {"motion: noise": 351_000, "motion: heap at most": 36_000}) == []
    assert len(on_boards.differences(old, {"motion: noise": 389_000, "motion: heap at most": 37_000})) == 2
