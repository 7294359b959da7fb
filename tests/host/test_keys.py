"""The owner's key, rosters and the commands around them: what is refused, and that no key is ever shown."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cbor2
import pytest
from commandline import PROGRAM, program
from picofed import native, reference, roster
from picofed.cli import common
from picofed.errors import PicofedError
from picofed.fleet.ownership import Ownership, board_id, read_policy
from picofed.fleet.provision import Registry, RegistryError
from picofed.owner import Owner, OwnerError
from picofed.provisioning import HostKeys, Policy, Provision, ProvisionError
from picofed.roster import Roster, RosterError
from picofed.store import Store

CHIP = "e6614103e7174b2a"


def picofed(folder: Path, *words: str, passphrase: str = "") -> subprocess.CompletedProcess[str]:
    return program(*words, cwd=folder, PICOFED_PASSPHRASE=passphrase)


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def complains(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2 and not done.stdout, done
    assert len(done.stderr.splitlines()) == 1 and words in done.stderr, done.stderr


def test_a_key_is_private_and_comes_back(tmp_path: Path) -> None:
    for number, passphrase in enumerate(("", "correct horse")):
        path = tmp_path / str(number) / "owner.key"
        made = Owner.create(path, passphrase)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert Owner.load(path, passphrase).public == made.public
        signature = made.sign_policy(b"data")
        assert reference.eddsa_check(signature, made.public, b"picofed policy" + b"data")
        assert not reference.eddsa_check(made.sign_roster(b"data"), made.public, b"picofed policy" + b"data")
        with pytest.raises(OwnerError, match="not overwritten"):
            Owner.create(path)
    # under a passphrase, the file does not hold the seed
    text = path.read_text()
    assert made._seed.hex() not in text and made._seed.hex()[:16] not in text
    for wrong in ("", "correct horsf"):
        with pytest.raises(OwnerError, match="passphrase"):
            Owner.load(path, wrong)


def test_keys_that_cannot_be_trusted_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "owner.key"
    with pytest.raises(OwnerError, match="provision key"):
        Owner.load(path)
    Owner.create(path)
    text = path.read_text()
    for mode in (0o640, 0o604, 0o620, 0o666):
        path.chmod(mode)
        with pytest.raises(OwnerError, match="others may read"):
            Owner.load(path)
    path.chmod(0o600)
    item = json.loads(text)
    for damaged in (
        "",
        "[]",
        text[:-5],
        json.dumps(item | {"seed": "00"}),
        json.dumps(item | {"seed": "00" * 32}),
        json.dumps(item | {"public": "00" * 32}),
        json.dumps(item | {"format": 9}),
    ):
        path.write_text(damaged)
        with pytest.raises(OwnerError, match=r"damaged|format"):
            Owner.load(path)


def test_a_registry_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """It holds the key of every board."""
    path = tmp_path / "picofed-site" / "boards.json"
    given = Provision.new(Policy(board_id(CHIP), "porch", 100, 10), owner=Owner.create(tmp_path / "owner.key"))
    Registry(path).add(given.for_host())
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(RegistryError, match=r"others may read .*chmod 600"):
            Registry(path)
    (tmp_path / "picofed-owner").mkdir()
    path.rename(tmp_path / "picofed-owner" / "boards.json")
    complains(picofed(tmp_path, "provision", "show"), "others may read")
    (tmp_path / "picofed-owner" / "boards.json").chmod(0o600)
    assert "porch" in good(picofed(tmp_path, "provision", "show"))


# A disk with room for so many bytes: the limit on a file's size, which is a failure of the kernel's own.
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); from picofed.cli import main; main()"


@pytest.mark.parametrize(
    ("words", "file"),
    [(("provision", "key"), "picofed-owner/owner.key"), (("helper", "key", "--state", "helper"), "helper/helper.key")],
)
def test_a_key_that_finds_no_room_leaves_nothing(words: tuple[str, ...], file: str, tmp_path: Path) -> None:
    """An empty file would look like a key that was lost, and be in the way of the next."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FULL, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    complains(done, "File too large")
    assert not (tmp_path / file).exists() and list((tmp_path / file).parent.iterdir()) == []
    good(picofed(tmp_path, *words))
    assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600


def test_a_roster_is_what_the_owner_signed(tmp_path: Path) -> None:
    owner = Owner(bytes(32))
    boards = {bytes([n] * 8): bytes([n + 2] * 32) for n in range(4)}
    path = tmp_path / "roster.cbor"
    assert roster.load(path) is None
    Roster(3, boards, b"h" * 32).save(path, owner)
    signed = roster.load(path)
    assert signed is not None and signed.roster == Roster(3, boards, b"h" * 32) and signed.owner == owner.public
    assert signed.members is not None and signed.members.number == 3 and dict(signed.members.boards) == boards
    assert signed.admits(bytes(8), owner.public)
    assert not signed.admits(bytes(8), bytes(32)) and not signed.admits(b"\4" * 8, owner.public)
    data = path.read_bytes()
    for place in range(len(data)):
        bad = bytearray(data)
        bad[place] ^= 1
        path.write_bytes(bad)
        with pytest.raises(RosterError):
            roster.load(path)
    item = cbor2.loads(data)
    # the owner's own signature, but under a policy
    path.write_bytes(cbor2.dumps(item | {"signature": owner.sign_policy(item["roster"])}))
    with pytest.raises(RosterError, match="not signed"):
        roster.load(path)
    # a number where bytes belong was taken for so many zeros: MemoryError
    for field in ("owner", "roster", "signature"):
        path.write_bytes(cbor2.dumps(item | {field: 1 << 60}))
        with pytest.raises(RosterError, match="damaged"):
            roster.load(path)
    # members of another roster, of none, or too long to be a signature
    for members in (owner.sign_members(b""), b"", bytes(65), 1 << 40):
        path.write_bytes(cbor2.dumps(item | {"members": members}))
        with pytest.raises(RosterError, match="members"):
            roster.load(path)
    Roster(3, dict(list(boards.items())[:2])).save(path, owner)
    few = roster.load(path)
    assert few is not None and few.members is None
    for body in (
        {"v": 1, "number": 1, "helper": b"", "boards": [[b"short", bytes(32)]]},
        {"v": 1, "number": 1, "helper": b"x", "boards": []},
        {"v": 2, "number": 1, "helper": b"", "boards": []},
        {"v": 1, "number": 1, "helper": 1 << 60, "boards": []},
        {"v": 1, "number": 1, "helper": b"", "boards": [[1 << 60, bytes(32)]]},
        {"v": 1, "number": 1, "helper": b"", "boards": [[bytes(8), bytes(32)], [bytes(8), bytes(32)]]},
        [1],
    ):
        with pytest.raises(RosterError):
            Roster.parse(cbor2.dumps(body))


def test_an_owner_provisions_changes_and_revokes(tmp_path: Path) -> None:
    owner, site = tmp_path / "picofed-owner", tmp_path / "picofed-site"
    good(picofed(tmp_path, "provision", "key"))
    for number, chip in enumerate((CHIP, "0102")):
        words = ("--output", f"{number}.cbor", "--port", f"/dev/{number}")
        good(picofed(tmp_path, "provision", "board", chip, f"watch-{number}", *words))
    file = cbor2.loads((tmp_path / "0.cbor").read_bytes())
    assert stat.S_IMODE((tmp_path / "0.cbor").stat().st_mode) == 0o600
    assert native.eddsa_check(file["signature"], file["owner"], b"picofed policy" + file["policy"])
    assert cbor2.loads(file["policy"])["link"] == 1
    given = Registry(owner / "boards.json").get(board_id(CHIP))
    assert given is not None and isinstance(given.provision, Provision)
    # the site has what a host needs, and cannot make the board's other keys from it
    held = Registry(site / "boards.json").get(board_id(CHIP))
    assert held is not None and isinstance(held.provision, HostKeys) and held.port == "/dev/0"
    assert (held.provision.update_key, held.provision.link_key) == (
        given.provision.update_key,
        given.provision.link_key,
    )
    for folder in (owner, site):
        for path in folder.iterdir():
            data = path.read_bytes()
            for secret in (file["secret"], *([file["key"]] if folder == site else [])):
                assert secret not in data and secret.hex().encode() not in data, path

    good(picofed(tmp_path, "provision", "policy", "watch-0", "--epsilon", "2", "--link", "encrypted"))
    policy, signature = read_policy(tmp_path / "policy.cbor")
    data, item = policy.data, policy.item()
    assert (item["link"], item["name"]) == (2, "watch-0")
    assert item["number"] > cbor2.loads(file["policy"])["number"]
    assert item["budget"] < cbor2.loads(file["policy"])["budget"]
    assert native.eddsa_check(signature, file["owner"], b"picofed policy" + data)

    registry = Registry(site / "boards.json")
    assert set(common.update_keys(site, registry)) == {board_id(CHIP), board_id("0102")}
    good(picofed(tmp_path, "provision", "revoke", "watch-0"))
    assert set(common.update_keys(site, registry)) == {board_id("0102")}
    complains(picofed(tmp_path, "provision", "revoke", "watch-0"), "not on the roster")
    complains(picofed(tmp_path, "provision", "revoke", "nobody"), "no board is called")
    # provisioned again, it is back
    good(picofed(tmp_path, "provision", "board", CHIP, "watch-0", "--output", "back.cbor"))
    assert len(common.update_keys(site, registry)) == 2


HOLD = """
import sys
from pathlib import Path
from picofed import roster
from picofed.fleet.ownership import Ownership
from picofed.owner import Owner
folder = Path("picofed-owner")
with roster.signing(folder):
    print("held", flush=True)
    sys.stdin.readline()
    owner = Owner.load(Ownership.key_file(folder))
    roster.Roster(7, {bytes(8): bytes(range(32))}).save(folder / roster.FILE, owner)
"""


def waits_for(process: subprocess.Popen[str], name: str) -> bool:
    """Whether the process came to open the file before it ended."""
    while process.poll() is None:
        for link in Path(f"/proc/{process.pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                if os.readlink(link).endswith(name):
                    return True
        time.sleep(0.01)
    return False


def test_two_who_sign_at_once_sign_one_after_the_other(tmp_path: Path) -> None:
    """Each would have signed the number after the one that both read, and one of two boards would be on no roster."""
    good(picofed(tmp_path, "provision", "key"))
    second = ["provision", "board", CHIP, "porch", "--json"]
    pipes = {"cwd": tmp_path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD], **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == "held\n"
        with subprocess.Popen([PROGRAM, *second], **pipes) as waiter:  # type: ignore[call-overload]
            try:
                assert waits_for(waiter, "roster.cbor.lock") and not (tmp_path / "provision.cbor").exists()
                holder.stdin.write("\n")
                holder.stdin.flush()
                assert json.loads(waiter.stdout.read())["roster"] == 8 and waiter.wait() == 0
                assert holder.wait() == 0
            finally:
                holder.kill()
                waiter.kill()
    signed = roster.load(tmp_path / "picofed-owner" / "roster.cbor")
    assert signed is not None and set(signed.roster.boards) == {bytes(8), board_id(CHIP)}


def test_a_share_of_the_noise_is_said_in_the_policy_and_kept(tmp_path: Path) -> None:
    good(picofed(tmp_path, "provision", "key"))
    grants = ("--honest", "5", "--cohort", "6", "--helper", bytes(range(32)).hex())
    good(picofed(tmp_path, "provision", "board", CHIP, "porch", *grants))
    given = Registry(tmp_path / "picofed-owner" / "boards.json").get(board_id(CHIP))
    assert given is not None and given.provision.policy.honest == 5
    assert Policy.parse(given.provision.policy.data) == given.provision.policy
    assert cbor2.loads(given.provision.policy.data)["honest"] == 5
    plain = Policy(bytes(8), "x", 10, 10)
    assert "honest" not in plain.item() and Policy.parse(plain.data).honest == 1


def test_a_reflashed_board_gets_its_ledger_back(tmp_path: Path) -> None:
    good(picofed(tmp_path, "provision", "key"))
    good(picofed(tmp_path, "provision", "board", CHIP, "porch", "--output", "first.cbor", "--epsilon", "3"))
    store = Store(tmp_path / "picofed-site" / "store.db")
    head = {"seq": 41, "spent": 4100, "budget": 10**6, "update_key": None}
    store.seen(board=board_id(CHIP), name="porch", port="", **head)
    store.close()
    good(picofed(tmp_path, "provision", "board", CHIP, "porch", "--output", "again.cbor"))
    first, again = (cbor2.loads((tmp_path / f"{name}.cbor").read_bytes()) for name in ("first", "again"))
    assert (again["seq"], again["spent"]) == (41, 4100)
    assert again["key"] == first["key"] and again["records"] == first["records"]
    assert again["secret"] != first["secret"]
    old, new = cbor2.loads(first["policy"]), cbor2.loads(again["policy"])
    assert new == old | {"number": new["number"]} and new["number"] > old["number"]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    board = ("provision", "board", CHIP, "porch")
    complains(picofed(tmp_path, *board), "provision key")
    good(picofed(tmp_path, "provision", "key", passphrase="secret words"))
    complains(picofed(tmp_path, *board), "passphrase")
    complains(picofed(tmp_path, *board, passphrase="others"), "wrong passphrase")
    good(picofed(tmp_path, *board, passphrase="secret words"))
    complains(picofed(tmp_path, *board, passphrase="secret words"), "in the way")
    complains(picofed(tmp_path, "provision", "key"), "not overwritten")
    complains(picofed(tmp_path, "provision", "board", "xyz", "x", "--output", "b", passphrase="secret words"), "hex")
    change = ("provision", "policy", "porch")
    complains(picofed(tmp_path, *change, passphrase="secret words"), "nothing would change")
    complains(picofed(tmp_path, *change, "--helper", "12", passphrase="secret words"), "--helper takes the 64 hex")
    complains(picofed(tmp_path, *change, "--honest", "5", passphrase="secret words"), "cohort")
    (tmp_path / "no.cbor").write_bytes(b"\xff")
    complains(picofed(tmp_path, "provision", "send", "no.cbor", "--board", "/dev/null"), "no signed policy")
    with pytest.raises(ProvisionError, match="owner"):
        Provision.new(Policy(bytes(8), "x", 10, 10))


def test_a_board_is_not_registered_when_its_file_cannot_be_made(tmp_path: Path) -> None:
    """Nor does a policy get a number. The disk is full, the folder is not there, the name is taken."""
    good(picofed(tmp_path, "provision", "key"))
    owner = tmp_path / "picofed-owner"
    board = ("provision", "board", CHIP, "porch")
    complains(picofed(tmp_path, *board, "--output", "nowhere/porch.cbor"), "cannot write nowhere/porch.cbor")
    full = FULL.replace("10, 10", "2000, 2000")  # enough for a registry, not for a file that is sure to fit
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", full, *board]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    complains(done, "cannot write provision.cbor: File too large")
    assert [path.name for path in owner.iterdir()] == ["owner.key"] and not (tmp_path / "provision.cbor").exists()
    assert not (tmp_path / "picofed-site").exists()

    good(picofed(tmp_path, *board))
    assert stat.S_IMODE((tmp_path / "provision.cbor").stat().st_mode) == 0o600
    before = (owner / "boards.json").read_bytes(), (owner / "roster.cbor").read_bytes()
    complains(picofed(tmp_path, *board), "provision.cbor is in the way")
    other = ("provision", "board", "0011223344556677", "porch", "--output", "other.cbor")
    complains(picofed(tmp_path, *other), f"porch is what board {board_id(CHIP).hex()} is called")
    renewed = ("provision", "policy", "porch", "--epsilon", "3", "--output", "nowhere/policy.cbor")
    complains(picofed(tmp_path, *renewed), "cannot write nowhere/policy.cbor")
    assert ((owner / "boards.json").read_bytes(), (owner / "roster.cbor").read_bytes()) == before
    assert not (tmp_path / "other.cbor").exists()


def test_a_passphrase_is_asked_for_on_a_terminal_only(tmp_path: Path) -> None:
    """With none: a session of its own, whose standard input is at its end."""
    command = [PROGRAM, "provision", "key", "--passphrase"]
    done = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, start_new_session=True, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    complains(done, "set PICOFED_PASSPHRASE")
    assert not (tmp_path / "picofed-owner").exists()


def test_an_owner_who_is_not_there_has_no_empty_table(tmp_path: Path) -> None:
    for words in ((), ("--json",)):
        complains(picofed(tmp_path, "provision", "show", "--owner", "typo", *words), "typo is no owner's folder")
    good(picofed(tmp_path, "provision", "key"))
    assert "roster 0" in good(picofed(tmp_path, "provision", "show"))


def test_no_key_is_ever_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """All output of all commands, reprs, errors and logs, searched for every key that there is."""
    caplog.set_level(logging.DEBUG)
    said = ""
    good(picofed(tmp_path, "provision", "key"))
    for words in (
        ("provision", "board", CHIP, "porch", "--json"),
        ("provision", "board", CHIP, "porch", "--output", "again.cbor"),
        ("provision", "policy", "porch", "--epsilon", "2", "--json"),
        ("provision", "policy", "porch", "--epsilon", "1", "--output", "two.cbor"),
        ("provision", "show"),
        ("provision", "show", "--json"),
        ("provision", "revoke", "porch", "--json"),
        ("provision", "key", "--owner", "other", "--json"),
        ("provision", "send", "policy.cbor", "--board", "/dev/nothing"),
        ("boards", "--json"),
        ("budget", "--json"),
    ):
        done = picofed(tmp_path, *words)
        said += done.stdout + done.stderr
    owner = Owner.load(Ownership.key_file(tmp_path / "picofed-owner"))
    files = [cbor2.loads((tmp_path / f"{name}.cbor").read_bytes()) for name in ("provision", "again")]
    given = Registry(tmp_path / "picofed-owner" / "boards.json").get(board_id(CHIP))
    held = Registry(tmp_path / "picofed-site" / "boards.json").get(board_id(CHIP))
    assert given is not None and held is not None and isinstance(given.provision, Provision)
    keys = Registry(tmp_path / "picofed-site" / "boards.json").link_keys()
    said += repr((owner, given, held, given.provision, held.provision, keys, replace(given.provision, seq=3)))
    with pytest.raises(PicofedError) as caught:
        pickle.dumps(owner)
    said += str(caught.value)
    captured = capsys.readouterr()
    said += caplog.text + captured.out + captured.err
    secrets = [owner._seed, given.provision.key, given.provision.update_key, given.provision.link_key]
    secrets += [given.provision.ledger_key, *(file["secret"] for file in files), *(file["key"] for file in files)]
    assert "porch" in said and owner.public.hex()[:8]
    for secret in secrets:
        for form in (secret.hex(), repr(secret), repr(secret)[2:20], str(list(secret))[1:20]):
            assert form.lower() not in said.lower()


def test_a_changed_policy_locks_nobody_out(tmp_path: Path) -> None:
    """A site that `picofed flash` made has the owner's key and all boards, and no roster: everybody takes part. That a
    board's policy names a helper does not begin a roster; where one begins, it has everybody but who is revoked."""
    site = tmp_path / "site"
    owner = Owner.create(Ownership.key_file(site))
    registry = Registry(site / "boards.json")
    for number in range(3):
        registry.add(Provision.new(Policy(bytes([number] * 8), f"unix-{number}", 1000, 100), owner=owner), "port")
    everybody = {given.provision.policy.board for given in registry}
    folders = ("--owner", "site", "--site", "site")
    moved = ("provision", "policy", "unix-1", "--helper", "07" * 32, "--cohort", "3", *folders)
    good(picofed(tmp_path, *moved))
    assert not (site / "roster.cbor").exists()
    assert set(common.update_keys(site, common.open_registry(site))) == everybody
    told = good(picofed(tmp_path, "helper", "roster", "helper.cbor", "--owner", "site", "--site", "site"))
    assert ": 3 boards; no sum of fewer than 2" in told
    # whatever begins a roster
    begun = tmp_path / "copy"
    shutil.copytree(site, begun)
    good(picofed(tmp_path, "provision", "board", "03", "new", "--owner", "copy", "--site", "copy"))
    given = common.open_registry(begun)
    assert set(common.update_keys(begun, given)) == everybody | {board_id("03")}
    assert all(isinstance(board.provision, Provision) for board in given)  # one folder for both keeps the owner's keys
    good(picofed(tmp_path, "provision", "revoke", "unix-0", *folders))
    left = everybody - {bytes(8)}
    assert set(common.update_keys(site, common.open_registry(site))) == left
    # a roster names the helper that policies do, and revoked boards stay away
    good(picofed(tmp_path, *moved, "--output", "again.cbor"))
    signed = roster.load(site / "roster.cbor")
    assert signed is not None and set(signed.roster.boards) == left
    assert (signed.roster.number, signed.roster.helper) == (2, b"\7" * 32)
    # a roster that only the host still has may have revoked boards: it is not begun again
    (site / "roster.cbor").rename(tmp_path / "roster.cbor")
    apart = ("--owner", "site", "--site", ".")
    complains(picofed(tmp_path, "provision", "revoke", "unix-2", *apart), "lost its roster")
