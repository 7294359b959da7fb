"""The owner's signing key: policies and rosters that carry its signature, and the file that holds it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any, Final

from picofed import files, native
from picofed.errors import PicofedError

FORMAT: Final = 1
_SCRYPT: Final = {"n": 1 << 15, "r": 8, "p": 1}  # 32 MB and some tenths of a second for each guess
_SCRYPT_MEMORY: Final = 64 << 20


class OwnerError(PicofedError):
    """The owner's key cannot be made, read or used."""


class Owner:
    """A signing key (EdDSA with BLAKE2b). Never shown: no repr, no pickling into logs."""

    __slots__ = ("_seed", "public")

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self.public = native.eddsa_public(seed)

    def __reduce__(self) -> Any:
        raise OwnerError("an owner's key is not for passing around")

    def sign_policy(self, data: bytes) -> bytes:
        """The signature under a policy (SPEC 6.7)."""
        return native.eddsa_sign(self._seed, b"picofed policy" + data)

    def sign_roster(self, data: bytes) -> bytes:
        """The signature under a roster (SPEC 6.10)."""
        return native.eddsa_sign(self._seed, b"picofed roster" + data)

    def sign_members(self, data: bytes) -> bytes:
        """The signature under the members of cohorts (SPEC 11.1)."""
        return native.eddsa_sign(self._seed, b"picofed members" + data)

    @classmethod
    def create(cls, path: Path, passphrase: str = "") -> Owner:
        """Make a key and its file, which only its owner may read. An existing file is never overwritten."""
        seed = secrets.token_bytes(32)
        owner = cls(seed)
        item = {"format": FORMAT, "public": owner.public.hex(), "seed": seed.hex()}
        if passphrase:
            salt = secrets.token_bytes(16)
            item |= {"salt": salt.hex(), "seed": _lock(seed, passphrase, salt).hex()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            files.create(path, json.dumps(item).encode())
        except FileExistsError:
            raise OwnerError(f"{path} exists: boards are bound to that key, so it is not overwritten") from None
        except OSError as error:
            raise OwnerError(f"cannot write {path}: {error.strerror or error}") from error
        return owner

    @classmethod
    def have(cls, path: Path, passphrase: str = "") -> Owner:
        """The key in a file, made if there is none; several that make it at once have the same."""
        if not path.exists():
            try:
                return cls.create(path, passphrase)
            except OwnerError:
                if not path.exists():
                    raise
        return cls.load(path, passphrase)

    @classmethod
    def load(cls, path: Path, passphrase: str = "") -> Owner:
        """Read a key. Raises OwnerError if others may read its file, or the passphrase is missing or wrong."""
        try:
            with open(path, encoding="utf-8") as file:
                if files.others_may_read(file.fileno()):
                    raise OwnerError(f"others may read {path}: chmod 600 it, and make a new key if somebody did")
                item = json.load(file)
            seed, public = bytes.fromhex(item["seed"]), bytes.fromhex(item["public"])
            salt = bytes.fromhex(item.get("salt", ""))
            known = item["format"] == FORMAT
        except FileNotFoundError:
            raise OwnerError(f"there is no owner's key {path}: make one with `picofed provision key`") from None
        except OSError as error:
            raise OwnerError(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise OwnerError(f"{path} is damaged: restore a backup") from None
        if not known:
            raise OwnerError(f"{path} has a format that this picofed does not know: update picofed")
        if salt:
            if not passphrase:
                raise OwnerError(f"{path} is locked: give its passphrase (--passphrase, or PICOFED_PASSPHRASE)")
            seed = _unlock(seed, passphrase, salt) or b""
            if not seed:
                raise OwnerError(f"{path}: wrong passphrase")
        with contextlib.suppress(PicofedError):
            owner = cls(seed)
            if owner.public == public:
                return owner
        raise OwnerError(f"{path} is damaged: restore a backup")


def is_locked(path: Path) -> bool:
    """Whether the key in this file needs a passphrase; False where it cannot be read."""
    try:
        return bool(json.loads(path.read_text("utf-8")).get("salt"))
    except (OSError, ValueError, AttributeError):
        return False


def _keys(passphrase: str, salt: bytes) -> tuple[bytes, bytes]:
    made = hashlib.scrypt(passphrase.encode(), salt=salt, dklen=64, maxmem=_SCRYPT_MEMORY, **_SCRYPT)
    return made[:32], made[32:]


def _lock(seed: bytes, passphrase: str, salt: bytes) -> bytes:
    """Encrypt, then authenticate. The salt is fresh, so the key is used once and a constant nonce does."""
    cipher, check = _keys(passphrase, salt)
    locked = native.chacha20(cipher, bytes(12), 0, seed)
    return locked + native.blake2b(locked, 16, check)


def _unlock(data: bytes, passphrase: str, salt: bytes) -> bytes | None:
    cipher, check = _keys(passphrase, salt)
    locked, tag = data[:32], data[32:]
    if not secrets.compare_digest(native.blake2b(locked, 16, check), tag):
        return None
    return native.chacha20(cipher, bytes(12), 0, locked)
