"""A cycle model of the Cortex-M0+ over unicorn: runs one function of an ELF file and counts its cycles.

Costs are those of the Cortex-M0+ Technical Reference Manual (ARM DDI 0484, instruction set summary) with the one-cycle
multiplier and memory without wait states. Counts are deterministic. Not modelled: interrupts, bus contention.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, Cs
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from unicorn import UC_ARCH_ARM, UC_HOOK_BLOCK, UC_MODE_MCLASS, UC_MODE_THUMB
from unicorn.arm_const import (
    UC_ARM_REG_LR,
    UC_ARM_REG_R0,
    UC_ARM_REG_R1,
    UC_ARM_REG_R2,
    UC_ARM_REG_R3,
    UC_ARM_REG_SP,
    UC_CPU_ARM_CORTEX_M0,
)
from unicorn.unicorn import Uc

RAM = 0x20000000
RAM_SIZE = 0x100000
STACK_TOP = RAM + RAM_SIZE - 0x1000
RETURN = RAM + RAM_SIZE - 0x100
ARGUMENTS = (UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3)
SINGLE = {"ldr", "ldrb", "ldrh", "ldrsb", "ldrsh", "str", "strb", "strh"}
MULTIPLE = {"push", "pop", "ldm", "stm", "ldmia", "stmia", "ldmdb", "stmdb"}
CONDITIONAL = {
    "beq",
    "bne",
    "bhs",
    "blo",
    "bmi",
    "bpl",
    "bvs",
    "bvc",
    "bhi",
    "bls",
    "bge",
    "blt",
    "bgt",
    "ble",
    "bcs",
    "bcc",
}


def instruction_cycles(mnemonic: str, operands: str) -> int:
    """Cycles of one instruction; a conditional branch counts as not taken."""
    name = mnemonic.removesuffix(".w").removesuffix(".n")
    if name in SINGLE:
        return 2
    if name in MULTIPLE:
        registers = operands[operands.index("{") + 1 : operands.index("}")].split(",")
        return (3 if any(r.strip() == "pc" for r in registers) else 1) + len(registers)
    if name in ("bl", "mrs", "msr", "dmb", "dsb", "isb"):
        return 3
    if name in ("b", "bx", "blx"):
        return 2
    if name in ("mov", "add") and operands.split(",")[0].strip() == "pc":
        return 2
    return 1


@dataclass(slots=True)
class Block:
    cycles: int
    instructions: int
    conditional: bool
    end: int
    function: str


@dataclass(slots=True)
class Call:
    """What one call cost; by_function does not include what a function called."""

    result: int = 0
    cycles: int = 0
    instructions: int = 0
    stack: int = 0
    by_function: dict[str, int] = field(default_factory=dict)


class CortexM0:
    """One loaded ELF file. Memory persists from call to call."""

    def __init__(self, elf: Path) -> None:
        # unicorn and elftools have no types worth checking against
        unicorn: Any = Uc
        self._uc: Any = unicorn(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M0)
        self._uc.mem_map(RAM, RAM_SIZE)
        self._disassembler = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS)
        self._blocks: dict[tuple[int, int], Block] = {}
        self._call = Call()
        self._previous: Block | None = None
        self.symbols: dict[str, int] = {}
        functions: list[tuple[int, str]] = []
        with elf.open("rb") as stream:
            open_elf: Any = ELFFile
            image = open_elf(stream)
            for segment in image.iter_segments():
                if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
                    self._uc.mem_write(segment["p_vaddr"], segment.data())
            table = image.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                raise ValueError(f"{elf} has no symbol table")
            for symbol in table.iter_symbols():
                if symbol["st_info"]["type"] == "STT_FUNC":
                    functions.append((symbol["st_value"] & ~1, symbol.name))
                if symbol.name:
                    self.symbols[symbol.name] = symbol["st_value"]
        functions.sort()
        self._starts = [start for start, _ in functions]
        self._names = [name for _, name in functions]
        self._uc.hook_add(UC_HOOK_BLOCK, self._on_block)

    def _block(self, address: int, size: int) -> Block:
        cycles = instructions = 0
        name = ""
        for instruction in self._disassembler.disasm(bytes(self._uc.mem_read(address, size)), address):
            cycles += instruction_cycles(instruction.mnemonic, instruction.op_str)
            instructions += 1
            name = instruction.mnemonic.removesuffix(".w").removesuffix(".n")
        function = self._names[max(bisect_right(self._starts, address) - 1, 0)]
        return Block(cycles, instructions, name in CONDITIONAL, address + size, function)

    def _on_block(self, _uc: Any, address: int, size: int, _data: Any) -> None:
        call = self._call
        previous = self._previous
        if previous is not None and previous.conditional and address != previous.end:
            call.cycles += 1
            call.by_function[previous.function] += 1
        block = self._blocks.get((address, size))
        if block is None:
            block = self._blocks[(address, size)] = self._block(address, size)
        call.cycles += block.cycles
        call.instructions += block.instructions
        call.by_function[block.function] = call.by_function.get(block.function, 0) + block.cycles
        self._previous = block

    def call(self, name: str, *arguments: int) -> Call:
        """Call a function with up to four word arguments."""
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            self._uc.reg_write(register, value & 0xFFFFFFFF)
        stack = STACK_TOP - 0x4000
        self._uc.mem_write(stack, b"\xa5" * 0x4000)
        self._uc.reg_write(UC_ARM_REG_SP, STACK_TOP)
        self._uc.reg_write(UC_ARM_REG_LR, RETURN | 1)
        self._call = Call()
        self._previous = None
        self._uc.emu_start(self.symbols[name] | 1, RETURN)
        used = bytes(self._uc.mem_read(stack, 0x4000)).lstrip(b"\xa5")
        self._call.stack = len(used)
        self._call.result = int(self._uc.reg_read(UC_ARM_REG_R0))
        return self._call

    def read(self, place: str | int, size: int) -> bytes:
        """Memory at a symbol or an address."""
        return bytes(self._uc.mem_read(self.symbols[place] if isinstance(place, str) else place, size))

    def write(self, place: str | int, data: bytes) -> None:
        self._uc.mem_write(self.symbols[place] if isinstance(place, str) else place, data)
