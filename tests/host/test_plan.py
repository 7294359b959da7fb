"""picofed plan: the numbers hold together, and accuracy goes the way that privacy says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commandline import program
from picofed import accounting
from picofed.distributed import epsilon_of_sums
from picofed.errors import PicofedError
from picofed.learn.modulus import fit
from picofed.planning import HELD_OUT, deal, explore
from picofed.simulation.dataset import Pool


@pytest.fixture
def pool(rng: np.random.Generator) -> Pool:
    labels = rng.integers(0, 3, 400)
    centres = rng.normal(size=(3, 20)) * 40
    features = np.clip(np.rint(centres[labels] + rng.normal(size=(400, 20)) * 40), -127, 127)
    return Pool(features.astype(np.int8), labels.astype(np.uint8))


def test_held_out_records_are_nobodys(pool: Pool) -> None:
    clients = deal(pool, 5, 100, 1)  # more than there are: some are drawn again
    held = {row.tobytes() for row in clients.pop(HELD_OUT).features}
    assert len(clients) == 5 and all(len(one.labels) == 100 for one in clients.values())
    assert len(held) == 80 and not held & {row.tobytes() for one in clients.values() for row in one.features}
    assert sum(one.features.tobytes() == clients["board-0"].features.tobytes() for one in clients.values()) == 1


def test_choices_spend_the_budget_and_say_what_it_means(pool: Pool) -> None:
    found = explore(pool, 6, 40, 4.0, rounds=(4, 8), honest=3, seeds=2)
    assert [one.rounds for one in found] == [4, 8]
    for one in found:
        assert one.charge_units == accounting.charge(one.clip_norm, one.log2_sigma)
        assert one.budget_units == one.rounds * one.charge_units <= accounting.budget(4.0, 1e-5)
        assert 3.9 < one.epsilon <= 4.0 and one.noise_multiplier == 2.0**one.log2_sigma / one.clip_norm
        shift, _ = fit(one.clip_norm, one.log2_sigma, records=6 * 40, boards=6)  # of the job that is then made
        least = epsilon_of_sums(one.budget_units, 0, 1e-5, 3, one.log2_sigma, shift)
        assert one.epsilon_distributed is not None and least <= one.epsilon_distributed < 0.7 * one.epsilon
    assert explore(pool, 6, 40, 4.0, rounds=(4,), seeds=1)[0].epsilon_distributed is None


def test_boards_that_add_their_share(pool: Pool) -> None:
    """The goal is met by the sums, each board by itself spends more, and there is more to learn from."""
    whole, part = (explore(pool, 6, 40, 0.2, rounds=(8,), honest=5, seeds=3, share=share)[0] for share in (False, True))
    assert part.epsilon_distributed is not None and 0.199 < part.epsilon_distributed <= 0.2
    assert whole.epsilon <= 0.2 < 2 * 0.2 < part.epsilon
    assert part.budget_units == pytest.approx(5 * accounting.budget(0.2, 1e-5), rel=0.01)
    assert part.noise_multiplier == pytest.approx(whole.noise_multiplier / 5**0.5, rel=0.01)
    assert part.accuracy > whole.accuracy
    with pytest.raises(PicofedError, match="honest"):
        explore(pool, 6, 40, 0.2, rounds=(8,), share=True)
    with pytest.raises(PicofedError, match="worth the name"):
        explore(pool, 6, 40, 20.0, rounds=(8,), honest=6, share=True)


def test_less_noise_is_expected_to_learn_more(pool: Pool) -> None:
    tight, loose = (explore(pool, 6, 40, epsilon, rounds=(8,), seeds=3)[0].accuracy for epsilon in (0.05, 20.0))
    assert loose > tight + 0.1


@pytest.mark.parametrize(
    "arguments", [(0, 5, 4.0, 0), (3, 0, 4.0, 0), (3, 5, 4.0, 4), (3, 5, -1.0, 0), (1 << 20, 9, 4.0, 0)]
)
def test_plans_that_make_no_sense_are_refused(pool: Pool, arguments: tuple[int, int, float, int]) -> None:
    boards, records, epsilon, honest = arguments
    with pytest.raises(PicofedError):
        explore(pool, boards, records, epsilon, honest=honest, rounds=(2,))


def test_the_command_prints_what_it_explored(pool: Pool, tmp_path: Path) -> None:
    np.savez(tmp_path / "proxy.npz", features=pool.features, labels=pool.labels)
    words = ["plan", "--boards", "4", "--records", "30", "--data", "proxy.npz", "--rounds", "3"]
    words += ["--honest", "2", "--seeds", "1"]
    told, listed, offered = (program(*words, *more, cwd=tmp_path) for more in ((), ("--json",), ("--share",)))
    assert [done.returncode for done in (told, listed, offered)] == [0, 0, 0], told.stderr + listed.stderr
    text, item, shared = told.stdout, json.loads(listed.stdout), offered.stdout
    choice = item["choices"][0]
    assert item["best_rounds"] == 3 and str(choice["budget_units"]) in text and f"{choice['accuracy']:.3f}" in text
    options = re.search(r"policies with (.*) allow it", " ".join(shared.split()))
    assert options is not None
    assert options[1].startswith("--honest 2 --cohort 2 (or more) --min-log2-sigma ") and "--releases 3" in options[1]
    wrong = program(*words, "--honest", "9", cwd=tmp_path)
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1
