"""Who takes part in a run: boards that are here, away for now, gone for good, or were never reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Member:
    """A board that has joined. left: why it is not here, or ""; away: it may come back by itself."""

    name: str
    left: str = ""
    away: bool = False


class Roster:
    """The boards of one run. expected: how many will join or be reported as not reached."""

    def __init__(self, expected: int = 0) -> None:
        self._expected = expected
        self._members: dict[bytes, Member] = {}
        self._unreached: dict[str, str] = {}
        self._newest: dict[bytes, int] = {}
        # Boards that are here and have not contributed to this version or a later one; kept up to date, because it is
        # asked for at every update.
        self._version = -1
        self._owing: set[bytes] = set()

    def join(self, board: bytes, name: str, port: str) -> bool:
        """A board is there. Whether it comes back."""
        self._unreached.pop(port, None)
        member = self._members.setdefault(board, Member(name))
        again = bool(member.left)
        member.left, member.away = "", False
        if self.contributed(board) < self._version:
            self._owing.add(board)
        return again

    def leave(self, board: bytes, reason: str, away: bool) -> None:
        """A board is not here any more."""
        member = self._members[board]
        member.left, member.away = reason, away
        self._owing.discard(board)

    def unreached(self, port: str, reason: str) -> bool:
        """An expected board cannot be reached. Whether that is news."""
        known = port in self._unreached
        self._unreached[port] = reason
        return not known

    def name(self, board: bytes) -> str:
        """What people call the board."""
        member = self._members.get(board)
        return member.name if member else board.hex()

    def contributed(self, board: bytes) -> int:
        """The newest version that an update of the board was computed on; -1: none."""
        return self._newest.get(board, -1)

    def contribute(self, board: bytes, version: int) -> int:
        """Note an update; returns the newest version before it."""
        before = self.contributed(board)
        self._newest[board] = max(before, version)
        if version >= self._version:
            self._owing.discard(board)
        return before

    def __len__(self) -> int:
        return len(self._members)

    @property
    def active(self) -> int:
        """Boards that are here."""
        return sum(not member.left for member in self._members.values())

    @property
    def away(self) -> int:
        """Boards that may come back."""
        return sum(member.away for member in self._members.values())

    @property
    def unseen(self) -> int:
        """Boards of which nothing is known yet."""
        return max(0, self._expected - len(self._members) - len(self._unreached))

    @property
    def left(self) -> dict[str, str]:
        """Names of those that are not here, and why."""
        return {member.name: member.left for member in self._members.values() if member.left} | self._unreached

    def owing(self, version: int) -> set[bytes]:
        """Boards that are here and have not contributed to this version."""
        self.waiting(version)
        return self._owing

    def may_come(self, board: bytes) -> bool:
        """Whether something of the board may soon come: it is here, or has yet to say whether it is."""
        member = self._members.get(board)
        return self.unseen > 0 if member is None else not member.left

    def waiting(self, version: int) -> int:
        """Boards from which an update for this version may soon come. Those that are away are not waited for."""
        if version != self._version:
            here = (board for board, member in self._members.items() if not member.left)
            self._version, self._owing = version, {board for board in here if self.contributed(board) < version}
        return self.unseen + len(self._owing)
