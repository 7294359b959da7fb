"""A board's raw REPL: run a program there, put files onto its file system. MicroPython 1.23 or later.

Not mpremote's transport: that needs two or three round trips for every 256 bytes and a process for each board, and what
goes wrong there is a traceback (benchmarks/flash.py measures both).
"""

from __future__ import annotations

import ast
import re
import secrets
import struct
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from typing import Any, Final

from picofed.link.messages import LinkError, one_line
from picofed.link.stream import SerialStream

PATIENCE: Final = 10.0  # seconds for the board's next sign of life; an erased block takes less than one
PIECE: Final = 180  # bytes a line: with base64 it fits the smallest input buffer of MicroPython's ports (ESP32: 260)
_PROMPT: Final = b"raw REPL; CTRL-B to exit\r\n>"
_REBOOT: Final = b"soft reboot"
_END: Final = b"\x04"
_ENOSPC: Final = 28

_HASHES: Final = """
import binascii,hashlib
def h(p):
 try:
  f=open(p,'rb')
 except OSError:
  return ''
 s=hashlib.sha256()
 b=bytearray(512)
 while 1:
  n=f.readinto(b)
  if not n:
   f.close()
   return binascii.hexlify(s.digest()).decode()
  s.update(memoryview(b)[:n])
"""

_LIST: Final = """
import os
def ls(p):
 try:
  return os.listdir(p)
 except OSError:
  return []
"""

_RECEIVE: Final = """
import os,sys
from binascii import a2b_base64 as d
p=%r
q=p.rsplit('/',1)[0]
a=''
for x in q.split('/')[1:]:
 a+='/'+x
 try:
  os.mkdir(a)
 except OSError as e:
  if e.errno!=17:
   raise
t=p+'.new'
try:
 f=open(t,'wb')
 n=0
 while n<%d:
  n+=f.write(d(sys.stdin.readline()))
  sys.stdout.write('+')
 f.close()
 try:
  os.rename(t,p)
 except OSError:
  os.remove(p)
  os.rename(t,p)
except OSError:
 try:
  f.close()
 except Exception:
  pass
 try:
  os.remove(t)
 except OSError:
  pass
 raise
"""


class ReplError(LinkError):
    """The board's REPL does not do what it was asked to. number: errno of an OSError on the board, else 0."""

    def __init__(self, text: str, number: int = 0) -> None:
        super().__init__(text)
        self.number = number

    @property
    def is_full(self) -> bool:
        """Whether the file system had no space left."""
        return self.number == _ENOSPC


class Repl:
    """The raw REPL behind a stream. Raises PortError when the port has gone, ReplError otherwise."""

    def __init__(self, stream: SerialStream, patience: float = PATIENCE) -> None:
        self._stream = stream
        self._patience = patience
        self._held = bytearray()

    def enter(self) -> None:
        """Stop what runs there with Ctrl-C, and begin afresh: a soft reset that runs boot.py but not main.py."""
        for attempt in range(4):
            self._held.clear()
            self._stream.write(b"\r\x03\x03")
            self._settle(0.1 * (attempt + 1))
            self._stream.write(b"\r\x01")
            if self._wait(_PROMPT, 1.5) is not None:
                break
        else:
            raise ReplError(f"{self._stream.name}: no MicroPython answers there: reset the board, or check the port")
        self._stream.write(_END)
        # A board that was busy answers every attempt to enter, one prompt for each: the new one comes after this.
        if self._wait(_REBOOT, self._patience) is None or self._wait(_PROMPT, self._patience) is None:
            raise ReplError(f"{self._stream.name}: the board does not come back from a soft reset: press its reset")
        self._catch_up()

    def _catch_up(self) -> None:
        """Until what was sent before this has been dealt with: a slow board may have another soft reset to do."""
        for _ in range(3):
            token = secrets.token_hex(4)
            self._stream.write(f"print({token!r},end='')".encode() + _END)
            if self._wait(token.encode() + b"\x04\x04>", self._patience) is not None:
                return
        raise ReplError(f"{self._stream.name}: the board does not do what it is told: does another program use it?")

    def run(self, code: str) -> str:
        """What the code prints. Raises ReplError if it raises."""
        self._paste(code)
        return self._result()

    def value(self, code: str) -> Any:
        """What the code prints, as a Python value: print(repr(...)) on the board."""
        text = self.run(code)
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            said = one_line(text.strip(), 60)
            raise ReplError(f"{self._stream.name}: the board answers {said!r}: does another program use it?") from error

    def hashes(self, paths: Iterable[str]) -> dict[str, str]:
        """SHA-256 in hex of each file on the board, "" where there is none."""
        paths = list(paths)
        found: dict[str, str] = {}
        self.run(_HASHES)
        for start in range(0, len(paths), 16):
            some = paths[start : start + 16]
            values = self.value(f"print([h(p) for p in {some!r}])")
            if not isinstance(values, list) or len(values) != len(some):
                raise ReplError(f"{self._stream.name}: the board does not say which files it has")
            found |= dict(zip(some, map(str, values), strict=True))
        return found

    def listing(self, folder: str) -> list[str]:
        """Names in a folder on the board; none where it does not exist."""
        names = self.value(f"{_LIST}print(ls({folder!r}))")
        return [str(name) for name in names]

    def put(self, path: str, data: bytes, progress: Callable[[int], None] = lambda _: None) -> None:
        """Write a file, its folders too. It is there whole or not at all: a beginning has another name, PATH.new."""
        self._paste(_RECEIVE % (path, len(data)))
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self._stream.write(b2a_base64(piece))
            sign = self._take(1)
            if sign == _END:  # the program has ended, and will say why
                self._held[:0] = sign
                break
            if sign != b"+":
                self._held[:0] = sign
                if self._wait(_END, self._patience) is None:
                    raise self._silent()
                self._held[:0] = _END
                break
            progress(len(piece))
        self._result()

    def remove(self, paths: Iterable[str]) -> None:
        """Delete files; one that is not there is none."""
        self.run(
            f"import os\nfor p in {list(paths)!r}:\n try:\n  os.remove(p)\n except OSError as e:\n"
            "  if e.errno!=2:\n   raise\n"
        )

    def leave(self) -> None:
        """Back to the friendly REPL, and a soft reset that runs main.py."""
        self._stream.write(b"\x02")
        self._wait(b">>> ", 2.0)
        self._held.clear()
        self._stream.forget()
        self._stream.write(_END)

    # ---- the protocol --------------------------------------------------------------------------------------------

    def _paste(self, code: str) -> None:
        self._held.clear()
        self._stream.write(b"\x05A\x01")
        if self._take(2) != b"R\x01":
            raise ReplError(f"{self._stream.name}: the board does not take programs: is it MicroPython 1.23 or later?")
        window = left = struct.unpack("<H", self._take(2))[0]
        data = code.encode()
        while data:
            while left == 0 or self._waiting():
                sign = self._take(1)
                if sign == b"\x01":
                    left += window
                elif sign == _END:  # it has had enough: a syntax error, or no memory
                    self._stream.write(_END)
                    return
            self._stream.write(data[:left])
            data, left = data[left:], left - len(data[:left])
        self._stream.write(_END)
        if self._wait(_END, self._patience) is None:
            raise self._silent()

    def _result(self) -> str:
        out, trouble = self._until_end(), self._until_end()
        self._take(1)
        if trouble:
            raise _as_error(self._stream.name, trouble.decode("utf-8", "replace"))
        return out.decode("utf-8", "replace")

    def _until_end(self) -> bytes:
        text = self._wait(_END, self._patience)
        if text is None:
            raise self._silent()
        return text

    def _silent(self) -> ReplError:
        return ReplError(f"{self._stream.name}: no answer any more: check the cable and power")

    def _waiting(self) -> bool:
        if not self._held:
            self._held += self._stream.read(0)
        return bool(self._held)

    def _take(self, count: int) -> bytes:
        deadline = time.monotonic() + self._patience
        while len(self._held) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._silent()
            self._held += self._stream.read(left)
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _wait(self, until: bytes, patience: float) -> bytes | None:
        """Bytes before `until`, which is taken too; None if it does not come though `patience` seconds pass without a
        byte."""
        searched = 0
        while (at := self._held.find(until, searched)) < 0:
            searched = max(0, len(self._held) - len(until))
            data = self._stream.read(patience)
            if not data:
                return None
            self._held += data
        found = bytes(self._held[:at])
        del self._held[: at + len(until)]
        return found

    def _settle(self, seconds: float) -> None:
        """Drop what comes until nothing has come for so long (a board that prints all the time: until 2 s are over)."""
        end = time.monotonic() + 2.0
        while self._stream.read(seconds) and time.monotonic() < end:
            pass


def _as_error(name: str, text: str) -> ReplError:
    last = text.strip().splitlines()[-1] if text.strip() else "an error without words"
    number = re.match(r"OSError: (?:\[Errno )?(\d+)", last)
    return ReplError(f"{name}: the board says: {one_line(last, 120)}", int(number[1]) if number else 0)
