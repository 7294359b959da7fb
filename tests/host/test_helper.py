"""The helper of masked jobs: real processes, simulated boards on the core, and a host that tries things."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from picofed import accounting, native
from picofed.fleet.keys import Keys, Wanted
from picofed.fleet.provision import Registry
from picofed.helper import roster as helper_roster
from picofed.helper.judge import FORBIDDEN, MALFORMED, USED, Judge, Refused
from picofed.helper.request import Request, parse_answer
from picofed.helper.roster import read, sign_roster, take
from picofed.helper.secret import SecretError, secret_key
from picofed.learn.clients import SimulatedBoard
from picofed.learn.coordinator import Coordinator
from picofed.learn.job import Job, JobError, Plan
from picofed.learn.simulate import simulate
from picofed.learn.unmask import HeaderRefused, Helper, HelperLost, HttpHelper, unwrap, whole_weights
from picofed.learn.updates import Update, UpdateError
from picofed.learn.worker import Worker
from picofed.masking import MaskError
from picofed.owner import Owner
from picofed.privacy import page
from picofed.privacy.statement import state
from picofed.provisioning import Provision, emulated_owner
from picofed.report.sums import Conditional, epsilon_distributed
from picofed.roster import Roster, RosterError
from picofed.store import SET_ASIDE, Store


def cli(*words: str) -> str:
    command = [sys.executable, "-c", "from picofed.cli import main; main()", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=dict(os.environ, COLUMNS="200")
    ).stdout


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


@pytest.fixture
def fleet(make_world: Callable[..., Any]) -> Fleet:
    world = make_world(5)
    return Fleet(boards_of(world), masked(world))


@pytest.fixture
def judge(fleet: Fleet, tmp_path: Path) -> Iterator[Judge]:
    made = Judge(tmp_path / "log.db", SECRET, roster_of(fleet.boards, 3))
    yield made
    made.close()


def refused(judge: Judge, body: bytes) -> int:
    """The status of a refusal; what it says is one line."""
    with pytest.raises(Refused) as caught:
        judge.answer(body)
    assert "\n" not in str(caught.value)
    return caught.value.status


# ---- sums --------------------------------------------------------------------------------------------------------


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


# ---- what a host may try ------------------------------------------------------------------------------------------


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


def test_jobs_do_not_mix(make_world: Callable[..., Any], tmp_path: Path) -> None:
    world = make_world(3)
    one, other = Fleet(boards_of(world), masked(world)), masked(world, clip=1 << 17)
    updates = [one.release(0), one.release(1)]
    one.job = other
    updates.append(one.release(2))
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(one.boards, 2))
    assert refused(judge, one.request(updates).body) == FORBIDDEN
    judge.close()


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
    sybils = replace(four, number=5, boards={**four.boards, bytes(8): bytes(32)})
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


# ---- processes ---------------------------------------------------------------------------------------------------


@contextmanager
def process(folder: Path, roster: Roster, *options: str, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A helper's process and its URL."""
    folder.mkdir(exist_ok=True)
    if not (folder / "helper.key").exists():
        (folder / "helper.key").write_bytes(SECRET)
        os.chmod(folder / "helper.key", 0o600)
    roster.save(folder / "roster.cbor", OWNER)
    command = [sys.executable, "-c", "from picofed.cli import main; main()", "helper", "serve", "--port", str(port)]
    command += ["--state", str(folder), "--roster", str(folder / "roster.cbor"), "--owner", OWNER.public.hex()]
    command += options
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            found = re.search(r"https?://\S+", running.stdout.readline())
            assert found, "the helper did not start"
            yield found[0], running
        finally:
            running.terminate()
            running.wait(30)


def test_killed_helper_remembers_what_it_answered(fleet: Fleet, tmp_path: Path) -> None:
    updates = [fleet.release(number) for number in range(4)]
    request = fleet.request(updates)
    roster = roster_of(fleet.boards)
    with process(tmp_path / "helper", roster) as (url, running):
        first = HttpHelper(url).unmask(request)
        running.send_signal(signal.SIGKILL)
        running.wait(30)
        with pytest.raises(HelperLost, match="does not answer"):
            HttpHelper(url, pauses=(0.01,)).unmask(request)
    with process(tmp_path / "helper", roster) as (url, _):
        assert (HttpHelper(url).unmask(request) == first).all()
        with pytest.raises(HeaderRefused, match="was used") as blamed:
            HttpHelper(url).unmask(fleet.request(updates[:3]))
        assert blamed.value.board in {update.board for update in updates}
        with urllib.request.urlopen(f"{url}/v1/helper", timeout=30) as answer:
            assert cbor2.loads(answer.read()) == {"v": 1, "key": PUBLIC, "minimum": 2}
        with pytest.raises(urllib.error.HTTPError, match="413"):
            urllib.request.urlopen(f"{url}/v1/unmask", bytes((1 << 23) + 1), timeout=30)
    log = sqlite3.connect(tmp_path / "helper" / "helper.db")
    assert log.execute("SELECT count(*) FROM used").fetchone() == (4,)
    log.close()


def test_a_helper_that_starts_late_is_waited_for(fleet: Fleet, tmp_path: Path) -> None:
    request = fleet.request([fleet.release(number) for number in range(3)])
    roster = roster_of(fleet.boards)
    with process(tmp_path / "helper", roster) as (url, _):
        pass
    starts: list[Any] = []

    def start(_: float) -> None:
        if not starts:
            starts.append(process(tmp_path / "helper", roster, port=int(url.rpartition(":")[2])))
            starts[0].__enter__()

    try:
        assert len(HttpHelper(url, pauses=(0.0, 0.1), sleep=start).unmask(request)) == request.fields
    finally:
        for started in starts:
            started.__exit__(None, None, None)


def test_tls_is_checked(fleet: Fleet, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=helper"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    request = fleet.request([fleet.release(number) for number in range(3)])
    options = ("--certificate", str(certificate), "--private-key", str(key))
    with process(tmp_path / "helper", roster_of(fleet.boards), *options) as (url, _):
        assert url.startswith("https://")
        with pytest.raises(HelperLost, match="CERTIFICATE_VERIFY_FAILED"):
            HttpHelper(url, pauses=()).unmask(request)
        assert len(HttpHelper(url, str(certificate), pauses=()).unmask(request)) == request.fields


# ---- the host ----------------------------------------------------------------------------------------------------


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


def drive(store: Store, job: Job, plan: Plan, boards: list[SimulatedBoard], helper: Helper) -> Coordinator:
    """Boards in turn, until the run ends."""
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    coordinator = Coordinator(store, job, plan, keys, clock=lambda: 0.0, expected=len(boards), helper=helper)
    workers = [Worker(board, coordinator, "simulated") for board in boards]
    for worker in workers:
        worker.join()
    while not coordinator.finished:
        assert not coordinator.stalled
        for worker in workers:
            version = coordinator.assignment(worker.ident)
            if version is not None:
                worker.start(version)
                worker.finish()
    return coordinator


@pytest.mark.parametrize("settings", [{}, {"aggregator": "ftte", "variance": False, "staleness": "threshold"}])
def test_masked_run_makes_the_versions_of_an_unmasked_one(
    make_world: Callable[..., Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    world = make_world(3, 4, capacity=3, **settings)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    store = Store()
    made = drive(store, job, replace(world.plan, masked=True, honest=3), boards, InProcess(judge))
    assert made.failure is None and made.version.number == 4
    plain = replace(job, mask_bits=0)
    other = simulate(plain, world.plan, [SimulatedBoard(b.provision, b.examples, b"entropy") for b in boards])
    # the nonce of a masked update takes a key of the ratchet, so that noise is the same in the first round only
    assert store.version(job.id, 1).master == other.versions[1].master  # type: ignore[union-attr]
    judge.close()


def test_the_conditional_epsilon_stands_beside_the_boards_own(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """In picofed budget, in the privacy report and in a job's report: the number that `run` prints. What a ledger holds
    beyond masked updates counts in full; boards without masked updates have none."""
    world = make_world(3, 3, capacity=3)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    store, plan = Store(tmp_path / "store.db"), replace(world.plan, masked=True, honest=3)
    assert drive(store, job, plan, boards, InProcess(judge)).failure is None
    judge.close()
    wanted = epsilon_distributed(store, job, plan)
    rows = store.boards()
    found = [Conditional(store, plan.delta, 3).epsilon(row) for row in rows]
    assert max(one for one in found if one is not None) == pytest.approx(wanted, rel=1e-12)
    # no more boards are taken to be honest than a sum had members
    more = Conditional(store, plan.delta, 50).epsilon(rows[0])
    assert more is not None and found[0] is not None and more == pytest.approx(found[0], rel=1e-4)
    charge = accounting.charge(job.clip, job.log2_sigma)
    full = replace(rows[0], spent=rows[0].spent + charge)
    assert Conditional(store, plan.delta, 3).epsilon(full) > accounting.epsilon(  # type: ignore[operator]
        accounting.mu_squared_of(charge), plan.delta
    )
    store.seen(board=bytes(8), name="idle", port="", seq=1, spent=0, budget=5)
    told = cli("budget", "--site", str(tmp_path), "--honest", "3")
    assert "with 3 honest" in told and "nothing masked" in told and "the helper is" in " ".join(told.split())
    item = json.loads(cli("budget", "--site", str(tmp_path), "--honest", "3", "--json"))
    by_name = {board["name"]: board for board in item["boards"]}
    assert by_name.pop("idle")["epsilon_distributed"] is None and item["honest"] == 3
    assert [one["epsilon_distributed"] for one in by_name.values()] == found
    assert all(0 < one["epsilon_distributed"] < 0.7 * one["epsilon_spent"] for one in by_name.values())
    statement = state(store, plan.delta, None, 3)
    assert [board.sums for board in statement.boards if board.name != "idle"] == found
    text = page.render(statement)
    assert "in sums, 3 honest" in text and "host and helper together" in text and "Seen in sums" in text
    store.close()


def test_lost_helper_drops_the_buffer_and_nothing_else(make_world: Callable[..., Any], tmp_path: Path) -> None:
    world = make_world(3, 4)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    plan = replace(world.plan, masked=True, honest=3)
    store = Store()
    made = drive(store, job, plan, boards, InProcess(judge, 1))
    assert isinstance(made.failure, HelperLost)
    assert str(made.failure) == "the helper is away: 3 updates were dropped, and what they cost stays spent"
    assert made.version.number == 2 and store.members(job.id, 2) == []
    assert store.version(job.id, 2).master == store.version(job.id, 1).master  # type: ignore[union-attr]
    assert [update.state for update in store.updates(job.id, None)].count(SET_ASIDE) == 3
    spent = {board.spent for board in store.boards()}
    again = drive(store, job, plan, boards, InProcess(judge))
    assert again.failure is None and again.version.number == 4
    assert {board.spent for board in store.boards()} == {2 * units for units in spent}
    judge.close()


def test_host_that_asks_twice_for_what_was_used_loses_it(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """Killed between the helper's answer and its own commit, a host asks again; another set of updates gets nothing."""
    world = make_world(4, 3, minimum=3, deadline=0.5)
    job, boards = masked(world), boards_of(world)
    judge = Judge(tmp_path / "log.db", SECRET, roster_of(boards, 3))
    plan = replace(world.plan, masked=True, honest=3)

    class Killed(Exception):
        pass

    class Kills(InProcess):
        def unmask(self, request: Request) -> Any:
            super().unmask(request)
            raise Killed

    store = Store()
    with pytest.raises(Killed):
        drive(store, job, plan, boards, Kills(judge))
    keys = {board.provision.policy.board: board.provision.update_key for board in boards}
    same = Coordinator(store, job, plan, keys, clock=lambda: 0.0, helper=InProcess(judge))
    assert same.flush() and same.version.number == 1 and len(store.members(job.id, 1)) == 4
    judge.close()


def test_header_that_is_refused_costs_the_other_boards_nothing(make_world: Callable[..., Any], tmp_path: Path) -> None:
    """A board whose key the roster does not have, and updates that a killed host had unmasked already."""
    world = make_world(5, 2)
    job, boards = masked(world), boards_of(world)
    stranger = boards[3].provision
    boards[3] = SimulatedBoard(replace(stranger, key=b"k" * 32), boards[3].examples, b"entropy")
    keys_known = [replace(board.provision) for board in boards]
    keys_known[3] = stranger
    judge = Judge(tmp_path / "log.db", SECRET, helper_roster.roster_of(keys_known, 3))
    plan = replace(world.plan, masked=True, honest=3)
    store = Store()
    made = drive(store, job, plan, boards, InProcess(judge))
    assert made.failure is None and made.version.number == 2
    assert len(store.members(job.id, 1)) == len(store.members(job.id, 2)) == 4
    aside = [update for update in store.updates(job.id, None) if update.state == SET_ASIDE]
    assert {update.board for update in aside} == {stranger.policy.board} and len(aside) == 2
    assert "was not made by it" in aside[0].reason
    judge.close()


def test_plans_that_masks_do_not_fit_are_refused(make_world: Callable[..., Any]) -> None:
    world = make_world(3)
    job = masked(world)
    keys: dict[bytes, bytes] = {}
    helper: Any = object()
    for settings in ({"aggregator": "fedbuff"}, {"aggregator": "ftte", "variance": False}):
        with pytest.raises(JobError, match="powers of two"):
            Coordinator(Store(), job, replace(world.plan, masked=True, rounds=30, **settings), keys, helper=helper)
    for wrong in ((job, world.plan), (world.job, replace(world.plan, masked=True))):
        with pytest.raises(JobError, match="mask_bits"):
            Coordinator(Store(), *wrong, keys, helper=helper)
    with pytest.raises(JobError, match="need a helper"):
        Coordinator(Store(), job, replace(world.plan, masked=True), keys)
    for changes in ({"mask_bits": 15}, {"mask_bits": 21}, {"round_shift": 16, "mask_bits": 16}, {"mask_bits": 33}):
        with pytest.raises(JobError):
            masked(world, **changes)
    with pytest.raises(JobError, match="gradient"):
        masked(world, mode="local", multiplier=1)
    assert Job.parse(job.body) == job and Job.parse(world.job.body) == world.job
    assert whole_weights([0.25, 1.0, 0.0]) == ([1, 4, 0], 0.25)
    for bad in ([0.0], [1.0, 0.75], [1.0, 1 / 64]):
        with pytest.raises(MaskError):
            whole_weights(bad)


def test_updates_that_are_not_masked_as_the_job_says(make_world: Callable[..., Any], fleet: Fleet) -> None:
    update = fleet.release(0)
    key = fleet.boards[0].provision.update_key
    keys = {update.board: key}
    plan = replace(make_world(3).plan, masked=True)
    coordinator = Coordinator(Store(), fleet.job, plan, keys, helper=InProcess(None))  # type: ignore[arg-type]
    plain = replace(update, masked=False, payload=native.update_encode(update.values(fleet.job.model), 0))
    wider = replace(update, payload=update.payload[:16] + bytes([21]) + update.payload[17:])
    for bad in (plain, wider):
        with pytest.raises(UpdateError, match="not masked as the job says"):
            coordinator.deliver(update.board, bad.pack(key))
    with pytest.raises(UpdateError):
        coordinator.deliver(update.board, replace(update, payload=update.payload[:30]).pack(key))
    coordinator.deliver(update.board, update.pack(key))


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
