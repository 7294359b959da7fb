"""Every parser in Python, on arbitrary bytes and on valid ones with a few bytes changed: it answers, or it refuses with
the one kind of error that its callers expect. `make fuzz` runs many times as many examples as `make test`.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picofed import native, records, reference, roster
from picofed.errors import PicofedError
from picofed.fleet.images import families
from picofed.fleet.ownership import read_policy
from picofed.fleet.provision import Registry
from picofed.helper.request import Request, parse_about, parse_answer
from picofed.learn import convolution, jobfile, weights
from picofed.learn.job import Job
from picofed.learn.model import Model
from picofed.learn.optimisers import OptimiserError, Sgd
from picofed.learn.updates import Update
from picofed.link import messages
from picofed.link.stream import FrameScanner
from picofed.masking import Header
from picofed.members import Members
from picofed.owner import Owner
from picofed.peers import Cohort, Sealed
from picofed.privacy.statement import load_audit
from picofed.provisioning import Policy
from picofed.report import load as load_summary
from picofed.roster import Roster
from picofed.store import Version

from .board_firmware import firmware

EXAMPLES = int(os.environ.get("PICOFED_FUZZ_EXAMPLES", "3000" if os.environ.get("CI") else "150"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="PICOFED_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
JOB = Job(name="fuzz", model=Model.dense([45, 7]), clip=1 << 18, log2_sigma=20, window=100, stride=100, labels=7)
PAYLOAD = native.update_encode([0, 5, -9, 100, 2, -1, 0] * 46, 3)
OWNER = Owner(bytes(32))
BOARDS = {bytes([n] * 8): bytes([9]) + bytes(31) for n in range(3)}
COHORT = Cohort(2, 1, JOB.id, bytes(16), (0, 1, 2))
SEALED = Sealed(bytes(32), 17, 15, 40, bytes(16), bytes(85), (bytes(32),) * 2)
UPDATE = Update(0, 20, 1, 0, 9, 1 << 18, 1, 10, JOB.id, bytes(8), PAYLOAD).pack(bytes(32))
SESSIONS = [records.Session(np.ones((130, 6), np.int16), 3), records.Session(np.zeros((40, 6), np.int16), 255)]
LAYOUT = records.Layout(bytes(8), slots=40)
STORE = records.write(LAYOUT, SESSIONS)
TOML = 'name = "x"\n[records]\nwindow = 100\nlabels = 7\n[privacy]\nepsilon = 4.0\n[server]\nrounds = 6\n'

POLICY = Policy(bytes(8), "porch", 1000, 100)
ROSTER = Roster(4, BOARDS, bytes([9]) + bytes(31), 2)
HEADER = bytes([5, 0, 20, 0]) + bytes(range(56, 108)) + bytes([17, 15, 85, 0]) + bytes(48)
REQUEST = Request.of(85, [(Header(HEADER), 1), (Header(HEADER[:40] + bytes(16) + HEADER[56:]), 2)])
ANSWER = cbor2.dumps({"v": 1, "request": REQUEST.id, "masks": bytes(181)})
OWNER_FILE = json.dumps({"format": 1, "seed": bytes(32).hex(), "public": OWNER.public.hex()}).encode()


def from_file(load: Callable[[Path], Any], data: bytes) -> Any:
    """What load makes of a file with these bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return load(Path(file.name))


def roster_file(data: bytes, signer: Owner = OWNER) -> bytes:
    """A roster's file whose signature is good, whatever the roster is."""
    item = {"v": 1, "owner": signer.public, "roster": data, "signature": signer.sign_roster(data)}
    return cbor2.dumps(item)


# What a parser takes as valid, to start from.
PARSERS: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "message": (messages.loads, messages.dumps([1, 2, {"a": [True, None, -5]}, b"bytes", "text", 2**63])),
    "job": (Job.parse, JOB.body),
    "model": (Model.parse, JOB.model.descriptor),
    "update": (lambda data: Update.parse(data, None), UPDATE),
    "signed update": (lambda data: Update.parse(data, bytes(32)), UPDATE),
    "values": (lambda data: Update.parse(data, None).values(JOB.model), UPDATE),
    "cohort": (Cohort.parse, COHORT.data),
    "members": (lambda data: Members.parse(data, OWNER.public), Members.sign(1, BOARDS, OWNER).data),
    "sealed": (lambda data: Sealed.parse(data, 40), SEALED.payload),
    "roster": (Roster.parse, ROSTER.data),
    "roster's file": (partial(from_file, roster.load), roster_file(ROSTER.data)),
    "roster that the owner signed": (lambda data: from_file(roster.load, roster_file(data)), ROSTER.data),
    "policy": (Policy.parse, POLICY.data),
    "policy's file": (partial(from_file, read_policy), cbor2.dumps({"policy": POLICY.data, "signature": bytes(64)})),
    "helper's request": (Request.parse, REQUEST.body),
    "helper's answer": (partial(parse_answer, REQUEST), ANSWER),
    "record layout": (records.Layout.parse, LAYOUT.header()),
    "records": (lambda data: list(records.windows(data, 40, 40)), STORE),
    "weights": (weights.parse, weights.pack(JOB, Version(3, bytes(2 * JOB.model.parameters), b"", b""))),
    "filters": (convolution.parse, convolution.blank([convolution.Shape(4, 5, 1, 2), convolution.Shape(2, 3, 1, 2)])),
    "about a helper": (parse_about, cbor2.dumps({"v": 1, "key": bytes(32), "minimum": 3})),
    "optimiser's state": (lambda data: Sgd(3, 0.1).load(data), Sgd(3, 0.1).state()),
    "UF2 image": (families, struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, 0, 256, 0, 1, 0xE48BFF56) + bytes(480)),
    "owner's key": (partial(from_file, Owner.load), OWNER_FILE),
}


@st.composite
def changed(draw: st.DrawFn, valid: bytes) -> bytes:
    """valid with some bytes overwritten, inserted or removed; or anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, min(len(data), 400) - 1)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == 1:
            data[at:at] = draw(st.binary(max_size=8))
        elif kind == 2:
            del data[at : at + draw(st.integers(0, 8))]
        else:
            data[at : at + 4] = draw(st.sampled_from([b"\xff" * 4, bytes(4), b"\x00\x00\x00\x80", b"\x1b\xff\xff\xff"]))
    return bytes(data)


@pytest.mark.parametrize("name", PARSERS)
def test_it_answers_or_refuses(name: str) -> None:
    parse, valid = PARSERS[name]
    parse(valid)

    @fuzz
    @given(changed(valid))
    def run(data: bytes) -> None:
        try:
            parse(data)
        except PicofedError as error:
            assert str(error) and "\n" not in str(error)

    run()


@fuzz
@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.binary(max_size=20) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_shapes_of_answers(item: object) -> None:
    results = item if isinstance(item, list) else [item] * 7
    for parse, value in ((messages.Info.parse, item), (messages.Status.parse, results)):
        try:
            parse(value)  # type: ignore[operator]
        except PicofedError as error:
            assert "\n" not in str(error)


@fuzz
@given(st.text(max_size=60), st.integers(0, len(TOML)), st.integers(0, 20), st.sampled_from(["toml", "json"]))
def test_job_files(tmp_path_factory: pytest.TempPathFactory, text: str, at: int, cut: int, kind: str) -> None:
    path = tmp_path_factory.mktemp("job", numbered=True) / f"job.{kind}"
    path.write_text(TOML[:at] + text + TOML[at + cut :], encoding="utf-8", errors="surrogatepass")
    try:
        jobfile.load(path)
    except PicofedError as error:
        assert "\n" not in str(error)
    path.unlink()


@fuzz
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["name", "model", "hidden", "train", "records", "window", "labels", "privacy", "epsilon", "server", "rounds",
         "local", "steps", "board", "key", "boards", "format", "job", "passed", "delta", "version", "policy"]
    ), inner, max_size=6),
    max_leaves=15,
))  # fmt: skip
def test_json_files(tmp_path_factory: pytest.TempPathFactory, item: object) -> None:
    """Job files, the registry of boards, summaries and audits: any JSON at all."""
    path = tmp_path_factory.mktemp("json", numbered=True) / "file.json"
    path.write_text(json.dumps(item))
    for load in (jobfile.load, Registry, load_summary, load_audit):
        try:
            load(path)
        except PicofedError as error:
            assert "\n" not in str(error)
    path.unlink()


def test_a_state_of_infinitely_many_steps_is_damaged() -> None:
    item = cbor2.loads(Sgd(3, 0.1).state()) | {"steps": float("inf")}
    with pytest.raises(OptimiserError, match="damaged"):
        Sgd(3, 0.1).load(cbor2.dumps(item))


@fuzz
@given(st.lists(st.binary(max_size=60), max_size=5), st.binary(min_size=1, max_size=50))
def test_the_scanner_of_frames_finds_a_frame_in_rubbish(rubbish: list[bytes], payload: bytes) -> None:
    scanner = FrameScanner()
    found: list[bytes] = []
    for piece in rubbish:
        found += scanner.feed(piece)
    found += scanner.feed(native.frame_encode(payload) + native.frame_encode(payload))
    assert found[-1] == payload


# ---- two implementations, one verdict ----------------------------------------------------------------------------


def verdict(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        result = call(*arguments)
    except (PicofedError, ValueError) as error:
        return type(error)
    return result.tolist() if isinstance(result, np.ndarray) else result


@fuzz
@given(changed(native.frame_encode(bytes(range(30)) + bytes(20))[1:-1]))
def test_core_and_reference_agree_on_frames(data: bytes) -> None:
    assert verdict(native.frame_decode, data) == verdict(reference.frame_decode, data)


@fuzz
@given(changed(native.update_encode([7, -100, 2**20, 0, 3], 2)), st.integers(0, 8))
def test_core_and_reference_agree_on_payloads(data: bytes, n: int) -> None:
    assert verdict(native.update_decode, data, n) == verdict(reference.update_decode, data, n)


@pytest.fixture(scope="module")
def board_cbor() -> Iterator[ModuleType]:
    """The firmware's own parser."""
    with firmware() as load:
        yield load("cbor")


def test_host_and_board_agree_on_messages(board_cbor: ModuleType) -> None:
    """Accepted by both with one value, or refused by both."""
    refusal = sys.modules["board_firmware.errors"].PicofedError
    valid = messages.dumps([1, 2, {"a": [True, None, -5], "b": 1000}, b"bytes", "text \u00e9", 2**40, -(2**63)])
    accepted = 0

    def decide(data: bytes) -> None:
        nonlocal accepted
        try:
            mine: Any = messages.loads(data)
        except PicofedError:
            with pytest.raises(refusal):
                board_cbor.loads(data)
            return
        theirs = board_cbor.loads(data)
        assert repr(theirs) == repr(mine)
        assert bytes(board_cbor.dumps(theirs)) == data
        accepted += 1

    fuzz(given(changed(valid))(decide))()
    decide(valid)
    assert accepted > 1
