"""What all emulated boards share: a folder, a pseudo-terminal that looks like a serial port, power.

The process of a board is the emulator. This process keeps the master end of the pseudo-terminal open, so a port stays
valid while the board behind it is reset, crashes or is cut off from power.
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
import time
import tty
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from picofed.errors import PicofedError
from picofed.fleet.emulation.spawn import spawn

_LOG_TAIL_BYTES = 4000
_NOTE_SECONDS = 10.0  # that a board may take to write what it notes here
_ENTROPY = re.compile(r"([0-9a-f]{2}){1,64}|stuck:[0-9a-f]{2}|biased|constant")


class EmulationError(PicofedError):
    """An emulated board could not be started, or is used when it is not running."""


@dataclass(frozen=True)
class Start:
    """How one start of a board is done: the emulator's command line, exactly its environment, the descriptors of
    this process that it inherits besides the line's master end.
    """

    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()


class EmulatedBoard(ABC):
    """One emulated board with its own flash; starts on entering a `with` block, is gone after it.

    directory: where its flash, `port` and state live; kept afterwards, and another start on it finds the same flash.
        None: a temporary folder, removed afterwards.
    heap: bytes of MicroPython's heap, where the board's kind lets one choose. board_id: 8 bytes that
        the firmware takes for the chip's number; default: derived from the directory.
    entropy: None for the host's; a hex string for the stream that boards/unix/README.md defines; "stuck:5a", "biased"
        or "constant" for a broken source.
    power_cut: the first start dies in its n-th flash step (see reset()).
    virtual_time: where a program would wait for input, the board's clocks jump over the wait (see `uptime`).
    """

    name: ClassVar[str]  # of its folder in boards/
    natmod_arch: ClassVar[str]

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        heap: int | None = None,
        board_id: bytes | None = None,
        entropy: str | None = None,
        power_cut: int | None = None,
        virtual_time: bool = False,
    ) -> None:
        if entropy is not None and not _ENTROPY.fullmatch(entropy):
            raise EmulationError(f"entropy {entropy!r}: give 1 to 64 bytes in hex, or stuck:XX, biased or constant")
        if board_id is not None and len(board_id) != 8:
            raise EmulationError(f"board_id has {len(board_id)} bytes: give 8")
        self._temporary = directory is None
        self._given = None if directory is None else Path(directory).absolute()
        self._heap = heap
        self._chosen_id = board_id
        self._entropy = entropy
        self._first_power_cut = power_cut
        self._virtual_time = virtual_time
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._master = -1
        self._lock = -1
        self._owner = 0

    # What a kind of board must say.

    @abstractmethod
    def prepare(self) -> None:
        """Build what a start needs. Raises PicofedError in one line where that cannot be."""

    @abstractmethod
    def _make_flash(self) -> None:
        """Make an empty flash where there is none yet."""

    @abstractmethod
    def _command(self, power_cut: int | None) -> Start:
        """The next start. The folder, the port and the flash are there."""

    @abstractmethod
    def install(self, files: Mapping[str, bytes]) -> None:
        """Put files onto the flash of a board that is off: absolute paths on the board to contents; folders are
        made, other files stay.
        """

    @abstractmethod
    def read_files(self) -> dict[str, bytes]:
        """All files on the flash of a board that is off, by absolute path on the board."""

    @property
    def drive(self) -> Path | None:
        """The folder that stands for the drive of the board's boot loader, while it shows one."""
        return None

    @property
    def uptime(self) -> int:
        """Seconds of virtual time since the last start, to the hour below; 0 in real time."""
        end = time.monotonic() + _NOTE_SECONDS
        while time.monotonic() < end:
            try:
                note = (self._state / "uptime").read_text()
            except FileNotFoundError:
                break
            if note:
                return int(note)
            time.sleep(0.001)  # it is being written
        return 0

    def boot_loader(self) -> None:
        """Restart into the boot loader, as with the button held. Raises EmulationError where there is none."""
        raise EmulationError(f"{self.name} has no boot loader that shows a drive")

    def tend(self) -> bool:
        """Called now and then: show the boot loader's drive, and take what was copied there; whether the board started
        with that. Raises PicofedError for a file that is not taken.
        """
        return False

    # Its life.

    def __enter__(self) -> Self:
        if self._process is not None:
            raise EmulationError("this emulated board has been started already: use reset()")
        self.prepare()
        self.open()
        try:
            self._open_port()
            self._start(self._first_power_cut)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> Self:
        """Take the folder without starting the board, so that install() can fill its flash first. Then use the
        board in a `with` block, or close() it.
        """
        if self._directory is not None:
            return self
        self._owner = os.getpid()
        self._directory = self._given or Path(tempfile.mkdtemp(prefix="picofed-board-"))
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            self._take_directory()
            self._claim()
            self._make_flash()
        except BaseException:
            self.close()
            raise
        return self

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
        """The last 4000 bytes of what the emulator, not the program on the board, complained about."""
        with contextlib.suppress(FileNotFoundError):
            return (self._state / "stderr").read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return ""

    def reset(self, power_cut: int | None = None) -> None:
        """Hard reset: RAM is lost, flash and the open port stay. Also the way to power a dead board on again.

        power_cut: this start dies in its n-th flash step.
        """
        self.power_off()
        self._start(power_cut)

    def power_off(self) -> None:
        """Cut the power now. Writes to flash that were finished stay, as in NOR flash."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

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
        if self._directory is not None and self._lock >= 0:  # else another board's that runs there
            (self._directory / "port").unlink(missing_ok=True)
        for descriptor in (self._master, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._lock = -1
        if self._directory is not None and self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = None

    # For the kinds.

    @property
    def _state(self) -> Path:
        return self.directory / "state"

    @property
    def _board_id(self) -> bytes:
        return self._chosen_id or hashlib.blake2b(str(self.directory).encode(), digest_size=8).digest()

    def _must_be_off(self) -> None:
        if self.running:
            raise EmulationError("the emulated board is running: use power_off() first")
        self.open()

    def _take_directory(self) -> None:
        lock = os.open(self._state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = lock
        except OSError:
            os.close(lock)
            raise EmulationError(f"another emulated board runs in {self.directory}: use another folder") from None

    def _claim(self) -> None:
        """One folder is one board of one kind, whose flash no other kind can read."""
        claim = self._state / "kind"
        kind = claim.read_text().strip() if claim.exists() else self.name
        if kind != self.name:
            raise EmulationError(f"{self.directory} is the folder of a board of another kind, {kind}: use another one")
        claim.write_text(f"{kind}\n")

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
        (self._state / "uptime").unlink(missing_ok=True)
        start = self._command(power_cut)
        with (self._state / "stderr").open("ab") as log:
            self._process = spawn(start.argv, start.environment, (self._master, *start.descriptors), log)
