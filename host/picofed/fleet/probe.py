"""What a board is and holds, asked over its REPL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from picofed.fleet.repl import Repl, ReplError
from picofed.link.messages import one_line
from picofed.native import blake2b
from picofed.toolchain.mpy import Abi, of_board

DATA: Final = "/picofed-data"
LIBRARY: Final = "/lib"
PROVISION: Final = f"{DATA}/provision.cbor"
RECORDS: Final = f"{DATA}/records.bin"
STATE: Final = (f"{DATA}/board.0", f"{DATA}/board.1")  # whose it is, its policy and keys; not its ledger
# The ledger, the seed store and what says how to read them: whatever else goes, these stay.
KEPT: Final = ("flash.bin", "board.0", "board.1", "unit.0", "unit.1")

_PROBE: Final = """
import os,sys
def probe():
 i=sys.implementation
 raw=None
 try:
  import boardserve
  raw=boardserve.unique_id()
 except (ImportError,AttributeError):
  try:
   import machine
   raw=machine.unique_id()
  except (ImportError,AttributeError):
   pass
 old=sys.path[:]
 sys.path[:]=['.frozen']
 core=False
 frozen=made=''
 try:
  import picofed_core
  core=True
 except Exception:
  pass
 try:
  import picofed
  frozen=picofed.__version__
  import picofed_sources
  made=picofed_sources.DIGEST
 except Exception:
  pass
 sys.path[:]=old
 try:
  s=os.statvfs('/')
  free,block=s[3]*s[0],s[0]
 except Exception:
  free,block=-1,1
 def there(n):
  try:
   os.stat('/picofed-data/'+n)
   return True
  except OSError:
   return False
 state=there('board.0') or there('board.1')
 m=str(getattr(i,'_machine',sys.platform))
 return (getattr(i,'_mpy',0),m,tuple(i.version[:3]),raw,core,frozen,free,block,state,made,sys.version)
print(probe())
"""


@dataclass(frozen=True)
class Probe:
    """abi: of native modules; ident: the board id that its firmware will see, None where the chip has no number;
    built_in: the native module is part of its MicroPython; frozen: version of the firmware in its MicroPython, or "";
    free: bytes (-1: not known); has_state: it was provisioned once, to whatever end; sources: digest of what that
    firmware was made of, or ""; banner: what its MicroPython says of itself."""

    abi: Abi
    machine: str
    version: tuple[int, ...]
    ident: bytes | None
    built_in: bool
    frozen: str
    free: int
    block: int
    has_state: bool
    sources: str = ""
    banner: str = ""


def hardware_id(raw: bytes | None) -> bytes | None:
    """8 bytes as the firmware's platform.hardware_id() makes them of a chip's number."""
    if raw is None:
        return None
    ident = blake2b(raw, 8) if len(raw) > 8 else raw.ljust(8, b"\0")
    return None if ident in (bytes(8), b"\xff" * 8) else ident


def ask(repl: Repl, name: str) -> Probe:
    """Look at the board behind a raw REPL. Raises ReplError."""
    value = repl.value(_PROBE)
    try:
        number, machine, version, raw, core, frozen, free, block, state, sources, banner = value
        return Probe(
            of_board(int(number)),
            one_line(str(machine), 80),
            tuple(int(part) for part in version),
            hardware_id(None if raw is None else bytes(raw)),
            bool(core),
            str(frozen),
            int(free),
            max(1, int(block)),
            bool(state),
            str(sources),
            str(banner),
        )
    except (TypeError, ValueError) as error:
        raise ReplError(f"{name}: the board does not say what it is: does another program use it?") from error


def erase(repl: Repl) -> None:
    """Delete programs (/*, /lib) and what picofed keeps, but never ledger, seeds and keys."""
    repl.run(
        f"""
import os
def erase(p,keep=(),deep=True):
 try:
  names=os.listdir(p or '/')
 except OSError:
  return
 for n in names:
  q=p+'/'+n
  if n in keep:
   continue
  if os.stat(q)[0]&0x4000:
   if deep:
    erase(q)
    os.rmdir(q)
  else:
   os.remove(q)
erase('',(),False)
erase({LIBRARY!r})
erase({DATA!r},{KEPT!r})
"""
    )
