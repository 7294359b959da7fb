"""Ledger and seed store: reference and compiled core through the same accidents, down to the bytes in flash."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from picofed import native, reference
from picofed.flash import FileFlash, MemoryFlash
from picofed.native_errors import (
    BlankStoreError,
    BudgetExceededError,
    CoreArgumentError,
    CoreError,
    CoreFlashError,
    CoreStateError,
    CorruptStoreError,
)
from picofed.reference.ledger import Kind, parse_record

BOTH = pytest.mark.parametrize("core", [native, reference], ids=["native", "reference"])
KEY = bytes(range(32))
BLOCK = 256
MAX_CHARGE = 5000


class PowerCut(Exception):
    """The supply went away in the middle of a write."""


class UnreliableFlash(MemoryFlash):
    """Loses power at the operation with a given number, having done it in part; may have bits stuck at 1."""

    def __init__(self, block_size: int = BLOCK) -> None:
        super().__init__(block_size)
        self.restore()
        self.stuck: set[int] = set()  # offsets whose bits cannot be cleared

    def restore(self) -> None:
        """Power is back."""
        self.cut_at, self.done, self.dead = -1, 0.0, False

    def _power(self) -> bool:
        if self.dead:
            raise PowerCut
        self.cut_at -= 1
        self.dead = self.cut_at == -1
        return self.dead

    def read(self, offset: int, buffer: bytearray | memoryview) -> None:
        if self.dead:
            raise PowerCut
        super().read(offset, buffer)

    def program(self, offset: int, data: bytes) -> None:
        cut = self._power()
        n = round(self.done * len(data)) if cut else len(data)
        for i in range(n):
            if offset + i not in self.stuck:
                super().program(offset + i, data[i : i + 1])
        if cut:
            raise PowerCut

    def erase(self, offset: int) -> None:
        if self._power():
            n = round(self.done * self.block_size)
            self.image[offset : offset + n] = b"\xff" * n
            raise PowerCut
        super().erase(offset)


def charge(units: int) -> tuple[int, int]:
    """(C, log2 sigma) that cost about this many units."""
    return max(1, round((units * 4**13 / 2**24) ** 0.5)), 13


class Pair:
    """A store on either side, each on its own flash, through the same story."""

    def __init__(self) -> None:
        self.flashes = (UnreliableFlash(), UnreliableFlash())
        self.objects: list[Any] = [None, None]

    def tell(self, run: Callable[[ModuleType, UnreliableFlash, Any], Any], keep: bool = False) -> Any:
        """Run on both; the outcomes must be the same, and so must the images."""
        outcomes = []
        for side, core in enumerate((native, reference)):
            try:
                outcome = run(core, self.flashes[side], self.objects[side])
                if keep:
                    self.objects[side], outcome = outcome, None
            except (CoreError, PowerCut) as error:
                outcome = type(error)
                if keep:
                    self.objects[side] = None
            outcomes.append(outcome)
        assert outcomes[0] == outcomes[1]
        assert self.flashes[0].image == self.flashes[1].image
        return outcomes[0]

    def accident(self, at: int, done: float) -> None:
        for flash in self.flashes:
            flash.cut_at, flash.done = at, done

    def restore(self) -> None:
        for flash in self.flashes:
            flash.restore()

    def stick(self, offset: int | None) -> None:
        for flash in self.flashes:
            flash.stuck = set() if offset is None else {offset}


def open_ledger(core: ModuleType, flash: UnreliableFlash, _: Any) -> Any:
    return core.Ledger(flash, KEY, MAX_CHARGE)


def head(ledger: Any) -> tuple[int, int, int, int]:
    return ledger.seq, ledger.cumulative, ledger.generation, ledger.offset


@pytest.mark.parametrize("stories", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_ledger_histories(stories: int, rng: random.Random) -> None:
    """Charges, resets, power cuts and stuck bits at random: the same bytes, and never less than what was allowed."""
    cuts = refused = 0
    for _ in range(stories):
        pair = Pair()
        first = rng.randrange(10**6)
        pair.tell(lambda core, flash, _, c=first: core.Ledger.provision(flash, KEY, 7, c))  # type: ignore[misc]
        allowed, budget, accidents = first, first + rng.choice([20_000, 10**6]), 0
        for _ in range(60):
            if rng.random() < 0.12:
                pair.accident(rng.randrange(3), rng.choice([0, 0.01, 0.03, 0.5, 0.97, 1]))
            if rng.random() < 0.03:
                pair.stick(rng.randrange(2 * BLOCK))
            if pair.objects[0] is None:
                outcome = pair.tell(open_ledger, keep=True)
                assert outcome in (None, PowerCut, CoreFlashError)
            else:
                clip_norm, log2_sigma = charge(rng.choice([1, 50, 3000, 4900, 6000]))
                job = rng.randrange(2**32)
                outcome = pair.tell(
                    lambda core, flash, ledger, a=(clip_norm, log2_sigma, 1, job, budget): ledger.charge(*a)  # type: ignore[misc]
                )
                if isinstance(outcome, int):
                    allowed += reference.charge(clip_norm, log2_sigma)
                    assert outcome == pair.objects[0].cumulative
                refused += outcome is BudgetExceededError
            accidents += isinstance(outcome, type) and outcome is not BudgetExceededError
            cuts += outcome is PowerCut
            if isinstance(outcome, type) and outcome is not BudgetExceededError:
                pair.objects = [None, None]
                pair.stick(None)
            pair.restore()
            if pair.objects[0] is not None:
                assert head(pair.objects[0]) == head(pair.objects[1])
                assert allowed <= pair.objects[0].cumulative <= allowed + accidents * 2 * MAX_CHARGE
                if rng.random() < 0.05:
                    pair.objects = [None, None]  # a reset
    assert cuts > stories / 4
    assert refused > 0


@BOTH
def test_power_cut_at_every_write(core: ModuleType) -> None:
    """At each flash operation and each part of it, over two switches of block: at most one max_charge too much."""
    for cut in range(45):
        for done in (0, 0.02, 0.3, 0.75, 1):
            flash = UnreliableFlash()
            core.Ledger.provision(flash, KEY)
            ledger = core.Ledger(flash, KEY, MAX_CHARGE)
            flash.cut_at, flash.done = cut, done
            allowed = 0
            try:
                for _ in range(20):
                    ledger.charge(*charge(1000), 1, 0, 10**6)
                    allowed += reference.charge(*charge(1000))
            except PowerCut:
                flash.restore()
                with pytest.raises(CoreStateError):
                    ledger.charge(*charge(1000), 1, 0, 10**6)
            flash.restore()
            ledger = core.Ledger(flash, KEY, MAX_CHARGE)
            assert allowed <= ledger.cumulative <= allowed + MAX_CHARGE
            ledger.charge(*charge(1000), 1, 0, 10**6)


@BOTH
def test_ledger_records_say_what_was_charged(core: ModuleType) -> None:
    flash = MemoryFlash(BLOCK)
    core.Ledger.provision(flash, KEY, 5, 100)
    ledger = core.Ledger(flash, KEY, MAX_CHARGE)
    assert ledger.charge(20, 13, 2, 0xDEADBEEF, 10**6) == 100 + core.charge(20, 13, 2)
    for _ in range(7):
        ledger.charge(20, 13, 1, 1, 10**6)
    genesis = parse_record(bytes(flash.image[:32]))
    release = parse_record(bytes(flash.image[32:64]))
    carry = parse_record(bytes(flash.image[BLOCK : BLOCK + 32]))
    assert (genesis.kind, genesis.seq, genesis.cumulative, genesis.generation) == (Kind.GENESIS, 5, 100, 1)
    assert (release.clip_norm, release.log2_sigma, release.steps, release.job) == (20, 13, 2, 0xDEADBEEF)
    assert (carry.kind, carry.charge, carry.generation) == (Kind.CARRY, 0, 2)
    assert ledger.seq == 5 + 8 + 1


@BOTH
def test_ledger_refusals(core: ModuleType) -> None:
    with pytest.raises(BlankStoreError):
        core.Ledger(MemoryFlash(BLOCK), KEY, MAX_CHARGE)
    flash = MemoryFlash(BLOCK)
    core.Ledger.provision(flash, KEY)
    with pytest.raises(CorruptStoreError):
        core.Ledger(flash, bytes(32), MAX_CHARGE)
    ledger = core.Ledger(flash, KEY, MAX_CHARGE)
    before = bytes(flash.image)
    price = core.charge(*charge(1000))
    for arguments, error in (
        ((*charge(1000), 1, 0, price - 1), BudgetExceededError),
        ((*charge(6000), 1, 0, 10**6), BudgetExceededError),  # above max_charge
        ((0, 13, 1, 0, 10**6), CoreArgumentError),
        ((2**20, 13, 1, 0, 10**6), CoreArgumentError),
        ((5, 5, 1, 0, 10**6), CoreArgumentError),
        ((5, 26, 1, 0, 10**6), CoreArgumentError),
        ((5, 13, 0, 0, 10**6), CoreArgumentError),
        ((5, 13, 4096, 0, 10**6), CoreArgumentError),
        ((2**20 - 1, 6, 1, 0, 2**32 - 1), CoreArgumentError),
    ):
        with pytest.raises(error):
            ledger.charge(*arguments)
    assert bytes(flash.image) == before
    assert ledger.charge(*charge(1000), 1, 0, price) == price


def test_charges_agree(rng: random.Random) -> None:
    for _ in range(20_000):
        arguments = (
            rng.randrange(2 ** rng.randint(1, 21)),
            rng.randint(5, 26),
            rng.choice([1, 1, 2, 4095, rng.randrange(4200)]),
        )
        results: list[Any] = []
        for core in (native, reference):
            try:
                results.append(core.charge(*arguments))
            except CoreArgumentError:
                results.append(None)
        assert results[0] == results[1], arguments


def test_hook_errors_close_the_ledger() -> None:
    """An exception of the flash goes through the core; the ledger then wants to be opened again."""
    flash = UnreliableFlash()
    native.Ledger.provision(flash, KEY)
    ledger = native.Ledger(flash, KEY, MAX_CHARGE)
    flash.cut_at, flash.done = 0, 0.5
    with pytest.raises(PowerCut):
        ledger.charge(*charge(1000), 1, 0, 10**6)
    flash.restore()
    with pytest.raises(CoreStateError):
        ledger.charge(*charge(1000), 1, 0, 10**6)
    assert native.Ledger(flash, KEY, MAX_CHARGE).cumulative == MAX_CHARGE


def test_seed_store_histories(rng: random.Random) -> None:
    """Boots with power cuts: the same bytes and keys, and no key ever comes twice although the entropy is constant."""
    cuts = 0
    for _ in range(60):
        pair = Pair()
        secret = rng.randbytes(32)
        pair.tell(lambda core, flash, _, s=secret: core.Ratchet.provision(flash, s))  # type: ignore[misc]
        seen: set[bytes] = set()
        last = 0
        for _ in range(20):
            if rng.random() < 0.4:
                pair.accident(rng.randrange(4), rng.choice([0, 0.02, 0.5, 0.9, 1]))
            outcome = pair.tell(lambda core, flash, _: core.Ratchet(flash, bytes(32), b"board"), keep=True)
            pair.restore()
            cuts += outcome is PowerCut
            assert outcome in (None, PowerCut)
            if pair.objects[0] is None:
                continue
            assert pair.objects[0].boot == pair.objects[1].boot > last
            last = pair.objects[0].boot
            for n in range(3):
                key = pair.tell(lambda core, flash, ratchet, n=n: ratchet.next(n))  # type: ignore[misc]
                assert key not in seen
                seen.add(key)
            valid = sum(pair.flashes[0].image[at : at + 4] == b"PFS1" for at in range(0, 2 * BLOCK, 64))
            assert valid == 1  # no used secret stays
    assert cuts > 20


@BOTH
def test_seed_store_refusals(core: ModuleType) -> None:
    with pytest.raises(BlankStoreError):
        core.Ratchet(MemoryFlash(BLOCK), bytes(32), b"")
    flash = MemoryFlash(BLOCK)
    core.Ratchet.provision(flash, KEY)
    flash.image[9] &= 0xF0
    flash.image[10] &= 0x0F
    with pytest.raises(CorruptStoreError):
        core.Ratchet(flash, bytes(32), b"")
    core.Ratchet.provision(flash, KEY)
    with pytest.raises(CoreArgumentError):
        core.Ratchet(flash, bytes(32), bytes(65))


@BOTH
def test_entropy_and_context_matter(core: ModuleType) -> None:
    keys = set()
    for entropy, context in ((bytes(32), b"a"), (bytes(31) + b"1", b"a"), (bytes(32), b"b")):
        flash = MemoryFlash(BLOCK)
        core.Ratchet.provision(flash, KEY)
        keys.add(core.Ratchet(flash, entropy, context).next(0))
    assert len(keys) == 3


def test_file_flash_is_the_same_flash(tmp_path: Path) -> None:
    memory, file = MemoryFlash(BLOCK), FileFlash(tmp_path / "region", BLOCK)
    for flash in (memory, file):
        native.Ledger.provision(flash, KEY)
        ledger = native.Ledger(flash, KEY, MAX_CHARGE)
        for _ in range(30):
            ledger.charge(*charge(1000), 1, 3, 10**6)
    assert (tmp_path / "region").read_bytes() == memory.image
    assert head(native.Ledger(FileFlash(tmp_path / "region", BLOCK), KEY, MAX_CHARGE)) == head(ledger)
    with pytest.raises(ValueError, match="block size"):
        MemoryFlash(1000)
    with pytest.raises(ValueError, match="outside"):
        memory.program(2 * BLOCK - 1, b"ab")
