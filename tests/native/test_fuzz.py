"""libFuzzer on the core's parsers: the committed corpus again, and about a minute's worth of inputs more.

Counted in inputs, from a fixed seed: how much is tried does not depend on how busy the machine is. `make fuzz` goes on
from another seed; what it finds gets a file in native/fuzz/corpus and a test beside the parser's others.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

RUNS = 400_000  # a minute of one core, between all parsers
FUZZ = Path(__file__).parents[2] / "native" / "fuzz"


@pytest.mark.slow
def test_the_corpus_and_a_minute_of_inputs_more(monocypher_dir: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "CFLAGS")}
    command = ["make", "-C", str(FUZZ), f"MONOCYPHER_DIR={monocypher_dir}", f"BUILD={tmp_path}"]
    done = subprocess.run(
        [*command, "replay", "fuzz", f"RUNS={RUNS}", "SECONDS=0", "SEED=1"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    executed = [int(number) for number in re.findall(r"number_of_executed_units: (\d+)", done.stdout)]
    assert executed[0] >= len(list((FUZZ / "corpus").iterdir())) > 30 and executed[1] >= RUNS
    assert not list(tmp_path.glob("crash-*"))


def test_the_corpus_has_every_parser() -> None:
    """And nothing that none of them takes. Targets: fuzz.c's list."""
    listed = re.search(r"parts\[\]\)\([^)]*\) = \{([^}]*)\}", (FUZZ / "fuzz.c").read_text())
    assert listed is not None
    parsers = listed[1].split(",")
    assert "fuzz_frozen" in listed[1] and len(parsers) == 14
    firsts = {path.read_bytes()[0] for path in (FUZZ / "corpus").iterdir() if path.stat().st_size}
    assert firsts == set(range(len(parsers)))
