"""What esptool talks to, on a pseudo-terminal: the serial protocol of Espressif's boot loaders, as their documentation
has it (esptool's "Serial Protocol"). No chip: no instruction runs, and the stub that esptool loads into RAM is taken
in, checked and then played. Neither reset lines nor baud rates matter to a pseudo-terminal.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import select
import struct
import threading
import tty
import zlib
from types import TracebackType
from typing import Final

_END, _ESCAPE = b"\xc0", b"\xdb"
_FLASH_SIZE: Final = 4 << 20
_CHECKSUM_SEED: Final = 0xEF
_MAGIC_REGISTER: Final = 0x40001000
_MAGIC: Final = {"esp32": 0x00F01D83, "esp32s2": 0x000007C6}  # those that have no chip id to ask for
_CHIP_ID: Final = {"esp32s3": 9, "esp32c3": 5}
_SPI_WORDS: Final = (0x3FF42080, 0x60002058)  # where what the flash chip says lies: ESP32; S3 and C3
_FLASH_ID: Final = 22 << 16 | 0x40EF  # 2^22 bytes

FLASH_END, MEM_BEGIN, MEM_END, MEM_DATA, SYNC, WRITE_REG, READ_REG = 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A
SPI_PARAMETERS, SPI_ATTACH, BAUD, DEFLATED_BEGIN, DEFLATED_DATA, DEFLATED_END, MD5 = (
    0x0B,
    0x0D,
    0x0F,
    0x10,
    0x11,
    18,
    19,
)
SECURITY_INFO: Final = 0x14
_REFUSED: Final = b"\x01\x05"


class EspLoader(threading.Thread):
    """with EspLoader("esp32") as loader: ... loader.port, loader.flash.

    breaks_after: so many blocks of flash come in, and then it is silent, as if the cable were pulled.
    """

    def __init__(self, chip: str, breaks_after: int | None = None) -> None:
        super().__init__(daemon=True)
        self.chip, self._left = chip, breaks_after
        self.flash = bytearray(b"\xff" * _FLASH_SIZE)
        self.erased: list[tuple[int, int]] = []  # (offset, bytes)
        self._ram = bytearray()
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._stub = self._over = False

    def __enter__(self) -> EspLoader:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over = True
        self.join()
        os.close(self._master)
        os.close(self._slave)

    def run(self) -> None:
        buffer = b""
        while not self._over:
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            *packets, buffer = (buffer + os.read(self._master, 65536)).split(_END)
            for packet in filter(None, packets):
                whole = packet.replace(_ESCAPE + b"\xdc", _END).replace(_ESCAPE + b"\xdd", _ESCAPE)
                with contextlib.suppress(struct.error):  # what is no request gets no answer
                    self._take(whole)

    def _take(self, packet: bytes) -> None:
        direction, operation, size, checksum = struct.unpack_from("<BBHI", packet)
        if direction == 0 and size == len(packet) - 8:
            self._do(operation, packet[8:], checksum)

    def _send(self, packet: bytes) -> None:
        escaped = packet.replace(_ESCAPE, _ESCAPE + b"\xdd").replace(_END, _ESCAPE + b"\xdc")
        os.write(self._master, _END + escaped + _END)

    def _answer(self, operation: int, data: bytes = b"", value: int = 0, status: bytes = b"\0\0") -> None:
        body = data + (status if self._stub else status + b"\0\0")  # four bytes of status from the ROM
        self._send(struct.pack("<BBHI", 1, operation, len(body), value) + body)

    def _do(self, operation: int, data: bytes, checksum: int) -> None:
        if operation in (MEM_DATA, DEFLATED_DATA):
            length, _, _, _ = struct.unpack_from("<IIII", data)
            block, data = data[16:], b""
            expected = _CHECKSUM_SEED
            for byte in block:
                expected ^= byte
            if len(block) != length or expected != checksum:
                return self._answer(operation, status=_REFUSED)
            if operation == MEM_DATA:
                self._ram += block
            elif not self._write(block):
                return None
        elif operation == SYNC:
            for _ in range(8):
                self._answer(operation, value=0x20120707)
            return None
        elif operation == READ_REG:
            return self._answer(operation, value=self._register(struct.unpack("<I", data)[0]))
        elif operation == SECURITY_INFO:
            if self.chip not in _CHIP_ID:
                return self._answer(operation, status=_REFUSED)
            return self._answer(operation, struct.pack("<IB7xII", 0, 0, _CHIP_ID[self.chip], 0))
        elif operation == MEM_END:
            self._answer(operation)
            self._stub = len(self._ram) > 1000
            return self._send(b"OHAI") if self._stub else None
        elif operation == DEFLATED_BEGIN:
            size, _, _, self._at = struct.unpack_from("<IIII", data)
            self.erased.append((self._at, size))
            self._inflate = zlib.decompressobj()
        elif operation == MD5:
            at, size, _, _ = struct.unpack("<IIII", data)
            return self._answer(operation, hashlib.md5(self.flash[at : at + size]).digest())
        elif operation not in (MEM_BEGIN, WRITE_REG, SPI_PARAMETERS, SPI_ATTACH, BAUD, DEFLATED_END, FLASH_END):
            return self._answer(operation, status=_REFUSED)
        return self._answer(operation)

    def _register(self, address: int) -> int:
        if address == _MAGIC_REGISTER:
            return _MAGIC.get(self.chip, 0)
        return _FLASH_ID if address in _SPI_WORDS else 0

    def _write(self, block: bytes) -> bool:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                return False
        content = self._inflate.decompress(block)
        self.flash[self._at : self._at + len(content)] = content
        self._at += len(content)
        return True
