"""What a policy may say (SPEC 6.7): the owner's side and the board's, on the same cases. And public keys that keep
nothing secret."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from click.testing import CliRunner
from picofed import accounting, native
from picofed.cli import cli
from picofed.errors import PicofedError
from picofed.fleet.keys import Wanted, units
from picofed.fleet.provision import Registry
from picofed.masking import board_pair, helper_pair
from picofed.members import Members
from picofed.owner import Owner
from picofed.provisioning import Policy, Provision, ProvisionError
from picofed.public_keys import is_weak
from picofed.reference import x25519
from picofed.roster import Roster, RosterError

from .board_firmware import Load, firmware

P = (1 << 255) - 19
# points of order 8 (RFC 7748's curve), found by halving the one of order 4
ORDER_8 = [
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]
WEAK = [
    (x + high).to_bytes(32, "little") for x in (0, 1, P - 1, P, P + 1, *ORDER_8) for high in (0, 1 << 255)
]  # fmt: skip
KEY = native.x25519_public(bytes(range(32)))
WORD = 2**32 - 1
ITEM = Policy(b"12345678", "porch", 1000, 100).item()
TAKEN: list[dict[str, Any]] = [
    {},
    {"budget": WORD, "max_charge": WORD},
    {"budget": 1, "max_charge": 1},
    {"name": "p" * 32},
    {"min_log2_sigma": 25},
    {"max_clip": 1},
    {"max_clip": (1 << 20) - 1},
    {"max_parameters": 1},
    {"max_parameters": WORD},
    {"losses": [], "modes": [], "features": []},
    {"losses": [WORD], "modes": [0], "features": ["imu45"]},
    {"number": WORD},
    {"number": 0},
    {"cohort": WORD},
    {"link": 2},
    {"helper": KEY},
    {"helper": KEY, "cohort": 9, "honest": 9},
    {"link": 1, "peers": 3},
    {"link": 2, "peers": 512},
    {"link": 1, "cohort": 1000, "peers": 512},
]
REFUSED: list[dict[str, Any]] = [
    {"v": 1},
    {"v": 3},
    {"board": b"1234567"},
    {"board": "12345678"},
    {"name": ""},
    {"name": "p" * 33},
    {"name": "\u00e9" * 17},
    {"name": b"porch"},
    {"budget": 0, "max_charge": 0},
    {"max_charge": 0},
    {"max_charge": 1001},
    {"max_charge": -1},
    {"max_charge": True},
    {"budget": 2**32},
    {"budget": "1000"},
    {"min_log2_sigma": 5},
    {"min_log2_sigma": 26},
    {"max_clip": 0},
    {"max_clip": 1 << 20},
    {"max_parameters": 0},
    {"max_parameters": 2**32},
    {"max_parameters": 10**20},
    {"losses": [-1]},
    {"losses": [2**32]},
    {"losses": ["0"]},
    {"losses": "0"},
    {"modes": [None]},
    {"modes": [True]},
    {"features": [1]},
    {"features": [b"imu45"]},
    {"number": 2**32},
    {"number": -1},
    {"helper": bytes(31)},
    {"helper": "k" * 32},
    {"cohort": 0},
    {"cohort": 2**32},
    {"link": 3},
    {"link": False},
    {"helper": KEY, "cohort": 9, "honest": 10},
    {"helper": KEY, "cohort": 9, "honest": 1},
    {"helper": KEY, "cohort": 9, "honest": 0},
    {"cohort": 9, "honest": 2},
    {"peers": 3},
    {"link": 1, "peers": 2},
    {"link": 1, "peers": 0},
    {"link": 1, "peers": 513},
    {"link": 1, "peers": 5000},
    {"link": 1, "peers": "3"},
    {"unknown": 1},
    *({"helper": key} for key in WEAK),
]


@pytest.fixture(scope="module")
def board() -> Iterator[Load]:
    with firmware() as load:
        yield load


def taken_by_host(data: bytes) -> bool:
    try:
        Policy.parse(data)
    except ProvisionError as error:
        assert "\n" not in str(error)
        return False
    return True


def taken_by_board(board: Load, data: bytes) -> bool:
    refusal = board("errors").PicofedError
    try:
        board("policy").Policy(data)
    except refusal as error:
        assert error.code == board("errors").ARGUMENT and "\n" not in error.text
        return False
    return True


@pytest.mark.parametrize("changes", TAKEN, ids=str)
def test_a_policy_that_both_sides_take(changes: dict[str, Any], board: Load) -> None:
    data = cbor2.dumps(ITEM | changes)
    assert taken_by_host(data) and taken_by_board(board, data)
    assert Provision.new(Policy.parse(data), owner=Owner(bytes(32))).policy.data == data


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_a_policy_that_neither_side_takes_and_no_owner_signs(changes: dict[str, Any], board: Load) -> None:
    """Found in review: owners signed what their boards then refused, or what protected nothing."""
    data = cbor2.dumps(ITEM | changes)
    assert not taken_by_host(data) and not taken_by_board(board, data)
    fields = {name: tuple(value) if type(value) is list else value for name, value in (ITEM | changes).items()}
    del fields["v"]
    if "v" in changes or "unknown" in changes or changes.get("honest") == 1 or changes.get("peers") == 0:
        return  # no such policy can be made: the fields are left out
    with pytest.raises((ProvisionError, AttributeError, TypeError)):
        Provision.new(Policy(**fields), owner=Owner(bytes(32)))


def test_a_policy_that_was_signed_once_can_be_changed(tmp_path: Path) -> None:
    """An owner whose registry has what is refused today loads it, and goes on with another policy."""
    owner = Owner(bytes(32))
    old = Policy(b"12345678", "porch", 1000, 100, max_parameters=10**20)
    good = Provision.new(Policy(b"12345678", "porch", 1000, 100), owner=owner)
    registry = Registry(tmp_path / "boards.json")
    registry.add(Provision(old, good.key, good.secret, good.records_id, owner.public, bytes(64)))
    known = Registry(tmp_path / "boards.json").get(old.board)
    assert known is not None and isinstance(known.provision, Provision) and known.provision.policy == old
    with pytest.raises(ProvisionError, match="max_parameters is 1 to 4294967295"):
        known.provision.renewed(old, owner)
    assert known.provision.renewed(good.policy, owner).policy == good.policy


# ---- budgets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epsilon", "delta", "word"),
    [
        (1e-30, 1e-5, "budget of 0"),
        (1e300, 1e-5, "more than a ledger counts"),
        (0, 1e-5, "positive"),
        (-1, 1e-5, "positive"),
        (math.nan, 1e-5, "positive"),
        (math.inf, 1e-5, "positive"),
        (4, 2, "delta"),
        (4, 0, "delta"),
        (None, 2, "delta"),
        (None, math.nan, "delta"),
    ],
)
def test_budgets_that_make_no_sense(epsilon: float | None, delta: float, word: str) -> None:
    with pytest.raises(PicofedError, match=word) as caught:
        units(epsilon, delta)
    assert "\n" not in str(caught.value)


def test_budgets_that_make_sense() -> None:
    assert units(8.0, 1e-5) == accounting.budget(8.0, 1e-5)
    assert units(None, 1e-5) is None
    most = accounting.epsilon(accounting.mu_squared_of(accounting.UNITS_MAX), 1e-5)
    found = units(most * 0.9999, 1e-5)
    assert found is not None and 0.99 * accounting.UNITS_MAX < found < accounting.UNITS_MAX


@pytest.mark.parametrize(
    "wanted", [{"helper": WEAK[0]}, {"peers": 5000}, {"name": "n" * 33}, {"budget": 10, "max_charge": 11}], ids=str
)
def test_flash_says_so_before_it_touches_a_board(wanted: dict[str, Any]) -> None:
    with pytest.raises(PicofedError):
        Wanted(**wanted)


def said(*words: str) -> str:
    """The one line with which a command refuses."""
    error = CliRunner().invoke(cli, list(words)).exception
    assert isinstance(error, PicofedError) and "\n" not in str(error), error
    return str(error)


def test_commands_refuse_before_anything_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("key",), ("board", "e6614103e7174b2a", "porch")):
        assert CliRunner().invoke(cli, ["provision", *words]).exit_code == 0
    for options, word in (
        (("--max-parameters", "100000000000000000000"), "max_parameters is 1 to 4294967295"),
        (("--peers", "5000"), "3 to 512 boards"),
        (("--peers", "2"), "3 to 512 boards"),
        (("--peers", "3", "--link", "open"), "not open"),
        (("--releases", "100000000000000"), "max_charge is 1 to"),
        (("--epsilon", "1e300"), "more than a ledger counts"),
        (("--epsilon", "1e-30"), "budget of 0"),
        (("--max-clip", "5", "--delta", "2"), "delta is 2"),
        (("--helper", bytes(32).hex()), "helper's key is weak"),
        (("--helper", (1).to_bytes(32, "little").hex()), "helper's key is weak"),
    ):
        assert word in said("provision", "policy", "porch", *options)
        assert not (tmp_path / "policy.cbor").exists()
    assert "positive" in said("provision", "board", "e661", "new", "--epsilon", "0", "--output", "new.cbor")
    for options, word in (
        (("--epsilon", "1e-30"), "budget of 0"),
        (("--epsilon", "1e300"), "more than a ledger counts"),
        (("--delta", "2"), "delta is 2"),
        (("--helper", bytes(32).hex()), "helper's key is weak"),
        (("--peers", "5000"), "3 to 512 boards"),
    ):
        assert word in said("flash", "--port", "/dev/null", *options)


# ---- weak public keys --------------------------------------------------------------------------------------------


def gives_zeros(public: bytes) -> bool:
    """What the curve itself says, in arithmetic of its own."""
    return all(x25519(secret, public) == bytes(32) for secret in (bytes(32), b"\xa5" * 32))


def test_a_key_is_weak_where_the_curve_gives_zeros(board: Load) -> None:
    rng = random.Random(1)
    near = [(x % (1 << 256)).to_bytes(32, "little") for weak in (0, 1, P, *ORDER_8) for x in range(weak - 3, weak + 4)]
    for public in [*WEAK, *near, KEY, *(rng.randbytes(32) for _ in range(20))]:
        weak = gives_zeros(public)
        assert (is_weak(public), board("keys").is_weak(public)) == (weak, weak), public.hex()
    assert all(gives_zeros(public) for public in WEAK)


def _refuses(call: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(PicofedError) as caught:
        call(*arguments)
    assert "weak" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("weak", WEAK, ids=bytes.hex)
def test_nobody_agrees_on_anything_with_a_weak_key(weak: bytes, board: Load) -> None:
    secret = bytes(range(32))
    _refuses(native.x25519, secret, weak)
    _refuses(board_pair, secret, weak)
    _refuses(helper_pair, secret, weak)
    refusal = board("errors").PicofedError
    for agree in (lambda: board("keys").agree(bytearray(32), secret, weak), lambda: board("mask").pair(secret, weak)):
        with pytest.raises(refusal, match="nothing is secret"):
            agree()
    boards = {bytes([n] * 8): KEY for n in (1, 2, 3)}
    _refuses(Roster.parse, Roster(1, boards | {bytes(8): weak}).data)
    _refuses(Roster.parse, Roster(1, boards, weak).data)
    assert Roster.parse(Roster(1, boards, KEY).data).helper == KEY
    owner = Owner(bytes(32))
    _refuses(lambda: Members.parse(Members.sign(1, boards | {bytes(8): weak}, owner).data, owner.public))
    with pytest.raises(RosterError):
        Roster.parse(Roster(1, boards | {bytes(8): weak}).data)
