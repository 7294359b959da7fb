"""Whether a board that runs the firmware has the keys, the policy and the ledger that this site knows of it."""

from __future__ import annotations

from typing import Final

from picofed.fleet.keys import Keys, is_own_ledger, whole
from picofed.link.client import BoardClient
from picofed.link.messages import AUTHENTICATION, BLANK, CORRUPT, BoardError, Info

LOST: Final = "its ledger or seed store was lost"
BEHIND: Final = "its ledger is behind what this site has seen"
FOREIGN: Final = "it has keys that this site does not know"
POLICY: Final = "its policy is not this site's"


def what_is_wrong(client: BoardClient, keys: Keys, info: Info, ident: bytes) -> str:
    """One of the above; "" if nothing is. client: with this site's link keys; info: the board's, perhaps in clear;
    ident: which board it should be. Raises BoardError or LinkError where it does not say.
    """
    known = keys.known(ident)
    if info.budget == 0 and not info.name:
        return LOST
    if info.challenge is not None:  # it answers only those who have its link key
        if known is None or info.board != ident:
            return FOREIGN
        try:
            client.authenticate()
        except BoardError as error:
            if error.code != AUTHENTICATION:
                raise
            return FOREIGN
    if client.status().error in (BLANK, CORRUPT):
        return LOST
    if known is None or info.board != ident:
        return FOREIGN
    records = client.ledger(0, 1)
    if not records:
        return LOST
    provision, policy = whole(known), known.provision.policy
    if not is_own_ledger(records[0], provision.ledger_key):
        return FOREIGN
    if info.seq < provision.seq or info.spent < provision.spent:
        return BEHIND
    has = (info.name, info.budget, info.max_charge, info.link)
    return "" if has == (policy.name, policy.budget, policy.max_charge, policy.link) else POLICY
