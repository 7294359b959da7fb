"""From a board with MicroPython to one that takes part: files, keys, start, self-test; and many boards at once.

Running it again is always the way on: every step looks at what is there, a file is whole or not there, and the firmware
cannot start while its files are being replaced. Ledger, seed store and keys on the board are never deleted.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from picofed import __version__
from picofed.errors import PicofedError
from picofed.fleet import catalog, copying, probe
from picofed.fleet.board_keys import BoardKeys, Step
from picofed.fleet.catalog import Kind
from picofed.fleet.flash_options import FlashError, Options, Outcome, Progress, Target
from picofed.fleet.images import Image, check_image, runs
from picofed.fleet.key_check import FOREIGN
from picofed.fleet.keys import Keys
from picofed.fleet.micropython import APPEARS, Installer, check_drive, drive_at, kind_at
from picofed.fleet.payload import payload
from picofed.fleet.probe import Probe
from picofed.fleet.repl import Repl, ReplError
from picofed.link.client import BoardClient
from picofed.link.connect import POWER_ON_SECONDS, comes_up
from picofed.link.messages import AUTHENTICATION, PROTOCOL, BoardError, Info, LinkError, Op, State
from picofed.link.stream import PortError, SerialStream

_LOOK: Final = (0.5, 1.0)  # seconds to wait for a firmware that may be running
_POLL: Final = 0.5
_THREADS: Final = 32


def flash(
    targets: Sequence[Target],
    options: Options,
    keys: Keys,
    progress: Progress,
    stop: threading.Event | None = None,
    installer: Installer | None = None,
) -> list[Outcome]:
    """Flash these boards, all at once; one that fails does not keep the others. In the targets' order."""
    stop, installer = stop or threading.Event(), installer or Installer()
    unique = list({(os.path.realpath(each.port) if each.port else str(each.drive)): each for each in targets}.values())
    with ThreadPoolExecutor(max_workers=min(_THREADS, len(unique)) or 1) as pool:
        try:
            run = [pool.submit(_Flasher(each, options, keys, installer, progress, stop).run) for each in unique]
            return [each.result() for each in run]
        except BaseException:
            stop.set()
            raise


class _Flasher:
    """One board."""

    def __init__(
        self,
        target: Target,
        options: Options,
        keys: Keys,
        installer: Installer,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self.port, self.options, self.keys = target.port, options, keys
        self._place = target.drive
        self._label = target.port or str(target.drive)
        self._installer, self._progress, self._stop = installer, progress, stop
        self._fresh = False  # its MicroPython was installed just now
        self.outcome = Outcome(self._label)

    def run(self) -> Outcome:
        outcome = self.outcome
        try:
            if (self._place is None or self._from_drive()) and (kind := self._visit()) is not None:
                self._install(kind)
                self._visit()
            self._say("done", 1, 1)
        except PicofedError as error:
            outcome.problem = self._without_place(str(error))
        except OSError as error:
            outcome.problem = f"{error.filename + ': ' if error.filename else ''}{error.strerror or error}"
        if outcome.problem:
            self._say(f"failed: {outcome.problem}")
        return outcome

    def _without_place(self, text: str) -> str:
        """It is said once, in front."""
        for beginning in (f"{self.port}: ", f"{self._label}: ", f"{self.port} ", f"{self._label} "):
            text = text.removeprefix(beginning)
        return text.replace(f" {self.port}:", ":") if self.port else text

    def _say(self, what: str, done: int = 0, total: int = 0) -> None:
        if self._stop.is_set():
            raise FlashError("interrupted: run it again to go on")
        self._progress(self._label, what, done, total)

    # ---- MicroPython -------------------------------------------------------------------------------------------------

    def _from_drive(self) -> bool:
        """MicroPython for a board that shows its drive already; whether there is more to do."""
        assert self._place is not None
        drive, image, kind = drive_at(self._place), self.options.image, self.options.kind
        if drive is None and self.port:
            return True
        if drive is None:
            raise FlashError(f"{self._place} is no UF2 drive: hold BOOTSEL while you plug the board in, and mount it")
        if image is None:
            raise FlashError("the board there waits for its MicroPython: give it one with --micropython")
        check_drive(drive, image, kind)
        if self.options.dry_run:
            self.outcome.did.append(f"would install MicroPython ({image.name}), then firmware and keys")
            return False
        self._say("installing MicroPython")
        self._is_at(self._installer.onto_drive(drive, image, kind, self.port, self._copied), image)
        return True

    def _install(self, kind: Kind) -> None:
        image = self.options.image
        assert image is not None
        self._say("installing MicroPython")
        self._is_at(self._installer.onto_port(self.port, image, kind, self._place, self._copied), image)

    def _copied(self, done: int, total: int) -> None:
        self._say("installing MicroPython", done, total)

    def _is_at(self, port: str, image: Image) -> None:
        self.port = self.outcome.port = port
        self._fresh = True
        self.outcome.did.append(f"installed MicroPython ({image.name})")

    def _image_is_to_come(self, image: Image, found: Probe) -> Kind | None:
        """The kind of a board that has to get this image. Raises ImageError where it may not."""
        kind = self.options.kind or kind_at(self.port, found.machine)
        check_image(image, kind)
        if not self.options.erase and runs(image, found):
            self.outcome.did.append("MicroPython is up to date")
            return None
        return kind

    # ---- at its port -------------------------------------------------------------------------------------------------

    def _visit(self) -> Kind | None:
        """Look at the board, and bring it to where it takes part; returns its kind where it gets the image first."""
        image = None if self._fresh else self.options.image
        stream = self._open()
        keys = BoardKeys(stream, self.options, self.keys, self.outcome)
        try:
            self._say("looking")
            self._ask_firmware(stream, keys)
            repl = Repl(stream)
            try:
                self._enter(repl)
            except ReplError:
                kind = self.options.kind
                if image is None or kind is None or kind.flash.method != "esptool":
                    raise
                check_image(image, kind)
                return kind  # an ESP32 takes an image with nothing on it yet
            try:
                found = probe.ask(repl, self.port)
                self._identify(found, keys)
                kind = None if image is None else self._image_is_to_come(image, found)
                if kind is None or self.options.dry_run:
                    self._flash(stream, repl, found, keys, image if kind else None)
                    kind = None
                return kind
            except PicofedError:
                # What ran there was stopped: whatever is wrong with this board, it is started again.
                with contextlib.suppress(PicofedError):
                    repl.leave()
                raise
        finally:
            stream.close()

    def _open(self) -> SerialStream:
        """The port, which may take a while to be there after MicroPython was installed."""
        end = time.monotonic() + APPEARS
        while True:
            try:
                return SerialStream(self.port)
            except PortError:
                if not self._fresh or time.monotonic() > end:
                    raise
            time.sleep(_POLL)

    def _enter(self, repl: Repl) -> None:
        """The REPL, which may take a while to answer after MicroPython was installed."""
        end = time.monotonic() + POWER_ON_SECONDS
        while True:
            try:
                return repl.enter()
            except ReplError:
                if not self._fresh or time.monotonic() > end:
                    raise
            self._say("waiting for its MicroPython")

    def _flash(
        self, stream: SerialStream, repl: Repl, found: Probe, keys: BoardKeys, image: Image | None = None
    ) -> None:
        """image: what a dry run only says that it would install, after which it cannot know the board's files."""
        if image is None:
            self._files(repl, found)
        else:
            self.outcome.did.append(f"would install MicroPython ({image.name}), then the files that differ")
        if self.options.dry_run:
            self.outcome.did.append(keys.foretell(repl))
        else:
            self._provision_and_start(stream, repl, keys)

    def _files(self, repl: Repl, found: Probe) -> None:
        outcome, options = self.outcome, self.options
        self._say("building the native module")
        wanted = payload(found, options.main)
        self._say("comparing")
        changes = copying.compare(repl, wanted, options.erase)
        outcome.copied, outcome.removed, outcome.unchanged = changes.missing, changes.stale, changes.unchanged
        if not options.erase:
            copying.check_space(found, changes)
        elif options.dry_run:
            outcome.did.append("would erase")
        else:
            self._say("erasing")
            probe.erase(repl)
            outcome.did.append("erased (ledger and keys stay)")
        if changes.kept_main:
            outcome.did.append("kept its own main.py")
        if not changes.missing and not changes.stale:
            outcome.did.append("files are up to date")
        elif options.dry_run:
            outcome.did.append(
                f"would copy {len(changes.missing)} files, remove {len(changes.stale)}, leave {changes.unchanged}"
            )
        else:
            outcome.copied = copying.copy(repl, changes, self._say)
            kept = f" ({changes.unchanged} were there)" if changes.unchanged else ""
            outcome.did.append(f"copied {len(outcome.copied)} files{kept}")

    # ---- who is it ---------------------------------------------------------------------------------------------------

    def _ask_firmware(self, stream: SerialStream, keys: BoardKeys) -> None:
        """What runs there may be the firmware: an update that is charged and not fetched would be lost, and its charge
        with it; another owner's board is not ours to change. Silence, or another version, leaves it to the REPL."""
        try:
            client = BoardClient(stream, self.port)
            results = client.request(Op.HELLO, PROTOCOL, timeouts=_LOOK)
            info = Info.parse(results[1]) if len(results) == 2 else None
        except PortError:
            raise
        except (BoardError, LinkError):
            return
        if info is None:
            return
        if info.state is not State.IDLE and not self.options.interrupt:
            what = (
                "holds an update that nobody has fetched"
                if info.state is State.READY
                else "is in the middle of a round"
            )
            raise FlashError(f"the board {what}: run or collect first, or lose it with --interrupt")
        if self.options.with_keys:
            with contextlib.suppress(BoardError, LinkError):
                keys.ask(info)
            keys.refuse_foreign()

    def _identify(self, found: Probe, keys: BoardKeys) -> None:
        outcome, wanted = self.outcome, self.options.kind
        kind = catalog.by_machine(found.machine)
        outcome.arch = found.abi.arch
        outcome.kind = kind.name if kind else ""
        outcome.board = found.ident.hex() if found.ident else ""
        keys.recognise(found)
        if wanted is None:
            return
        says = wanted.micropython.machine
        if found.abi.arch != wanted.natmod_arch or (says and not found.machine.startswith(says)):
            raise FlashError(
                f"wrong board: {found.machine} ({found.abi.arch}) is no {wanted.name} ({wanted.natmod_arch})"
            )

    # ---- keys, start, self-test --------------------------------------------------------------------------------------

    def _provision_and_start(self, stream: SerialStream, repl: Repl, keys: BoardKeys) -> None:
        step = keys.step()
        given = keys.is_due(step)
        if given:
            self._give(repl, keys, step)
        info = self._start(stream, repl)
        if self.options.with_keys:
            keys.ask(info)
            if not given and (step := keys.step()) is not Step.LEAVE:
                keys.hear(info)
                repl.enter()
                self._give(repl, keys, step)
                info = self._start(stream, repl)
                keys.ask(info)
            keys.check_taken()
            self.outcome.name = info.name
        self._verify(keys.client())

    def _give(self, repl: Repl, keys: BoardKeys, step: Step) -> None:
        self._say("giving it keys")
        keys.give(repl, step)

    def _start(self, stream: SerialStream, repl: Repl) -> Info:
        self._say("starting")
        repl.leave()
        client = BoardClient(stream, self.port)
        if not comes_up(stream, client, POWER_ON_SECONDS):
            lines = [line.strip() for line in stream.console.splitlines() if "Error" in line]
            said = f": it says {lines[-1]!r}" if lines else ""
            raise FlashError(f"the firmware does not start{said}")
        info = client.hello()
        if info.firmware != __version__:
            raise FlashError(
                f"picofed {info.firmware} runs there, not {__version__}: is something else in its main.py?"
            )
        return info

    def _verify(self, client: BoardClient) -> None:
        self._say("self-test")
        info = client.hello()
        try:
            failed = [line for line in client.selftest() if not line.passed]
        except BoardError as error:
            if self.options.with_keys or error.code != AUTHENTICATION:
                raise
            self.outcome.did.append(f"not tested: {FOREIGN}")
            return
        if not self.options.with_keys and not info.name:
            failed = [line for line in failed if line.name not in ("ledger", "start")]
            self.outcome.did.append("no keys")
        if failed:
            said = ", ".join(f"{line.name} ({line.detail})" for line in failed)
            raise FlashError(f"self-test failed: {said}: do not use this board")
        if self.options.with_keys:
            self.keys.saw(info.board, info.seq, info.spent, self.port, self.outcome.registered_kind)
        self.outcome.did.append("self-test passed")


__all__ = ["FlashError", "Options", "Outcome", "Progress", "Target", "flash"]
