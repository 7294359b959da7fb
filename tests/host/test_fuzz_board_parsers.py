"""The board's own parsers, on valid objects with a few bytes or fields changed: they take it, or they refuse with the
one error of the firmware, in one line. What both sides parse, both judge alike. `make fuzz` runs many more examples."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from picofed import native
from picofed.errors import PicofedError
from picofed.learn.job import Job
from picofed.learn.model import Model
from picofed.link.transfer import object_id
from picofed.members import Members
from picofed.owner import Owner
from picofed.peers import Cohort
from picofed.provisioning import Policy, Provision
from picofed.reference import x25519_public

from .board_firmware import Load, firmware
from .test_fuzz_parsers import changed, fuzz

OWNER: Final = Owner(bytes(32))
JOB: Final = Job(name="fuzz", model=Model.dense([45, 7]), clip=1 << 18, log2_sigma=20, window=100, stride=100, labels=7)
JOBS: Final = {
    "plain": JOB.body,
    "masked": replace(JOB, mask_bits=20, round_shift=11).body,
    "pairwise": replace(JOB, mask_bits=20, round_shift=11, masks="pairwise").body,
    "local": replace(JOB, mode="local", steps=3, multiplier=9000, shift=30).body,
}
POLICY: Final = Policy(bytes(8), "porch", 1000, 100, link=1, peers=3)
GRANTING: Final = replace(POLICY, helper=x25519_public(b"h" * 32), cohort=9, honest=5)
GIVEN: Final = Provision.new(POLICY, b"fuzz", OWNER)
OWN: Final = bytes(8)
PUBLIC: Final = {bytes([n] * 8): native.x25519_public(bytes([n] * 32)) for n in range(30)}
MEMBERS: Final = Members.sign(1, PUBLIC, OWNER)
COHORT: Final = Cohort(9, 1, JOB.id, object_id(MEMBERS.data), tuple(range(30)))
JOURNAL_ID: Final = bytes(range(16))
VALUES: Final = [0, 1, 2, 3, 255, 2**16, 2**32 - 1, 2**32, 2**64 - 1, -1, True, None, "", "x", b"", bytes(32), [], {}]


def resigned(data: bytes) -> bytes:
    """Members with the owner's signature over whatever they are now."""
    head, entries = data[:8], data[8:-64]
    chain = bytes(32)
    for at in range(0, len(entries), 40):
        chain = native.blake2b(entries[at : at + 40], 32, chain)
    return head + entries + OWNER.sign_members(head + chain)


class Parsers:
    """Each parser as a call with bytes, in a folder of its own."""

    def __init__(self, load: Load, folder: Path) -> None:
        self.load = load
        self.folder = folder
        self.refusal: type[Exception] = load("errors").PicofedError
        load("provision").FILE = str(folder / "provision.cbor")
        load("peers")._STATE = str(folder / "peers")
        self.policy = load("policy").Policy(POLICY.data)
        self.owner = OWNER.public
        self.identity = OWN
        self.peers = None

    def agree(self, out: bytearray, public: bytes | None) -> None:
        """For peers.Peers, as Board.agree(); but no example waits for a curve that is not parsed."""
        out[:] = PUBLIC[OWN] if public is None else native.blake2b(public, 32)

    def provisioning(self, data: bytes) -> object:
        """A provisioning file, as far as it is read before anything is changed."""
        provision = self.load("provision")
        Path(provision.FILE).write_bytes(data)
        item = provision._read()
        return item and provision.State({**item, "used": b"", "done": False, "wipe": False})

    def provisioned(self, policy: bytes) -> object:
        """The same, of a file whose owner signed this policy, whatever it is."""
        item = cbor2.loads(GIVEN.file()) | {"policy": policy, "signature": OWNER.sign_policy(policy)}
        return self.provisioning(cbor2.dumps(item))

    def cohort(self, data: bytes, members: bytes = MEMBERS.data) -> object:
        """A cohort with these members, up to the keys of its pairs."""
        objects = self.load("objects")
        store = objects.Objects(str(self.folder / "objects"))
        for each in (data, members):
            if each:
                assert store.put(object_id(each), len(each), 0, each) == []
        made = self.load("peers").Peers(self, store, object_id(data))
        for _ in made.make():
            pass
        made.check(JOB, 1)
        return made.keys

    def members(self, data: bytes) -> object:
        """Members that a cohort names."""
        return self.cohort(replace(COHORT, members=object_id(data)).data, data)

    def journal(self, data: bytes) -> object:
        """The journal of an object in transfer."""
        found = self.load("objects")._Object(str(self.folder), JOURNAL_ID)
        Path(found.path).write_bytes(bytes(300))
        Path(found.journal).write_bytes(data)
        loaded = found.load()
        assert not loaded or all(0 <= start < end <= found.total for start, end in found.pieces)
        assert not loaded or found.missing() is not None
        return loaded or None

    def small_file(self, data: bytes) -> object:
        """One copy of a small file."""
        path = self.folder / "small"
        path.with_suffix(".0").write_bytes(data)
        path.with_suffix(".1").unlink(missing_ok=True)
        return self.load("files").load(str(path))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parsers]:
    with firmware() as load:
        yield Parsers(load, tmp_path_factory.mktemp("board"))


def journal(board: Parsers) -> bytes:
    """Of an object of 300 bytes with two pieces."""
    made = board.load("objects")._Object(str(board.folder), JOURNAL_ID)
    made.create(300, 7)
    made.put(0, bytes(40))
    made.put(90, bytes(60))
    return Path(made.journal).read_bytes()


PARSERS: Final[dict[str, tuple[Callable[[Parsers, bytes], object], Callable[[Parsers], bytes]]]] = {
    "policy": (lambda board, data: board.load("policy").Policy(data), lambda board: POLICY.data),
    "policy with a helper": (lambda board, data: board.load("policy").Policy(data), lambda board: GRANTING.data),
    **{
        f"{name} job": (lambda board, data: board.load("job").Job(data).charge(), lambda board, body=body: body)
        for name, body in JOBS.items()
    },
    "provisioning file": (Parsers.provisioning, lambda board: GIVEN.file()),
    "policy that the owner signed": (Parsers.provisioned, lambda board: POLICY.data),
    "cohort": (Parsers.cohort, lambda board: COHORT.data),
    "members": (Parsers.members, lambda board: MEMBERS.data),
    "members that the owner signed": (lambda board, data: board.members(resigned(data)), lambda board: MEMBERS.data),
    "journal": (Parsers.journal, journal),
    "small file": (Parsers.small_file, lambda board: struct.pack("<I4sI", 1, b"data", native.crc32(b"\1\0\0\0data"))),
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_board_answers_or_refuses(name: str, board: Parsers) -> None:
    parse, valid = PARSERS[name]
    start = valid(board)
    assert parse(board, start) is not None

    def run(data: bytes) -> None:
        try:
            parse(board, data)
        except board.refusal as error:
            text = error.text  # type: ignore[attr-defined]
            assert text and "\n" not in text and text.isascii()

    fuzz(given(changed(start))(example(b"")(example(start[:-1])(run))))()


@st.composite
def edited(draw: st.DrawFn, item: Mapping[str, Any]) -> dict[str, Any]:
    """A map with some fields changed by a little or a lot, left out or added; in the order of the original."""
    made = dict(item)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([*item, "extra"]))
        kind = draw(st.integers(0, 3))
        if kind == 0 and type(made.get(name)) is int:
            made[name] += draw(st.integers(-2, 2))
        elif kind == 1:
            made.pop(name, None)
        elif kind == 2 and type(made.get(name)) is bytes:
            made[name] = draw(changed(made[name]))
        else:
            made[name] = draw(st.sampled_from(VALUES) | st.integers(-(2**64), 2**64 - 1))
    return {name: made[name] for name in [*item, "extra"] if name in made}


def agree(board: Parsers, mine: Callable[[bytes], object], theirs: Callable[[bytes], object], data: bytes) -> bool:
    """Whether both take it; what the host takes, the board must."""
    try:
        mine(data)
    except PicofedError:
        try:
            theirs(data)
        except board.refusal:
            return False
        return True
    theirs(data)
    return False


@pytest.mark.parametrize("policy", [POLICY, GRANTING], ids=["peers", "helper"])
def test_host_and_board_agree_on_policies(policy: Policy, board: Parsers) -> None:
    theirs = board.load("policy").Policy

    def run(item: dict[str, Any]) -> None:
        data = cbor2.dumps(item)
        only_the_board = agree(board, Policy.parse, theirs, data)
        # a host shows names, and asks that they can be shown
        assert not only_the_board or not str(item["name"]).isprintable()

    fuzz(given(edited(policy.item()))(run))()
    fuzz(given(edited(cbor2.loads(cbor2.dumps(policy.item()))))(run))()


@pytest.mark.parametrize("name", JOBS)
def test_a_board_takes_every_job_that_a_host_does(name: str, board: Parsers) -> None:
    """The other way round the core has the last word, when the job's memory is made: it judges models."""
    theirs = board.load("job").Job
    valid = cbor2.loads(JOBS[name])

    def mine(data: bytes) -> None:
        if not Job.parse(data).private:
            raise PicofedError("a baseline of simulations, which no board runs")

    def run(item: dict[str, Any]) -> None:
        agree(board, mine, theirs, cbor2.dumps(item))

    fuzz(given(edited(valid))(example(valid | {"mode": -1})(example(valid | {"steps": True})(run))))()
    for change in ({"masks": 0}, {"masks": ""}, {"mask_bits": 0}, {"v": True}):
        run(valid | change)
