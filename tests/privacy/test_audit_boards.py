"""Records left out of whole models through emulated boards: what picofed audit --board --hidden measures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import program
from picofed import accounting
from picofed.learn.job import Job
from picofed.learn.model import Model, Rectangle
from picofed.privacy import audited_board, neighbours, neighbours_on_board
from picofed.privacy.audit import audit
from picofed.privacy.canaries import Setting
from picofed.privacy.one_run import AuditError
from planted_bugs import BUGS

Plant = Callable[[Mapping[str, tuple[str, str]]], Path]


def told(*arguments: str) -> dict[str, Any]:
    """What `picofed audit --json` says."""
    done = program("audit", "--json", *arguments, timeout=300)
    assert done.returncode == 0, done.stderr
    item: dict[str, Any] = json.loads(done.stdout)
    return item


@pytest.mark.slow
@pytest.mark.parametrize("setting", [Setting(1 << 18, 20, 10), Setting((1 << 20) - 1, 25, 1)])
def test_records_left_out_on_boards_change_what_clipping_allows_through_all_layers(setting: Setting) -> None:
    found = neighbours_on_board.measure("unix", neighbours_on_board.job_of([12, 8], setting), setting, 4)
    assert found.findings == () and 0.98 < found.largest <= 1
    assert found.models == (((45, 12, 8, 7), 3, 3),)
    assert found.records == neighbours_on_board.ROUNDS * neighbours.RECORDS


@pytest.mark.slow
def test_an_audit_through_boards_has_a_model_of_several_layers_where_one_is_asked_for() -> None:
    """And says as much in JSON as an audit of the compiled core."""
    found = told("--board", "unix", "--canaries", "372", "--hidden", "8", "--releases", "2", "--seed", "1")
    known = audit(Setting(1 << 18, 20, 2), canaries=1023, models=[]).as_dict()
    assert found["passed"] and found["findings"] == [] and set(found) == set(known)
    assert found["hidden"] == [8]
    assert found["models"] == [{"widths": [45, 8, 7], "layers_moved": 2, "layers_trained": 2}]
    assert found["records_left_out"] == neighbours_on_board.ROUNDS * neighbours.RECORDS
    assert 0.98 < found["largest_contribution"] <= 1
    assert found["units"] == 2 * accounting.charge(1 << 18, 20)  # the canaries': other boards make other releases


@pytest.mark.slow
def test_the_compiled_core_is_audited_through_the_layers_that_are_asked_for() -> None:
    found = told("--canaries", "1023", "--hidden", "12", "--hidden", "8", "--releases", "2", "--seed", "1")
    assert found["models"] == [{"widths": [45, 12, 8, 7], "layers_moved": 3, "layers_trained": 3}]
    assert found["records_left_out"] == neighbours.ROUNDS * neighbours.RECORDS and found["board"] is None


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["clipping sees the lowest layer alone", None])
def test_a_bug_of_several_layers_is_found_through_boards(
    bug: str | None, monkeypatch: pytest.MonkeyPatch, planted_module: Plant
) -> None:
    """In their native module, where canaries, of one layer, see nothing; and the planting itself is none."""
    changes, words = ({}, "") if bug is None else BUGS[bug]
    module = planted_module(changes)
    monkeypatch.setattr(audited_board, "natmod", lambda arch: module)
    monkeypatch.setattr(neighbours_on_board, "ROUNDS", 2)
    monkeypatch.setattr(neighbours_on_board, "RECORDS", 5)
    setting = Setting(1 << 18, 20, 2)
    result = audit(setting, canaries=372, seed=1, board="unix", hidden=[8])
    assert result.neighbours is not None and (result.neighbours.largest > 1) == (bug is not None)
    assert [words in finding for finding in result.findings] == [True] * (bug is not None), result.findings


@pytest.mark.slow
def test_a_job_file_is_audited_through_boards_with_its_own_model(tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        'name = "audited"\n[model]\nhidden = [6]\n[records]\nwindow = 32\nlabels = 3\n'
        "[privacy]\nclip_norm = 262144\nlog2_sigma = 20\n[server]\nrounds = 2\n"
    )
    found = told(str(job), "--board", "unix", "--canaries", "372", "--seed", "1")
    assert found["passed"] and found["hidden"] == [] and found["releases"] == 2
    assert found["models"] == [{"widths": [45, 6, 3], "layers_moved": 2, "layers_trained": 2}]


@pytest.mark.slow
def test_a_job_is_audited_through_boards_with_its_own_records_and_without_its_masks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = Setting(1 << 19, 20, 3, 4)
    model = Model((42, 10, 6), "squared", (Rectangle(2, 9, 3, 12, bias=False), Rectangle(0, 6, 0, 10)))
    job = Job(
        "audited", model, 1, 20, 32, 40, 0, round_shift=4, features="blocks", target="next", block=4, horizon=1,
        mask_bits=26,
    )  # fmt: skip
    monkeypatch.setattr(neighbours_on_board, "ROUNDS", 4)
    shown = list[tuple[int, int]]()
    found = neighbours_on_board.measure("unix", job, setting, 2, lambda *done: shown.append(done))
    assert found.findings == () and found.models == (((42, 10, 6), 2, 2),) and 0.9 < found.largest <= 1
    assert shown == [(done, 12 * 4 + 1) for done in range(12 * 4 + 2)]


@pytest.mark.slow
def test_boards_whose_noise_does_not_repeat_are_not_subtracted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two noises less one another would be taken for what a record changes."""
    right = neighbours_on_board.audited_board

    def other(kind: str, ident: bytes, job: Job, sessions: Any, releases: int, secret: bytes, entropy: Any) -> Any:
        return right(kind, ident, job, sessions, releases, secret, None)

    monkeypatch.setattr(neighbours_on_board, "audited_board", other)
    monkeypatch.setattr(neighbours_on_board, "ROUNDS", 1)
    monkeypatch.setattr(neighbours_on_board, "RECORDS", 3)
    setting = Setting(1 << 18, 20, 1)
    with pytest.raises(AuditError, match="nothing can be subtracted"):
        neighbours_on_board.measure("unix", neighbours_on_board.job_of([8], setting), setting, 1)


def test_records_that_change_nothing_are_no_audit() -> None:
    model = Model.dense((2, 2, 2))
    found = neighbours.judge([(model, [np.zeros(12)] * 3)], 100)
    assert found.findings == ("no record changes a release of the model 2-2-2: this audit measured nothing",)
