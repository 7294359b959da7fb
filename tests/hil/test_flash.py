"""picofed flash as its users run it, on emulated boards: several at once, again and again, and with everything that
goes wrong on a bench."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flash_world import JOB, client_of, command, recordings, registry, run, spend
from picofed import accounting, roster
from picofed.fleet import catalog, limits
from picofed.fleet.emulation import Fleet, UnixBoard
from picofed.fleet.emulation.qemu import QemuM3
from picofed.fleet.payload import module
from picofed.fleet.repl import Repl
from picofed.learn import weights
from picofed.learn.job import Job
from picofed.learn.model import Model
from picofed.link.connect import connect
from picofed.link.messages import State
from picofed.link.stream import SerialStream
from picofed.link.transfer import upload
from picofed.provisioning import Provision
from picofed.store import Version
from picofed.toolchain.layout import repo_root
from picofed.toolchain.mip import firmware_files
from picofed.toolchain.mpy import Abi

pytestmark = pytest.mark.slow

FIRMWARE = repo_root() / "firmware"
COPIED = len(firmware_files()) + 2  # the native module and main.py


def start(site: Path, boards: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(site, boards),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def whole(board: UnixBoard) -> bool:
    """Everything of the firmware is on the board as it is in this checkout, and nothing half."""
    files = board.read_files()
    wanted = {f"/lib/{name}": data for name, data in firmware_files().items()}
    wanted |= {"/main.py": (FIRMWARE / "main.py").read_bytes()}
    wanted |= {"/lib/picofed_core.mpy": module(Abi("x64", "6.3"))}
    return all(files.get(path) == data for path, data in wanted.items()) and not any(".new" in path for path in files)


def test_empty_boards_become_members_all_at_once_and_nothing_is_done_twice(site: Path) -> None:
    with Fleet(["unix"] * 3) as boards:
        first = run(site, boards, "--epsilon", 4)
        assert len(first.stdout.splitlines()) == 3
        for line, made in zip(first.stdout.splitlines(), boards, strict=True):
            assert re.search(rf"\(unix, {made.port}\): copied {COPIED} files, new keys, self-test passed$", line)
        assert (site / "boards.json").stat().st_mode & 0o777 == 0o600
        files = [made.read_files() for made in boards]
        assert all(whole(made) and "/picofed-data/provision.cbor" not in made.read_files() for made in boards)
        assert len(registry(site)) == 3
        for made in boards:
            with client_of(site, made) as client:
                info = client.hello()
            known = registry(site).get(info.board)
            assert known is not None
            assert (info.board, info.name) == (known.provision.policy.board, known.provision.policy.name)
            assert info.budget == accounting.budget(4.0, 1e-5) and known.port == str(made.port)
        before = {path: os.stat(path).st_mtime_ns for path in boards[0].flash.glob("lib/**/*.*")}
        second = json.loads(run(site, boards, "--json").stdout)
        assert [(outcome["copied"], outcome["problem"]) for outcome in second] == [([], "")] * 3
        assert all(outcome["did"] == ["files are up to date", "self-test passed"] for outcome in second)
        assert before == {path: os.stat(path).st_mtime_ns for path in before}
        kept = ("/picofed-data/board.0", "/picofed-data/board.1")
        assert all(
            made.read_files().get(path) == old.get(path)
            for made, old in zip(boards, files, strict=True)
            for path in kept
        )


def test_boards_that_hide_among_each_other_get_policy_and_roster(site: Path) -> None:
    """With --peers boards take pairwise jobs, and the site has the roster by which they know one another."""
    with Fleet(["unix"] * 3) as boards:
        done = run(site, boards[:2], "--peers", 3).stdout
        assert done.count("on roster 1 now") == 2
        signed = roster.load(site / "roster.cbor")
        assert signed is not None and signed.members is None and len(signed.roster.boards) == 2
        assert "self-test passed, on roster 2 now" in run(site, boards[2], "--peers", 3).stdout
        signed = roster.load(site / "roster.cbor")
        assert signed is not None and signed.members is not None
        for made in boards:
            with contextlib.closing(connect(str(made.port), keys=registry(site).link_keys())) as client:
                info = client.hello()
                board = registry(site).get(info.board)
                assert board is not None and isinstance(board.provision, Provision)
                assert board.provision.policy.peers == 3 and signed.members.boards[info.board] == board.provision.public
                assert board.provision.owner == signed.owner
                job = replace(JOB, round_shift=15, mask_bits=17, masks="pairwise")
                assert client.job(upload(client, job.body, info.mtu)) == job.id  # refused by a policy without peers
        before = (site / "roster.cbor").read_bytes()
        again = json.loads(run(site, boards, "--peers", 3, "--json").stdout)
        assert all(
            outcome["did"] == ["files are up to date", "self-test passed", "on the roster already"] for outcome in again
        )
        assert run(site, boards[0], "--peers", 4, "--dry-run").stdout.endswith(
            "would change its policy, on the roster already\n"
        )
        assert (site / "roster.cbor").read_bytes() == before
        # a board that was taken off stays off until it is asked for by name of --peers
        gone = registry(site).get(info.board)
        assert gone is not None
        revoke = [str(Path(sys.executable).with_name("picofed")), "provision", "revoke", gone.provision.policy.name]
        subprocess.run([*revoke, "--owner", str(site), "--site", str(site)], check=True, capture_output=True)
        assert "self-test passed, not on the roster (revoked?)" in run(site, boards[2]).stdout
        assert "would go on the roster" in run(site, boards[2], "--peers", 3, "--dry-run").stdout
        kept = roster.load(site / "roster.cbor")
        assert kept is not None and kept.roster.number == 3 and info.board not in kept.roster.boards
        # a damaged roster is seen before a board is touched
        registered = (site / "boards.json").read_bytes()
        (site / "roster.cbor").write_bytes(b"damaged")
        assert "roster.cbor is damaged" in run(site, boards[0], "--peers", 4, ok=False).stderr
        assert (site / "boards.json").read_bytes() == registered


def test_only_what_differs_is_copied(site: Path, board: UnixBoard) -> None:
    run(site, board)
    board.install({"/lib/picofed/cbor.mpy": b"# damaged", "/lib/picofed/old_module.mpy": b"", "/main.py.new": b"x"})
    (outcome,) = json.loads(run(site, board, "--json").stdout)
    assert outcome["copied"] == ["/lib/picofed/cbor.mpy", "/lib/picofed/main.mpy"] and whole(board)
    assert sorted(outcome["removed"]) == ["/lib/picofed/old_module.mpy", "/main.py.new"]


def test_sources_that_would_hide_the_compiled_firmware_are_removed(site: Path, board: UnixBoard) -> None:
    """As `mip install` of the repository leaves them; MicroPython imports a .py before a .mpy."""
    sources = sorted((FIRMWARE / "picofed").glob("*.py"))
    board.install({f"/lib/picofed/{path.name}": path.read_bytes() for path in sources})
    board.reset()
    (outcome,) = json.loads(run(site, board, "--json").stdout)
    assert sorted(outcome["removed"]) == [f"/lib/picofed/{path.name}" for path in sources]
    assert whole(board) and outcome["problem"] == ""


def test_a_dry_run_changes_nothing(site: Path, board: UnixBoard) -> None:
    said = run(site, board, "--dry-run").stdout
    assert f"would copy {COPIED} files" in said and "would give it keys" in said
    assert board.read_files() == {} and not site.exists()
    run(site, board)
    before = board.read_files()
    assert (
        f"would erase, would copy {COPIED} files, remove 0, leave 0, would change its policy"
        in run(site, board, "--dry-run", "--erase", "--epsilon", 1).stdout
    )
    assert {path: data for path, data in board.read_files().items() if "flash.bin" not in path} == {
        path: data for path, data in before.items() if "flash.bin" not in path
    }


# ---- main.py -----------------------------------------------------------------------------------------------------


def test_a_program_of_the_users_own_is_kept_or_refused_never_lost(site: Path, board: UnixBoard, tmp_path: Path) -> None:
    other = b"while True:\n    print('a program that prints all the time')\n"
    board.install({"/main.py": other})
    board.reset()
    assert "its main.py is another program" in run(site, board, ok=False).stderr
    assert board.read_files() == {"/main.py": other}
    with contextlib.closing(SerialStream(str(board.port))) as stream:  # and it runs again
        assert "prints all the time" in stream.listen(10, "prints all the time")
    board.install({"/main.py": b"\xca\xfe"})  # as a flash that lost power leaves it
    board.reset()
    assert "its main.py is another program" in run(site, board, ok=False).stderr
    own = FIRMWARE / "main.py"
    (tmp_path / "mine.py").write_bytes(own.read_bytes() + b"# mine\n")
    run(site, board, "--main", tmp_path / "mine.py")
    assert board.read_files()["/main.py"] == (tmp_path / "mine.py").read_bytes()
    assert "kept its own main.py" in run(site, board).stdout
    assert board.read_files()["/main.py"] == (tmp_path / "mine.py").read_bytes()


# ---- what goes wrong on a bench ----------------------------------------------------------------------------------


CUT = "boardserve.power_cut_after(1); boardserve.flash_op()"
HANG = "time.sleep(3600)"


def trap(board: UnixBoard, path: str, then: str) -> None:
    """When the board opens this file to write it, half of it is written and `then` happens."""
    code = f"""
import boardserve, builtins, time
def trapped(path, *mode, real=open, boardserve=boardserve, time=time):
    if path == {path!r}:
        with real(path, *mode) as file:
            file.write(b'half')
        with real('/trapped', 'w') as file:
            file.write('x')
        {then}
    return real(path, *mode)
builtins.open = trapped
"""
    board.install({"/boot.py": code.encode()})
    board.reset()


def untrap(board: UnixBoard) -> None:
    board.power_off()
    assert (board.flash / "trapped").exists()
    for name in ("boot.py", "trapped"):
        (board.flash / name).unlink()
    board.reset()


def test_a_pulled_cable_stops_one_board_and_running_again_mends_it(site: Path) -> None:
    with Fleet(["unix"] * 3) as boards:
        trap(boards[1], "/lib/picofed/link.mpy.new", CUT)
        done = run(site, boards, ok=False)
        assert len(done.stdout.splitlines()) == 2 and done.stdout.count("self-test passed") == 2
        line = f"{boards[1].port}: no answer any more: check the cable and power"
        assert done.stderr.splitlines() == [
            line,
            "picofed: 1 of 3 boards failed: see above; run it again to go on",
        ]
        assert not (boards[1].flash / "lib/picofed/main.mpy").exists()  # half a firmware does not start
        untrap(boards[1])
        again = json.loads(run(site, boards, "--json").stdout)
        assert not again[0]["copied"] and 0 < len(again[1]["copied"]) < 19 and not again[2]["copied"]
        assert all(whole(made) for made in boards)


@pytest.mark.parametrize(
    "at", ["/lib/picofed_core.mpy", "/lib/picofed/link.mpy", "/main.py", "/picofed-data/provision.cbor"]
)
def test_killed_half_way_and_run_again(site: Path, at: str) -> None:
    with Fleet(["unix"] * 2) as boards:
        trap(boards[0], f"{at}.new", HANG)
        flashing = start(site, boards)
        wait_for(lambda: (boards[0].flash / "trapped").exists())
        flashing.send_signal(signal.SIGKILL)
        flashing.communicate()
        untrap(boards[0])
        run(site, boards)
        assert all(whole(made) for made in boards) and len(registry(site)) == 2


def test_interrupted_by_ctrl_c_is_one_line(site: Path, board: UnixBoard) -> None:
    trap(board, "/lib/picofed/link.mpy.new", HANG)
    flashing = start(site, board)
    wait_for(lambda: (board.flash / "trapped").exists())
    flashing.send_signal(signal.SIGINT)
    _, error = flashing.communicate(timeout=60)
    assert flashing.returncode == 130
    assert error.strip().startswith("picofed: interrupted") and error.count("picofed: ") == 1
    untrap(board)
    run(site, board)


def small_disk(blocks: int) -> dict[str, bytes]:
    """A start-up that gives the board a real LittleFS of so many blocks of 512 bytes in place of its folder."""
    code = f"""
import os, vfs
class Disk:
    def __init__(self, file):
        self.file = file
    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 512 + offset)
        self.file.readinto(buffer)
    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(block * 512 + offset)
        self.file.write(buffer)
        self.file.flush()
    def ioctl(self, operation, _):
        return {{4: {blocks}, 5: 512}}.get(operation, 0)
disk = Disk(open('/disk.img', 'r+b'))
try:
    system = vfs.VfsLfs2(disk)
except OSError:
    vfs.VfsLfs2.mkfs(disk)
    system = vfs.VfsLfs2(disk)
vfs.umount('/')
vfs.mount(system, '/')
os.chdir('/')
"""
    return {"/boot.py": code.encode(), "/disk.img": bytes(blocks * 512)}


def on_board(board: UnixBoard, code: str) -> str:
    stream = SerialStream(str(board.port))
    try:
        repl = Repl(stream)
        repl.enter()
        return repl.run(code)
    finally:
        stream.close()


def firmware_blocks() -> int:
    sizes = [len(data) for data in firmware_files().values()]
    sizes += [len(module(Abi("x64", "6.3"))), (FIRMWARE / "main.py").stat().st_size]
    return sum(-(-size // 512) for size in sizes)


def test_a_file_system_that_is_too_small_is_seen_before_anything_is_written(site: Path, board: UnixBoard) -> None:
    board.install(small_disk(64))
    board.reset()
    said = run(site, board, ok=False).stderr
    assert re.search(r"its file system is full: \d+ kB are needed, \d+ kB free: delete files, or use --erase", said)
    assert on_board(board, "import os\nprint(os.listdir('/'))").strip() == "[]"


def test_a_file_system_that_fills_up_while_files_are_copied(site: Path, board: UnixBoard) -> None:
    """LittleFS needs blocks of its own beside those of the files: what fits by the sum of their sizes does not fit."""
    spare = 60
    board.install(small_disk(firmware_blocks() + 8 + spare))
    board.reset()
    filler = f"f=open('/filler','wb')\nfor i in range({spare} - 2):\n f.write(bytes(512))\nf.close()"
    on_board(board, filler)
    said = run(site, board, ok=False).stderr
    assert re.search(r"its file system is full \(at /lib/picofed\S+\): delete files", said), said
    assert "'.new'" not in on_board(board, "import os\nprint(os.listdir('/lib/picofed'))")
    on_board(board, "import os\nos.remove('/filler')")
    assert "copied" in run(site, board, "--no-keys").stdout


@pytest.fixture
def silent() -> Iterator[str]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_boards_that_do_not_answer_or_are_not_there(site: Path, board: UnixBoard, silent: str, tmp_path: Path) -> None:
    done = run(site, board, "--port", silent, "--port", tmp_path / "none", ok=False)
    assert "self-test passed" in done.stdout
    assert f"{silent}: no MicroPython answers there: reset the board, or check the port" in done.stderr
    assert f"{tmp_path}/none: there is no port" in done.stderr
    assert "there is no port" in run(site, str(tmp_path / "none"), ok=False).stderr
    with contextlib.closing(SerialStream(str(board.port))):
        assert "is in use" in run(site, board, ok=False).stderr


def test_the_wrong_kind_of_board_is_left_as_it_is(site: Path, board: UnixBoard) -> None:
    said = run(site, board, "--board", "rpi_pico_w", ok=False).stderr
    assert "wrong board: picofed unix board with a host CPU (x64) is no rpi_pico_w (armv6m)" in said
    assert board.read_files() == {} and not site.exists()
    run(site, board, "--board", "unix", "--no-keys")
    assert "there is no board 'toaster'" in run(site, board, "--board", "toaster", ok=False).stderr


# ---- keys, ledger, seeds -----------------------------------------------------------------------------------------


def test_an_update_that_waits_is_not_thrown_away(site: Path, board: UnixBoard) -> None:
    run(site, board)
    recordings(site, board)
    seq, spent = spend(site, board)
    said = run(site, board, ok=False).stderr
    assert "holds an update that nobody has fetched: run or collect first, or lose it with --interrupt" in said
    with client_of(site, board) as client:
        assert client.hello().state is State.READY
    run(site, board, "--interrupt")
    with client_of(site, board) as client:
        info = client.hello()
    assert info.state is State.IDLE and (info.seq, info.spent) == (seq, spent) and spent > 0
    (known,) = registry(site)
    assert (known.provision.seq, known.provision.spent) == (seq, spent)


def test_erasing_and_another_policy_never_lower_the_ledger_nor_keep_a_seed(site: Path, board: UnixBoard) -> None:
    run(site, board)
    recordings(site, board)
    seq, spent = spend(site, board)
    numbers = {next(iter(registry(site))).provision.policy.number}
    for words, said in (
        (("--erase", "--interrupt"), f"erased (ledger and keys stay), copied {COPIED} files, self-test passed"),
        (("--epsilon", 2, "--name", "porch"), "files are up to date, new policy, self-test passed"),
        (("--erase", "--epsilon", 3), "new policy"),
    ):
        assert said in run(site, board, *words).stdout
        with client_of(site, board) as client:
            info = client.hello()
        assert info.seq >= seq and info.spent >= spent > 0
        assert "/picofed-data/records.bin" not in board.read_files() or info.slots == 0
        numbers.add(next(iter(registry(site))).provision.policy.number)
        assert "secret" not in (site / "boards.json").read_text()
    assert (info.name, info.budget) == ("porch", accounting.budget(3.0, 1e-5))
    assert len(numbers) == 3  # one for each file that went out; --erase alone sends none


@pytest.mark.parametrize("what", ["everything", "ledger"])
def test_a_lost_ledger_goes_on_from_what_the_site_has_seen(site: Path, board: UnixBoard, what: str) -> None:
    run(site, board)
    recordings(site, board)
    seq, spent = spend(site, board)
    run(site, board, "--interrupt")
    old = next(iter(registry(site))).provision
    board.power_off()
    for path in board.flash.rglob("*"):
        if path.is_file() and (what == "everything" or path.name == "flash.bin"):
            path.unlink()
    board.reset()
    said = run(site, board).stdout
    assert "keys again (its ledger or seed store was lost: it goes on from what this site has seen)" in said
    with client_of(site, board) as client:
        info = client.hello()
    assert info.seq >= seq and info.spent >= spent > 0
    new = next(iter(registry(site))).provision
    assert isinstance(new, Provision) and isinstance(old, Provision)
    assert new.key == old.key and new.policy.number > old.policy.number


def test_a_board_of_another_owner_is_taken_over_only_on_request(site: Path, board: UnixBoard, tmp_path: Path) -> None:
    run(site, board)
    recordings(site, board)
    seq, spent = spend(site, board)
    said = run(tmp_path / "other", board, "--interrupt", ok=False).stderr
    assert "it has keys that this site does not know: use the --site that has them, or --new-keys" in said
    assert not (tmp_path / "other").exists()
    with client_of(site, board) as client:
        assert client.hello().state is State.READY  # refused before it was stopped
    assert "new keys" in run(tmp_path / "other", board, "--new-keys", "--interrupt").stdout
    (known,) = registry(tmp_path / "other")
    assert known.provision.seq >= seq and known.provision.spent >= spent > 0
    # And for the first owner it is now a stranger's.
    assert "keys that this site does not know" in run(site, board, ok=False).stderr


def test_an_id_that_is_another_kinds_is_refused_and_taken_over_only_on_request(site: Path, board: UnixBoard) -> None:
    """Two boards with one id would share keys, and each would be behind the other's ledger."""
    run(site, board)
    recordings(site, board)
    seq, spent = spend(site, board)
    (known,) = registry(site)
    ident, name = known.provision.policy.board, known.provision.policy.name
    before = (site / "boards.json").read_bytes()
    with QemuM3(board_id=ident) as double:
        said = run(site, double, ok=False).stderr
        line = f"its id is that of {name}, which is of kind unix, and this is qemu_m3: take another --site, or --new"
        assert line in said
        said = run(site, double, "--new-keys", "--dry-run").stdout
        assert said.endswith("would give it new keys, in the place of the unix that had its id\n")
        double.power_off()
        assert double.read_files() == {}
    assert (site / "boards.json").read_bytes() == before
    registry(site).saw(ident, 0, 0, kind="rpi_pico")  # as if that one had been flashed here
    (outcome,) = json.loads(run(site, board, "--interrupt", "--new-keys", "--json").stdout)
    assert outcome["did"][1:3] == ["took the place of the rpi_pico that had its id", "new keys"]
    (new,) = registry(site)
    assert isinstance(new.provision, Provision) and isinstance(known.provision, Provision)
    assert new.kind == "unix" and new.provision.key != known.provision.key
    with client_of(site, board) as client:
        info = client.hello()
    assert info.seq >= seq and info.spent >= spent > 0


@pytest.mark.parametrize("step", [1, 3, 10, 40, 70, 90])
def test_power_that_fails_while_the_keys_are_taken_in(site: Path, step: int) -> None:
    with UnixBoard(board_id=b"one brd.") as board:
        run(site, board, "--no-keys")
        board.power_off()
        shutil.rmtree(board.flash / "picofed-data")
        board.reset(power_cut=step)
        done = subprocess.run(command(site, board), capture_output=True, text=True, timeout=300, check=False)
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert not board.running and "picofed: " in done.stderr
        board.reset()
        run(site, board)
        with client_of(site, board) as client:
            info = client.hello()
        assert info.generation > 0 and info.budget == accounting.budget(8.0, 1e-5) and whole(board)


def test_the_largest_model_of_this_kind_fits_onto_the_board(site: Path, board: UnixBoard) -> None:
    run(site, board)
    recordings(site, board)
    model = Model.dense(limits.largest(catalog.kind("unix")).widths)
    job = Job("largest", model, clip=1000, log2_sigma=20, window=40, stride=40, labels=7)
    with client_of(site, board) as client:
        mtu = client.hello().mtu
        assert client.job(upload(client, job.body, mtu)) == job.id
        version = Version(0, bytes(2 * model.parameters), b"", b"")
        client.round(job.id, upload(client, weights.pack(job, version, weights.ALL), mtu))
        while (status := client.status()).state is not State.READY:
            assert status.error == 0, status.error_text


def test_options_that_contradict_each_other_are_one_line(site: Path, board: UnixBoard) -> None:
    for words, said in (
        (("--epsilon", 1, "--budget", 5), "say the same thing"),
        (("--no-keys", "--epsilon", 1), "leaves keys and policy alone"),
        (("--no-keys", "--peers", 3), "--no-keys leaves alone"),
        (("--budget", 5, "--max-charge", 6), "max_charge is 1 to 5, not 6"),
        (("--epsilon", -1), "epsilon"),
        (("--micropython", "own"), "say for which --board"),
        (("--micropython", "none.uf2"), "cannot read none.uf2"),
        (("--sha256", "0" * 64), "give it with --micropython"),
        (("--micropython", "own", "--sha256", "0" * 64), "--sha256 is that of a file or URL"),
        (("--drive", "/media/pico"), "--drive is where MicroPython goes"),
        (("--drive", "/media/pico", "--micropython", "x.bin", "--board", "esp32"), "esp32 shows no drive"),
        (("--port", ""), "--port '' names no port"),
    ):
        assert said in run(site, board, *words, ok=False).stderr
    failed = run(site, board, "--json", "--port", "", ok=False)
    assert json.loads(failed.stdout) == []
    assert run(site, "/dev/null", ok=False).stderr.count("/dev/null") == 1
