"""Provisioning: the owner's registry of board keys, and flash folders for emulated boards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from picofed import records
from picofed.errors import PicofedError
from picofed.provisioning import Policy, Provision, ProvisionError

FORMAT: Final = 1


class RegistryError(PicofedError):
    """The owner's registry cannot be read or written."""


@dataclass(frozen=True, repr=False)
class Registered:
    """A board as its owner knows it: its policy, keys, and the highest ledger head ever seen."""

    provision: Provision
    port: str = ""


class Registry:
    """The owner's board keys, in one JSON file that only its owner may read. Whoever has it can forge updates
    and ledgers; a host that only collects needs the update keys alone."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._boards: dict[bytes, Registered] = {}
        if not self.path.exists():
            return
        try:
            item = json.loads(self.path.read_text("utf-8"))
            if item["format"] != FORMAT:
                raise RegistryError(f"{self.path} has a format that this picofed does not know: update picofed")
            for entry in item["boards"]:
                board = _board(entry)
                self._boards[board.provision.policy.board] = board
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

    def add(self, provision: Provision, port: str = "") -> None:
        """Keep a board's keys; its ledger head never falls. Written to disk before this returns."""
        known = self._boards.get(provision.policy.board)
        if known is not None:
            provision = provision.after(known.provision.seq, known.provision.spent)
        self._boards[provision.policy.board] = Registered(provision, port or (known.port if known else ""))
        self._save()

    def update_keys(self) -> dict[bytes, bytes]:
        """Board id to update key."""
        return {ident: board.provision.update_key for ident, board in self._boards.items()}

    def _save(self) -> None:
        item = {"format": FORMAT, "boards": [_entry(board) for board in self._boards.values()]}
        beside = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(item, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except OSError as error:
            raise RegistryError(f"cannot write {self.path}: {error.strerror or error}") from error


def _entry(board: Registered) -> dict[str, Any]:
    given = board.provision
    policy = given.policy.item()
    policy["board"] = given.policy.board.hex()
    del policy["v"]
    return {
        "policy": policy,
        "key": given.key.hex(),
        "secret": given.secret.hex(),
        "records": given.records_id.hex(),
        "seq": given.seq,
        "spent": given.spent,
        "port": board.port,
    }


def _board(entry: Mapping[str, Any]) -> Registered:
    policy = dict(entry["policy"])
    policy["board"] = bytes.fromhex(policy["board"])
    for name in ("losses", "modes", "features"):
        policy[name] = tuple(policy[name])
    key, secret, ident = (bytes.fromhex(entry[name]) for name in ("key", "secret", "records"))
    return Registered(
        Provision(Policy(**policy), key, secret, ident, int(entry["seq"]), int(entry["spent"])),
        str(entry["port"]),
    )


def flash_folder(
    folder: Path,
    firmware: Path,
    core: Path,
    provision: Provision | None,
    sessions: Iterable[records.Session] = (),
    layout: records.Layout | None = None,
) -> None:
    """Fill a folder that is an emulated board's flash.

    firmware: the `picofed` package, with main.py beside it; core: the native module; provision: None leaves an
    earlier provisioning alone; sessions: the board's recordings, in a record store of `layout` (default: just large
    enough).
    """
    library = folder / "lib"
    library.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        firmware,
        library / "picofed",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__", "*.pyi"),
    )
    shutil.copyfile(core, library / "picofed_core.mpy")
    shutil.copyfile(firmware.parent / "main.py", folder / "main.py")
    if provision is None:
        return
    data = folder / "picofed-data"
    data.mkdir(exist_ok=True)
    (data / "provision.cbor").write_bytes(provision.file())
    sessions = list(sessions)
    if layout is None:
        per_slot = records.Layout(provision.records_id).samples
        slots = sum(-(-len(session.samples) // per_slot) for session in sessions)
        layout = records.Layout(provision.records_id, slots=max(1, slots))
    (data / "records.bin").write_bytes(records.write(layout, sessions))
