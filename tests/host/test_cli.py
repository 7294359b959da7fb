"""The command line: help with an example everywhere, and every foreseeable mistake one line and exit status
2.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commandline import JOB, program
from picofed.cli import cli
from picofed.learn import jobfile
from picofed.owner import Owner
from picofed.provisioning import Policy, Provision


def one_line(done: subprocess.CompletedProcess[str], words: str) -> None:
    """Exit status 2, and the last thing on stderr is one line that says what is wrong."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert re.search(words, done.stderr), done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("picofed: ")
    assert len([line for line in done.stderr.splitlines() if line.startswith("picofed: ")]) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a job and data for it."""
    (tmp_path / "job.toml").write_text(JOB)
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 120)
    directions = generator.normal(size=(3, 45))
    features = np.clip(np.rint(directions[labels] * 40 + generator.normal(size=(120, 45)) * 20), -127, 127)
    np.savez(
        tmp_path / "data.npz",
        labels=labels,
        features=features.astype(np.int8),
        clients=np.repeat(["a", "b", "c"], 40),
    )
    return tmp_path


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help_with_an_example(name: str, tmp_path: Path) -> None:
    done = program(name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"Example: picofed {name}" in done.stdout
    assert cli.commands[name].short_help


def test_the_group_has_help_and_a_version(tmp_path: Path) -> None:
    assert "Example: picofed" in program("--help", cwd=tmp_path).stdout
    assert re.match(r"picofed, version \d", program("--version", cwd=tmp_path).stdout)
    one_line(program("nonsense", cwd=tmp_path), "No such command")
    one_line(program("run", cwd=tmp_path), "Missing argument")
    one_line(program("run", "job.toml", "--rounds", "0", cwd=tmp_path), "rounds")


def test_simulate_says_what_it_learnt(folder: Path) -> None:
    done = program("simulate", "job.toml", "--data", "data.npz", "--hold-out", "c", "--baselines", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["boards"] == 2 and len(result["accuracy"]) == 2 == len(result["accuracy_nonprivate"])
    assert 7.9 < result["epsilon"] <= 8 and result["accuracy_float"][-1] > 0.9
    assert result["bytes_per_update"] < 0.3 * result["bytes_per_update_float32"]
    text = program("simulate", "job.toml", "--data", "data.npz", cwd=folder)
    assert text.returncode == 0 and "accuracy" in text.stdout and "--hold-out" in text.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.toml", "--data", "data.npz"), "cannot read the job file none.toml"),
        (("data.npz", "--data", "data.npz"), "not a job file"),
        (("job.toml", "--data", "none.npz"), "cannot read none.npz"),
        (("job.toml", "--data", "job.toml"), "not a data file"),
        (("job.toml", "--data", "data.npz", "--hold-out", "zoe"), "no client 'zoe'"),
        (
            ("job.toml", "--data", "data.npz", "--hold-out", "a", "--hold-out", "b", "--hold-out", "c"),
            "no client is left",
        ),
        (("job.toml", "--data", "data.npz", "--epsilon", "-1"), "epsilon"),
    ],
)
def test_simulate_with_mistakes(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    one_line(program("simulate", *arguments, cwd=folder), words)


def test_whole_numbers_of_any_width_are_data(folder: Path) -> None:
    """numpy makes int64 of everything; only int8 and int16 were taken."""
    with np.load(folder / "data.npz") as file:
        arrays = {name: file[name] for name in file}
    wide = {name: array.astype(np.int64) if array.dtype.kind == "i" else array for name, array in arrays.items()}
    np.savez(folder / "wide.npz", **wide)  # type: ignore[arg-type]
    asked = ("simulate", "job.toml", "--rounds", "1", "--json", "--data")
    told = [program(*asked, name, cwd=folder) for name in ("data.npz", "wide.npz")]
    assert told[0].returncode == 0 and told[0].stdout == told[1].stdout


def test_data_files_with_mistakes(folder: Path) -> None:
    labels = np.zeros(4, np.int64)
    wrong = {
        "needs `labels`": {"features": np.zeros((4, 45), np.int8)},
        "outside 0 to 2": {"labels": labels + 3},
        "needs `windows` or": {"labels": labels},
        r"of shape \(4, 45\), not int8 of shape \(4, 44\)": {"labels": labels, "features": np.zeros((4, 44), np.int8)},
        r"not float64 of shape \(4, 45\)": {"labels": labels, "features": np.full((4, 45), np.nan)},
        "0 to 1000": {"labels": labels, "features": np.arange(0, 1001, 1000).repeat(90).reshape(4, 45)},
        "70000 to 70000": {"labels": labels, "windows": np.full((4, 100, 6), 70000)},
        "-127 to 127": {"labels": labels, "features": np.full((4, 45), -128, np.int8)},
        r"of shape \(4, 100, 6\), not int16": {"labels": labels, "windows": np.zeros((4, 99, 6), np.int16)},
        "one client for each": {
            "labels": labels,
            "features": np.zeros((4, 45), np.int8),
            "clients": labels[:2],
        },
    }
    for words, arrays in wrong.items():
        np.savez(folder / "wrong.npz", **arrays)  # type: ignore[arg-type]
        one_line(program("simulate", "job.toml", "--data", "wrong.npz", cwd=folder), words)
    np.save(folder / "wrong.npy", np.array([{"x": 1}], object))
    one_line(program("simulate", "job.toml", "--data", "wrong.npy", cwd=folder), "wrong.npy")
    (folder / "wrong.bin").write_bytes(b"PFR1")
    one_line(program("simulate", "job.toml", "--data", "wrong.bin", cwd=folder), "record store")


def test_looking_at_a_site_that_is_not_there_makes_none(folder: Path) -> None:
    for arguments in (
        ("budget",),
        ("aggregate", "job.toml"),
        ("evaluate", "job.toml", "--data", "data.npz"),
    ):
        one_line(program(*arguments, cwd=folder), "no store in picofed-site")
    assert not (folder / "picofed-site").exists()


def test_wrong_ports(folder: Path) -> None:
    for command in (("run", "job.toml", "--board"), ("selftest", "--board"), ("boards",)):
        one_line(program(*command, folder / "no-such-port", cwd=folder), "there is no port")
        one_line(program(*command, folder / "job.toml", cwd=folder), "not a serial port")


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: our end, and the port's name."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_a_busy_port(folder: Path, line: tuple[int, str]) -> None:
    import serial

    holder = serial.Serial(line[1], exclusive=True)
    try:
        for command in (("run", "job.toml", "--board"), ("collect", "job.toml", "--board"), ("boards",)):
            one_line(program(*command, line[1], cwd=folder), "in use")
    finally:
        holder.close()


def test_a_silent_port(folder: Path, line: tuple[int, str]) -> None:
    one_line(program("boards", line[1], "--interrupt", cwd=folder), "nothing answers")


def test_a_port_that_talks_nonsense(folder: Path, line: tuple[int, str]) -> None:
    stop = threading.Event()

    def babble() -> None:
        generator = np.random.default_rng(1)
        os.set_blocking(line[0], False)
        while not stop.wait(0.01):
            with contextlib.suppress(BlockingIOError):
                os.write(line[0], generator.bytes(500))

    thread = threading.Thread(target=babble)
    thread.start()
    try:
        one_line(
            program("run", "job.toml", "--board", line[1], cwd=folder),
            "nothing answers|no answer|not take data",
        )
    finally:
        stop.set()
        thread.join()


def test_no_board_at_all(folder: Path) -> None:
    one_line(program("run", "job.toml", cwd=folder), "no board found")


def test_a_damaged_site(folder: Path) -> None:
    site = folder / "picofed-site"
    site.mkdir()
    (site / "boards.json").write_text("{")
    (site / "boards.json").chmod(0o600)
    one_line(program("run", "job.toml", "--board", "x", cwd=folder), "boards.json is damaged")
    (site / "boards.json").unlink()
    (site / "store.db").write_bytes(b"not a database at all, but long enough to be looked at" * 50)
    one_line(program("budget", cwd=folder), "damaged or not a picofed store")
    one_line(program("budget", "--site", folder / "job.toml", cwd=folder), "site")


def test_a_full_disk(folder: Path) -> None:
    """The whole command under a file size limit of 0: the store cannot be made."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    one_line(program("run", "job.toml", "--board", "x", cwd=folder, before=limit), "disk is full")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", "from picofed.cli import main; main()", "doctor", "--json"]
        done = subprocess.run(command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "No space left" in done.stderr


def test_doctor_names_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = program("doctor", "--json", cwd=folder)
    assert {"name", "passed", "detail", "needed_for", "optional"} == set(json.loads(whole.stdout)[0])
    monkeypatch.setenv("PATH", str(folder))
    missing = program("doctor", cwd=folder)
    one_line(missing, "missing: gcc, make")
    assert "sudo apt install" in missing.stdout
    # what only some boards need is named, and no reason to fail
    assert "absent  qemu-system-arm: install it: sudo apt install qemu-system-arm (for qemu_m0, " in missing.stdout
    assert "qemu" not in missing.stderr
    monkeypatch.setenv("MICROPY_DIR", str(folder))
    assert "not a MicroPython checkout" in program("doctor", cwd=folder).stdout


def test_the_registry_is_private_and_remembers_the_highest_head(tmp_path: Path) -> None:
    from picofed.fleet.provision import Registry

    registry = Registry(tmp_path / "site" / "boards.json")
    given = Provision.new(Policy(b"12345678", "watch", 1000, 100), owner=Owner(bytes(32)))
    registry.add(given.after(9, 90), "/dev/x")
    registry.add(given)
    again = Registry(tmp_path / "site" / "boards.json").get(b"12345678")
    assert again is not None
    assert (again.provision.seq, again.provision.spent, again.port) == (9, 90, "/dev/x")
    assert isinstance(again.provision, Provision) and again.provision.key == given.key
    assert (tmp_path / "site" / "boards.json").stat().st_mode & 0o777 == 0o600
    assert "key" not in repr(given)


def test_two_processes_that_write_the_registry_lose_no_keys(tmp_path: Path) -> None:
    from picofed.fleet.provision import Registry

    one, other = Registry(tmp_path / "boards.json"), Registry(tmp_path / "boards.json")
    one.add(Provision.new(Policy(b"12345678", "one", 1000, 100), owner=Owner(bytes(32))))
    other.add(Provision.new(Policy(b"abcdefgh", "other", 1000, 100), owner=Owner(bytes(32))))
    # One that was opened earlier reports a head: newer keys and policy stay.
    changed = Provision.new(Policy(b"12345678", "one again", 2000, 100), owner=Owner(bytes(32)))
    other.add(changed)
    one.saw(b"12345678", 7, 70, "/dev/x")
    one.saw(b"unknown!", 1, 1)
    again = Registry(tmp_path / "boards.json")
    assert len(again) == 2
    found = again.get(b"12345678")
    assert found is not None and found.provision == changed.without_secret().after(7, 70)
    assert (found.provision.seq, found.provision.spent, found.port) == (7, 70, "/dev/x")


def test_the_readme_job_is_the_job_files_own(tmp_path: Path) -> None:
    lines = [line[4:] for line in (jobfile.__doc__ or "").splitlines() if line.startswith("    ")]
    (tmp_path / "job.toml").write_text("\n".join(lines))
    job, plan = jobfile.load(tmp_path / "job.toml")
    assert (job.name, plan.rounds, job.labels) == ("watch", 20, 7)
