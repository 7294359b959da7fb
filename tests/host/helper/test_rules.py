"""What the helper answers and what it refuses (SPEC 10.5 to 10.7): sums, and a host that tries things."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from helper_world import SECRET, Fleet, boards_of, masked, refused, roster_of
from picofed import native, reference
from picofed.helper.judge import FORBIDDEN, MALFORMED, USED, Judge, Refused
from picofed.helper.request import Request, pack_about, parse_about, parse_answer
from picofed.learn.clients import SimulatedBoard
from picofed.learn.updates import Update
from picofed.masking import MAC, Header, MaskError, header_mac, helper_pair, weights_mix


@pytest.mark.parametrize("weights", [[1, 1, 1, 1, 1], [1, 2, 2, 1, 1]])
def test_the_sum_of_masked_releases_is_the_sum_of_releases(fleet: Fleet, judge: Judge, weights: list[int]) -> None:
    updates = [fleet.release(number) for number in range(5)]
    plain = [fleet.unmasked(number) for number in range(5)]
    judge.roster = replace(judge.roster, minimum=2)
    request = fleet.request(updates, weights)
    masks = parse_answer(request, judge.answer(request.body))
    assert (
        fleet.unmask(updates, masks, weights)
        == sum(w * p.astype(int) for w, p in zip(weights, plain, strict=True)).tolist()
    )


def test_one_update_by_itself_says_nothing(fleet: Fleet) -> None:
    """Fields of masked releases are spread evenly; those of the releases themselves are not."""
    fields = np.concatenate([fleet.release(0).values(fleet.job.model).view(np.uint32) for _ in range(10)])
    counts = np.bincount(fields >> 16, minlength=16)
    expected = len(fields) / 16
    assert ((counts - expected) ** 2 / expected).sum() < 60  # chi squared with 15 degrees of freedom: 60 is p = 2e-7
    plain = np.concatenate([fleet.unmasked(0) >> 12 for _ in range(3)]) & 0xFFFFF
    assert ((np.bincount(plain >> 16, minlength=16) - len(plain) / 16) ** 2 / (len(plain) / 16)).sum() > 60


def test_a_header_is_in_one_sum_only(fleet: Fleet, judge: Judge) -> None:
    """The difference of two sums would be one board's update."""
    updates = [fleet.release(number) for number in range(5)]
    whole = fleet.request(updates)
    first = judge.answer(whole.body)
    for size in (3, 4):
        for some in itertools.combinations(updates, size):
            assert refused(judge, fleet.request(list(some)).body) == USED
    assert refused(judge, fleet.request(updates, [1, 2, 2, 2, 2]).body) == USED
    fresh = [fleet.release(number) for number in (0, 1)]
    assert refused(judge, fleet.request([*fresh, updates[2]]).body) == USED
    assert judge.answer(whole.body) == first  # the identical request has the identical answer


def test_an_older_header_is_stale_though_it_was_never_used(fleet: Fleet, judge: Judge) -> None:
    old = [fleet.release(number) for number in range(3)]
    new = [fleet.release(number, 1) for number in range(3)]
    judge.answer(fleet.request(new).body)
    assert refused(judge, fleet.request(old).body) == USED


def test_a_new_key_for_the_helper(fleet: Fleet, judge: Judge, tmp_path: Path) -> None:
    """Under a policy that names another helper, updates are that one's, and no longer the first one's; boards keep
    their keys, so that the same roster will do."""
    secret = bytes(range(1, 33))
    moved = []
    for board in fleet.boards:
        policy = replace(board.provision.policy, helper=native.x25519_public(secret), number=2)
        moved.append(SimulatedBoard(replace(board.provision, policy=policy), board.examples, b"entropy"))
    after = Fleet(moved, fleet.job)
    assert roster_of(after.boards, 3).boards == judge.roster.boards
    new = Judge(tmp_path / "new.db", secret, judge.roster)
    old_updates, new_updates = ([one.release(number) for number in range(3)] for one in (fleet, after))
    assert refused(new, fleet.request(old_updates).body) == FORBIDDEN
    assert refused(judge, after.request(new_updates).body) == FORBIDDEN
    # one board without the new policy is named, so that the host goes on with the others
    mixed = [*new_updates, fleet.release(3)]
    with pytest.raises(Refused) as caught:
        new.answer(after.request(mixed).body)
    assert caught.value.board == mixed[3].board
    request = after.request(new_updates)
    masks = parse_answer(request, new.answer(request.body))
    wanted = sum(after.unmasked(number).astype(int) for number in range(3))
    assert after.unmask(new_updates, masks) == list(wanted)
    new.close()


def test_too_few_duplicates_and_strangers(fleet: Fleet, judge: Judge) -> None:
    updates = [fleet.release(number) for number in range(4)]
    assert refused(judge, fleet.request(updates[:2]).body) == FORBIDDEN
    again = fleet.release(0, 1)
    assert refused(judge, fleet.request([*updates[:2], again]).body) == FORBIDDEN
    # one board far ahead of the others is alone, whatever their number
    assert refused(judge, fleet.request(updates, [1, 1, 1, 32]).body) == FORBIDDEN
    assert refused(judge, fleet.request(updates, [2, 1, 1, 1]).body) == FORBIDDEN  # (4 + 3) / 4 < 3
    judge.roster = replace(judge.roster, boards={k: v for k, v in judge.roster.boards.items() if k != updates[3].board})
    assert refused(judge, fleet.request(updates).body) == FORBIDDEN
    judge.answer(fleet.request(updates[:3]).body)  # nothing of the above used one up


def test_weights_under_which_noise_does_not_hide_noise(fleet: Fleet, judge: Judge) -> None:
    """Lemma 8's condition: four times the squares over the least weight's are within 4^5, (sigma over the grid)^2."""
    updates = [fleet.release(number) for number in range(4)]
    with pytest.raises(Refused, match="does not hide each other's") as caught:
        judge.answer(fleet.request(updates, [16, 16, 16, 1]).body)
    assert caught.value.status == FORBIDDEN
    judge.answer(fleet.request(updates, [8, 8, 8, 1]).body)
    assert weights_mix([4, 2], 20, 0) and not weights_mix([3, 2], 20, 0)  # nor does a share that is no whole one


def test_every_byte_of_a_header_is_under_the_mac(fleet: Fleet, judge: Judge) -> None:
    updates = [fleet.release(number) for number in range(3)]
    request = fleet.request(updates)
    for at in range(108):
        item = cbor2.loads(request.body)
        header = bytearray(item["members"][0][0])
        header[at] ^= 1
        item["members"][0][0] = bytes(header)
        item["members"].sort()
        assert refused(judge, cbor2.dumps(item)) in (FORBIDDEN, MALFORMED), at


def test_fields_of_bits_that_no_job_may_have(fleet: Fleet, judge: Judge) -> None:
    """SPEC 10.2 holds for a header, too, though its board made it."""

    def request(bits: int) -> Request:
        found = []
        for header in headers:
            data = header.data[:56] + bytes([bits]) + header.data[57:92]
            pair = helper_pair(SECRET, judge.roster.boards[header.board])
            found.append((Header(data + header_mac(pair, data)), 1))
        return Request.of(len(fleet.job.model.trainable), found)

    headers = [fleet.release(number).header for number in range(3)]
    for bits in (0, 7, 21, 33):
        assert refused(judge, request(bits).body) == FORBIDDEN
    asked = request(8)
    answer = parse_answer(asked, judge.answer(asked.body))
    pairs = {header: helper_pair(SECRET, judge.roster.boards[header.board]) for header, _ in asked.members}
    masks = [reference.masks(header.seed(pair), asked.fields, 8) for header, pair in pairs.items()]
    assert answer.tolist() == [sum(column) % 256 for column in zip(*masks, strict=True)]


def test_jobs_do_not_mix(make_world: Callable[..., Any], tmp_path: Path) -> None:
    world = make_world(3)
    one, other = Fleet(boards_of(world), masked(world)), masked(world, clip=1 << 17)
    updates = [one.release(0), one.release(1)]
    one.job = other
    updates.append(one.release(2))
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(one.boards, 2))
    assert refused(judge, one.request(updates).body) == FORBIDDEN
    judge.close()


def signed(judge: Judge, update: Update, changes: dict[int, int]) -> Header:
    """An update's header with some bytes changed, by a board that signs what it is told to."""
    data = bytearray(update.header.data[:-MAC])
    for at, value in changes.items():
        data[at] = value
    return Header(bytes(data) + header_mac(helper_pair(SECRET, judge.roster.boards[update.board]), bytes(data)))


def why(judge: Judge, fleet: Fleet, headers: list[Header]) -> str:
    with pytest.raises(Refused) as caught:
        judge.answer(Request.of(len(fleet.job.model.trainable), [(header, 1) for header in headers]).body)
    assert caught.value.status == FORBIDDEN
    return str(caught.value)


def test_headers_of_one_sum_are_alike_in_each_field(fleet: Fleet, judge: Judge) -> None:
    """Noise of another scale, or fields of another job, hide nothing of this one's."""
    updates = [fleet.release(number) for number in range(3)]
    others = [update.header for update in updates[1:]]
    for at in (1, 2, 16, 18, 24, 56, 57, 58):  # mode, sigma, clip, steps, job, bits, round_shift, count
        odd = signed(judge, updates[0], {at: updates[0].header.data[at] ^ 1})
        assert "not of one job" in why(judge, fleet, [odd, *others]), at
    for at, value in ((0, 4), (3, 1)):  # an update without masks; a byte that says nothing yet
        with pytest.raises(MaskError):
            signed(judge, updates[0], {at: value})
    judge.answer(fleet.request(updates).body)


def test_jobs_that_no_host_should_have_given(fleet: Fleet, judge: Judge) -> None:
    """Boards refuse them (SPEC 10.2), and so does the helper though all of them had agreed."""
    updates = [fleet.release(number) for number in range(3)]
    sigma = fleet.job.log2_sigma
    for changes, word in (
        ({1: 1}, "gradient mode"),
        ({56: 16, 57: sigma - 1}, "quarter of sigma"),
        ({56: 7}, "mask_bits must be 8 to 32"),
        ({56: 33, 57: 0}, "mask_bits must be 8 to 32"),
        ({56: 33 - sigma + 2, 57: sigma - 2}, "more than 32 together"),
    ):
        assert word in why(judge, fleet, [signed(judge, update, changes) for update in updates]), changes


def test_what_is_no_request_is_refused(fleet: Fleet, judge: Judge, rng: np.random.Generator) -> None:
    good = fleet.request([fleet.release(number) for number in range(3)]).body
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            bad[rng.integers(len(bad))] = rng.integers(256)
        if bytes(bad) != good:
            assert refused(judge, bytes(bad)) in (FORBIDDEN, MALFORMED)
    for at in range(0, len(good), 7):
        assert refused(judge, good[:at]) == MALFORMED
    item = cbor2.loads(good)
    for change in ({"fields": 0}, {"fields": 1 << 40}, {"fields": True}, {"members": []}, {"v": 2}, {"more": 1}):
        assert refused(judge, cbor2.dumps(item | change)) == MALFORMED
    for weight in (0, 3, 64, -1, True):
        item["members"][1][1] = weight
        assert refused(judge, cbor2.dumps(item)) == MALFORMED
    assert refused(judge, cbor2.dumps({"v": 1, "fields": 5, "members": cbor2.loads(good)["members"]})) == FORBIDDEN
    judge.answer(good)


def test_a_request_has_one_spelling(fleet: Fleet, judge: Judge) -> None:
    """Its id is of its bytes."""
    good = fleet.request([fleet.release(number) for number in range(3)]).body
    item = cbor2.loads(good)
    doubled = [[header, 2 * weight] for header, weight in item["members"]]
    for bad in (
        cbor2.dumps(item | {"members": item["members"][::-1]}),
        cbor2.dumps(item | {"members": doubled}),
        cbor2.dumps({name: item[name] for name in ("fields", "v", "members")}),
        good.replace(b"av\x01", b"av\x18\x01", 1),
    ):
        assert bad != good and refused(judge, bad) == MALFORMED
    judge.answer(good)


def test_an_answer_to_something_else(fleet: Fleet, judge: Judge) -> None:
    request = fleet.request([fleet.release(number) for number in range(3)])
    other = replace(request, members=request.members[::-1])
    item = cbor2.loads(judge.answer(request.body))
    for bad in ({"request": other.id}, {"masks": item["masks"][:-1]}, {"masks": item["masks"] + b"0"}, {"masks": "0"}):
        with pytest.raises(MaskError):
            parse_answer(request, cbor2.dumps(item | bad))
    assert parse_answer(request, cbor2.dumps(item)).size == request.fields
    assert parse_about(pack_about(judge.public, 2)) == (judge.public, 2)
    for key, minimum in ((judge.public, 1), (judge.public, True), (judge.public[:-1], 2)):
        with pytest.raises(MaskError):
            parse_about(pack_about(key, minimum))
