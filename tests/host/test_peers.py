"""Masks without a helper: the graph, the lemma's certificates, formats, and sums of simulated boards."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from picofed import native
from picofed.members import CohortError, Members
from picofed.owner import Owner
from picofed.peers import DEGREE, LARGEST, Cohort, Graph, Sealed, neighbours, threshold

OWNER = Owner(bytes(32))


def boards(count: int, seed: int = 1) -> list[bytes]:
    return sorted(random.Random(seed).sample([n.to_bytes(8, "big") for n in range(5000)], count))


def connected(left: set[int], links: list[list[int]]) -> bool:
    start = min(left)
    seen, new = {start}, [start]
    while new:
        near = {other for place in new for other in links[place] if other in left} - seen
        seen |= near
        new = list(near)
    return seen == left


@pytest.mark.parametrize("count", [3, 4, 25, 26, 27, 60, LARGEST])
def test_the_graph_is_regular_and_symmetric(count: int) -> None:
    links = neighbours(b"c" * 32, boards(count))
    degree = min(count - 1, DEGREE)
    for place, near in enumerate(links):
        assert near == sorted(set(near)) and len(near) == degree and place not in near
        assert all(place in links[other] for other in near)
    if count > DEGREE + 1:
        assert links != neighbours(b"d" * 32, boards(count))


@pytest.mark.parametrize("count", [*range(3, 27), 60])
def test_lemma_10_shares_that_a_lying_host_can_get(count: int) -> None:
    """(b), by trying all numbers of honest neighbours that give the pad of i's share, or i's mask seed; and that one
    corrupt neighbour more would be too many."""
    degree = min(count - 1, DEGREE)
    needed = threshold(degree)
    assert degree // 2 < needed <= degree
    for corrupt in range(degree + 1):
        safe = True
        for pads in range(degree - corrupt + 1):
            if pads + corrupt < needed:
                continue  # no b_i
            hidden = pads - (degree - needed)  # of those, all but what i itself reveals
            safe = safe and hidden >= 1
        assert safe == (2 * needed > degree + corrupt)


def bound(count: int, removed: int, half: int) -> Fraction:
    """Lemma 10 (d)."""
    product = Fraction(count * (count - 1), 2)
    for i in range(2 * half):
        product *= Fraction(max(0, removed - i), count - i)
    return product


def test_lemma_10_honest_boards_stay_connected() -> None:
    worst = max((bound(n, n // 4, DEGREE // 2), n) for n in range(DEGREE + 2, LARGEST + 1))
    print(f"a quarter removed: 2^{math.log2(worst[0]):.1f} for {worst[1]} boards")
    assert worst[0] < Fraction(1, 2**33)
    # the argument itself, on circles small enough to remove everything in turn
    for count, half in ((7, 1), (9, 2), (10, 2), (11, 3)):
        links = [[(place + step) % count for step in range(-half, half + 1) if step] for place in range(count)]
        for removed in range(count - 1):
            cut = 0
            for gone in itertools.combinations(range(count), removed):
                left = set(range(count)) - set(gone)
                gaps = [
                    place
                    for place in range(count)
                    if place in left and all((place + step) % count in gone for step in range(1, half + 1))
                ]
                whole = connected(left, links)
                assert whole or len(gaps) >= 2
                cut += not whole
            assert Fraction(cut, math.comb(count, removed)) <= bound(count, removed, half)


def test_lemma_10_left_over_masks_are_uniform_but_for_their_sum() -> None:
    """(c), with masks of 3 values on a graph of 4 boards: every vector of fields with the right sum is as likely."""
    edges = [(0, 1), (1, 2), (2, 3), (0, 3)]
    for values in ((0, 0, 0, 0), (1, 2, 0, 1)):
        seen: Counter[tuple[int, ...]] = Counter()
        for masks in itertools.product(range(3), repeat=len(edges)):
            fields = list(values)
            for (one, other), mask in zip(edges, masks, strict=True):
                fields[one] += mask
                fields[other] -= mask
            seen[tuple(field % 3 for field in fields)] += 1
        assert len(seen) == 27 and len(set(seen.values())) == 1
        assert {sum(fields) % 3 for fields in seen} == {sum(values) % 3}


def test_formats_and_their_refusals() -> None:
    members = Members.sign(7, {ident: bytes([3]) * 32 for ident in boards(5)}, OWNER)
    data = members.data
    assert Members.parse(data, OWNER.public) == members
    for wrong in (
        data[:-1],
        data + b"\0",
        b"\2" + data[1:],
        data[:8],
        b"",
        data[:8] + data[48:88] + data[8:48] + data[88:],
    ):
        with pytest.raises(CohortError):
            Members.parse(wrong, OWNER.public)
    for at in range(0, len(data), 7):
        with pytest.raises(CohortError):
            Members.parse(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], OWNER.public)
    with pytest.raises(CohortError, match="not signed"):
        Members.parse(data, Owner(b"x" * 32).public)
    with pytest.raises(CohortError):
        Members.sign(7, {ident: bytes(32) for ident in boards(2)}, OWNER)
    cohort = Cohort(9, 4, b"j" * 8, b"m" * 16, (0, 2, 4))
    assert Cohort.parse(cohort.data) == cohort and len(cohort.data) == 42
    for wrong in (cohort.data[:-1], cohort.data + b"\0\0", cohort.data[:20], b"\2" + cohort.data[1:]):
        with pytest.raises(CohortError):
            Cohort.parse(wrong)
    for indexes in ((0, 2), (0, 2, 2), (4, 2, 0), (0, 1, 5000), tuple(range(LARGEST + 1))):
        with pytest.raises(CohortError):
            Cohort(9, 4, b"j" * 8, b"m" * 16, indexes)
    graph = Graph(cohort, members)
    assert graph.bitmap([graph.boards[0], graph.boards[2]]) == b"\x05"
    with pytest.raises(CohortError):
        graph.place(boards(5)[1])
    with pytest.raises(CohortError):
        Graph(Cohort(9, 4, b"j" * 8, b"m" * 16, (0, 2, 5)), members)
    sealed = Sealed(b"c" * 32, 17, 15, 10, b"k" * 16, bytes(22), (b"s" * 32,) * 2)
    narrow = Sealed(b"c" * 32, 8, 15, 10, b"k" * 16, bytes(10), (b"s" * 32,) * 2)
    assert Sealed.parse(sealed.payload, 10) == sealed and Sealed.parse(narrow.payload, 10) == narrow
    for bits, length in ((7, 9), (33, 42)):
        with pytest.raises(CohortError):
            Sealed.parse(replace(narrow, bits=bits, fields=bytes(length)).payload, 10)
    for payload, count in ((sealed.payload[:-1], 10), (sealed.payload, 11), (sealed.payload[:50], 10)):
        with pytest.raises(CohortError):
            Sealed.parse(payload, count)


def test_shares_of_a_cohort_open_the_secret() -> None:
    secret, coefficients = b"s" * 32, [bytes([n]) * 32 for n in range(16)]
    shares = {x: native.shamir_share(secret, coefficients, x) for x in range(1, DEGREE + 1)}
    assert threshold(DEGREE) == len(coefficients) + 1
    assert native.shamir_combine(dict(list(shares.items())[7:])) == secret
