"""Live progress of a run: a line a board and a line for the versions, on stderr."""

from __future__ import annotations

import threading
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from picofed.learn.events import Event


class RunProgress:
    """An EventSink that draws on a terminal; into a file or pipe it writes one line for each thing that
    matters.
    """

    def __init__(self, rounds: int, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal and not quiet
        self._quiet = quiet
        self._lock = threading.Lock()
        self._boards: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}", markup=False),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
        self._versions = self._progress.add_task("versions", total=rounds, state="")

    def __enter__(self) -> RunProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, text: str) -> None:
        """Say what comes next, above the bars."""
        if not self._quiet:
            self._console.print(text, style="bold", markup=False, soft_wrap=True)

    def __call__(self, event: Event) -> None:
        """Show an event; any thread may call."""
        with self._lock:
            if self._live:
                self._draw(event)
            elif not self._quiet and (
                event.kind in ("joined", "left", "lost", "refused", "cohort", "version", "finished")
            ):
                text = f"{event.board + ': ' if event.board else ''}{event.text}"
                self._console.print(text, markup=False, soft_wrap=True)

    def _draw(self, event: Event) -> None:
        if event.kind in ("version", "finished"):
            self._progress.update(self._versions, completed=event.data.get("version", 0), state=event.text)
            return
        if event.board not in self._boards:
            self._boards[event.board] = self._progress.add_task(event.board, total=None, state="")
        task = self._boards[event.board]
        if event.kind in ("left", "refused"):
            self._console.print(f"{event.board}: {event.text}", markup=False, soft_wrap=True)
        self._progress.update(
            task, total=event.data.get("total") or None, completed=event.data.get("done", 0), state=event.text
        )


class FlashProgress:
    """A bar a board while boards are flashed, on stderr; nothing where that is no terminal. Any thread may call."""

    def __init__(self, quiet: bool = False) -> None:
        console = Console(stderr=True, highlight=False)
        self._boards: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> FlashProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, port: str, what: str, done: int, total: int) -> None:
        """Show what happens to the board at a port; total 0: nobody knows how long it takes."""
        with self._lock:
            if port not in self._boards:
                self._boards[port] = self._progress.add_task(port, total=None, state="")
            self._progress.update(self._boards[port], total=total or None, completed=done, state=what)
