"""Masks without a helper on emulated boards: whole cohorts, dropouts, and hosts that ask for more than they may."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from picofed import accounting, native, records
from picofed.fleet import catalog
from picofed.fleet.emulation import EmulatedBoard, UnixBoard, emulated
from picofed.fleet.provision import board_files
from picofed.learn import weights
from picofed.learn.clients import Examples, SimulatedBoard
from picofed.learn.job import Job
from picofed.learn.unseal import SumLost, total
from picofed.learn.updates import Update
from picofed.link.client import TIMEOUTS, BoardClient
from picofed.link.connect import POWER_ON_SECONDS, connect
from picofed.link.messages import BoardError, LinkError, Op, State, Status
from picofed.link.session import LinkKey
from picofed.link.stream import SerialStream
from picofed.link.transfer import object_id, upload
from picofed.members import Members
from picofed.owner import Owner
from picofed.peers import Cohort, Graph, Sealed
from picofed.provisioning import Policy, Provision, emulated_owner
from picofed.reference import update_id
from picofed.store import Version
from picofed.toolchain import build

from .conftest import ENTROPY, JOB, fetch, recordings

pytestmark = pytest.mark.slow

SEALED = replace(JOB, name="sealed", round_shift=15, mask_bits=17, masks="pairwise")
CHARGE = accounting.charge(SEALED.clip, SEALED.log2_sigma)
OWNER = emulated_owner(b"peers")
ARGUMENT, FORBIDDEN, UNKNOWN = -1, -21, -22
STRANGERS = {bytes([n] * 8): native.x25519_public(bytes([n]) * 32) for n in range(100, 103)}
FIRST_STEP = 5  # flash steps of a start, and one
ARCH = {"unix": "x64", "qemu_m3": "armv7m"}


def refused(code: int, function: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(BoardError) as caught:
        function(*arguments)
    assert caught.value.code == code, caught.value
    return caught.value.text


@dataclass
class Peer:
    """An emulated board and what its owner gave it."""

    board: EmulatedBoard
    given: Provision
    client: BoardClient

    @property
    def ident(self) -> bytes:
        return self.given.policy.board

    def train(self, number: int = 0) -> None:
        bring(self.client, number)
        assert until(self.client, State.WAITING)

    def restart(self) -> None:
        self.client.close()
        self.board.reset()
        self.client = open_board(self.board, self.given)


class WhileRunning:
    """Timeouts for requests to a board whose power is about to fail: no longer than it has any, however slow it is."""

    def __init__(self, board: EmulatedBoard) -> None:
        self.board = board

    def __iter__(self) -> Iterator[float]:
        while self.board.running:
            yield 0.5


def open_board(board: EmulatedBoard, given: Provision, timeouts: tuple[float, ...] = TIMEOUTS) -> BoardClient:
    keys = {given.policy.board: LinkKey(given.link_key, given.policy.link)}
    connect(str(board.port), keys=keys, patience=POWER_ON_SECONDS).close()
    return BoardClient(SerialStream(str(board.port)), timeouts=timeouts, keys=keys)


def bring(client: BoardClient, number: int = 0) -> None:
    mtu = client.hello().mtu
    assert client.job(upload(client, SEALED.body, mtu)) == SEALED.id
    client.round(SEALED.id, upload(client, version_data(number), mtu))


def version_data(number: int, job: Job = SEALED) -> bytes:
    values = np.random.default_rng(5 + number).integers(-900, 900, job.model.parameters)
    return weights.pack(job, Version(number, values.astype("<i2").tobytes(), b"", b""), weights.ALL)


def until(client: BoardClient, wanted: State) -> Status:
    for _ in range(100000):
        status = client.status()
        if status.state is wanted:
            return status
        assert status.state not in (State.IDLE, State.READY, State.WAITING), status
    raise AssertionError("the round does not end")


class Fleet:
    """Boards of one roster."""

    def __init__(self, peers: list[Peer], members: Members) -> None:
        self.peers = peers
        self.members = members
        self.by_id = {peer.ident: peer for peer in peers}
        self.number = 1

    def cohort(self, peers: Sequence[Peer] | None = None, version: int = 0, **change: object) -> Cohort:
        """With a fresh number, of all boards or these."""
        self.number += 1
        everyone = list(self.members.boards)
        indexes = tuple(sorted(everyone.index(peer.ident) for peer in peers or self.peers))
        made = Cohort(self.number, version, SEALED.id, object_id(self.members.data), indexes)
        return replace(made, **change)  # type: ignore[arg-type]

    def give(self, peer: Peer, cohort: Cohort, members: Members | None = None) -> bytes:
        # the cohort first: a board keeps few objects, and gives up the oldest for a new one
        ident = upload(peer.client, cohort.data, 900)
        upload(peer.client, (members or self.members).data, 900)
        return ident

    def seal(self, peer: Peer, cohort: Cohort) -> Sealed:
        """All the way to the update."""
        peer.client.seal(self.give(peer, cohort))
        return self.take(peer)

    def take(self, peer: Peer) -> Sealed:
        status = until(peer.client, State.READY)
        data = fetch(peer.client, status)
        assert update_id(data) == status.update
        update = Update.parse(data, peer.given.update_key)
        assert update.sealed and update.job == SEALED.id and update.board == peer.ident
        assert status.update is not None
        peer.client.drop(status.update)
        return Sealed.parse(update.payload, len(SEALED.model.trainable))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """fleet(count, kinds..., **policy): boards that run, under one owner."""
    with ExitStack() as stack:

        def make(count: int, kinds: Sequence[str] = (), **policy: object) -> Fleet:
            settings: dict[str, object] = {"link": 1, "peers": 3} | policy
            given = []
            for n in range(1, count + 1):
                one = Policy(bytes([n] * 8), f"peer-{n}", 60 * CHARGE, CHARGE, **settings)  # type: ignore[arg-type]
                given.append(Provision.new(one, b"peers", OWNER))
            peers = []
            for n, one in enumerate(given):
                kind = kinds[n] if n < len(kinds) else "unix"
                board = emulated(kind, tmp_path / one.policy.name, board_id=one.policy.board, entropy=ENTROPY.hex())
                board.install(board_files(build.natmod(ARCH[kind]), one, recordings(n + 1)))
                stack.enter_context(board)
                peers.append(Peer(board, one, open_board(board, one)))
                stack.callback(lambda peer=peers[-1]: peer.client.close())
            return Fleet(peers, members_of(given))

        yield make


def members_of(given: Sequence[Provision], number: int = 5) -> Members:
    boards = {one.policy.board: one.public for one in given} | STRANGERS
    return Members.sign(number, boards, OWNER)


def examples_of(peer: Peer, job: Job) -> Examples:
    return Examples.from_records(records.write(records.Layout(bytes(8)), recordings(peer.ident[0])), job)


def plain(peers: Sequence[Peer], number: int = 0) -> NDArray[np.int64]:
    """The sum of what these boards would have sent in their first round without masks."""
    job = replace(SEALED, mask_bits=0, masks="")
    summed = np.zeros(len(SEALED.model.trainable), np.int64)
    for peer in peers:
        other = SimulatedBoard(peer.given, examples_of(peer, job), ENTROPY)
        other.job(upload(other, job.body, 1 << 20))
        other.round(job.id, upload(other, version_data(number, job), 1 << 20))
        status = other.status()
        assert status.update is not None
        made = Update.parse(other.get(status.update, 0, status.update_length), None)
        summed += made.values(job.model)
    return summed


def reveal(fleet: Fleet, cohort: Cohort, survivors: Sequence[Peer]) -> dict[bytes, bytes]:
    """What all survivors tell."""
    bitmap = Graph(cohort, fleet.members).bitmap([peer.ident for peer in survivors])
    return {peer.ident: peer.client.reveal(object_id(cohort.data), bitmap) for peer in survivors}


def summed(
    fleet: Fleet, cohort: Cohort, sealed: dict[bytes, Sealed], told: dict[bytes, bytes], minimum: int = 3
) -> NDArray[np.int64]:
    return total(SEALED, Graph(cohort, fleet.members), sealed, told, minimum)


def test_a_cohort_whose_sum_is_that_of_the_unmasked_updates(fleet: Callable[..., Fleet]) -> None:
    """Eight boards, one that drops before it sends, one that is reset in between; and nothing is charged before."""
    made = fleet(8)
    for peer in made.peers:
        peer.train()
        assert peer.client.hello().spent == 0 and peer.client.hello().update is None
    cohort = made.cohort()
    for peer in made.peers:
        peer.client.seal(made.give(peer, cohort))
        assert peer.client.seal(object_id(cohort.data)) in (State.SEALING, State.READY)
    gone, alive = made.peers[2], [peer for peer in made.peers if peer is not made.peers[2]]
    until(gone.client, State.READY)
    gone.restart()  # its update is lost
    sealed = {peer.ident: made.take(peer) for peer in alive}
    assert all(peer.client.hello().spent == CHARGE for peer in made.peers)
    for update in sealed.values():  # spread over all of 17 bits, where a release is within a few sigma of 0
        fields = native.mask_unpack(update.fields, len(SEALED.model.trainable), SEALED.mask_bits)
        assert len(np.unique(fields >> 14)) == 8
    alive[0].restart()
    told = reveal(made, cohort, alive)
    assert summed(made, cohort, sealed, told).tolist() == plain(alive).tolist()
    again = reveal(made, cohort, alive)
    assert again == told
    with pytest.raises(SumLost, match="dropped out"):
        summed(made, cohort, sealed, {peer: told[peer] for peer in list(told)[1:]})
    with pytest.raises(SumLost, match="answered about"):
        summed(made, cohort, sealed, {peer: told[peer] for peer in list(told)[2:]})
    mixed = told | {alive[1].ident: told[alive[0].ident]}
    with pytest.raises(SumLost, match="does not fit"):
        summed(made, cohort, sealed, mixed)
    with pytest.raises(SumLost, match="least"):
        summed(made, cohort, sealed, told, 8)


def test_nobody_gets_both_secrets_of_a_board(fleet: Callable[..., Fleet]) -> None:
    """A host that tells different stories, across power cuts: one answer a cohort, whatever it asks."""
    made = fleet(5)
    for peer in made.peers:
        peer.train()
    cohort = made.cohort()
    ident = object_id(cohort.data)
    graph = Graph(cohort, made.members)
    for peer in made.peers:
        made.seal(peer, cohort)
    first, others = made.peers[0], made.peers[1:]
    everyone = [peer.ident for peer in made.peers]

    def bitmap(*left_out: int) -> bytes:
        return graph.bitmap([peer for n, peer in enumerate(everyone) if n not in left_out])

    assert graph.threshold == 3
    ask = first.client.reveal
    assert "not among" in refused(FORBIDDEN, ask, ident, bitmap(0))
    assert "neighbours" in refused(FORBIDDEN, ask, ident, bitmap(3, 4))
    assert "survivors" in refused(FORBIDDEN, ask, ident, bitmap(2, 3, 4))
    refused(ARGUMENT, ask, ident, b"")
    refused(ARGUMENT, ask, ident, bitmap() + b"\0")
    refused(ARGUMENT, ask, ident, bytes([bitmap()[0] | 0x20]))
    other = made.cohort()
    assert "join" in refused(UNKNOWN, ask, made.give(first, other), bitmap())
    made.give(first, cohort)
    told = ask(ident, bitmap(4))
    for _ in range(2):
        for wrong in (bitmap(), bitmap(3), bitmap(2)):
            assert "other ones" in refused(FORBIDDEN, first.client.reveal, ident, wrong)
        assert first.client.reveal(ident, bitmap(4)) == told
        first.restart()
    # nor does flash that decays bring back what was before
    assert isinstance(first.board, UnixBoard)
    for copies, text in (((0,), "other ones"), ((1,), "other ones"), ((0, 1), "damaged")):
        first.client.close()
        first.board.power_off()
        for copy in copies:
            path = first.board.flash / "picofed-data" / f"peers.{copy}"
            data = bytearray(path.read_bytes())
            data[9] ^= 1
            path.write_bytes(data)
        first.restart()
        assert text in refused(FORBIDDEN if text == "other ones" else -7, first.client.reveal, ident, bitmap())
    # power fails within the saving: in the two steps of each of the two copies
    for step, peer in zip((FIRST_STEP, FIRST_STEP + 1, FIRST_STEP + 3, FIRST_STEP + 4), others, strict=True):
        peer.client.close()
        peer.board.reset(power_cut=step)
        client = open_board(peer.board, peer.given)
        try:
            client.request(Op.REVEAL, ident, bitmap(), timeouts=WhileRunning(peer.board))  # type: ignore[arg-type]
            was = bitmap()
        except LinkError:
            assert peer.board.wait_power_cut(60)
            was = b""
        client.close()
        assert bool(was) == (step == FIRST_STEP + 4)
        peer.restart()
        found = []
        for wanted in (bitmap(0), bitmap()):
            try:
                peer.client.reveal(ident, wanted)
                found.append(wanted)
            except BoardError as error:
                assert error.code == FORBIDDEN
        assert len(found) == 1 and was in (b"", found[0])


def test_power_cuts_while_a_board_joins(fleet: Callable[..., Fleet]) -> None:
    """Whenever a release was charged, its cohort was joined: the board does not join it again."""
    made = fleet(3)
    peer = made.peers[0]
    peer.train()
    made.give(peer, made.cohort())
    spent = 0
    seen = []

    def cut(step: int) -> bool:
        """Whether the board sealed before its power failed in this step."""
        nonlocal spent
        cohort = made.cohort()
        peer.client.close()
        peer.board.reset(power_cut=step)
        sealed = drive_until_cut(made, peer, cohort)
        peer.restart()
        now = peer.client.hello().spent
        assert now - spent in (0, CHARGE)
        if now > spent:
            peer.train()
            assert "not newer" in refused(FORBIDDEN, peer.client.seal, made.give(peer, cohort))
        seen.append((sealed, now > spent))
        spent = now
        return sealed

    # what comes before is bringing weights and cohort, which has its own tests
    end = next(step for step in range(FIRST_STEP + 12, 80) if cut(step))
    for step in range(end, end - 6, -1):
        cut(step)
    print(f"steps up to {end}: sealed, charged: {seen}")
    # all that can happen did: sealed, torn in the charge, cut before it
    assert set(seen) == {(True, True), (False, True), (False, False)}


def drive_until_cut(made: Fleet, peer: Peer, cohort: Cohort) -> bool:
    """Train and seal; False where the power fails before."""
    peer.client = open_board(peer.board, peer.given, WhileRunning(peer.board))  # type: ignore[arg-type]
    try:
        peer.train()
        made.seal(peer, cohort)
    except LinkError:
        assert peer.board.wait_power_cut(60)
        return False
    return True


def test_cohorts_that_boards_refuse(fleet: Callable[..., Fleet]) -> None:
    """Too few, foreign, old, replayed, without the board, of something else. Nothing is charged, and a good one comes
    through afterwards."""
    made = fleet(4, peers=4)
    one, rest = made.peers[0], made.peers[1:]
    for peer in made.peers:
        peer.train()
    client = one.client

    def fails(cohort: Cohort, members: Members | None = None) -> str:
        client.seal(made.give(one, cohort, members))
        status = until(client, State.WAITING)
        assert status.error in (ARGUMENT, FORBIDDEN)
        return status.error_text

    assert "at least 4" in refused(FORBIDDEN, client.seal, made.give(one, made.cohort(made.peers[:3])))
    assert "another job" in refused(ARGUMENT, client.seal, made.give(one, made.cohort(version=1)))
    assert "another job" in refused(ARGUMENT, client.seal, made.give(one, made.cohort(job=bytes(8))))
    assert "not newer" in refused(FORBIDDEN, client.seal, made.give(one, made.cohort(number=1)))
    refused(UNKNOWN, client.seal, bytes(16))
    alone = made.cohort().data
    for wrong in (alone[:-1], alone + b"\0", b"\2" + alone[1:], alone[:36], alone[:20]):
        refused(ARGUMENT, client.seal, upload(client, wrong, 900))
    twice = alone[:36] + alone[36:38] * 4
    upload(client, twice, 900)
    upload(client, made.members.data, 900)
    client.seal(object_id(twice))
    assert until(client, State.WAITING).error == ARGUMENT

    def of(members: Members) -> tuple[Cohort, Members]:
        return made.cohort(members=object_id(members.data)), members

    keys = dict(made.members.boards)
    stranger = Owner(secrets.token_bytes(32))
    assert "not signed" in fails(*of(Members.sign(6, keys, stranger)))
    forged = replace(made.members, boards=keys | {rest[0].ident: bytes(32)})
    assert "not signed" in fails(*of(forged))
    mine = replace(made.members, boards=keys | {one.ident: STRANGERS[bytes([100] * 8)]})
    assert "this board and its key" in fails(*of(mine))
    assert "this board and its key" in fails(*of(Members.sign(6, STRANGERS, OWNER)))
    assert "without this board" in fails(made.cohort(indexes=(1, 2, 3, 4)))
    assert "indexes" in fails(made.cohort(indexes=(0, 1, 2, 9)))
    assert client.hello().spent == 0

    good = made.cohort()
    sealed = {peer.ident: made.seal(peer, good) for peer in made.peers}
    assert summed(made, good, sealed, reveal(made, good, made.peers)).tolist() == plain(made.peers).tolist()
    # the same again, and an older one, for a second round; also after a reset
    one.train(1)
    replayed = replace(good, version=1)
    assert "not newer" in refused(FORBIDDEN, client.seal, made.give(one, replayed))
    one.restart()
    one.train(0)
    assert "not newer" in refused(FORBIDDEN, one.client.seal, made.give(one, good))
    client = one.client
    older = members_of([peer.given for peer in made.peers], number=4)
    assert "older members" in fails(*of(older))
    assert client.hello().spent == CHARGE


@pytest.mark.parametrize("kind", ["unix", "qemu_m3"])
def test_bit_identical_to_the_host_in_a_large_cohort(fleet: Callable[..., Fleet], kind: str) -> None:
    """A graph that is not complete, what is sent and what is revealed, and the heap that it takes."""
    made = fleet(1, [kind])
    peer = made.peers[0]
    many = {bytes([n] * 8): native.x25519_public(bytes([n]) * 32) for n in range(60, 99)}
    members = Members.sign(9, many | {peer.ident: peer.given.public}, OWNER)
    cohort = Cohort(9, 0, SEALED.id, object_id(members.data), tuple(range(40)))
    graph = Graph(cohort, members)
    assert graph.degree == 24
    other = SimulatedBoard(peer.given, examples_of(peer, SEALED), ENTROPY)
    other.job(upload(other, SEALED.body, 1 << 20))
    other.round(SEALED.id, upload(other, version_data(0), 1 << 20))
    upload(other, members.data, 1 << 20)
    assert other.status().state is State.WAITING
    assert other.seal(upload(other, cohort.data, 1 << 20)) is State.READY
    wanted = other.status()

    peer.train()
    peer.client.seal(made.give(peer, cohort, members))
    status = until(peer.client, State.READY)
    used = peer.client.hello().used
    assert status.update == wanted.update and wanted.update is not None
    assert fetch(peer.client, status) == other.get(wanted.update, 0, wanted.update_length)
    dropped = graph.neighbours[graph.place(peer.ident)][::4]
    bitmap = graph.bitmap([board for place, board in enumerate(graph.boards) if place not in dropped])
    ident = object_id(cohort.data)
    assert peer.client.reveal(ident, bitmap) == other.reveal(ident, bitmap)
    print(f"{kind}: heap in use with a sealed update: {used}")
    assert used < catalog.kinds()[kind].memory.firmware_heap


def test_pairwise_jobs_need_the_owners_leave(fleet: Callable[..., Fleet]) -> None:
    made = fleet(1, peers=0, helper=b"h" * 32)
    assert "peers" in refused(FORBIDDEN, bring, made.peers[0].client)


def test_pairwise_jobs_over_an_encrypted_link(fleet: Callable[..., Fleet]) -> None:
    """Over an open one anybody could say what the host says: no policy allows it (tests/host/test_policies.py)."""
    bring(fleet(1, link=2).peers[0].client)
