"""Provisioning: the owner's registry of board keys, and the files that go onto a board."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from picofed import files, records
from picofed.errors import PicofedError
from picofed.link.session import LinkKey
from picofed.locking import alone
from picofed.provisioning import HostKeys, Policy, Provision, ProvisionError
from picofed.toolchain.build import firmware_bytecode
from picofed.toolchain.layout import repo_root

FORMAT: Final = 2


class RegistryError(PicofedError):
    """The owner's registry cannot be read or written."""


@dataclass(frozen=True, repr=False)
class Registered:
    """A board as its owner knows it: its policy, keys, and the highest ledger head ever seen; or what a host knows.
    kind: what it was when it was flashed last (a name of the catalog, else an architecture); "" if it never was."""

    provision: Provision | HostKeys
    port: str = ""
    kind: str = ""


class Registry:
    """Board keys, in one JSON file that only its owner may read. The owner's can make every key of a board again; a
    host's (HostKeys) has update and link keys alone. A board's first seed is in neither, whoever adds it: a board that
    is given keys again gets a fresh one."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._boards: dict[bytes, Registered] = {}
        self._load()

    def _load(self) -> None:
        try:
            with open(self.path, encoding="utf-8") as file:
                if files.others_may_read(file.fileno()):
                    raise RegistryError(
                        f"others may read {self.path}, which holds its boards' keys: chmod 600 it, and give the boards "
                        "new ones if somebody did"
                    )
                item = json.load(file)
            if item["format"] != FORMAT:
                raise RegistryError(f"{self.path} has a format that this picofed does not know: update picofed")
            for entry in item["boards"]:
                board = _board(entry)
                self._boards[board.provision.policy.board] = board
        except FileNotFoundError:
            return
        except OSError as error:
            raise RegistryError(f"cannot read {self.path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ProvisionError) as error:
            raise RegistryError(f"{self.path} is damaged: restore a backup") from error

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._boards.values())

    def __len__(self) -> int:
        return len(self._boards)

    def get(self, board: bytes) -> Registered | None:
        """A board by its id."""
        return self._boards.get(board)

    def add(self, provision: Provision | HostKeys, port: str = "", kind: str = "") -> None:
        """Keep a board's keys; its ledger head never falls. Written to disk before this returns."""
        with self._alone():
            known = self._boards.get(provision.policy.board)
            if known is not None:
                provision = provision.after(known.provision.seq, known.provision.spent)
            if isinstance(provision, Provision):
                provision = provision.without_secret()
            old = known or Registered(provision)
            self._boards[provision.policy.board] = Registered(provision, port or old.port, kind or old.kind)
            self._save()

    def saw(self, board: bytes, seq: int, spent: int, port: str = "", kind: str = "") -> None:
        """Remember the ledger head of a board whose keys are here, where and what it was. Keys and policy stay."""
        with self._alone():
            known = self._boards.get(board)
            if known is not None:
                provision = known.provision.after(seq, spent)
                self._boards[board] = Registered(provision, port or known.port, kind or known.kind)
                self._save()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Another process may write at the same time: what it wrote is read first, and it waits."""
        with alone(self.path, RegistryError):
            self._load()
            yield

    def update_keys(self) -> dict[bytes, bytes]:
        """Board id to update key."""
        return {ident: board.provision.update_key for ident, board in self._boards.items()}

    def link_keys(self) -> dict[bytes, LinkKey]:
        """Board id to link key, and what the board's policy asks for."""
        given = {ident: board.provision for ident, board in self._boards.items()}
        return {ident: LinkKey(keys.link_key, keys.policy.link) for ident, keys in given.items()}

    def _save(self) -> None:
        item = {"format": FORMAT, "boards": [_entry(board) for board in self._boards.values()]}
        try:
            files.write(self.path, json.dumps(item, indent=1).encode(), private=True)
        except OSError as error:
            raise RegistryError(f"cannot write {self.path}: {error.strerror or error}") from error


def _entry(board: Registered) -> dict[str, Any]:
    given = board.provision
    policy = given.policy.item()
    policy["board"] = given.policy.board.hex()
    policy["helper"] = given.policy.helper.hex()
    del policy["v"]
    if isinstance(given, HostKeys):
        keys = {"update_key": given.update_key, "link_key": given.link_key}
    else:
        keys = {
            "key": given.key,
            "records": given.records_id,
            "signature": given.signature,
        }
    return {
        "policy": policy,
        "owner": given.owner.hex(),
        **{name: value.hex() for name, value in keys.items()},
        "seq": given.seq,
        "spent": given.spent,
        "port": board.port,
        "kind": board.kind,
    }


def _board(entry: Mapping[str, Any]) -> Registered:
    item = dict(entry["policy"])
    for name in ("board", "helper"):
        item[name] = bytes.fromhex(item[name])
    for name in ("losses", "modes", "features"):
        item[name] = tuple(item[name])
    policy, owner = Policy(**item), bytes.fromhex(entry["owner"])
    seq, spent = int(entry["seq"]), int(entry["spent"])

    def take(name: str) -> bytes:
        return bytes.fromhex(entry[name])

    place = str(entry["port"]), str(entry.get("kind", ""))  # earlier versions did not keep the kind
    if "update_key" in entry:
        return Registered(HostKeys(policy, owner, take("update_key"), take("link_key"), seq, spent), *place)
    # A "secret" in a file of an earlier version is left out, and gone when the file is next written.
    keys = take("key"), b"", take("records"), owner, take("signature")
    return Registered(Provision(policy, *keys, seq, spent), *place)


def board_files(
    core: Path,
    provision: Provision | None,
    sessions: Iterable[records.Session] = (),
    layout: records.Layout | None = None,
) -> dict[str, bytes]:
    """All files of a board by absolute path on it: compiled firmware, native module, keys and policy, recordings.

    core: the native module for its architecture; provision: None leaves an earlier provisioning alone; sessions: the
    board's recordings, in a record store of `layout` (default: just large enough).
    """
    compiled = sorted(firmware_bytecode().glob("*.mpy"))
    files = {f"/lib/picofed/{path.name}": path.read_bytes() for path in compiled}
    files["/lib/picofed_core.mpy"] = core.read_bytes()
    files["/main.py"] = (repo_root() / "firmware" / "main.py").read_bytes()
    if provision is None:
        return files
    sessions = list(sessions)
    if layout is None:
        per_slot = records.Layout(provision.records_id).samples
        slots = sum(-(-len(session.samples) // per_slot) for session in sessions)
        layout = records.Layout(provision.records_id, slots=max(1, slots))
    files["/picofed-data/provision.cbor"] = provision.file()
    files["/picofed-data/records.bin"] = records.write(layout, sessions)
    return files
