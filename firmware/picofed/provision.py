"""The board's own state (policy, keys) and how the provisioning file (SPEC 6.8) becomes it.

Wherever power fails, the next start begins again with the same file, or finds the work done. The order makes sure of
it: the highest known ledger head is saved before the ledger is erased; the provisioning counts only when ledger and
seed store are written; the file goes last. `seq` and `spent` in the state are floors that no later file can lower.
A seed that was taken in once is never taken in again, as it could bring back noise keys.
"""

import os

import picofed_core as core

from . import cbor, files
from .errors import ARGUMENT, BLANK, POLICY, PicofedError, check
from .keys import derive
from .platform import FOLDER, RECORDS, UNIT, hardware_id, step
from .policy import Policy, genuine, take

FILE = FOLDER + "/provision.cbor"
STATE = FOLDER + "/board"

_LIMIT = 2048
_FIELDS = {
    "v": int,
    "owner": bytes,
    "policy": bytes,
    "signature": bytes,
    "key": bytes,
    "secret": bytes,
    "seq": int,
    "spent": int,
    "records": bytes,
}
_KEPT = ("owner", "key", "records", "seq", "spent", "used", "done", "wipe")


class State:
    """What a provisioned board knows of itself. done: ledger and seed store are written; used: tags of
    all seeds that were taken in, 16 bytes each."""

    def __init__(self, item):
        self.policy = Policy(item["policy"])
        for name in _KEPT:
            setattr(self, name, item[name])
        self.ledger_key = derive(self.key, b"picofed ledger")
        self.update_key = derive(self.key, b"picofed update")
        self.mask_secret = derive(self.key, b"picofed mask")
        self.link_key = derive(self.key, b"picofed link")

    def save(self):
        item = {name: getattr(self, name) for name in _KEPT}
        item["policy"] = self.policy.data
        files.save(STATE, cbor.dumps(item))

    @classmethod
    def load(cls):
        """The stored state, or None. Raises BLANK if it is damaged."""
        data = files.load(STATE)
        if data is None:
            if files.is_damaged(STATE):
                raise PicofedError(BLANK, "the stored policy is damaged: provision this board again")
            return None
        return cls(cbor.loads(data))


def _head(ledger_flash, state):
    """(seq, cumulative) of a ledger under the key of `state`, or None. A torn record is charged first."""
    mem = bytearray(core.ledger_size())
    if core.ledger_open(mem, ledger_flash, state.ledger_key, state.policy.max_charge) != 0:
        return None
    seq, cumulative, _, _ = core.ledger_head(mem)
    return seq, cumulative


def _read():
    """The provisioning file's map, checked; None if there is no file, or one that has been taken in."""
    try:
        size = os.stat(FILE)[6]
    except OSError:
        return None
    with open(FILE, "rb") as file:
        data = file.read(_LIMIT + 1) if size <= _LIMIT else b""
    if not data and size:
        raise PicofedError(ARGUMENT, "provisioning file is too long")
    if not size or data[0] == 0:
        # taken in, but not deleted before the power failed
        _discard()
        return None
    try:
        item = cbor.loads(data)
    except PicofedError as error:
        raise PicofedError(ARGUMENT, "provisioning file: " + error.text) from None
    take(item, "provisioning file", _FIELDS)
    if item["v"] != 2:
        raise PicofedError(ARGUMENT, "provisioning file of an unknown version")
    if len(item["owner"]) != 32 or len(item["key"]) != 32 or len(item["secret"]) != 32 or len(item["records"]) != 8:
        raise PicofedError(ARGUMENT, "provisioning file: a key has the wrong length")
    genuine(item["policy"], item["signature"], item["owner"])
    return item


def renew(data, signature):
    """Put a newer policy of the same owner in the place of this board's; returns it."""
    state = State.load()
    genuine(data, signature, state.owner)
    policy = Policy(data)
    if policy.board != state.policy.board:
        raise PicofedError(POLICY, "the policy is for another board")
    policy.follows(state.policy)
    if policy.data != state.policy.data:
        state.policy = policy
        state.save()
    return policy


def _discard():
    files.overwrite(FILE)
    step()
    os.remove(FILE)


def take_in(ledger_flash, seed_flash):
    """Take in the provisioning file if there is one; returns the board's state, or None if it was never provisioned.
    Raises PicofedError: ARGUMENT or POLICY for a file that is refused (it changes nothing), BLANK for a provisioning
    that was broken off and whose file is gone, FLASH."""
    item = _read()
    if item is None:
        state = State.load()
        if state is not None and not state.done:
            raise PicofedError(BLANK, "provisioning was broken off: provision this board again")
        return state
    damaged = False
    try:
        old = State.load()
    except PicofedError:
        old = None  # nothing left to keep but what the file says
        damaged = True
    new = State(
        {
            "owner": item["owner"],
            "policy": item["policy"],
            "key": item["key"],
            "records": item["records"],
            "seq": item["seq"],
            "spent": item["spent"],
            "used": b"",
            "done": False,
            "wipe": False,
        }
    )
    own = hardware_id()
    if own is not None and new.policy.board != own:
        raise PicofedError(ARGUMENT, "provisioning file is for another board than " + own.hex())
    if old is not None:
        if old.owner != new.owner:
            raise PicofedError(POLICY, "this board belongs to another owner")
        new.policy.follows(old.policy)
    # under the policy of its time first: what is torn is charged with that one's max_charge
    known = None if old is None else _head(ledger_flash, old)
    found = _head(ledger_flash, new)
    heads = [known, found]
    # spent budget that nobody knows any more: the records it protected go too
    if old is not None:
        heads.append((old.seq, old.spent))
        new.used = old.used
        new.wipe = old.wipe or (old.done and known is None and found is None)
    elif damaged:
        new.wipe = found is None
    # nor can it be known then what a record was: a new store is free again
    new.wipe = new.wipe or files.is_damaged(UNIT)
    for head in heads:
        if head is not None:
            new.seq = max(new.seq, head[0])
            new.spent = max(new.spent, head[1])
    new.save()
    check(core.ledger_provision(ledger_flash, new.ledger_key, new.seq, new.spent), "ledger")
    used = derive(item["secret"], b"picofed used", 16)
    if used not in [new.used[i : i + 16] for i in range(0, len(new.used), 16)]:
        check(core.ratchet_provision(seed_flash, item["secret"]), "seed store")
        new.used += used
    if new.wipe:
        if files.exists(RECORDS):
            files.overwrite(RECORDS)
            files.remove(RECORDS)
        files.remove(UNIT + ".0")
        files.remove(UNIT + ".1")
    new.wipe = False
    new.done = True
    new.save()
    _discard()
    return new
