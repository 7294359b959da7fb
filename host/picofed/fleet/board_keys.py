"""What is done with the keys of a board that is flashed: decided in one place, and said or done from that."""

from __future__ import annotations

import contextlib
from enum import Enum
from typing import Final

from picofed.fleet import catalog
from picofed.fleet.flash_options import FlashError, Options, Outcome
from picofed.fleet.key_check import BEHIND, FOREIGN, LOST, POLICY, what_is_wrong
from picofed.fleet.keys import Keys
from picofed.fleet.probe import PROVISION, RECORDS, STATE, Probe
from picofed.fleet.provision import Registered
from picofed.fleet.repl import Repl
from picofed.link.client import BoardClient
from picofed.link.connect import POWER_ON_SECONDS, comes_up
from picofed.link.messages import BoardError, Info, LinkError
from picofed.link.stream import SerialStream


class Step(Enum):
    """What is done with a board's keys, in words."""

    LEAVE = "leave its keys"  # they are as this site wants them, or --no-keys leaves them alone
    FIRST = "give it keys"  # never provisioned, or its files are lost: then this site may know it
    DISPLACE = "give it new keys, in the place of the {} that had its id"  # that one's, of another kind
    LOOK = "see whose keys it has once its firmware runs"  # it has some, and has not told
    TAKE_OVER = "give it new keys"  # it has another owner's, or what is left of anybody's
    RESTORE = f"give it its keys again ({LOST})"
    CATCH_UP = f"give it its keys again ({BEHIND})"
    CHANGE = "change its policy"


_FOR: Final = {
    None: Step.LOOK,
    "": Step.LEAVE,
    FOREIGN: Step.TAKE_OVER,
    LOST: Step.RESTORE,
    BEHIND: Step.CATCH_UP,
    POLICY: Step.CHANGE,
}


class BoardKeys:
    """The keys of the board at this stream: its firmware is asked, where one runs (ask), it is looked at (recognise),
    and then each step() follows from what is known by then."""

    def __init__(self, stream: SerialStream, options: Options, keys: Keys, outcome: Outcome) -> None:
        self._stream, self._options, self._keys, self._outcome = stream, options, keys, outcome
        self._found: Probe | None = None
        self._wrong: str | None = None  # between its keys and this site; None: its firmware has not told
        self._in_place_of = ""  # kind of the board that had its id

    def client(self) -> BoardClient:
        """The board as this site talks to it."""
        return BoardClient(self._stream, self._stream.name, keys=self._keys.link_keys())

    # ---- what there is -----------------------------------------------------------------------------------------------

    def ask(self, info: Info) -> None:
        """Let the firmware that runs, and gave this info, tell whose it is. Raises BoardError or LinkError."""
        ident = info.board if self._found is None else self._ident
        self._wrong = what_is_wrong(self.client(), self._keys, info, ident)

    def refuse_foreign(self) -> None:
        """Another owner's board is taken over on request alone."""
        if self._wrong == FOREIGN and not self._options.new_keys:
            raise FlashError(f"{FOREIGN}: use the --site that has them, or --new-keys (its ledger goes on)")

    def recognise(self, found: Probe) -> None:
        """Which board of this site it is. Raises PicofedError for one that may not get what the owner asked for."""
        self._found = found
        known = self._keys.known(found.ident) if found.ident else None
        self._outcome.name = known.provision.policy.name if known else ""
        if found.ident and self._options.with_keys:
            self._keys.check(found.ident, self._outcome.registered_kind)
            self._refuse_double(known)

    def _refuse_double(self, known: Registered | None) -> None:
        """Two boards with one id would share keys, and each would be behind the other's ledger."""
        kind = self._outcome.registered_kind
        if known is None or catalog.may_be_one_chip(known.kind, kind):
            return
        if not self._options.new_keys:
            raise FlashError(
                f"its id is that of {known.provision.policy.name}, which is of kind {known.kind}, and this is "
                f"{kind}: take another --site, or --new-keys to put it in that one's place (the ledger goes on)"
            )
        self._in_place_of = known.kind

    @property
    def _has_state(self) -> bool:
        return self._found is not None and self._found.has_state

    @property
    def _ident(self) -> bytes:
        if self._found is None or self._found.ident is None:
            raise FlashError("this chip has no number to know it by: flash it with --no-keys, and provision it by hand")
        return self._found.ident

    # ---- what is done ------------------------------------------------------------------------------------------------

    def step(self) -> Step:
        """The decision, by what is known of the board now."""
        if not self._options.with_keys:
            return Step.LEAVE
        ident = self._ident
        if self._in_place_of:
            return Step.DISPLACE
        if not self._has_state:
            return Step.FIRST
        if self._wrong == "" and self._keys.changes(ident):
            return Step.CHANGE
        if self._wrong == LOST and self._keys.known(ident) is None:
            return Step.TAKE_OVER
        return _FOR[self._wrong]

    def is_due(self, step: Step) -> bool:
        """Whether it is taken before the firmware starts: there is nothing on the board to lose, or all but the policy
        is known to be well. Else the firmware that was put there tells first, and what it tells decides."""
        if not self._has_state:
            return step is not Step.LEAVE
        return step is Step.CHANGE and self._wrong == ""

    def foretell(self, repl: Repl) -> str:
        """The step, for a dry run, which starts the board again."""
        step = self.step()
        repl.leave()
        if step is Step.LOOK:  # it sat at its REPL: what is on it tells, if it starts
            client = BoardClient(self._stream, self._stream.name)
            if comes_up(self._stream, client, POWER_ON_SECONDS):
                with contextlib.suppress(BoardError, LinkError):
                    self.ask(client.hello())
            self.refuse_foreign()
            step = self.step()
        return f"would {step.value.format(self._in_place_of)}"

    def hear(self, info: Info) -> None:
        """Keys that it is given now go on from its ledger's head. Raises FlashError where it may not get any."""
        self.refuse_foreign()
        self._keys.heard(self._ident, info.seq, info.spent)

    def give(self, repl: Repl, step: Step) -> None:
        """A provisioning file, for the step that is to be taken."""
        ident, outcome = self._ident, self._outcome
        new = step in (Step.DISPLACE, Step.TAKE_OVER) or self._keys.known(ident) is None
        provision = self._keys.give(ident, outcome.registered_kind, self._stream.name, new)
        if new and self._has_state:
            # a board is bound to its owner: it forgets that one, and what was recorded under that one's policy
            repl.remove([RECORDS, *STATE])
        # An older file, which may have been cut off, holds a seed that must not be taken in after this one's.
        repl.remove([f"{PROVISION}.new", PROVISION])
        repl.put(PROVISION, provision.file())
        outcome.name = provision.policy.name
        if step is Step.DISPLACE:
            outcome.did.append(f"took the place of the {self._in_place_of} that had its id")
        if new:
            outcome.did.append("new keys")
        elif step is Step.CHANGE:
            outcome.did.append("new policy")
        elif provision.seq:
            reason = BEHIND if step is Step.CATCH_UP else LOST
            outcome.did.append(f"keys again ({reason}: it goes on from what this site has seen)")
        else:
            outcome.did.append("keys again (as before)")

    def check_taken(self) -> None:
        """Raise FlashError unless all is well by what the firmware told last."""
        if not self._wrong:
            return
        try:
            why = self.client().status().error_text
        except BoardError:
            why = ""
        raise FlashError(f"it does not take its keys: {why or self._wrong}")
