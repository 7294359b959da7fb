"""A hostile host, and somebody on the cable, against an emulated board: they can deny service and nothing else."""

from collections.abc import Callable
from dataclasses import replace

import cbor2
import numpy as np
import pytest
from picofed import accounting
from picofed.learn import weights
from picofed.learn.updates import Update, UpdateError
from picofed.link.client import BoardClient
from picofed.link.connect import connect
from picofed.link.messages import PROTOCOL, BoardError, Info, LinkError, Op, State
from picofed.link.session import LinkKey, Session
from picofed.link.stream import SerialStream
from picofed.link.transfer import upload
from picofed.owner import Owner
from picofed.provisioning import Policy, Provision, emulated_owner

from .conftest import BOARD, JOB, LOCAL, Live, bring, fetch, start, version, wait

pytestmark = pytest.mark.slow

Make = Callable[..., Live]
CHARGE = accounting.charge(JOB.clip, JOB.log2_sigma, JOB.steps)
OWNER = emulated_owner(b"firmware test")
LINKS = pytest.mark.parametrize("link", [1, 2], ids=["authenticated", "encrypted"])


def refused(code: int, function: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(BoardError) as caught:
        function(*arguments)
    assert caught.value.code == code, caught.value
    return caught.value.text


class Tap:
    """A stream that keeps what passes, as somebody on the cable can."""

    def __init__(self, inner: SerialStream) -> None:
        self.inner = inner
        self.name = inner.name
        self.down: list[bytes] = []
        self.up: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.down.append(payload)
        self.inner.send(payload)

    def receive(self, timeout: float) -> bytes | None:
        payload = self.inner.receive(timeout)
        if payload is not None:
            self.up.append(payload)
        return payload

    def take_counts(self) -> tuple[int, int]:
        return self.inner.take_counts()

    def close(self) -> None:
        self.inner.close()


def tapped(board: Live) -> tuple[BoardClient, Tap]:
    client = board.connect()
    assert isinstance(client.stream, SerialStream)
    tap = Tap(client.stream)
    client.stream = tap
    return client, tap


def say(tap: Tap, payload: bytes) -> bytes | None:
    tap.inner.send(payload)
    return tap.inner.receive(1.0)


def a_round(client: BoardClient, number: int = 0) -> bytes:
    bring(client, JOB)
    start(client, JOB, number)
    status = wait(client)
    assert status.state is State.READY and status.update is not None
    data = fetch(client, status)
    client.drop(status.update)
    return data


@LINKS
def test_a_round_over_the_link(live: Make, link: int) -> None:
    board = live(link=link)
    client, tap = tapped(board)
    data = a_round(client)
    simulated = board.simulated(JOB)
    bring(simulated, JOB)  # type: ignore[arg-type]
    start(simulated, JOB)  # type: ignore[arg-type]
    status = simulated.status()
    assert status.update is not None
    assert data == simulated.get(status.update, 0, status.update_length)  # the link changes no update
    assert all(payload[0] in (1, 2) for payload in tap.down[3:])
    clear = b"".join(tap.down[3:] + tap.up[3:])
    assert (JOB.id in clear) == (link == 1)
    assert (data[60:90] in clear) == (link == 1)
    board.board.reset()  # a new boot, a new session, by itself
    assert client.hello().boot == 2 and client.hello().spent == CHARGE


@LINKS
def test_without_the_key_only_hello_is_answered(live: Make, link: int) -> None:
    board = live(link=link)
    client = connect(str(board.board.port))
    try:
        info = client.hello()
        assert info.board == BOARD and info.link == link and info.challenge is not None
        for op, arguments in (
            (Op.PUT, (bytes(16), 5, 0, b"12345")),
            (Op.HAVE, (bytes(16), 5)),
            (Op.JOB, (bytes(16),)),
            (Op.ROUND, (JOB.id, bytes(16))),
            (Op.STATUS, ()),
            (Op.GET, (bytes(16), 0, 5)),
            (Op.DROP, (bytes(16),)),
            (Op.LEDGER, (0, 5)),
            (Op.SELFTEST, ()),
            (Op.ABANDON, ()),
            (Op.POLICY, (board.given.policy.data, board.given.signature)),
            (Op.SESSION, (bytes(16), bytes(16))),
            (Op.SEAL, (bytes(16),)),
            (Op.REVEAL, (bytes(16), b"\x07")),
        ):
            refused(-26, client.request, op, *arguments)
        covered = {op for op in Op} - {Op.HELLO}
        assert len(covered) == 14
    finally:
        client.close()
    with pytest.raises(BoardError, match="wrong link key"):
        connect(str(board.board.port), keys={BOARD: LinkKey(bytes(32), link)}).hello()


@LINKS
def test_nothing_that_was_sent_once_works_again(live: Make, link: int) -> None:
    board = live(link=link)
    client, tap = tapped(board)
    a_round(client)
    spent, boot = client.hello().spent, client.hello().boot
    recorded = [payload for payload in tap.down if payload[0] in (1, 2)]
    opening = next(payload for payload in tap.down if payload[0] >= 0x80 and cbor2.loads(payload)[0] == Op.SESSION)
    # within the session: the last one gets its own answer again, all others nothing
    last = tap.up[-1]
    assert say(tap, recorded[-1]) == last
    for payload in recorded[:-1]:
        answer = say(tap, payload)
        assert answer is not None and cbor2.loads(answer)[2] == -26
    # the opening again: the same answer, and the count goes on
    assert say(tap, opening) == say(tap, opening)
    answer = say(tap, recorded[0])
    assert answer is not None and cbor2.loads(answer)[2] == -26
    assert client.hello().spent == spent
    # in a session of its own, and after a reset
    fresh, later = tapped(board)
    fresh.hello()
    for reset in (False, True):
        if reset:
            board.board.reset()
            board.connect().hello()
            fresh, later = tapped(board)
            assert fresh.hello().boot > boot
        for payload in [opening, *recorded]:
            answer = say(later, payload)
            assert answer is not None and cbor2.loads(answer)[0] == 1 and cbor2.loads(answer)[2] == -26
    info = fresh.hello()
    assert (info.spent, info.state) == (spent, State.IDLE)


def test_a_request_that_is_changed_on_the_way_is_none(live: Make) -> None:
    board = live(link=1)
    client, tap = tapped(board)
    client.hello()
    good = tap.down[-1]
    for place in range(0, len(good), 3):
        bad = bytearray(good)
        bad[place] ^= 0x40 if place else 3
        answer = say(tap, bytes(bad))
        assert answer is not None and answer != tap.up[-1] and cbor2.loads(answer)[0] == 1
    # an answer is no request, and a clear request is none on an encrypted link
    answer = say(tap, tap.up[-1])
    assert answer is None or answer[0] >= 0x80
    assert client.hello().board == BOARD


def test_an_encrypted_link_takes_nothing_in_clear(live: Make) -> None:
    board = live(link=2)
    client, tap = tapped(board)
    client.hello()
    session = client._session
    assert session is not None
    body = cbor2.dumps([int(Op.LEDGER), 77, 0, 1])
    answer = say(tap, session.seal(body))
    assert answer is not None and session.open(answer) is not None
    session._kind = 1
    answer = say(tap, session.seal(body))
    assert answer is not None and cbor2.loads(answer)[:3] == [1, 0, -26]


class FakeBoard:
    """Somebody who speaks in a board's name: repeats what the real one once said, or makes it up."""

    name = "fake"

    def __init__(self, script: Callable[[bytes], list[bytes]]) -> None:
        self.script = script
        self.ready: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.ready += self.script(payload)

    def receive(self, timeout: float) -> bytes | None:
        return self.ready.pop(0) if self.ready else None

    def take_counts(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        pass


def test_a_false_board_is_not_believed(live: Make) -> None:
    board = live(link=1)
    client, tap = tapped(board)
    real = client.plain(Op.HELLO, PROTOCOL)
    a_round(client)
    keys = {BOARD: LinkKey(board.given.link_key, 1)}
    sealed = [payload for payload in tap.up if payload[0] == 3]

    def fake(proof: bytes, **changes: object) -> BoardClient:
        def script(payload: bytes) -> list[bytes]:
            if payload[0] < 0x80:
                return [*sealed, cbor2.dumps([0, 0, "no"]), cbor2.dumps([1, 0, -26, ""])]
            op, ident = cbor2.loads(payload)[:2]
            if op == Op.HELLO:
                return [cbor2.dumps([0, ident, real[0], real[1] | changes])]
            return [cbor2.dumps([0, ident, proof])]

        return BoardClient(FakeBoard(script), keys=keys, timeouts=(0.1,))

    with pytest.raises(LinkError, match="does not prove it"):
        fake(bytes(16), link=0, challenge=None, spent=2**32 - 1).hello()
    with pytest.raises(LinkError, match="another link key"):
        fake(bytes(16), seq=2**32 - 1).hello()
    # one that could record a genuine opening: its answers do not fit a session of fresh nonces
    session = Session(board.given.link_key, real[1]["boot"], real[1]["challenge"], False)
    genuine = next(cbor2.loads(payload)[2] for payload in tap.up if payload[0] >= 0x80 and len(payload) < 30)
    assert not session.opened(genuine)
    with pytest.raises(LinkError, match="another link key"):
        fake(genuine).hello()


def test_a_policy_of_the_owner_comes_over_the_link_and_no_other(live: Make) -> None:
    board = live(link=1, number=7, budget=3 * CHARGE, max_charge=CHARGE)
    client = board.client
    a_round(client)

    def offer(owner: Owner = OWNER, **changes: object) -> Callable[[], int]:
        policy = replace(board.given.policy, **changes)  # type: ignore[arg-type]
        return lambda: client.policy(policy.data, owner.sign_policy(policy.data))

    refused(-21, offer(Owner(bytes(32)), number=8, budget=2**32 - 1))  # foreign
    refused(-21, offer(number=6))  # older
    refused(-21, offer(budget=2**32 - 1))  # another one of the same number
    refused(-21, offer(number=8, board=bytes(8)))  # another board's
    data = replace(board.given.policy, number=8, budget=2**32 - 1).data
    refused(-21, client.policy, data, bytes(64))  # unsigned
    refused(-21, client.policy, data, board.given.signature)
    assert client.hello().policy == 7 and client.hello().budget == 3 * CHARGE
    assert offer(number=8, budget=CHARGE)() == 8
    assert offer(number=8, budget=CHARGE)() == 8
    ident = upload(client, weights.pack(JOB, version(JOB, 1)), 900)
    refused(-5, client.round, JOB.id, ident)
    board.board.reset()
    info = board.connect().hello()
    assert (info.policy, info.budget, info.spent) == (8, CHARGE, CHARGE)
    # the one before is the past now
    before = board.given.policy.data
    refused(-21, board.client.policy, before, OWNER.sign_policy(before))


def test_a_policy_can_close_an_open_link(live: Make) -> None:
    board = live()
    client = board.client
    policy = replace(board.given.policy, number=2, link=1)
    assert client.policy(policy.data, OWNER.sign_policy(policy.data)) == 2
    refused(-26, client.status)
    board.given = board.given.renewed(policy, OWNER)
    assert board.connect().status().state is State.IDLE


def test_less_noise_more_clipping_or_a_cohort_of_one_are_refused(live: Make) -> None:
    board = live(link=1, min_log2_sigma=19, max_clip=JOB.clip, max_charge=CHARGE)
    client = board.client

    def attempt(**changes: object) -> str:
        job = replace(JOB, **changes)  # type: ignore[arg-type]
        return refused(-21, client.job, upload(client, job.body, 900))

    assert "log2_sigma" in attempt(log2_sigma=18)
    assert "log2_sigma" in attempt(log2_sigma=6, clip=1)
    assert "clip" in attempt(clip=JOB.clip + 1)
    assert "charge" in refused(-21, client.job, upload(client, LOCAL.body, 900))
    bring(client, JOB)
    assert client.hello().spent == 0
    board.disconnect()
    alone = live(name="alone", link=1, cohort=10)
    assert "cohort of 10" in refused(-21, alone.client.job, upload(alone.client, JOB.body, 900))


def test_a_share_of_the_noise_is_for_masked_jobs_and_no_smaller_than_the_policys(live: Make) -> None:
    """16 honest boards: a quarter of sigma each. The ledger counts what this board adds, sixteen times as much."""
    board = live(link=1, min_log2_sigma=19, helper=bytes(range(32)), cohort=20, honest=16)
    client = board.client
    masked = replace(JOB, name="masked", log2_sigma=17, clip=100000, mask_bits=20)
    assert "no masks" in refused(-21, client.job, upload(client, replace(masked, mask_bits=0).body, 900))
    assert "log2_sigma" in refused(-21, client.job, upload(client, replace(masked, log2_sigma=16).body, 900))
    narrow = cbor2.dumps(cbor2.loads(masked.body) | {"mask_bits": 7})
    assert "mask_bits" in refused(-1, client.job, upload(client, narrow, 900))
    masked = replace(masked, mask_bits=8)
    bring(client, masked)
    start(client, masked)
    assert len(fetch(client, wait(client))) == 60 + len(JOB.model.trainable) + 2 * 16
    charge = accounting.charge(100000, 17)
    assert client.hello().spent == charge > 15.9 * accounting.charge(100000, 19)


def test_budget_tricks_buy_nothing(live: Make) -> None:
    board = live(link=1, budget=2 * CHARGE + 5, max_charge=CHARGE)
    client = board.client
    bring(client, JOB)
    ident = start(client, JOB)
    # while the round runs: the same again, abandon at the end, another session, a reset
    for _ in range(5):
        client.round(JOB.id, ident)
    status = wait(client)
    assert status.update is not None
    first = fetch(client, status)
    client.abandon()
    assert client.hello().spent == CHARGE
    refused(-22, client.get, status.update, 0, 5)
    start(client, JOB)
    second_status = wait(client)
    second = fetch(client, second_status)
    assert client.hello().spent == 2 * CHARGE
    # the same weights again: fresh noise, so the two do not show what the records add
    assert Update.parse(first, None).payload != Update.parse(second, None).payload
    client.abandon()
    refused(-5, start, client, JOB)
    refused(-5, start, board.connect(), JOB)
    board.board.reset()
    refused(-5, start, board.connect(), JOB)


def test_weights_of_an_adversary_change_no_bound(live: Make) -> None:
    """Extreme weights, and a version number that lies: the update is what the policy paid for, charged in full."""
    board = live(link=1)
    client = board.client
    bring(client, JOB)
    for number, value in ((2**32 - 1, 16383), (0, -16384), (5, 0)):
        chosen = np.full(JOB.model.parameters, value, "<i2")
        mad = replace(version(JOB), number=number, released=chosen.tobytes())
        client.round(JOB.id, upload(client, weights.pack(JOB, mad), 900))
        status = wait(client)
        assert status.state is State.READY and status.update is not None, status
        before = client.hello().spent
        update = Update.parse(fetch(client, status), board.given.update_key)
        assert (update.version, update.cumulative) == (number, before)
        assert (update.clip_norm, update.log2_sigma) == (JOB.clip, JOB.log2_sigma)
        # what the release holds beyond its noise is at most C a record, whatever the weights
        values = np.abs(update.values(JOB.model).astype(np.int64))
        assert values.max() <= update.records * JOB.clip + (8 << JOB.log2_sigma)
        client.drop(status.update)
    assert client.hello().spent == 3 * CHARGE


def test_updates_of_a_board_cannot_be_forged(live: Make) -> None:
    board = live(link=1)
    data = a_round(board.client)
    for place in (8, 20, 60, len(data) - 1):
        bad = bytearray(data)
        bad[place] ^= 1
        with pytest.raises(UpdateError):
            Update.parse(bytes(bad), board.given.update_key)


def test_keys_are_nowhere_on_the_wire(live: Make) -> None:
    board = live(link=1)
    client, tap = tapped(board)
    a_round(client)
    client.selftest()
    said = b"".join(tap.up + tap.down)
    given = board.given
    for key in (given.key, given.secret, given.link_key, given.update_key, given.ledger_key):
        assert key not in said and key[:8] not in said
    assert isinstance(client.hello(), Info)


def test_provisioning_another_owners_board(live: Make) -> None:
    board = live(link=1)
    board.client.hello()
    board.disconnect()
    board.board.power_off()
    policy = Policy(BOARD, "mine", 2**32 - 1, 2**32 - 1, number=9)
    theft = Provision.new(policy, b"another", Owner(bytes(32)))
    board.board.install({"/picofed-data/provision.cbor": theft.file()})
    board.board.reset()
    info = board.connect().hello()
    assert info.name == "watch" and info.policy == 1
    assert "another owner" in board.client.status().error_text
