"""The helper's process: killed, late, behind TLS."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import cbor2
import pytest
from helper_world import PUBLIC, Fleet, roster_of
from picofed.learn.unmask import HeaderRefused, HelperLost, HttpHelper
from processes import process


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
