"""The compiled core's ledger and seed store over a Flash (picofed.flash). Import them from picofed.native."""

from __future__ import annotations

from typing import Any

from picofed._native import ffi, lib
from picofed.flash import Flash
from picofed.native_arguments import U32_MAX, exactly, u32
from picofed.native_errors import CoreArgumentError, check


class _Region:
    """A Flash behind the core's hooks. An exception in a hook is kept and raised once the core has returned."""

    def __init__(self, flash: Flash) -> None:
        self.flash = flash
        self.error: BaseException | None = None
        self._handle = ffi.new_handle(self)
        self.pointer = ffi.new("pf_flash *")
        self.pointer.context = self._handle
        self.pointer.block_size = flash.block_size
        self.pointer.read = lib.picofed_flash_read
        self.pointer.program = lib.picofed_flash_program
        self.pointer.erase = lib.picofed_flash_erase

    def check(self, status: int, what: str) -> int:
        """As native_errors.check, but a hook's own exception goes first."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        return check(status, what)


def _hooked(context: Any, run: Any) -> int:
    region: _Region = ffi.from_handle(context)
    try:
        run(region.flash)
    except BaseException as error:  # must not travel through C
        region.error = error
        return -1
    return 0


@ffi.def_extern()  # type: ignore[untyped-decorator]
def picofed_flash_read(context: Any, offset: int, data: Any, length: int) -> int:
    """pf_flash.read."""
    return _hooked(context, lambda flash: flash.read(offset, memoryview(ffi.buffer(data, length))))


@ffi.def_extern()  # type: ignore[untyped-decorator]
def picofed_flash_program(context: Any, offset: int, data: Any, length: int) -> int:
    """pf_flash.program."""
    return _hooked(context, lambda flash: flash.program(offset, bytes(ffi.buffer(data, length))))


@ffi.def_extern()  # type: ignore[untyped-decorator]
def picofed_flash_erase(context: Any, offset: int) -> int:
    """pf_flash.erase."""
    return _hooked(context, lambda flash: flash.erase(offset))


def charge(clip_norm: int, log2_sigma: int, steps: int = 1) -> int:
    """The core's own charge of a release, in units of 2^-24 mu^2 (SPEC 5.2); CoreArgumentError if it is refused."""
    norm, log2, count = (u32(value, "charge") for value in (clip_norm, log2_sigma, steps))
    units = int(lib.pf_charge(norm, log2, count))
    if units == U32_MAX:
        raise CoreArgumentError("charge")
    return units


class Ledger:
    """An open privacy ledger in a flash region (SPEC 5)."""

    def __init__(self, flash: Flash, key: bytes, max_charge: int) -> None:
        """Open: BlankStoreError, CorruptStoreError; a torn tail is charged max_charge a slot first."""
        self._region = _Region(flash)
        self._ledger = ffi.new("pf_ledger *")
        status = lib.pf_ledger_open(
            self._ledger, self._region.pointer, exactly(key, 32, "key"), u32(max_charge, "charge")
        )
        self._region.check(status, "ledger")

    @staticmethod
    def provision(flash: Flash, key: bytes, seq: int = 0, cumulative: int = 0) -> None:
        """Erase the region and write its first record, with the highest seq and cumulative known to anyone."""
        region = _Region(flash)
        status = lib.pf_ledger_provision(
            region.pointer, exactly(key, 32, "key"), u32(seq, "seq"), u32(cumulative, "cumulative")
        )
        region.check(status, "ledger")

    def charge(self, clip_norm: int, log2_sigma: int, steps: int, job: int, budget: int) -> int:
        """Charge a release before it leaves, and return the new cumulative. BudgetExceededError if it does not fit.

        job: first 4 bytes of its id as uint32; budget: units.
        """
        numbers = [u32(value, "charge") for value in (clip_norm, log2_sigma, steps, job, budget)]
        self._region.check(lib.pf_ledger_charge(self._ledger, self._region.pointer, *numbers), "ledger")
        return self.cumulative

    @property
    def seq(self) -> int:
        """Sequence number of the newest record."""
        return int(self._ledger.seq)

    @property
    def cumulative(self) -> int:
        """Units charged so far, saturating at 2^32 - 1."""
        return int(self._ledger.cumulative)

    @property
    def generation(self) -> int:
        """Generation of the current erase block."""
        return int(self._ledger.generation)

    @property
    def offset(self) -> int:
        """Where the next record goes."""
        return int(self._ledger.offset)


class Ratchet:
    """The noise keys of one boot, from a seed store in a flash region (SPEC 4)."""

    def __init__(self, flash: Flash, entropy: bytes, context: bytes) -> None:
        """Boot. entropy: 32 conditioned bytes; context: on a board, its id and clock (16 bytes)."""
        region = _Region(flash)
        self._ratchet = ffi.new("pf_ratchet *")
        status = lib.pf_ratchet_boot(
            self._ratchet, region.pointer, exactly(entropy, 32, "entropy"), bytes(context), len(context)
        )
        region.check(status, "seed store")

    @staticmethod
    def provision(flash: Flash, secret: bytes) -> None:
        """Erase the region and write the first secret (32 bytes)."""
        region = _Region(flash)
        region.check(lib.pf_ratchet_provision(region.pointer, exactly(secret, 32, "secret")), "seed store")

    @property
    def boot(self) -> int:
        """Boots so far, this one included."""
        return int(self._ratchet.boot)

    def next(self, seq: int) -> bytes:
        """The next noise key, 32 bytes; seq: its number within this boot, from 0."""
        out = ffi.new("uint8_t[32]")
        check(lib.pf_ratchet_next(self._ratchet, u32(seq, "seq"), out), "ratchet")
        return bytes(ffi.buffer(out))
