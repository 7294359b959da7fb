"""libFuzzer on the core's parsers: the committed corpus again, and more inputs.

On anyone's machine about a minute's worth between all parsers, counted in inputs and from a fixed seed: how much is
tried does not depend on how busy the machine is. In CI a minute for each parser. `make fuzz` goes on from another seed;
what it finds gets a file in native/fuzz/corpus and a test beside the parser's others.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RUNS = 400_000  # a minute of one core, between all parsers
SECONDS = 60  # for each, in CI
FUZZ = Path(__file__).parents[2] / "native" / "fuzz"
PARSERS = re.findall(r'^ *\{"(\w+)", fuzz_', (FUZZ / "fuzz.c").read_text(), re.MULTILINE)
IN_CI = bool(os.environ.get("CI"))
Make = Callable[..., str]


@pytest.fixture(scope="session")
def make(monocypher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Runs native/fuzz's Makefile: targets and variables to its output. The fuzzer is compiled once."""
    build = tmp_path_factory.mktemp("fuzz")
    environment = {
        key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "CFLAGS", "PARSER")
    }

    def run(*words: str) -> str:
        command = ["make", "-C", str(FUZZ), f"MONOCYPHER_DIR={monocypher_dir}", f"BUILD={build}", "SEED=1", *words]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    return run


def executed(output: str) -> int:
    found = re.search(r"number_of_executed_units: (\d+)", output)
    assert found is not None, output
    return int(found[1])


@pytest.mark.slow
def test_the_corpus(make: Make) -> None:
    assert executed(make("replay")) >= len(list((FUZZ / "corpus").iterdir())) > 30


@pytest.mark.slow
@pytest.mark.parametrize("parser", PARSERS if IN_CI else ["all"])
def test_more_inputs(parser: str, make: Make) -> None:
    limits = [f"SECONDS={SECONDS}"] if IN_CI else [f"RUNS={RUNS}", "SECONDS=0"]
    output = make(f"fuzz-{parser}", *limits)
    given = {name: int(number) for name, number in re.findall(r"^(\w+): (\d+) inputs$", output, re.MULTILINE)}
    assert list(given) == PARSERS
    if IN_CI:
        assert given.pop(parser) > executed(output) / 2 and not any(given.values())
    else:
        assert executed(output) >= RUNS and min(given.values()) > 100


def test_the_corpus_has_every_parser() -> None:
    """And nothing that none of them takes."""
    assert len(PARSERS) == 14 and "frozen" in PARSERS
    firsts = {path.read_bytes()[0] for path in (FUZZ / "corpus").iterdir() if path.stat().st_size}
    assert firsts == set(range(len(PARSERS)))
