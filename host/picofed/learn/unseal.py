"""The host's side of mode P (SPEC 11.8): sealed updates, and what their boards reveal, to the sum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.learn.job import Job
from picofed.learn.unmask import HelperLost, unwrap
from picofed.peers import SHARE, Graph, Sealed, commitment, self_mask, xor


class SumLost(HelperLost):
    """The sum of a cohort cannot be had: its updates are worth nothing, their charges stay."""


def total(
    job: Job, graph: Graph, updates: Mapping[bytes, Sealed], told: Mapping[bytes, bytes], minimum: int
) -> NDArray[np.int64]:
    """The sum of the survivors' releases, in units of 1. updates: of exactly those whose bits were set in what the
    boards answered; told: answers, by board. Raises SumLost."""
    if reason := graph.refusal(list(updates), minimum):
        raise SumLost(reason)
    secrets = _secrets(graph, updates, told)
    n, bits = len(job.model.trainable), job.mask_bits
    summed = np.zeros(n, np.uint32)
    for board, update in updates.items():
        summed += native.mask_unpack(update.fields, n, bits)
        native.mask_sum(summed, bits, self_mask(secrets[board]), 0xFFFFFFFF)  # minus, modulo 2^32
        _take_dropped(summed, bits, graph, board, updates, told)
    return unwrap(summed, job)


def _answers(graph: Graph, told: Mapping[bytes, bytes]) -> dict[tuple[int, int], bytes]:
    """Of the board at a place about the one at another."""
    found = {}
    for board, answer in told.items():
        place = graph.place(board)
        if len(answer) != SHARE * graph.degree:
            raise SumLost(f"board {board.hex()} answered with {len(answer)} bytes")
        for i, other in enumerate(graph.neighbours[place]):
            found[place, other] = answer[SHARE * i : SHARE * (i + 1)]
    return found


def _secrets(graph: Graph, updates: Mapping[bytes, Sealed], told: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """b_i of each survivor."""
    answers = _answers(graph, told)
    found = {}
    for board, update in updates.items():
        place = graph.place(board)
        shares: dict[int, bytes] = {}
        for x, (other, share) in enumerate(zip(graph.neighbours[place], update.shares, strict=True), 1):
            if (other, place) in answers and len(shares) < graph.threshold:
                shares[x] = xor(share, answers[other, place])
        if len(shares) < graph.threshold:
            raise SumLost(f"only {len(shares)} boards answered about {board.hex()}, not {graph.threshold}")
        secret = native.shamir_combine(shares)
        if commitment(secret) != update.check:
            raise SumLost(f"what the boards revealed does not fit the update of {board.hex()}")
        found[board] = secret
    return found


def _take_dropped(
    summed: NDArray[np.uint32],
    bits: int,
    graph: Graph,
    board: bytes,
    updates: Mapping[bytes, Sealed],
    told: Mapping[bytes, bytes],
) -> None:
    """Take off the masks that a survivor has with neighbours that are not in the sum."""
    place = graph.place(board)
    for i, other in enumerate(graph.neighbours[place]):
        if graph.boards[other] in updates:
            continue
        if board not in told:
            raise SumLost(f"board {board.hex()} dropped out before it answered")
        seed = told[board][SHARE * i : SHARE * (i + 1)]
        native.mask_sum(summed, bits, seed, 1 if other < place else 0xFFFFFFFF)


__all__ = ["SumLost", "total"]
