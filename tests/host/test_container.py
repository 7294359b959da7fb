"""The Containerfile of the helper, without a container engine: every instruction is checked for being true, what it
copies is built into a package, and what it runs is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import cbor2
import pytest
from picofed.cli import cli
from picofed.helper.secret import secret_key
from picofed.native import x25519_public
from picofed.owner import Owner
from picofed.roster import Roster

ROOT = Path(__file__).parents[2]
KNOWN = {"FROM", "RUN", "COPY", "USER", "WORKDIR", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}
Instructions = list[tuple[str, str]]


def instructions() -> Instructions:
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in text.splitlines() if line.strip()]
    assert {word for word, _ in found} == KNOWN  # neither ARG nor ENV, so no secret, and nothing is fetched by ADD
    return found


def values(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def one(word: str) -> str:
    [found] = values(word)
    return found


def copied() -> list[tuple[list[str], str]]:
    """Sources in the checkout, and where they go."""
    words = [rest.split() for rest in values("COPY") if not rest.startswith("--from")]
    return [(parts[:-1], parts[-1]) for parts in words]


def test_it_is_made_of_packages_that_this_project_knows() -> None:
    needed = (ROOT / "scripts" / "system-packages").read_text()
    known = set(re.findall(r"^ *need (\S+)", needed, re.MULTILINE))
    asked: set[str] = set()
    for run in values("RUN"):
        for step in run.split("&&"):
            words = shlex.split(step)
            assert words[0] in ("apt-get", "rm", "useradd", "python3", "/opt/picofed/bin/pip"), step
            if words[:2] == ["apt-get", "install"]:
                asked |= {word for word in words[2:] if not word.startswith("-")}
    assert asked and asked <= known
    assert {image.split()[0] for image in values("FROM")} == {"debian:bookworm-slim"}
    wanted = re.search(r'"/source\[(\w+)\]"', " ".join(values("RUN")))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert wanted is not None and wanted[1] in project["optional-dependencies"]


def test_only_what_git_tracks_is_copied_and_no_key() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for sources, target in copied():
        assert target.startswith("/source")
        for source in sources:
            within = [name for name in tracked if name == source or name.startswith(source + "/")]
            assert within and not any(
                re.search(r"\.(key|pem|db|env)$|^boards\.json$", Path(name).name) for name in within
            )


@pytest.mark.slow
def test_what_it_copies_is_the_whole_package(tmp_path: Path) -> None:
    for sources, target in copied():
        for source in sources:
            place = tmp_path / target.strip("/") / (source if target.endswith("/") else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(
                    ROOT / source, place, ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
                )
            else:
                shutil.copyfile(ROOT / source, place)
    made = tmp_path / "wheel"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(made)]
    done = subprocess.run([*command, str(tmp_path / "source")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = made.glob("picofed-*.whl")
    with zipfile.ZipFile(wheel) as package:
        names = package.namelist()
        entry = package.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert {"picofed/cli/helper.py", "picofed/helper/serve.py"} <= set(names)
    assert any(re.fullmatch(r"picofed/_native\..*so", name) for name in names)
    path, _ = json.loads(one("ENTRYPOINT"))
    assert f"{Path(path).name} = picofed.cli:main" in entry


def test_it_serves_what_it_says_where_it_says(tmp_path: Path) -> None:
    """ENTRYPOINT and CMD as they stand, with a folder in the place of the volume; --port 0, as 8733 may be taken."""
    path, group = json.loads(one("ENTRYPOINT"))
    words = json.loads(one("CMD"))
    state = one("VOLUME")
    assert words[words.index("--state") + 1] == state == one("WORKDIR")
    assert f"--home-dir {state}" in " ".join(values("RUN")) and f"--uid {one('USER')}" in " ".join(values("RUN"))
    assert one("USER") not in ("0", "root")
    serve = cli.commands[group].commands["serve"]  # type: ignore[attr-defined]
    [port] = [option for option in serve.params if option.name == "port"]
    assert one("EXPOSE") == str(port.default)
    assert path == "/opt/picofed/bin/picofed" and "python3 -m venv /opt/picofed" in " ".join(values("RUN"))

    public = x25519_public(secret_key(tmp_path / "state", make=True))
    owner = Owner(bytes(32))
    Roster(1, {bytes([n] * 8): bytes([n] * 32) for n in (1, 2)}, minimum=2).save(tmp_path / "roster.cbor", owner)
    local = [word.replace("/state", f"{tmp_path}/state").replace("/roster", f"{tmp_path}/roster") for word in words]
    command = [str(Path(sys.executable).parent / Path(path).name), group, *local, "--port", "0"]
    environment = {**os.environ, "PICOFED_OWNER_KEY": owner.public.hex()}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.fullmatch(r"helper at http://0\.0\.0\.0:(\d+)\n", said)
            assert found is not None, said
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/v1/helper") as answer:
                assert cbor2.loads(answer.read()) == {"v": 1, "key": public, "minimum": 2}
        finally:
            process.terminate()
    assert (tmp_path / "state" / "helper.db").exists()
