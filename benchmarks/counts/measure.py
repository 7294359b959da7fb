"""Drives a board through its program (board_program.py), over the REPL that every tool uses."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, Final

from picofed.fleet.emulation import EmulatedBoard, emulated
from picofed.fleet.repl import Repl, ReplError
from picofed.link.stream import SerialStream

from counts import jobs

_IMPORT: Final = """
import gc
gc.collect()
before=gc.mem_alloc()
import counts
gc.collect()
print(gc.mem_alloc()-before)
"""
_PATIENCE: Final = 600.0  # seconds without a byte; a loaded machine emulates a masked round in one or two minutes


@dataclass(frozen=True)
class Kind:
    """A kind of board that counts. unit: what; stack: first address of the C stack, and the one behind it; built_in:
    core and firmware are part of what it runs.
    """

    board: str
    unit: str
    stack: tuple[int, int]
    built_in: bool = False
    options: dict[str, Any] = field(default_factory=dict)


# More heap than a Pico's: a module in RAM and the masked model together need it.
_COUNTING: Final = {"instruction_counts": True, "heap": 256 * 1024}
_PICO_STACK: Final = (0x20040000, 0x20042000)
KINDS: Final = {
    "rp2040js": Kind("rp2040js", "cycles", _PICO_STACK, built_in=True),
    "rp2040js_plain": Kind("rp2040js", "cycles", _PICO_STACK, options={"firmware": "plain"}),
    "qemu_m3": Kind("qemu_m3", "instructions", (0x203FC000, 0x20400000), options=_COUNTING),
    "qemu_rv32": Kind("qemu_rv32", "instructions", (0x807FC000, 0x80800000), options=_COUNTING),
}


class Counter:
    """A running board that was given everything. `with` block."""

    def __init__(self, name: str) -> None:
        self._kind = KINDS[name]
        board = emulated(self._kind.board, entropy=jobs.SEED.hex(), board_id=jobs.IDENTITY, **self._kind.options)
        self._board: EmulatedBoard = board
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Counter:
        with contextlib.ExitStack() as stack:
            self._board.open()
            stack.callback(self._board.close)
            self._board.install(jobs.files(None if self._kind.built_in else self._board.natmod_arch))
            stack.enter_context(self._board)
            stream = SerialStream(str(self._board.port))
            stack.callback(stream.close)
            self._repl = Repl(stream, _PATIENCE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def example(self, model: str) -> tuple[int, int, int]:
        """Accumulators, cost of their noise, cost of 200 examples."""
        descriptor = jobs.MODELS[model].descriptor
        accumulators, noise, examples = self._fresh(f"counts.example({descriptor!r})")
        return accumulators, noise, examples

    def calls(self) -> dict[str, int]:
        """Single calls of the core."""
        job = jobs.MASKED
        given = job.model.descriptor, job.round_shift, job.mask_bits
        found: dict[str, int] = self._fresh(f"counts.calls{given!r}")
        return found

    def round(self, job: str) -> dict[str, int]:
        """A round of the firmware, part by part. Nothing where the board's memory is too small for it."""
        found = self._of_firmware(f"counts.Firmware({job!r}).round({job!r})")
        if found and found["records"] != jobs.RECORDS:
            raise ReplError(f"{self._board.name}: a round of {job} saw {found['records']} records")
        return found

    def cohort(self) -> dict[str, int]:
        """A round that is sealed in a cohort, behind its training. Nothing where memory is too small for it."""
        job = jobs.PAIRWISE.name
        found = self._of_firmware(f"counts.Firmware({job!r}).cohort({job!r})")
        if found and found["neighbours"] != jobs.NEIGHBOURS:
            raise ReplError(f"{self._board.name}: a cohort of {found['neighbours']} neighbours")
        return found

    def reading(self, job: str) -> int:
        """Going through the record store."""
        found: int = self._fresh(f"counts.Firmware({job!r}).reading()")
        return found

    def memory(self, job: str) -> dict[str, int]:
        """Heap and stack of a round, without what the measuring program holds."""
        bottom, top = self._kind.stack
        found = self._of_firmware(f"counts.Firmware({job!r}).memory({job!r},{bottom},{top})")
        return {name: found[name] - (self._own if name in ("idle", "most") else 0) for name in found}

    def _of_firmware(self, expression: str) -> dict[str, int]:
        try:
            found: dict[str, int] = self._fresh(expression)
        except ReplError as error:
            if "no memory" in str(error):
                return {}
            raise
        return found

    def _fresh(self, expression: str) -> Any:
        """What the board makes of it right after a start."""
        self._repl.enter()
        self._own = int(self._repl.value(_IMPORT))
        return self._repl.value(f"print({expression})")
