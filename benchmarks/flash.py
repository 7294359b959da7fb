"""How fast boards are flashed: python benchmarks/flash.py [--boards N] [--write].

N empty emulated boards, flashed all at once and one after the other, and the copying alone against mpremote's. Printed
as ratios within one run, since seconds depend on the machine; --write puts them into benchmarks/flash.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from picofed.fleet.emulation import EmulatedBoard, Fleet
from picofed.fleet.flashing import Options, Target, flash
from picofed.fleet.keys import Keys, Wanted
from picofed.fleet.payload import MAIN, MODULE
from picofed.fleet.provision import Registry
from picofed.fleet.repl import Repl
from picofed.link.stream import SerialStream
from picofed.provisioning import emulated_owner
from picofed.toolchain import build
from picofed.toolchain.layout import firmware_root
from picofed.toolchain.mip import firmware_files

TABLE = Path(__file__).with_name("flash.md")
HEAD = """# Flashing

Written by `python benchmarks/flash.py --write`, on emulated unix boards: ratios of times in one run.

| time of | ratio |
|---|---|
"""
MPREMOTE = Path(sys.executable).with_name("mpremote")


def seconds(work: Callable[[], None]) -> float:
    """Wall clock of a piece of work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def flashed(boards: list[EmulatedBoard], site: Path) -> None:
    """Flash these boards at once."""
    keys = Keys(Registry(site / "boards.json"), Wanted(), {}, lambda: emulated_owner(b"benchmark"))
    outcomes = flash([Target(str(board.port)) for board in boards], Options(), keys, lambda *_: None)
    problems = [outcome.problem for outcome in outcomes if outcome.problem]
    if problems:
        raise SystemExit(f"not flashed: {problems[0]}")


def copied_by_repl(board: EmulatedBoard, files: dict[str, bytes]) -> None:
    """Only the files, as picofed flash copies them."""
    stream = SerialStream(str(board.port))
    try:
        repl = Repl(stream)
        repl.enter()
        for path, data in files.items():
            repl.put(path, data)
    finally:
        stream.close()


def copied_by_mpremote(board: EmulatedBoard, folder: Path) -> None:
    """The same by one mpremote process."""
    words = [MPREMOTE, "connect", str(board.port), "cp", "-r", *sorted(map(str, folder.iterdir())), ":"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def measure(count: int) -> list[str]:
    """The lines of the table."""
    files = {f"/lib/{name}": data for name, data in firmware_files().items()}
    files |= {MODULE: build.natmod("x64").read_bytes(), MAIN: (firmware_root() / "main.py").read_bytes()}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for path, data in files.items():
            target = place / "files" / path[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        with Fleet(["unix"] * count) as boards:
            together = seconds(lambda: flashed(list(boards), place / "together"))
        with Fleet(["unix"] * count) as boards:
            alone = sum(seconds(lambda board=board: flashed([board], place / "alone")) for board in boards)  # type: ignore[misc]
        with Fleet(["unix"] * 2) as boards:
            own = seconds(lambda: copied_by_repl(boards[0], files))
            other = seconds(lambda: copied_by_mpremote(boards[1], place / "files"))
    size = sum(map(len, files.values())) // 1000
    return [
        f"| {count} boards one after the other / all at once, on {os.cpu_count()} cores | {alone / together:.1f} |",
        f"| copying {len(files)} files, {size} kB: mpremote / picofed | {other / own:.1f} |",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--boards", type=int, default=6, help="how many (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write benchmarks/flash.md")
    chosen = parser.parse_args()
    lines = measure(chosen.boards)
    print("\n".join(lines))
    if chosen.write:
        TABLE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
