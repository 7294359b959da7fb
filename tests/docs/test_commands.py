"""Every command: help with an example, a section in docs/commands.md, and each example run as it stands.

The examples' boards are emulated ones (their ports stand where the examples say /dev/ttyACM0 and 1), and their files
are made under the very names that the examples use.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cbor2
import click
import numpy as np
import pytest
from picofed import accounting, records
from picofed.cli import cli
from picofed.demo.boards import fleet
from picofed.fleet.provision import Registry
from picofed.helper.roster import roster_of
from picofed.native import blake2b
from picofed.provisioning import Policy, Provision, emulated_owner
from picofed.toolchain import build
from picofed.toolchain.sources import watch_data

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PORTS = ("/dev/ttyACM0", "/dev/ttyACM1")
CLIP_NORM, LOG2_SIGMA, RELEASES = 1 << 18, 20, 100
JOB = f"""
name = "examples"
[records]
window = 100
labels = 7
[privacy]
clip_norm = {CLIP_NORM}
log2_sigma = {LOG2_SIGMA}
[server]
rounds = 2
"""
# What has to have happened on a site before a command has something to do.
OWNER = ("picofed provision key", "picofed provision board e6614103e7174b2a porch")
BEFORE = {
    "aggregate": ("picofed collect job.toml",),
    "bench check": (
        "picofed bench parts --quick --clients 10 --epsilon inf --seeds 1 --trials 1 --results bench.db",
        "picofed bench keep bench.db runs.jsonl.xz --quick",
    ),
    "bench keep": ("picofed bench ftte --quick --clients 10 --minutes 0 --results bench.db",),
    "budget": ("picofed run job.toml",),
    "evaluate": ("picofed run job.toml",),
    "privacy-report": ("picofed run job.toml",),
    "helper": ("picofed helper key",),
    "report": ("picofed run job.toml",),
    "weights": ("picofed run job.toml",),
    "provision board": OWNER[:1],
    "provision policy": ("rm policy.cbor", *OWNER),
    "provision revoke": OWNER,
    "provision show": OWNER,
}
QUICK = {"demo": ["--rounds", "1", "--boards", "1", "--no-curve"]}  # for --json: the same, shorter


def walk(command: click.Command, name: str) -> dict[str, click.Command]:
    """Every command by its name as one types it."""
    found = {name: command}
    if isinstance(command, click.Group):
        for sub, item in command.commands.items():
            found |= walk(item, f"{name} {sub}")
    return found


COMMANDS = walk(cli, "picofed")
LEAVES = {name: item for name, item in COMMANDS.items() if not isinstance(item, click.Group)}


def help_example(command: click.Command) -> str:
    """The example in a command's help."""
    found = re.search(r"Example: (picofed .*(?:\n {4}.*)*)", command.help or "")
    return " ".join(found[1].split()) if found else ""


@cache
def sections() -> dict[str, str]:
    """docs/commands.md by command."""
    path = ROOT / "docs" / "commands.md"
    parts = re.split(r"^#+ (.*)$", path.read_text("utf-8"), flags=re.MULTILINE)
    return {f"picofed {name}": text for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def documented_examples(text: str) -> list[str]:
    """The command lines of a section's blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("picofed ")]


def examples() -> list[str]:
    """Every example of help and document, once."""
    found = [help_example(command) for command in LEAVES.values()]
    for text in sections().values():
        found += documented_examples(text)
    return list(dict.fromkeys(line for line in found if line))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_has_an_example_and_explains_every_option(name: str) -> None:
    command = COMMANDS[name]
    assert help_example(command).startswith("picofed ")
    assert command.short_help or isinstance(command, click.Group)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"
        else:
            shown = parameter.make_metavar(click.Context(command)).strip("[].")
            assert shown in (command.help or ""), f"{name} does not say what {shown} is"


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_command_is_documented(name: str) -> None:
    text = sections()[name]
    assert help_example(LEAVES[name]) in documented_examples(text)
    known = {option for parameter in LEAVES[name].params for option in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) <= known


def test_every_section_is_a_command() -> None:
    assert set(sections()) - set(LEAVES) == {"picofed Commands", "picofed Building by hand"}


# ---- running them ------------------------------------------------------------------------------------------------


def sessions(number: int) -> list[records.Session]:
    """Three recordings of one class each: swings that differ, with noise."""
    generator = np.random.default_rng(number)
    found = []
    for label in range(3):
        swing = np.sin(np.arange(330)[:, None] / (4 + 3 * label) + np.arange(6)) * (2000 + 3000 * label)
        samples = swing + generator.normal(size=swing.shape) * 300
        found.append(records.Session(np.clip(np.rint(samples), -32768, 32767).astype(np.int16), label))
    return found


def picofed(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line as a user does. Emulated boards stay until they are told to end."""
    environment = {key: value for key, value in os.environ.items() if key != "PICOFED_SITE"} | {"COLUMNS": "120"}
    return subprocess.run(
        [shutil.which(arguments[0], path=f"{BIN}{os.pathsep}{os.defpath}") or "", *arguments[1:]],
        cwd=folder,
        env=environment,
        input="quit\n" if arguments[1] == "emulate" else "",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def served(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The same for a command that serves until it is interrupted: after what it says first, it is."""
    with subprocess.Popen(
        [str(BIN / arguments[0]), *arguments[1:], "--port", "0"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PICOFED_OWNER_KEY=emulated_owner(b"examples").public.hex()),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        told = ""
        while "http" not in told:
            told += process.stdout.readline()
            assert told, process.stderr.read()
        process.terminate()
        rest, error = process.stdout.read(), process.stderr.read()
        process.wait(60)
    stopped = (0, -signal.SIGTERM)
    return subprocess.CompletedProcess(
        arguments, 0 if process.returncode in stopped else process.returncode, told + rest, error
    )


@dataclass(frozen=True)
class Place:
    """Two live boards, and the files that a fresh site starts with."""

    ports: list[str]
    files: Path

    def fresh(self, folder: Path) -> None:
        """Make `folder` a working folder in which nothing has run yet."""
        shutil.copytree(self.files, folder, dirs_exist_ok=True, symlinks=True)

    def line(self, text: str) -> list[str]:
        """A command line's words, with real ports."""
        return [dict(zip(PORTS, self.ports, strict=True)).get(word, word) for word in shlex.split(text)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """What the examples take for granted."""
    files = tmp_path_factory.mktemp("files")
    (files / "job.toml").write_text(JOB)
    (files / "watch.npy").symlink_to(watch_data())
    people = [session.samples[:100] for number in (8, 9) for session in sessions(number)]
    np.savez(files / "held-out.npz", windows=np.array(people), labels=[0, 1, 2] * 2, clients=["a"] * 3 + ["b"] * 3)
    short = picofed(["picofed", "demo", *QUICK["demo"]], files)
    assert short.returncode == 0, short.stderr
    charge = accounting.charge(CLIP_NORM, LOG2_SIGMA)
    provisions = [
        Provision.new(Policy(bytes([number + 1] * 8), f"watch-{number}", RELEASES * charge, charge), b"examples")
        for number in range(len(PORTS))
    ]
    recordings = {f"watch-{number}": sessions(number) for number in range(len(PORTS))}
    policy = replace(provisions[0].policy, number=4_000_000_000)  # newer than what flashing signs
    signed = {"policy": policy.data, "signature": emulated_owner(b"examples").sign_policy(policy.data)}
    (files / "policy.cbor").write_bytes(cbor2.dumps(signed))
    registry = Registry(files / "picofed-site" / "boards.json")
    # The boards belong to the owner whom flashing signs for.
    key = files / "picofed-site" / "owner.key"
    key.parent.mkdir()
    seed = blake2b(b"picofed emulated owner", 32, blake2b(b"examples", 32))
    public = emulated_owner(b"examples").public
    key.write_text(json.dumps({"format": 1, "seed": seed.hex(), "public": public.hex()}))
    key.chmod(0o600)
    folder = tmp_path_factory.mktemp("fleet") / "boards"
    with fleet(folder, ["unix"] * len(PORTS), provisions, recordings, "examples", registry) as boards:
        roster_of(provisions, 2).save(files / "roster.cbor", emulated_owner(b"examples"))
        yield Place(list(boards), files)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("example", examples())
def test_every_example_runs(example: str, form: str, place: Place, tmp_path: Path) -> None:
    line = place.line(example)
    name = " ".join(line[1 : 3 if line[1] in ("provision", "bench") else 2])
    place.fresh(tmp_path)
    for earlier in BEFORE.get(name, ()):
        before = picofed(place.line(earlier), tmp_path)
        assert before.returncode == 0, before.stderr
    if form == "json":
        line += ["--json", *QUICK.get(name, [])]
    done = served(line, tmp_path) if "serve" in line else picofed(line, tmp_path)
    assert done.returncode == 0, f"{shlex.join(line)}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    if form == "json":
        json.loads(done.stdout)
    else:
        assert done.stdout.strip()


def test_every_command_has_json() -> None:
    for name, command in LEAVES.items():
        assert any("--json" in parameter.opts for parameter in command.params), name


# ---- doctor ------------------------------------------------------------------------------------------------------


def doctor(**variables: str) -> tuple[str, str]:
    """Last lines of stderr, and all of stdout, of a doctor that finds something missing."""
    command = [sys.executable, "-c", "from picofed.cli import main; main()", "doctor"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1], done.stdout


def test_doctor_sees_a_compiler_that_does_not_compile(tmp_path: Path) -> None:
    (tmp_path / "gcc").symlink_to(shutil.which("false") or "")
    last, told = doctor(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert last == "picofed: missing: gcc" and "does not compile: sudo apt install build-essential" in told


def test_doctor_sees_that_there_is_no_checkout(tmp_path: Path) -> None:
    last, told = doctor(PICOFED_ROOT=str(tmp_path))
    assert last == "picofed: missing: picofed checkout" and "PICOFED_ROOT" in told


def test_doctor_sees_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    last, told = doctor(PICOFED_CACHE=str(tmp_path / "file"))
    assert last == "picofed: missing: build cache" and "point PICOFED_CACHE at" in told


def test_doctor_says_what_single_kinds_of_boards_need_and_that_this_is_no_mistake(tmp_path: Path) -> None:
    for name in ("gcc", "make", "ar", "git", "as", "ld"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    environment = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run([BIN / "picofed", "doctor"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "arm-none-eabi-gcc" in line]
    assert line.startswith("absent ") and "sudo apt install gcc-arm-none-eabi" in line and "rpi_pico_w" in line


def test_doctor_knows_what_is_cached_and_what_will_be_fetched(tmp_path: Path) -> None:
    environment = os.environ | {"PICOFED_CACHE": str(tmp_path)}
    done = subprocess.run([BIN / "picofed", "doctor"], env=environment, capture_output=True, text=True, check=False)
    assert "MicroPython source: will come by" in done.stdout


# ---- python -m picofed.toolchain ---------------------------------------------------------------------------------


def toolchain(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "picofed.toolchain", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("what", ["natmod", "unix-board", "mpy-cross", "sources"])
def test_the_toolchain_prints_where_things_are(what: str) -> None:
    done = toolchain(what)
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert len(paths) == (3 if what == "sources" else 1) and all(path.is_absolute() and path.exists() for path in paths)
    if what == "natmod":
        assert paths == [build.natmod("x64")]


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        ((), {}, "COMMAND"),
        (("nonsense",), {}, "nonsense"),
        (("natmod", "--arch", "z80"), {}, "z80"),
        (("unix-board",), {"MICROPY_DIR": "no-such-folder"}, "no MicroPython source tree"),
    ],
)
def test_the_toolchains_mistakes_are_one_line(
    arguments: tuple[str, ...], variables: dict[str, str], words: str
) -> None:
    done = toolchain(*arguments, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1 and words in done.stderr


def test_the_toolchain_has_help() -> None:
    done = toolchain("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("natmod", "unix-board", "mpy-cross", "sources"))
