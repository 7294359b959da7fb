"""picofed audit: passes on the core as it is, fails on cores with a planted bug."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import program
from picofed import accounting, native
from picofed.cli.audit import Pace
from picofed.privacy import audited_board, canaries, neighbours
from picofed.privacy.audit import audit
from picofed.privacy.canaries import Setting
from picofed.privacy.one_run import AuditError, best_guesses, epsilon_lower_bound, probability
from picofed.toolchain.build import mpy_cross
from planted_bugs import BUGS
from scipy import stats

ROOT = Path(__file__).parents[2]
Run = Callable[[Mapping[str, tuple[str, str]], list[str]], subprocess.CompletedProcess[str]]
picofed = partial(program, timeout=300)
ARGUMENTS = ["audit", "--json", "--canaries", "10000", "--seed", "7"]


# ---- the statistics ----------------------------------------------------------------------------------------------


def test_the_bound_is_the_published_one() -> None:
    assert epsilon_lower_bound(1000, 100, 75, 1e-4) == pytest.approx(0.6730, abs=1e-4)
    assert epsilon_lower_bound(100_000, 1510, 1439, 1e-5) == pytest.approx(2.6759, abs=1e-4)


@pytest.mark.parametrize(("canaries", "made", "right"), [(10, 10, 10), (500, 200, 130), (5000, 300, 0), (40, 1, 1)])
def test_the_probability_is_that_of_its_formula(canaries: int, made: int, right: int) -> None:
    """Against scipy's binomial, term by term."""
    for epsilon, delta in ((0.0, 0.0), (0.7, 1e-4), (3.0, 1e-2)):
        law = stats.binom(made, 1 / (1 + math.exp(-epsilon)))
        alpha = max((law.cdf(right - 1) - law.cdf(right - i - 1)) / i for i in range(1, right + 1)) if right else 0
        wanted = min(1.0, law.sf(right - 1) + 2 * canaries * delta * alpha)
        assert probability(canaries, made, right, epsilon, delta) == pytest.approx(wanted, rel=1e-9, abs=1e-300)


def test_guessing_right_as_often_as_epsilon_allows_shows_no_more() -> None:
    """Randomised response is exactly epsilon-DP: over many audits the bound exceeds epsilon as rarely as it says."""
    generator, epsilon, above = np.random.default_rng(5), 1.5, 0
    for _ in range(400):
        truth = generator.random(300) < 0.5
        kept = generator.random(300) < 1 / (1 + math.exp(-epsilon))
        scores = np.where(truth == kept, 1.0, -1.0) * generator.random(300)
        above += best_guesses(scores, truth, 0.0, 0.05, (20, 100, 300)).epsilon > epsilon
    assert above <= 35  # 20 expected at most; more than 35: once in a thousand


@pytest.mark.parametrize(
    "arguments", [(10, 11, 5, 1e-5), (10, 5, 6, 1e-5), (10, 5, 5, 1.0), (10, 5, -1, 1e-5), (10, 5, 5, 1e-5, 0.0)]
)
def test_what_is_no_audit_is_refused(arguments: tuple[int, int, int, float]) -> None:
    with pytest.raises(AuditError):
        epsilon_lower_bound(*arguments)


# ---- the canaries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [16, 17, 100, 1000, 5000, 65_537, 1 << 18, 999_999, (1 << 20) - 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_canary_adds_what_the_auditor_expects_and_all_that_clipping_allows(clip_norm: int, sign: int) -> None:
    value = canaries.amplitude(clip_norm)
    delta = sign * min(16383, 255 * value)
    scaled, _, after = native.clip([np.array([value])], [np.array([delta])], clip_norm)
    assert after <= clip_norm**2  # with a bias in the norm; the canary's model trains none
    added = canaries.contribution(clip_norm)
    assert 0.9 * clip_norm <= added <= clip_norm and added >= abs(int(scaled[0][0])) * value


def test_every_canary_has_a_coordinate_of_its_own() -> None:
    """What is left when the expected contributions are taken away is noise of the claimed variance, and no more."""
    [board] = canaries.boards(Setting(1 << 18, 15, 2), 1023, seed=3)
    assert board.units == 2 * accounting.charge(1 << 18, 15)
    assert np.abs(board.noise).max() < 7 * 32768  # C is 2^18: one canary in the wrong place would stand out
    assert np.abs(board.noise.var(axis=1) / 32768**2 - 1).max() < 0.15
    assert 400 < board.included.sum() < 620


@pytest.mark.parametrize("setting", [Setting(1 << 18, 20, 10), Setting((1 << 20) - 1, 25, 1), Setting(5000, 6, 1)])
def test_records_left_out_change_what_clipping_allows_through_all_layers(setting: Setting) -> None:
    """With and without an image of the frozen layer. Nearly all of C is reached, so that there was something to see."""
    found = neighbours.measure(neighbours.MODELS, setting, 4)
    assert found.findings == () and 0.98 < found.largest <= 1
    assert found.records == 3 * neighbours.ROUNDS * neighbours.RECORDS
    assert [moved == trained for _, moved, trained in found.models] == [True] * 3


def test_a_norm_that_is_charged_for_less_is_seen_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that clips at C + 1/1000 C."""
    begin = native.Trainer.begin
    monkeypatch.setattr(
        native.Trainer, "begin", lambda self, key, sigma, clip: begin(self, key, sigma, clip * 1001 // 1000)
    )
    found = neighbours.measure(neighbours.MODELS[:1], Setting(1 << 18, 20, 1), 4)
    assert 1 < found.largest <= 1.001
    [finding] = found.findings
    assert "of the model 45-16-7 by 1.00" in finding


def test_too_small_a_clipping_norm_is_refused() -> None:
    with pytest.raises(AuditError, match="too small"):
        audit(Setting(1, 6, 1))


# ---- the command -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_core_passes(seed: int) -> None:
    result = audit(Setting(1 << 18, 20, 10), seed=seed)
    assert result.passed, result.findings
    assert 1.0 < result.epsilon_lower_bound < result.epsilon_claimed == pytest.approx(3.341411, abs=1e-5)
    assert abs(result.mu.excess()) < 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["--releases", "1", "--clip-norm", "1048575", "--log2-sigma", "20"],
        ["--clip-norm", "500", "--log2-sigma", "9", "--releases", "3"],
    ],
)
def test_other_settings_pass_and_fresh_randomness_too(arguments: list[str]) -> None:
    done = picofed("audit", "--json", *arguments)
    told = json.loads(done.stdout)
    assert (done.returncode, told["passed"], told["findings"], told["seed"]) == (0, True, [], None)
    assert {"epsilon_claimed", "epsilon_lower_bound", "mu_claimed", "mu_estimate"} <= set(told)


@pytest.mark.slow
def test_an_audit_repeats_to_the_bit_and_says_what_it_did() -> None:
    first, second = (picofed(*ARGUMENTS) for _ in range(2))
    assert first.stdout == second.stdout and first.returncode == 0
    shown = picofed("audit", "--canaries", "10000", "--seed", "7").stdout
    told = json.loads(first.stdout)
    assert "epsilon claimed   3.342" in shown and f"above {told['epsilon_lower_bound']:.3f}" in shown
    assert "passed" in shown


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, planted: Run) -> None:
    changes, words = BUGS[bug]
    done = planted(changes, ARGUMENTS)
    told = json.loads(done.stdout)
    print(bug, told["epsilon_claimed"], told["epsilon_lower_bound"], told["mu_claimed"], told["mu_estimate"])
    assert done.returncode == 3 and told["passed"] is False
    assert any(words in finding for finding in told["findings"]), told["findings"]
    assert len(done.stderr.splitlines()) == 1 and "the audit failed" in done.stderr
    assert (told["largest_contribution"] > 1) == bug.startswith("clipping")
    if bug in ("noise times 0.35", "clipping off", "seed reused"):
        assert told["epsilon_lower_bound"] > told["epsilon_claimed"]


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["[]", "[8]", "[12, 8]"])
def test_a_bug_of_several_layers_is_found_through_the_jobs_own_model(hidden: str, planted: Run, tmp_path: Path) -> None:
    """And is none where there is one layer."""
    job = tmp_path / "job.toml"
    job.write_text(
        f'name = "audited"\n[model]\nhidden = {hidden}\n[records]\nwindow = 100\nlabels = 7\n'
        "[privacy]\nclip_norm = 262144\nlog2_sigma = 20\n[server]\nrounds = 3\n"
    )
    changes, words = BUGS["clipping sees the lowest layer alone"]
    done = planted(changes, ["audit", str(job), "--json", "--canaries", "2000", "--seed", "1"])
    told = json.loads(done.stdout)
    layers = 1 + len(json.loads(hidden))
    [model] = told["models"]
    assert model == {"widths": [45, *json.loads(hidden), 7], "layers_moved": layers, "layers_trained": layers}
    assert told["passed"] is (layers == 1) and done.returncode == (0 if layers == 1 else 3)
    assert [words in finding for finding in told["findings"]] == [True] * (layers > 1)


@pytest.mark.slow
def test_the_planting_itself_changes_nothing(planted: Run) -> None:
    """The same way of building, without a bug: the same audit as of the installed core, to the bit."""
    done = planted({}, ARGUMENTS)
    assert done.returncode == 0 and done.stdout == picofed(*ARGUMENTS).stdout


@pytest.mark.slow
def test_a_job_is_audited_at_its_own_noise(tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        'name = "audited"\n[records]\nwindow = 100\nlabels = 7\n[privacy]\nepsilon = 4.0\n[server]\nrounds = 6\n'
    )
    told = json.loads(picofed("audit", str(job), "--json", "--canaries", "2000", "--seed", "1").stdout)
    assert [model["widths"] for model in told["models"]] == [[45, 7]] and 0.9 < told["largest_contribution"] <= 1
    assert told["releases"] == 6 and 3.99 < told["epsilon_claimed"] <= 4.0 and told["passed"]


@pytest.mark.slow
def test_the_firmware_on_a_board_is_audited() -> None:
    """Through record store, features, policy, ledger and link; twice the same, and the numbers are those of one board
    that knows nothing of the audit."""
    words = ["audit", "--json", "--board", "unix", "--canaries", "700", "--releases", "6", "--seed", "1"]
    done = picofed(*words)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["passed"] and told["board"] == "unix" and told["canaries"] == 744
    assert told["units"] == 6 * accounting.charge(1 << 18, 20)
    assert 0 < told["epsilon_lower_bound"] < told["epsilon_claimed"]
    assert abs(told["mu_estimate"] - told["mu_claimed"]) < 5 * told["mu_standard_error"]
    assert picofed(*words).stdout == done.stdout
    assert told["largest_contribution"] is None and told["models"] == []  # canaries alone
    known = json.loads(picofed("audit", "--json", "--canaries", "1023", "--releases", "1", "--seed", "1").stdout)
    assert set(told) == set(known) and known["board"] is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qemu_m3", "rp2040js"])
def test_boards_with_a_processor_of_their_own_are_audited(kind: str) -> None:
    """Also the emulated Pico, which takes seconds to start."""
    done = picofed("audit", "--json", "--board", kind, "--canaries", "372", "--releases", "2", "--seed", "1")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["passed"] and told["board"] == kind and told["canaries"] == 372
    assert told["units"] == 2 * accounting.charge(1 << 18, 20)
    assert abs(told["mu_estimate"] - told["mu_claimed"]) < 5 * told["mu_standard_error"]


def test_an_audit_through_boards_says_how_long_it_takes() -> None:
    """After its first release and after each board but the last, also where no terminal shows a bar."""
    now, said = 100.0, list[str]()
    pace = Pace(2, said.append, lambda: now)
    for done in (0, 1, 2, 2, 3, 4, 4, 5, 6):
        now = 100.0 + 6 * done
        pace(done, 6)
    assert said == [
        "release 1 of 6, on board 1 of 3: at most 0.5 minutes to go",
        "release 2 of 6, on board 1 of 3: about 0.4 minutes to go",
        "release 4 of 6, on board 2 of 3: about 0.2 minutes to go",
    ]


@pytest.mark.slow
def test_firmware_with_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A board whose firmware clips at twice the norm that it charges for."""
    source = (ROOT / "firmware" / "picofed" / "train.py").read_text()
    line = "core.trainer_begin(self.trainer.mem, key, job.log2_sigma, job.clip)"
    assert source.count(line) == 1
    files = audited_board.board_files
    changed_source, compiled = tmp_path / "train.py", tmp_path / "train.mpy"
    changed_source.write_text(source.replace(line, line.replace("job.clip", "2 * job.clip")))
    subprocess.run([mpy_cross(), "-s", "picofed/train.py", "-o", compiled, changed_source], check=True)

    def changed(*given: Any) -> dict[str, bytes]:
        return files(*given) | {"/lib/picofed/train.mpy": compiled.read_bytes()}

    monkeypatch.setattr(audited_board, "board_files", changed)
    result = audit(Setting(1 << 18, 20, 8), canaries=744, seed=1, board="unix")
    assert not result.passed and result.findings[0].startswith("all canaries: mu is")
    assert result.units == 8 * accounting.charge(1 << 18, 20)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.toml"], "cannot read the job file"),
        (["--clip-norm", "2"], "too small to audit"),
        (["--delta", "2"], "choose a probability"),
        (["job.toml", "--releases", "2"], "give a job file, or"),
        (["job.toml", "--hidden", "8"], "give a job file, or"),
        (["--hidden", "8"] * 8, "1 to 8 layers"),
        (["--canaries", "5"], "1023 to 10^6"),
        (["--board", "unix", "--canaries", "371"], "372 to 10^6"),
        (["--board", "nowhere"], "no emulated board is called"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], words: str) -> None:
    done = picofed("audit", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1) and words in done.stderr
