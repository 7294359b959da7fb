"""Emulated boards: MicroPython's unix port behind a pseudo-terminal that looks like a serial port.

    from picofed.fleet.emulate import Fleet, UnixBoard

    with UnixBoard() as board:                # mpremote connect "$PORT" exec "print(1)" works while this runs
        print(board.port)
        (board.flash / "main.py").write_text("print('hello')")
        board.reset()

    with Fleet(8) as boards:                  # eight of them, all gone after the block
        ports = [board.port for board in boards]

The board process holds the master end of the pty itself (boards/unix), so no byte passes through Python. This
process keeps the master open too: a port stays valid while the board behind it is reset, crashes or is cut
off from power.
"""

import contextlib
import fcntl
import hashlib
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import tty
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from picofed.errors import PicofedError
from picofed.fleet.emulate_spawn import spawn
from picofed.toolchain.build import unix_board
from picofed.toolchain.layout import repo_root

DEFAULT_HEAP_BYTES = 192 * 1024
_LOG_TAIL_BYTES = 4000
_ENTROPY = re.compile(r"([0-9a-f]{2}){1,64}|stuck:[0-9a-f]{2}|biased|constant")


class EmulationError(PicofedError):
    """An emulated board could not be started, or is used when it is not running."""


class UnixBoard:
    """One emulated board with its own flash folder; starts on entering a `with` block, is gone after it.

    directory: where its `flash/`, `port` and state live; kept afterwards, and another start on it finds the
    same flash.
        None: a temporary folder, removed afterwards.
    heap: bytes of MicroPython's heap. board_id: 8 bytes for machine.unique_id(); default: derived from the
    directory. entropy: None for the host's; a hex string for the stream that boards/unix/README.md defines;
    "stuck:5a", "biased" or
        "constant" for a broken source. power_cut: the first start dies in its n-th flash step (see
        power_cut()).
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        heap: int = DEFAULT_HEAP_BYTES,
        board_id: bytes | None = None,
        entropy: str | None = None,
        power_cut: int | None = None,
    ) -> None:
        if entropy is not None and not _ENTROPY.fullmatch(entropy):
            raise EmulationError(f"entropy {entropy!r}: give 1 to 64 bytes in hex, or stuck:XX, biased or constant")
        if board_id is not None and len(board_id) != 8:
            raise EmulationError(f"board_id has {len(board_id)} bytes: give 8")
        self._temporary = directory is None
        self._given = None if directory is None else Path(directory).absolute()
        self._heap = heap
        self._board_id = board_id
        self._entropy = entropy
        self._first_power_cut = power_cut
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._master = -1
        self._lock = -1
        self._owner = 0

    def __enter__(self) -> "UnixBoard":
        if self._directory is not None:
            raise EmulationError("this emulated board has been started already: use reset()")
        program = unix_board()
        self._owner = os.getpid()
        self._directory = self._given or Path(tempfile.mkdtemp(prefix="picofed-board-"))
        try:
            self.flash.mkdir(parents=True, exist_ok=True)
            self._state.mkdir(exist_ok=True)
            self._take_directory()
            self._open_port()
            self._program = program
            self._start(self._first_power_cut)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def directory(self) -> Path:
        """Folder that holds everything of this board."""
        if self._directory is None:
            raise EmulationError("the emulated board is not started: use it in a `with` block")
        return self._directory

    @property
    def port(self) -> Path:
        """Path for pyserial or mpremote; the same over resets and, given a directory, over restarts."""
        return self.directory / "port"

    @property
    def flash(self) -> Path:
        """Folder that is the board's `/`."""
        return self.directory / "flash"

    @property
    def running(self) -> bool:
        """False once the board lost power or its program ended, until reset()."""
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int:
        """Process of the board; another one after each hard reset."""
        if self._process is None:
            raise EmulationError("the emulated board is not started: use it in a `with` block")
        return self._process.pid

    @property
    def boots(self) -> int:
        """Starts of the board in this directory, soft resets included; the latest is number boots - 1."""
        try:
            return int((self._state / "boots").read_text() or 0)
        except FileNotFoundError:
            return 0

    @property
    def log(self) -> str:
        """The last 4000 bytes of what the board's program, not the program on the board, complained about."""
        with contextlib.suppress(FileNotFoundError):
            return (self._state / "stderr").read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return ""

    def reset(self, power_cut: int | None = None) -> None:
        """Hard reset: RAM is lost, flash and the open port stay. Also the way to power a dead board on again.

        power_cut: as for the class, for this start.
        """
        self.power_off()
        self._start(power_cut)

    def power_off(self) -> None:
        """Cut the power now. Writes to flash that were finished stay, as in NOR flash."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    power_cut = power_off

    def wait_power_cut(self, timeout: float) -> bool:
        """Wait for a power cut that was asked for; False where none happens within `timeout` seconds."""
        if self._process is None:
            return False
        try:
            return self._process.wait(timeout) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def close(self) -> None:
        """End the board and remove what is temporary. A forked copy of this object has no say."""
        if os.getpid() != self._owner:
            return
        self.power_off()
        self._process = None
        for descriptor in (self._master, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._lock = -1
        if self._directory is not None:
            (self._directory / "port").unlink(missing_ok=True)
            if self._temporary:
                shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = None

    @property
    def _state(self) -> Path:
        return self.directory / "state"

    def _take_directory(self) -> None:
        self._lock = os.open(self._state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EmulationError(f"another emulated board runs in {self.directory}: use another folder") from None

    def _open_port(self) -> None:
        self._master, slave = pty.openpty()
        # Raw from the first byte on: no echo, no newline conversion. The settings outlive this descriptor.
        tty.setraw(slave)
        name = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self.port.unlink(missing_ok=True)
        self.port.symlink_to(name)

    def _start(self, power_cut: int | None) -> None:
        # What was sent to a board without power is lost.
        with contextlib.suppress(BlockingIOError, OSError):
            while os.read(self._master, 65536):
                pass
        board_id = self._board_id or hashlib.blake2b(str(self.directory).encode(), digest_size=8).digest()
        environment = {
            "PICOFED_LINE": str(self._master),
            "PICOFED_PARENT": str(os.getpid()),
            "PICOFED_BOARD_ID": board_id.hex(),
        }
        if self._entropy is not None:
            environment["PICOFED_ENTROPY_SEED"] = self._entropy
        if power_cut is not None:
            environment["PICOFED_POWER_CUT"] = str(power_cut)
        script = repo_root() / "boards" / "unix" / "board.py"
        argv = [
            str(self._program),
            "-X",
            f"heapsize={self._heap}",
            str(script),
            str(self.flash),
            str(self._state),
        ]
        with (self._state / "stderr").open("ab") as log:
            self._process = spawn(argv, environment, self._master, log)


class Fleet:
    """`count` emulated boards in one `with` block, as a sequence of UnixBoard.

    directory: each board gets a sub-folder board-00, board-01, ...; None: temporary folders. Further
    arguments go to every UnixBoard; where no board_id is given, ids are 1, 2, 3, ... so that runs repeat.
    """

    def __init__(self, count: int, directory: Path | str | None = None, **options: Any) -> None:
        self.boards: list[UnixBoard] = []
        for number in range(count):
            folder = None if directory is None else Path(directory) / f"board-{number:02d}"
            self.boards.append(UnixBoard(folder, **{"board_id": (number + 1).to_bytes(8, "big"), **options}))
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Fleet":
        with contextlib.ExitStack() as stack:
            for board in self.boards:
                stack.enter_context(board)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self.boards)

    def __getitem__(self, index: int) -> UnixBoard:
        return self.boards[index]

    def __iter__(self) -> Iterator[UnixBoard]:
        return iter(self.boards)
