"""The demo's recordings: what is in them, how they become counts, and that the file can do no harm."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from picofed.learn import watch
from picofed.toolchain import sources


@pytest.fixture(scope="module")
def path() -> Path:
    return sources.watch_data()


@pytest.fixture(scope="module")
def recordings(path: Path) -> list[watch.Recording]:
    return watch.load(path)


def test_everyone_did_every_exercise_with_both_arms(recordings: list[watch.Recording]) -> None:
    assert len(recordings) == 140
    pairs = [(recording.person, recording.exercise) for recording in recordings]
    everything = [(person, exercise) for person in range(10) for exercise in range(7)]
    assert sorted(pairs) == sorted(everything * 2)


def test_samples_are_int16_with_six_axes(recordings: list[watch.Recording]) -> None:
    assert {recording.samples.dtype for recording in recordings} == {np.dtype(np.int16)}
    assert {recording.samples.shape[1] for recording in recordings} == {6}
    assert sum(len(recording.samples) for recording in recordings) == 244_102


def test_loading_twice_gives_the_same_bytes(path: Path, recordings: list[watch.Recording]) -> None:
    for first, second in zip(recordings, watch.load(path), strict=True):
        assert (first.person, first.exercise) == (second.person, second.exercise)
        assert first.samples.tobytes() == second.samples.tobytes()


def test_the_sensor_ranges_hold_every_movement(recordings: list[watch.Recording]) -> None:
    samples = np.concatenate([recording.samples for recording in recordings])
    saturated = np.isin(samples, (-32768, 32767)).mean()
    assert saturated == 0.0
    # Wide enough, but no wider than needed: each kind of sensor uses at least half of its range.
    assert np.abs(samples[:, :3].astype(int)).max() > 16384
    assert np.abs(samples[:, 3:].astype(int)).max() > 16384


def test_gravity_has_the_length_of_one_g(recordings: list[watch.Recording]) -> None:
    trapezius = [r.samples for r in recordings if watch.EXERCISES[r.exercise] == "TRAP"]
    lengths = [np.linalg.norm(samples[:, :3].mean(axis=0)) for samples in trapezius]
    assert 0.95 < np.median(lengths) / watch.COUNTS_PER_G < 1.1


def test_counts_are_rounded_and_saturated() -> None:
    signal = [[1.0, -8.0, 9.0, 0.0, 35.0, -35.0], [1.5 / 4096, 2.5 / 4096, -1.5 / 4096, 1.0, 0.0, 0.0]]
    counts = watch.to_counts(np.array(signal))
    assert counts.tolist() == [[4096, -32768, 32767, 0, 32767, -32768], [2, 2, -2, 939, 0, 0]]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(watch.WatchDataError, match=r"cannot read .*absent\.npy") as caught:
        watch.load(tmp_path / "absent.npy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 5, 100, 5000])
def test_a_damaged_file_is_one_line(path: Path, tmp_path: Path, keep: int) -> None:
    damaged = tmp_path / "damaged.npy"
    with path.open("rb") as whole:
        damaged.write_bytes(whole.read(keep))
    with pytest.raises(watch.WatchDataError, match="fetch it again"):
        watch.load(damaged)


class _Attack:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.target,)


def test_a_hostile_pickle_runs_nothing(path: Path, tmp_path: Path) -> None:
    target, hostile = tmp_path / "made", tmp_path / "hostile.npy"
    with path.open("rb") as whole:
        header = whole.read(128)
    hostile.write_bytes(header + pickle.dumps(_Attack(str(target))))
    with pytest.raises(watch.WatchDataError, match="fetch it again"):
        watch.load(hostile)
    assert not target.exists()
