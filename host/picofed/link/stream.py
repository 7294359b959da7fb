"""Byte streams to boards: serial ports and ptys by pyserial, cut into frames (SPEC 6.1), console text kept as
a log.
"""

from __future__ import annotations

import contextlib
import errno
import re
import time
from typing import Final, Protocol

import serial

from picofed import native
from picofed.errors import PicofedError
from picofed.link.messages import PAYLOAD_MAX, LinkError, MessageError, one_line

# What may stand between two delimiters: payload and CRC, one COBS byte in 254 (and one), each byte escaped.
FRAME_MAX: Final = 2 * (PAYLOAD_MAX + 4 + (PAYLOAD_MAX + 4) // 254 + 2)
CONSOLE_MAX: Final = 16384  # bytes of console text that are kept
BAUD: Final = 115200  # USB-CDC and ptys ignore it


class PortError(LinkError):
    """The port cannot be opened or has gone."""


class FrameScanner:
    """Cuts a byte stream into payloads. Never holds more than FRAME_MAX bytes; what is longer is dropped to
    the next delimiter. What does not decode is console text if it is printable."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._overlong = False
        self._console = bytearray()
        self.dropped = 0  # frames and pieces that were neither a frame nor text

    def feed(self, data: bytes) -> list[bytes]:
        """Take in bytes; give back the payloads of the frames that they complete."""
        payloads = []
        pieces = data.split(b"\0")
        for number, piece in enumerate(pieces):
            if self._overlong:
                pass
            elif len(self._buffer) + len(piece) > FRAME_MAX:
                self._log(bytes(self._buffer) + piece)
                self._buffer.clear()
                self._overlong = True
            else:
                self._buffer += piece
            if number < len(pieces) - 1:  # a delimiter follows this piece
                if self._buffer and not self._overlong:
                    body = bytes(self._buffer)
                    try:
                        payloads.append(native.frame_decode(body))
                    except PicofedError:
                        self._log(body)
                self._buffer.clear()
                self._overlong = False
        return payloads

    def _log(self, body: bytes) -> None:
        text = body.decode("utf-8", "replace")
        odd = sum(not (c.isprintable() or c in "\r\n\t") for c in text)
        if odd * 8 > len(text):
            self.dropped += 1
            return
        self._console += body
        del self._console[:-CONSOLE_MAX]

    def console(self) -> str:
        """The console text so far, with what may still become a frame at its end."""
        return (bytes(self._console) + bytes(self._buffer)).decode("utf-8", "replace")

    def forget(self) -> None:
        """Drop the console text and the unfinished piece."""
        self._console.clear()
        self._buffer.clear()
        self._overlong = False


class Stream(Protocol):
    """What a client needs of a link: payloads out, payloads in, and the console that shares it."""

    name: str

    def send(self, payload: bytes) -> None:
        """Send one frame."""

    def receive(self, timeout: float) -> bytes | None:
        """The next payload, or None when `timeout` seconds passed without one."""

    def take_counts(self) -> tuple[int, int]:
        """Bytes on the wire since the last call: (up from the board, down to it)."""

    def close(self) -> None:
        """Release the port."""


class SerialStream:
    """A serial port, a pty or any URL that pyserial knows, opened for this process alone.

    Raises PortError, in words for the user, when the port does not exist, is in use, or vanishes.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        self.name = port
        self._scanner = FrameScanner()
        self._ready: list[bytes] = []
        self._up = self._down = 0
        exclusive = None if "://" in port else True
        try:
            self._serial = serial.serial_for_url(port, baudrate=baud, timeout=0, write_timeout=5, exclusive=exclusive)
        except (serial.SerialException, OSError, ValueError, re.error) as error:  # re: hwgrep://
            raise PortError(_open_failed(port, error)) from error

    def send(self, payload: bytes) -> None:
        """Send one frame. Raises PortError if the board does not take it within 5 s."""
        self.write(native.frame_encode(payload))

    def write(self, data: bytes) -> None:
        """Send raw bytes, for the REPL behind the link."""
        try:
            self._serial.write(data)
            self._down += len(data)
        except (serial.SerialException, OSError) as error:
            raise PortError(f"{self.name}: the board does not take data any more: {_reason(error)}") from error

    def receive(self, timeout: float) -> bytes | None:
        """The next payload, or None after `timeout` seconds. Raises PortError when the port has gone."""
        deadline = time.monotonic() + timeout
        while not self._ready:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._ready += self._scanner.feed(self._read(left))
        return self._ready.pop(0)

    def read(self, timeout: float) -> bytes:
        """Raw bytes as they come, for the REPL behind the link; b"" after `timeout` seconds without any."""
        return self._read(timeout)

    def _read(self, timeout: float) -> bytes:
        try:
            self._serial.timeout = timeout
            data: bytes = self._serial.read(1)
            if data and (waiting := self._serial.in_waiting):
                data += self._serial.read(min(waiting, 65536))
        except (
            serial.SerialException,
            OSError,
            TypeError,
        ) as error:  # TypeError: pyserial, port closed meanwhile
            raise PortError(f"{self.name}: the board has gone: {_reason(error)}") from error
        self._up += len(data)
        return data

    def take_counts(self) -> tuple[int, int]:
        """See Stream."""
        counts = self._up, self._down
        self._up = self._down = 0
        return counts

    def listen(self, timeout: float, until: str = "") -> str:
        """Console text that arrives within `timeout` seconds, or until `until` is in it. Frames are kept."""
        deadline = time.monotonic() + timeout
        while not (until and until in self._scanner.console()):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._ready += self._scanner.feed(self._read(left))
        return self._scanner.console()

    def forget(self) -> None:
        """Drop console text and payloads that nobody has asked for."""
        self._scanner.forget()
        self._ready.clear()

    @property
    def console(self) -> str:
        """The last console text that came beside the frames."""
        return self._scanner.console()

    def close(self) -> None:
        """Release the port; errors of a port that is already gone do not matter."""
        with contextlib.suppress(serial.SerialException, OSError):
            self._serial.close()


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EIO:
        return "it was unplugged or its emulator ended"
    return one_line(str(error)) or type(error).__name__


def _open_failed(port: str, error: BaseException) -> str:
    number = getattr(error, "errno", None)
    text = str(error)
    if number == errno.ENOENT or "No such file" in text:
        return f"there is no port {port}: `picofed boards` lists the ports of this machine"
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in text:
        return f"{port} is in use: close the other program (a terminal, mpremote, another picofed) and try again"
    if number in (errno.EACCES, errno.EPERM):
        return f"no permission to open {port}: add yourself to the group that owns it (often `dialout`)"
    if number in (errno.ENOTTY, errno.EINVAL) or "Could not configure port" in text:
        return f"{port} is not a serial port: `picofed boards` lists the ports of this machine"
    return f"cannot open {port}: {_reason(error)}"


__all__ = ["FrameScanner", "LinkError", "MessageError", "PortError", "SerialStream", "Stream"]
