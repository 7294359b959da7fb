"""All of a model in turns: parts that cover it once and fit, at the price of one job; and a version's weights."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import picofed
from picofed import accounting, records
from picofed.fleet.emulation import UnixBoard
from picofed.fleet.provision import Registry, board_files
from picofed.learn import jobfile
from picofed.learn.job import JobError
from picofed.learn.model import Model, ModelError, quantise
from picofed.learn.subset import memory_of
from picofed.learn.turns import parts, shares
from picofed.learn.versions import deployed, start_weights, unrounded
from picofed.provisioning import Policy, Provision
from picofed.store import Store, Version
from picofed.toolchain.build import natmod

JOB = """
name = "whole"
[model]
hidden = [8]
[records]
window = 100
labels = 3
[privacy]
epsilon = 8.0
records = 600
boards = 5
[server]
rounds = 11
"""


@pytest.mark.parametrize("widths", [(45, 7), (45, 16, 7), (10, 9, 8, 7, 3), (6, 70, 2)])
@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("room", [0, 1 << 17])
def test_parts_cover_every_parameter_once_and_fit(widths: tuple[int, ...], mode: int, room: int) -> None:
    def size(model: Model) -> int:
        return memory_of(model, mode, room)

    dense = Model.dense(widths)
    least = max(size(parts(widths, size, 1 << 61)[0]) // 3, 700 if room else size(dense) // 2)
    for limit in (least, size(dense) * 3 // 4):
        try:
            found = parts(widths, size, limit)
        except ModelError as error:
            assert "not even one row of layer" in str(error)
            continue
        assert max(map(size, found)) <= limit
        every = np.concatenate([model.trainable for model in found])
        assert sorted(every.tolist()) == list(range(dense.parameters))
        assert all(model.widths == widths for model in found)


def test_as_few_parts_as_there_can_be() -> None:
    """Of layers in equal blocks: a limit of one byte less than a layer at once takes divides it in two."""

    def size(model: Model) -> int:
        return memory_of(model, 0, 1 << 17)

    both = parts((45, 16, 7), size, 1 << 20)
    assert [len(model.trainable) for model in both] == [46 * 16, 17 * 7]
    divided = parts((45, 16, 7), size, size(both[0]) - 1)
    assert [len(model.trainable) for model in divided] == [46 * 8, 46 * 8, 17 * 7]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ModelError, match="not even one row of layer 0 can be trained in 100 bytes"):
        parts((45, 7), lambda model: memory_of(model, 0, 0), 100)
    # sums of squares of such a model do not fit into 64 bits: the core does not take it, which is no size of 0
    assert memory_of(Model.dense([1023] * 9, "squared"), 0, 0) > 1 << 40


@pytest.mark.parametrize(("rounds", "turns"), [(1, 1), (11, 3), (12, 3), (7, 7), (100000, 9)])
def test_rounds_are_shared(rounds: int, turns: int) -> None:
    found = shares(rounds, turns)
    assert sum(found) == rounds and len(found) == turns and max(found) - min(found) <= 1 <= min(found)


def test_too_few_rounds_are_an_error() -> None:
    with pytest.raises(JobError, match="2 rounds are too few for 3 turns"):
        shares(2, 3)


def turn_files(folder: Path, memory: int, text: str = JOB, *options: object) -> tuple[dict[str, Any], list[Path]]:
    (folder / "whole.toml").write_text(text)
    status, out, err = picofed("turns", "whole.toml", "--memory", memory, "--json", *options, cwd=folder)
    assert status == 0, err
    item = json.loads(out)
    return item, [folder / turn["job"] for turn in item["turns"]]


LOCAL = "[local]\nsteps = 2\nlearning_rate = 0.5\nrecords = 100\n"
KINDS = {
    "gradient": JOB,
    "sigma": JOB.replace("epsilon = 8.0", "epsilon = 2.0\nlog2_sigma = 21"),
    "no epsilon": JOB.replace("epsilon = 8.0", "clip_norm = 400000\nlog2_sigma = 21"),
    "local": JOB + LOCAL,
    "masked": JOB + 'aggregator = "fedavg"\nmasked = true\nmasks = "pairwise"\n',
}


@pytest.mark.parametrize("name", KINDS)
def test_all_turns_together_cost_what_the_job_costs(name: str, tmp_path: Path) -> None:
    """The same charge to a ledger, unit by unit; and no larger an epsilon, the sampler's imperfections included."""
    item, files = turn_files(tmp_path, 4000, KINDS[name])
    assert len(files) >= 2
    job, plan = jobfile.load(tmp_path / "whole.toml")
    turns = [jobfile.load(file) for file in files]
    assert all(turn.trained != job.model.trained for turn in (job.model for job, _ in turns))
    for turn, _ in turns:
        assert replace(turn, name=job.name, model=job.model, multiplier=job.multiplier, shift=job.shift) == job
    units = plan.rounds * accounting.charge(job.clip, job.log2_sigma, job.steps)
    assert units == sum(own.rounds * accounting.charge(turn.clip, turn.log2_sigma, turn.steps) for turn, own in turns)
    samples = sum(own.rounds * turn.steps * len(turn.model.trainable) for turn, own in turns)
    spent = accounting.epsilon(accounting.mu_squared_of(units), plan.delta, samples)
    whole = plan.rounds * job.steps * job.model.parameters
    assert spent == item["epsilon"] <= accounting.epsilon(accounting.mu_squared_of(units), plan.delta, whole)
    if plan.epsilon is not None:
        assert 0.97 * plan.epsilon < spent <= plan.epsilon
    assert all(own.epsilon is None for _, own in turns)


def test_options_win_over_the_file(tmp_path: Path) -> None:
    item, files = turn_files(tmp_path, 4000, JOB, "--epsilon", 3, "--rounds", 9, "--output", "other")
    assert sum(turn["rounds"] for turn in item["turns"]) == 9 and 2.9 < item["epsilon"] <= 3
    assert {file.parent for file in files} == {tmp_path / "other"}


def test_files_are_where_the_turns_look_for_them(tmp_path: Path) -> None:
    """The first turn begins as the job does; moments and filters are found from another folder too."""
    item, files = turn_files(tmp_path, 4000, JOB + 'moments = "moments.npy"\n')
    job, plan = jobfile.load(tmp_path / "whole.toml")
    turns = [jobfile.load(file)[1] for file in files]
    assert (start_weights(job.model, turns[0]) == start_weights(job.model, plan)).all()
    assert {Path(turn.moments).resolve() for turn in turns} == {tmp_path / "moments.npy"}
    wanted = []
    for number in range(1, len(files) + 1):
        wanted.append(f"picofed run turns/turn-{number}.toml")
        wanted.append(f"picofed weights turns/turn-{number}.toml --output turns/turn-{number + 1}.start.npy")
    assert item["commands"] == wanted[:-1]
    assert [Path(turn.start).name for turn in turns] == [f"turn-{n}.start.npy" for n in range(1, len(files) + 1)]
    raw = JOB.replace("hidden = [8]", "hidden = []").replace(
        "labels = 3",
        'labels = 3\nfeatures = "convolution"\nblock = 5\nfilters = "filters.bin"\n'
        "convolution = [{ filters = 8, width = 3 }, { filters = 12, width = 3, pool = 4 }]",
    )
    (tmp_path / "whole.toml").write_text(raw)
    blank, _ = jobfile.load(tmp_path / "whole.toml", blank=True)
    (tmp_path / "filters.bin").write_bytes(blank.filters)
    size = memory_of(blank.model, 0, 0)
    _, files = turn_files(tmp_path, size - 1, raw)
    assert len(files) == 2 and jobfile.load(files[1])[0].filters == blank.filters


def test_boards_are_asked_for_their_memory(tmp_path: Path) -> None:
    (tmp_path / "whole.toml").write_text(JOB.replace("hidden = [8]", "hidden = [400]"))
    status, out, err = picofed("turns", "whole.toml", "--board", "rpi_pico", "--json", cwd=tmp_path)
    assert status == 0, err
    item = json.loads(out)
    assert all(turn["memory"] <= item["limit"] for turn in item["turns"])
    status, out, err = picofed("turns", "whole.toml", "--board", "rpi_pico", cwd=tmp_path)
    assert status == 0 and "all of them: epsilon" in out and "picofed weights turns/turn-1.toml" in out


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (("", ""), ("--memory", 100), "not even one row of layer 0 can be trained in 100 bytes"),
        (("", ""), ("--memory", 100000), "all of this model can be trained at once in 100000 bytes: run whole.toml"),
        (("", ""), ("--board", "abacus"), "boards/ has no 'abacus': it has"),
        (("", ""), ("--memory", 4000, "--rounds", 1), "1 rounds are too few for"),
        (("", ""), ("--memory", 4000, "--output", "whole.toml/turns"), "cannot make the folder whole.toml/turns"),
        (("hidden = [8]", "hidden = [8]\ntrain = [false, true]"), ("--memory", 4000), "leave train and frozen out"),
        (("whole", "w" * 36), ("--memory", 4000), "turn 1 of .: a job needs a name of 1 to 40 bytes"),
    ],
)
def test_mistakes_are_one_line(
    change: tuple[str, str], options: tuple[object, ...], words: str, tmp_path: Path
) -> None:
    (tmp_path / "whole.toml").write_text(JOB.replace(*change) if change[0] else JOB)
    status, _, err = picofed("turns", "whole.toml", *options, cwd=tmp_path)
    pattern = words.split("turn 1 of .: ")[-1]
    assert status == 2 and pattern in err and len(err.splitlines()) == 1 and err.startswith("picofed: ")


# ---- weights -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [False, True])
def test_unrounded_weights_are_rounded_to_what_is_deployed(average: bool, rng: np.random.Generator) -> None:
    master, mean = (rng.normal(size=20) for _ in range(2))
    version = Version(1, quantise(master).tobytes(), master.tobytes(), b"", mean.tobytes() if average else None)
    found = unrounded(version)
    assert (found == (mean if average else master)).all() and (quantise(found) == deployed(version)).all()


def test_weights_of_nothing_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(JOB)
    status, _, err = picofed("weights", "job.toml", cwd=tmp_path)
    assert status == 2 and "there is no store in picofed-site" in err and len(err.splitlines()) == 1
    (tmp_path / "picofed-site").mkdir()
    Store(tmp_path / "picofed-site" / "store.db").close()
    for options, words in (((), "holds no version of this job"), (("--version", 3), "holds no such version")):
        status, _, err = picofed("weights", "job.toml", *options, cwd=tmp_path)
        assert status == 2 and words in err and len(err.splitlines()) == 1
    assert not (tmp_path / "weights.npy").exists()


# ---- simulated ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fleet", [(), ("--stragglers", "0.5")])
def test_turns_are_simulated_one_after_the_other(fleet: tuple[str, ...], tmp_path: Path) -> None:
    """Each moves its part only, from where the one before ended; boards that all take as long, and a fleet."""
    generator = np.random.default_rng(2)
    windows = (generator.normal(size=(60, 100, 6)) * 3000).astype(np.int16)
    people = np.repeat(["a", "b", "c", "d"], 15)
    np.savez(tmp_path / "data.npz", windows=windows, labels=np.arange(60) % 3, clients=people)
    item, files = turn_files(tmp_path, 4000)
    job, plan = jobfile.load(tmp_path / "whole.toml")
    before = start_weights(job.model, plan)
    for number, file in enumerate(files, 1):
        after = tmp_path / "turns" / f"turn-{number + 1}.start.npy"
        options = ("--hold-out", "d", "--weights", after, *fleet)
        status, _, err = picofed("simulate", file, "--data", "data.npz", *options, cwd=tmp_path)
        assert status == 0, err
        found = np.load(after)
        turn, own = jobfile.load(file)
        assert (start_weights(turn.model, own) == before).all()
        changed = np.flatnonzero(quantise(found) != quantise(before))
        assert len(changed) and set(changed.tolist()) <= set(turn.model.trainable.tolist())
        before = found
    assert len(files) == len(item["turns"]) >= 2
    status, _, err = picofed(
        "simulate", files[0], "--data", "data.npz", "--weights", "none/w.npy", *fleet, cwd=tmp_path
    )
    assert status == 2 and err.splitlines() == ["picofed: cannot write none/w.npy: there is no such folder"]


# ---- from end to end ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_turns_on_a_board(tmp_path: Path) -> None:
    """What the command prints is what is run: the weights go on, each turn moves its part only, and the board's own
    ledger ends within the epsilon that the whole job was given."""
    text = JOB.replace("hidden = [8]", "hidden = []").replace("rounds = 11", "rounds = 2")
    (tmp_path / "whole.toml").write_text(text)
    job, plan = jobfile.load(tmp_path / "whole.toml")
    item, files = turn_files(tmp_path, memory_of(job.model, 0, 0) - 1, text)
    assert len(files) == 2
    charge = accounting.charge(job.clip, job.log2_sigma)
    given = Provision.new(Policy(bytes([1] * 8), "watch", 2 * charge, charge), b"turns")
    generator = np.random.default_rng(1)
    swings = [np.rint(generator.normal(size=(330, 6)) * 3000).astype(np.int16) for _ in range(3)]
    board = UnixBoard(tmp_path / "board", board_id=given.policy.board, entropy=b"turns".hex())
    board.install(board_files(natmod("x64"), given, [records.Session(swing, n) for n, swing in enumerate(swings)]))
    with board:
        Registry(tmp_path / "picofed-site" / "boards.json").add(given, str(board.port))
        for command in item["commands"]:
            status, _, err = picofed(*shlex.split(command)[1:], cwd=tmp_path)
            assert status == 0, err
        status, out, err = picofed("budget", "--json", cwd=tmp_path)
        assert status == 0, err
        (spent,) = json.loads(out)["boards"]
    assert spent["spent_units"] == 2 * charge
    assert plan.epsilon is not None and spent["epsilon_spent"] <= plan.epsilon
    store = Store(tmp_path / "picofed-site" / "store.db")
    before = start_weights(job.model, plan)
    for file in files:
        turn, _ = jobfile.load(file)
        first, last = store.version(turn.id, 0), store.version(turn.id, 1)
        assert first is not None and last is not None and store.latest(turn.id) == last
        assert (unrounded(first) == before).all()
        changed = np.flatnonzero(unrounded(last) != before)
        assert len(changed) and set(changed.tolist()) <= set(turn.model.trainable.tolist())
        before = unrounded(last)
    store.close()
