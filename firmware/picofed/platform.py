"""What differs from port to port: identity, entropy, clock, flash regions, watchdog. On an emulated board the module
`boardserve` stands in for the hardware (boards/unix)."""

import gc
import os
import sys
import time

import micropython
import picofed_core as core
from micropython import const

from .errors import FLASH, PicofedError

try:
    import machine
except ImportError:
    machine = None
try:
    import boardserve
except ImportError:
    boardserve = None

FOLDER = "/picofed-data"
RECORDS = FOLDER + "/records.bin"
UNIT = FOLDER + "/unit"  # what releases count as a record
ENTROPY_BYTES = const(1024)
BLOCK = const(4096)
_BLOCKS = const(4)  # 0 and 1: ledger; 2 and 3: seed store
_FROZEN_BLOCKS = const(32)  # in front of them: frozen weights (SPEC 12)
_XIP = const(0x10000000)  # where an RP2's flash is in its memory

_emulated_step = getattr(boardserve, "flash_op", None)
_watchdog = None


def step():
    """Called before every piece of a write, so that an emulated board can lose its power right there."""
    if _emulated_step is not None:
        _emulated_step()


def unload(*names):
    """Give back the memory of modules that are done."""
    import picofed

    for name in names:
        sys.modules.pop("picofed." + name, None)
        if hasattr(picofed, name):
            delattr(picofed, name)
    gc.collect()


class Uninterrupted:
    """`with Uninterrupted():` keeps Ctrl-C out: within a ledger record it would cost as much as a power cut."""

    def __enter__(self):
        try:
            micropython.kbd_intr(-1)
            # one that is already on its way comes here
            time.sleep_ms(1)
        except KeyboardInterrupt:
            micropython.kbd_intr(3)
            raise

    def __exit__(self, kind, error, trace):
        micropython.kbd_intr(3)


def hardware_id():
    """8 bytes: the chip's own number; None where there is none (an emulated RP2040 reads zeros)."""
    if boardserve is not None and hasattr(boardserve, "unique_id"):
        raw = boardserve.unique_id()
    elif machine is not None and hasattr(machine, "unique_id"):
        raw = machine.unique_id()
    else:
        return None
    if len(raw) > 8:
        short = bytearray(8)
        core.blake2b(short, b"", raw)
        raw = bytes(short)
    raw = bytes(raw) + bytes(8 - len(raw))
    return None if raw in (bytes(8), b"\xff" * 8) else raw


def name():
    """The machine, for people."""
    return getattr(sys.implementation, "_machine", sys.platform)


def clock():
    """8 bytes for the ratchet's context; zeros where the emulator injects entropy, so that runs repeat."""
    if boardserve is not None and hasattr(boardserve, "entropy"):
        return bytes(8)
    ticks = time.time_ns() if hasattr(time, "time_ns") else time.ticks_us()
    return (ticks & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")


def entropy():
    """ENTROPY_BYTES of raw, unconditioned bits from the best source of this board."""
    if boardserve is not None and hasattr(boardserve, "entropy"):
        return boardserve.entropy(ENTROPY_BYTES)
    if sys.platform == "rp2" and "RP2040" in name():
        return _ring_oscillator()
    if sys.platform == "esp32":
        return _with_radio()
    return os.urandom(ENTROPY_BYTES)


def _ring_oscillator():
    # RP2040 has no generator: raw bits of ROSC_RANDOMBIT (data sheet 2.17), which the health tests then judge
    raw = bytearray(ENTROPY_BYTES)
    register = const(0x4006001C)
    memory = machine.mem32
    for i in range(ENTROPY_BYTES):
        byte = 0
        for _ in range(8):
            byte = byte << 1 | memory[register] & 1
        raw[i] = byte
    return raw


def _with_radio():
    # ESP32's generator is only a true one while the radio runs
    import network

    radio = network.WLAN(network.STA_IF)
    was_on = radio.active()
    try:
        radio.active(True)
        return os.urandom(ENTROPY_BYTES)
    finally:
        if not was_on:
            radio.active(False)


def open_regions(path):
    """The file that holds all four blocks, made if there is none, open for reading and writing."""
    try:
        short = os.stat(path)[6] < _BLOCKS * BLOCK
    except OSError:
        short = True
    if short:
        # a cut here leaves a short file: blank to its end, so that it is made whole at the next start
        with open(path, "ab") as file:
            blank = b"\xff" * 256
            while file.tell() < _BLOCKS * BLOCK:
                step()
                file.write(blank[: 256 - file.tell() % 256])
            file.flush()
    return open(path, "r+b")


class FileFlash:
    """Two erase blocks with NOR semantics in the file that holds all four; for ports without a raw region."""

    def __init__(self, file, first):
        """file: of open_regions(). All regions share it: on LittleFS two handles of a file undo each other's writes."""
        self.block_size = BLOCK
        self._base = first * BLOCK
        self._file = file

    def _at(self, offset, length):
        if offset < 0 or offset + length > 2 * BLOCK:
            raise PicofedError(FLASH, "outside the flash region")
        self._file.seek(self._base + offset)

    def read(self, offset, buffer):
        self._at(offset, len(buffer))
        self._file.readinto(buffer)

    def program(self, offset, data):
        held = bytearray(len(data))
        self.read(offset, held)
        for i in range(len(data)):
            held[i] &= data[i]
        # in two pieces: emulated power can fail in the middle of a record
        half = len(data) // 2
        for start, end in ((0, half), (half, len(data))):
            step()
            self._at(offset + start, end - start)
            self._file.write(held[start:end])
            self._file.flush()

    def erase(self, offset):
        blank = b"\xff" * 256
        for start in range(0, BLOCK, 256):
            if start % 2048 == 0:
                step()
            self._at(offset + start, 256)
            self._file.write(blank)
        self._file.flush()


class BlockFlash:
    """Two erase blocks of a raw device (rp2.Flash, esp32.Partition). page: bytes that must be programmed at once."""

    def __init__(self, device, first, page):
        self.block_size = BLOCK
        self._device = device
        self._first = first
        self._blank = b"\xff" * page
        self._page = bytearray(page) if page > 1 else None

    def read(self, offset, buffer):
        self._device.readblocks(self._first + offset // BLOCK, buffer, offset % BLOCK)

    def program(self, offset, data):
        if self._page is None:
            self._device.writeblocks(self._first + offset // BLOCK, data, offset % BLOCK)
            return
        page = self._page
        size = len(page)
        done = 0
        while done < len(data):
            at = (offset + done) % size
            n = min(size - at, len(data) - done)
            # bits that are 1 stay as they are: the rest of the page is not touched
            page[:] = self._blank
            page[at : at + n] = data[done : done + n]
            start = offset + done - at
            # with an offset, writeblocks programs without erasing
            self._device.writeblocks(self._first + start // BLOCK, page, start % BLOCK)
            done += n
        page[:] = self._blank

    def erase(self, offset):
        self._device.ioctl(6, self._first + offset // BLOCK)


def _raw_device():
    """(device, first of four blocks outside the file system, page), or None."""
    try:
        if sys.platform == "rp2":
            import rp2

            device = rp2.Flash()
            total = device.ioctl(4, 0)
            status = os.statvfs("/")
            used = status[1] * status[2] // BLOCK
            # only where the file system was made smaller than its device: else the blocks are its own
            if total - used >= _BLOCKS:
                return device, total - _BLOCKS, 256
        elif sys.platform == "esp32":
            from esp32 import Partition

            found = Partition.find(Partition.TYPE_DATA, label="picofed")
            if found and found[0].ioctl(4, 0) >= _BLOCKS and found[0].ioctl(5, 0) == BLOCK:
                return found[0], 0, 1
    except (ImportError, OSError):
        pass
    return None


def flash_regions():
    """(ledger, seed store): flash objects as picofed_core takes them. A board always comes to the same answer."""
    raw = _raw_device()
    if raw is not None:
        device, first, page = raw
        return BlockFlash(device, first, page), BlockFlash(device, first + 2, page)
    file = open_regions(FOLDER + "/flash.bin")
    return FileFlash(file, 0), FileFlash(file, 2)


def frozen_region():
    """(device, first block, blocks, address) of flash that is kept for frozen weights and that the processor reads as
    memory; None where there is none."""
    if sys.platform != "rp2" or not hasattr(core, "frozen_size"):
        return None
    import rp2

    device = rp2.Flash()
    total = device.ioctl(4, 0)
    status = os.statvfs("/")
    first = total - _BLOCKS - _FROZEN_BLOCKS
    if first < status[1] * status[2] // BLOCK:
        return None
    # the device ends where the chip does, and upstream's boards give it less than all and more than half, or have 2 MB
    chip = 2 << 20
    while chip < total * BLOCK:
        chip *= 2
    return device, first, _FROZEN_BLOCKS, _XIP + chip - (total - first) * BLOCK


def arm(timeout):
    """Start machine.WDT where there is one. timeout: ms, 0 for none."""
    global _watchdog
    if timeout and machine is not None and hasattr(machine, "WDT"):
        _watchdog = machine.WDT(timeout=timeout)


def feed():
    """Called by the loop, and by whatever takes longer than one turn of it may."""
    if _watchdog is not None:
        _watchdog.feed()
