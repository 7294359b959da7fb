"""The policy that picofed flash signs: what it asks of messages, and among how many boards an update hides."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from flash_world import JOB, client_of, registry, run
from picofed.fleet.emulation import UnixBoard
from picofed.link.connect import connect
from picofed.link.messages import AUTHENTICATION, BoardError
from picofed.link.transfer import upload

pytestmark = pytest.mark.slow

HELPER = "0900000000000000000000000000000000000000000000000000000000000000"


def test_a_new_board_takes_orders_only_from_who_holds_its_key(site: Path, board: UnixBoard) -> None:
    run(site, board)
    (known,) = registry(site)
    assert (known.provision.policy.link, known.provision.policy.cohort) == (1, 1)
    with contextlib.closing(connect(str(board.port))) as stranger:
        info = stranger.hello()
        assert info.challenge is not None
        with pytest.raises(BoardError) as refused:
            upload(stranger, JOB.body, info.mtu)
        assert refused.value.code == AUTHENTICATION
    with client_of(site, board) as client:
        client.job(upload(client, JOB.body, info.mtu))
    bin = Path(sys.executable).parent
    for words in (
        ("picofed", "boards", "--site", site),
        ("picofed", "selftest", "--site", site),
        ("mpremote", "connect", board.port, "exec", "print('here')"),
    ):
        command = [bin / words[0], *map(str, words[1:])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0 and done.stdout.strip(), done.stderr
    assert "new policy" in run(site, board, "--link", "open").stdout
    with contextlib.closing(connect(str(board.port))) as anybody:
        assert anybody.hello().challenge is None and anybody.job(upload(anybody, JOB.body, info.mtu))
    assert run(site, board).stdout.endswith("files are up to date, self-test passed\n")  # and so it stays


def test_with_a_helper_a_board_refuses_to_show_an_update_alone(site: Path, board: UnixBoard) -> None:
    run(site, board, "--helper", HELPER)
    (known,) = registry(site)
    assert (known.provision.policy.helper.hex(), known.provision.policy.cohort) == (HELPER, 2)
    with client_of(site, board) as client, pytest.raises(BoardError, match="outside a cohort of 2"):
        client.job(upload(client, JOB.body, client.hello().mtu))
    for words, said in (
        (("--honest", 3), "honest is at least 1 and at most the cohort"),
        (("--peers", 3, "--link", "open"), "need an authenticated link"),
        (("--no-keys", "--link", "open"), "--link changes the policy, which --no-keys leaves alone"),
    ):
        assert said in run(site, board, *words, ok=False).stderr
    (outcome,) = json.loads(run(site, board, "--cohort", 4, "--honest", 3, "--json").stdout)
    assert "new policy" in outcome["did"]
    (known,) = registry(site)
    assert (known.provision.policy.cohort, known.provision.policy.honest) == (4, 3)
