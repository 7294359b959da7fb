"""picofed emulate: boards that every tool takes for boards, driven by lines on stdin, gone when it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import serial
from picofed.fleet import catalog, micropython
from picofed.fleet.emulation import BACKENDS
from picofed.fleet.images import image
from picofed.toolchain import rp2

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
JOB = """
name = "bench"
[records]
window = 40
labels = 3
[privacy]
epsilon = 2.0
[server]
rounds = 1
"""
SENSOR = """
import math, struct, picofed.main
sample, count = bytearray(12), [0]
def sensor(records):
    if count[0] < 400:
        if count[0] % 80 == 0:
            records.begin(count[0] // 80 % 3)
        swing = int(3000 * math.sin(count[0] / (3 + count[0] // 80)))
        struct.pack_into("<hhhhhh", sample, 0, swing, -swing, 4096, swing // 2, 0, -swing // 2)
        records.append(sample)
        count[0] += 1
picofed.main.run(sensor)
"""


class Bench:
    """A running `picofed emulate`."""

    def __init__(self, *words: object) -> None:
        self.process = subprocess.Popen(
            [BIN / "picofed", "emulate", *map(str, words), "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.places = self.answer()

    def answer(self) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, error = self.process.communicate()
            raise AssertionError(error)
        found: list[dict[str, Any]] = json.loads(line)
        return found

    def say(self, line: str) -> list[dict[str, Any]]:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    @property
    def ports(self) -> list[str]:
        return [place["port"] for place in self.places]

    @property
    def children(self) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid and fields[0] != "Z":
                found.append(int(path.parent.name))
        return found


@contextmanager
def bench(*words: object) -> Iterator[Bench]:
    made = Bench(*words)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def run(*words: object, cwd: Path | None = None, ok: bool = True) -> str:
    done = subprocess.run(
        [BIN / str(words[0]), *map(str, words[1:])], cwd=cwd, capture_output=True, text=True, timeout=200, check=False
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_tools_of_all_kinds_work_on_the_ports_and_a_whole_run_does(tmp_path: Path) -> None:
    with bench("unix", "--count", 2) as running:
        first, second = running.ports
        assert [place["kind"] for place in running.places] == ["unix"] * 2
        assert run("mpremote", "connect", first, "exec", "print(6 * 7)").strip() == "42"
        with serial.Serial(second, 115200, timeout=60) as port:
            port.write(b"\x03\x02print(6 * 9)\r")
            assert port.read_until(b"54\n").endswith(b"54\n")
        (tmp_path / "sensor.py").write_text(SENSOR)
        (tmp_path / "job.toml").write_text(JOB)
        flashed = run("picofed", "flash", "--port", first, "--port", second, "--main", "sensor.py", cwd=tmp_path)
        assert len(re.findall("self-test passed", flashed)) == 2
        # Registered now: nobody has to name a port again.
        assert "version 1 of 1" in run("picofed", "run", "job.toml", cwd=tmp_path)


def test_boards_are_reset_cut_off_and_switched_on_by_lines_on_stdin(tmp_path: Path) -> None:
    with bench("unix", "--count", 2, "--directory", tmp_path / "fleet", "--entropy", "5eed") as running:
        port = running.ports[0]
        run("mpremote", "connect", port, "exec", "open('/kept', 'w').write('x'); lost = 1")
        before = running.say("list")[0]["boots"]
        (place,) = running.say("reset 0")
        assert place["running"]
        wait_for(lambda: running.say("list")[0]["boots"] == before + 1)
        (place,) = running.say("cut 0")
        assert not place["running"]
        assert [each["running"] for each in running.say("list")] == [False, True]
        assert running.say("on all")[0]["running"]
        assert run("mpremote", "connect", port, "exec", "import os; print(os.listdir('/'))").strip() == "['kept']"
        # The power fails in the second flash step from here, wherever the program is then.
        running.say("cut 0 after 2")
        with serial.Serial(port, 115200, timeout=60) as line:
            line.write(b"\r")
            assert line.read_until(b">>> ").endswith(b">>> ")
            line.write(b"import boardserve; boardserve.flash_op(); open('/once', 'w'); boardserve.flash_op()\r")
            wait_for(lambda: not running.say("list")[0]["running"])
    with bench("unix", "--count", 2, "--directory", tmp_path / "fleet") as running:
        assert running.ports[0] == port
        found = run("mpremote", "connect", port, "exec", "import os; print(sorted(os.listdir('/')))")
        assert found.strip() == "['kept', 'once']"


def test_a_pico_shows_its_drive_and_boots_with_what_is_copied_there(tmp_path: Path) -> None:
    """By the firmware's machine.bootloader() and by the button."""
    version = "try:\n import picofed\n print('own')\nexcept ImportError: print('plain')"
    images = {flavour: rp2.rp2_firmware(flavour) / "firmware.uf2" for flavour in ("plain", "picofed")}
    with bench("rpi_pico", "--directory", tmp_path / "fleet") as running:
        (port,) = running.ports
        run("mpremote", "connect", port, "bootloader")
        wait_for(lambda: running.say("list")[0]["drive"] != "")
        (place,) = running.say("list")
        drive = micropython.drive_at(Path(place["drive"]))
        assert not place["running"] and drive is not None
        assert "rpi_pico" in [kind.name for kind in drive.kinds]
        (drive.path / "half.uf2").write_bytes(images["plain"].read_bytes()[:51200])
        micropython.copy_to(drive, image(str(images["plain"]), None), catalog.kind("rpi_pico"))
        wait_for(lambda: running.say("list")[0]["running"])
        assert not drive.path.exists() and running.say("list")[0]["drive"] == ""
        assert run("mpremote", "connect", port, "exec", version).strip() == "plain"
        (place,) = running.say("bootsel 0")
        assert place["drive"] == str(drive.path)
        shutil.copy(images["picofed"], drive.path)
        wait_for(lambda: running.say("list")[0]["running"])
        assert run("mpremote", "connect", port, "exec", version).strip() == "own"


def test_wrong_lines_are_answered_and_nothing_happens() -> None:
    with bench("unix") as running:
        assert running.process.stdin is not None and running.process.stderr is not None
        for line, words in (
            ("nonsense", "is no command: reset N"),
            ("cut 5", "there is no board '5'"),
            ("bootsel 0", "no boot loader"),
        ):
            running.process.stdin.write(line + "\n")
            running.process.stdin.flush()
            assert words in running.process.stderr.readline()
        assert running.say("list")[0]["running"]


@pytest.mark.parametrize("how", ["quit", "SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_the_end_takes_all_boards_with_it(how: str) -> None:
    with bench("unix", "--count", 3) as running:
        children, folders = running.children, [Path(port).parent for port in running.ports]
        assert len(children) == 3 and all(folder.is_dir() for folder in folders)
        if how == "quit":
            _, error = running.process.communicate("quit\n", timeout=60)
        else:
            running.process.send_signal(getattr(signal, how))
            _, error = running.process.communicate(timeout=60)
        assert error == ""
        assert running.process.returncode == (-signal.SIGKILL if how == "SIGKILL" else 0)
        wait_for(lambda: not any(alive(child) for child in children))
        if how != "SIGKILL":
            assert not any(folder.exists() for folder in folders)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_closed_stdin_is_no_end() -> None:
    with bench("unix") as running:
        assert running.process.stdin is not None
        running.process.stdin.close()
        running.process.stdin = None
        assert run("mpremote", "connect", running.ports[0], "exec", "print(1)").strip() == "1"
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("toaster",), "there is no board 'toaster': choose one of"),
        (("rpi_pico2",), "rpi_pico2 is not emulated"),
        (("unix", "--entropy", "xyz"), "give 1 to 64 bytes in hex"),
        (("unix", "--count", "0"), "count"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], said: str) -> None:
    error = run("picofed", "emulate", *words, ok=False)
    assert said in error and len(error.splitlines()) == 1


def unique_id(port: str) -> str:
    return run("mpremote", "connect", port, "exec", "import machine; print(machine.unique_id().hex())").strip()


def test_boards_of_two_benches_are_never_taken_for_each_other(tmp_path: Path) -> None:
    """Nor are those of one bench; the same bench has the same boards again."""
    with bench("unix", "--count", 2, "--directory", tmp_path / "one") as running:
        first = [unique_id(port) for port in running.ports]
    with bench("unix", "--directory", tmp_path / "one") as running, bench("unix") as other, bench("qemu_m3") as third:
        assert [unique_id(port) for port in running.ports] == first[:1]
        others = [unique_id(made.ports[0]) for made in (other, third)]
    assert len({*first, *others}) == 4


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    with bench("unix", "--directory", tmp_path / "fleet"):
        pass
    error = run("picofed", "emulate", "qemu_m3", "--directory", tmp_path / "fleet", ok=False)
    assert "board-00 is the folder of a board of another kind, unix" in error and len(error.splitlines()) == 1
    (tmp_path / "fleet" / "bench").write_text("nonsense")
    error = run("picofed", "emulate", "unix", "--directory", tmp_path / "fleet", ok=False)
    assert f"cannot use {tmp_path / 'fleet' / 'bench'}" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("kind", sorted(BACKENDS))
def test_every_kind_answers_on_its_port_and_is_cut_off_and_switched_on(kind: str, tmp_path: Path) -> None:
    with bench(kind, "--directory", tmp_path / "fleet") as running:
        (port,) = running.ports
        run("mpremote", "connect", port, "exec", "open('/kept', 'w').close(); lost = 1")
        with serial.Serial(port, 115200, timeout=60) as line:
            line.write(b"\x03\x02print(6 * 9, 'lost' in globals())\r")
            assert line.read_until(b"54 True").endswith(b"54 True")
        (place,) = running.say("cut 0")
        assert (place["kind"], place["running"]) == (kind, False)
        assert running.say("on 0")[0]["running"]
        found = run(
            "mpremote", "connect", port, "resume", "exec", "import os; print('lost' in globals(), os.listdir('/'))"
        )
        assert "False" in found and "'kept'" in found
        children = running.children
        assert children
        _, error = running.process.communicate("quit\n", timeout=60)
        assert (running.process.returncode, error) == (0, "")
        wait_for(lambda: not any(alive(child) for child in children))


def test_two_benches_cannot_share_a_folder(tmp_path: Path) -> None:
    with bench("unix", "--directory", tmp_path) as running:
        assert "another emulated board runs in" in run("picofed", "emulate", "unix", "--directory", tmp_path, ok=False)
        assert Path(running.ports[0]).exists()  # the one that was refused did not take it away
