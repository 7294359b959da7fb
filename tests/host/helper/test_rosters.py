"""Rosters for the helper (SPEC 10.8): who signs them, which are taken, in what order."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import cbor2
import pytest
from helper_world import OWNER, PUBLIC, SECRET, Fleet, refused, roster_of
from picofed.fleet.keys import Keys, Wanted, whole
from picofed.fleet.provision import Registry
from picofed.helper import roster as helper_roster
from picofed.helper.judge import FORBIDDEN, Judge
from picofed.helper.roster import read, sign_roster, take
from picofed.helper.secret import SecretError, secret_key
from picofed.owner import Owner
from picofed.provisioning import Provision, ProvisionError, emulated_owner
from picofed.roster import Roster, RosterError


def test_a_roster_or_key_that_makes_no_sense(tmp_path: Path, fleet: Fleet) -> None:
    for minimum in (0, 1, 6):
        with pytest.raises(RosterError):
            roster_of(fleet.boards, minimum)
    with pytest.raises(SecretError, match="picofed helper key"):
        secret_key(tmp_path, make=False)
    assert secret_key(tmp_path / "new", make=True) == secret_key(tmp_path / "new", make=True)
    os.chmod(tmp_path / "new" / "helper.key", 0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        secret_key(tmp_path / "new", make=False)


def test_a_helper_takes_the_rosters_of_one_owner_in_their_order(tmp_path: Path, fleet: Fleet) -> None:
    """Forged, foreign, older, cut off, or for somebody else: one line, and the log is as it was."""
    log, file = tmp_path / "helper.db", tmp_path / "roster.cbor"
    four = replace(roster_of(fleet.boards, 3), number=4)
    other = Owner(b"x" * 32)

    def start(roster: Roster, signer: Owner = OWNER, owner: bytes | None = None) -> Roster:
        roster.save(file, signer)
        return take(log, read(file), owner, PUBLIC)

    def refused(match: str, roster: Roster, signer: Owner = OWNER, owner: bytes | None = None) -> None:
        with pytest.raises(RosterError, match=match) as caught:
            start(roster, signer, owner)
        assert "\n" not in str(caught.value)

    with pytest.raises(RosterError, match="there is no roster"):
        read(file)
    refused("--owner, once", four)
    refused("not this helper's owner", four, other, OWNER.public)
    assert start(four, owner=OWNER.public) == four
    assert start(four) == four and start(four, owner=OWNER.public) == four  # a restart
    # whoever can write the file: boards that do not exist, by a key that is not the owner's
    sybils = replace(four, number=5, boards={**four.boards, bytes(8): b"s" * 32})
    refused("not this helper's owner", sybils, other)
    refused("belongs to the owner", sybils, other, other.public)
    refused("not newer", replace(four, number=3))
    refused("not newer", replace(sybils, number=4))
    refused("how many boards", replace(four, number=5, minimum=0))
    refused("minimum of 9", replace(four, number=5, minimum=9))
    refused("for the helper", replace(four, number=5, helper=b"h" * 32))
    four.save(file, OWNER)
    good = file.read_bytes()
    item = cbor2.loads(good)
    signed_by_other = OWNER.sign_policy(item["roster"])
    for bad in (
        good[:-1],
        good[: len(good) // 2],
        b"",
        cbor2.dumps(item | {"roster": sybils.data}),
        cbor2.dumps(item | {"signature": signed_by_other}),
        cbor2.dumps({name: value for name, value in item.items() if name != "signature"}),
        b'{"format": 1, "minimum": 2, "boards": {}}',  # what helpers took before, unsigned
    ):
        file.write_bytes(bad)
        with pytest.raises(RosterError):
            take(log, read(file), None, PUBLIC)
    # a newer one revokes; no roster from before comes back
    gone = fleet.boards[3].provision.policy.board
    five = replace(four, number=5, boards={ident: key for ident, key in four.boards.items() if ident != gone})
    assert start(five) == five
    refused("not newer", four)
    log.write_bytes(b"this is no database" * 100)
    refused("cannot use the log", five)


def test_a_process_that_began_before_the_newest_roster_stops_answering(tmp_path: Path, fleet: Fleet) -> None:
    log, file = tmp_path / "helper.db", tmp_path / "roster.cbor"
    old = roster_of(fleet.boards)
    old.save(file, OWNER)
    take(log, read(file), OWNER.public, PUBLIC)
    judge = Judge(log, SECRET, old)
    updates = [fleet.release(number) for number in range(3)]
    request = fleet.request(updates)
    judge.answer(request.body)
    replace(old, number=2).save(file, OWNER)
    new = take(log, read(file), None, PUBLIC)
    assert refused(judge, request.body) == FORBIDDEN
    judge.close()
    judge = Judge(log, SECRET, new)
    judge.answer(request.body)  # again, as the same request may be
    judge.close()


def test_an_owner_signs_for_the_helper(tmp_path: Path, fleet: Fleet) -> None:
    """Numbers go up; where there is a roster for the host, it is the one that decides who is in."""
    owner = emulated_owner(b"seed of a test")
    boards = [
        Provision.new(replace(board.provision.policy, number=1), b"seed of a test", owner) for board in fleet.boards
    ]
    site, file = tmp_path / "site", tmp_path / "helper.cbor"
    site.mkdir()
    with pytest.raises(RosterError, match="bound to"):
        sign_roster(site, file, boards, OWNER, 2)
    first = sign_roster(site, file, boards, owner, 2)
    assert read(file).roster == first and read(file).owner == owner.public and first.helper == PUBLIC
    second = sign_roster(site, file, boards, owner, 3)
    assert second.number > first.number and second.minimum == 3
    Roster(7, dict(list(first.boards.items())[:3])).save(site / "roster.cbor", owner)
    with pytest.raises(RosterError, match="another owner"):
        sign_roster(site, file, boards, OWNER, 2)
    # also above what the helper got when the site had no roster yet
    third = sign_roster(site, file, boards, owner, 3, tmp_path / "owner")
    assert (third.minimum, len(third.boards)) == (3, 3) and third.number > second.number > 7
    kept = [read(place / "roster.cbor").roster for place in (site, tmp_path / "owner")]
    assert [*kept, read(file).roster] == [third] * 3
    with pytest.raises(RosterError, match="minimum of 4"):
        sign_roster(site, file, boards, owner, 4)


def test_signing_anew_does_not_lower_the_minimum(tmp_path: Path, fleet: Fleet) -> None:
    """As after a board was lost: nobody has to remember what was said the first time."""
    owner, other = emulated_owner(b"seed of a test"), Owner(b"x" * 32)
    boards = [
        Provision.new(replace(board.provision.policy, number=1), b"seed of a test", owner) for board in fleet.boards
    ]
    site, file = tmp_path / "site", tmp_path / "helper.cbor"
    site.mkdir()
    assert sign_roster(site, file, boards, owner, None).minimum == 2
    assert sign_roster(site, file, boards, owner, 4).minimum == 4
    assert sign_roster(site, file, boards, owner, None).minimum == 4  # from the helper's file: the site has no roster
    host = Roster(7, helper_roster.roster_of(boards, 2).boards)
    host.save(site / "roster.cbor", owner)
    assert sign_roster(site, file, boards, owner, None).minimum == 4
    file.unlink()
    assert sign_roster(site, file, boards, owner, None).minimum == 4  # from the site's, which keeps it
    host.save(site / "roster.cbor", owner)
    helper_roster.roster_of(boards, 3).save(file, other)
    assert sign_roster(site, file, boards, owner, None).minimum == 2  # what somebody else signed says nothing
    few = dict(list(host.boards.items())[:3])
    Roster(8, few, minimum=4).save(site / "roster.cbor", owner)
    with pytest.raises(RosterError, match="a minimum of 4 for 3 boards"):
        sign_roster(site, file, boards, owner, None)


def test_flash_gives_a_seed_to_the_board_and_keeps_none(tmp_path: Path) -> None:
    """Nor does a registry of an earlier version, which did, once anything is written to it."""
    path = tmp_path / "boards.json"
    giver = Keys(Registry(path), Wanted(), {}, partial(emulated_owner, b"test"))
    given = giver.give(b"board001", "unix", "port")
    seed = cbor2.loads(given.file())["secret"]
    assert len(seed) == 32 and seed.hex() not in path.read_text() and given.key.hex() in path.read_text()
    again = giver.give(b"board001", "unix", "port")
    assert again.key == given.key and len(again.secret) == 32 and again.secret != seed
    item = json.loads(path.read_text())
    item["boards"][0]["secret"] = seed.hex()
    path.write_text(json.dumps(item))
    Registry(path).saw(b"board001", 3, 30)
    kept = Registry(path).get(b"board001")
    assert seed.hex() not in path.read_text() and kept is not None and kept.provision.spent == 30
    with pytest.raises(ProvisionError, match="make a fresh one"):
        whole(kept).file()


def test_flash_puts_the_helper_into_the_policy_and_the_registry_keeps_it(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "boards.json")
    owner = partial(emulated_owner, b"test")
    giver = Keys(registry, Wanted(helper=PUBLIC), {}, owner)
    given = giver.give(b"board001", "unix", "port")
    assert given.policy.helper == PUBLIC and not giver.changes(b"board001")
    assert cbor2.loads(cbor2.loads(given.file())["policy"])["helper"] == PUBLIC
    kept = Registry(tmp_path / "boards.json").get(b"board001")
    assert kept is not None and kept.provision.policy.helper == PUBLIC
    assert Keys(registry, Wanted(), {}, owner).give(b"board001", "unix", "port").policy.helper == PUBLIC
    assert not Keys(registry, Wanted(), {}, owner).give(b"board002", "unix", "port").policy.helper
