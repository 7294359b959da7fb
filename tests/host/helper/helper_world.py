"""What the helper's tests share: simulated boards whose masks are the helper's, and what the host sees of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from picofed import native
from picofed.helper import roster as helper_roster
from picofed.helper.judge import Judge, Refused
from picofed.helper.request import Request, parse_answer
from picofed.learn.clients import SimulatedBoard
from picofed.learn.job import Job
from picofed.learn.staleness import Staleness
from picofed.learn.unmask import HeaderRefused, HelperLost, unwrap
from picofed.learn.updates import Update
from picofed.owner import Owner
from picofed.roster import Roster
from picofed.store import Store

OWNER = Owner(b"o" * 32)
SECRET = bytes(range(32))
PUBLIC = native.x25519_public(SECRET)


def masked(world: Any, **changes: Any) -> Job:
    """The world's job under masks: a grid of 1/32 of sigma."""
    return replace(world.job, name="masked", **{"round_shift": 12, "mask_bits": 20} | changes)


def boards_of(world: Any) -> list[SimulatedBoard]:
    """The world's boards, whose policies name the helper."""
    found = []
    for board in world.boards(rounds=20):
        policy = replace(board.provision.policy, helper=PUBLIC)
        found.append(SimulatedBoard(replace(board.provision, policy=policy), board.examples, b"entropy"))
    return found


def roster_of(boards: list[SimulatedBoard], minimum: int = 2) -> Roster:
    return helper_roster.roster_of([board.provision for board in boards], minimum)


class Fleet:
    """Boards that release what they are told to; the host's view of it."""

    def __init__(self, boards: list[SimulatedBoard], job: Job) -> None:
        self.boards, self.job = boards, job
        self.plain = [
            SimulatedBoard(board.provision, board.examples, b"entropy") for board in boards
        ]  # the same boards, asked for the same without masks
        self._store = Store()

    def release(self, number: int, version: int = 0) -> Update:
        """A masked update of a board."""
        return self._one(self.boards[number], self.job, version)

    def unmasked(self, number: int, version: int = 0) -> np.ndarray[Any, Any]:
        """What the same release would have been without a mask."""
        return self._one(self.plain[number], replace(self.job, mask_bits=0), version).values(self.job.model)

    def _one(self, board: SimulatedBoard, job: Job, version: int) -> Update:
        data = job.body
        board.put(native.blake2b(data, 16), len(data), 0, data)
        board.job(native.blake2b(data, 16))
        values = np.full(job.model.parameters, 5, "<i2").tobytes()
        weights = bytes([1, 0, 0, 0]) + version.to_bytes(4, "little") + job.id + values
        board.put(native.blake2b(weights, 16), len(weights), 0, weights)
        board.round(job.id, native.blake2b(weights, 16))
        status = board.status()
        assert status.update is not None
        sent = board.get(status.update, 0, 1 << 20)
        board.drop(status.update)
        return Update.parse(sent, board.provision.update_key)

    def request(self, updates: list[Update], weights: list[int] | None = None) -> Request:
        """For these updates."""
        weights = weights or [1] * len(updates)
        fields = len(self.job.model.trainable)
        return Request.of(fields, [(u.header, w) for u, w in zip(updates, weights, strict=True)])

    def unmask(self, updates: list[Update], masks: np.ndarray[Any, Any], weights: list[int] | None = None) -> list[int]:
        """The host's sum."""
        weights = weights or [1] * len(updates)
        total = sum(
            (u.values(self.job.model).view(np.uint32) * np.uint32(w) for u, w in zip(updates, weights, strict=True)),
            np.zeros(len(masks), np.uint32),
        )
        return [int(v) for v in unwrap(total - masks, self.job)]


def refused(judge: Judge, body: bytes) -> int:
    """The status of a refusal; what it says is one line."""
    with pytest.raises(Refused) as caught:
        judge.answer(body)
    assert "\n" not in str(caught.value)
    return caught.value.status


class InProcess:
    """A judge without HTTP. answers: how many it gives before it is away."""

    def __init__(self, judge: Judge, answers: int = 1 << 30) -> None:
        self.judge, self.answers = judge, answers

    def unmask(self, request: Request) -> Any:
        """See Helper."""
        if self.answers == 0:
            raise HelperLost("the helper is away")
        self.answers -= 1
        try:
            return parse_answer(request, self.judge.answer(request.body))
        except Refused as error:
            if error.board:
                raise HeaderRefused(f"the helper refused: {error}", error.board) from error
            raise HelperLost(f"the helper refused: {error}") from error


class Halves(Staleness):
    """An age term whose weights are powers of two."""

    def weight(self, staleness: int) -> float:
        """See Staleness."""
        return 0.5**staleness
