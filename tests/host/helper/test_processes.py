"""The helper's process: killed, late, behind TLS."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
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


def said(running: subprocess.Popen[str]) -> list[str]:
    """All that a helper wrote to stderr, until it was stopped."""
    running.terminate()
    return running.communicate(timeout=60)[1].splitlines()


def test_clients_that_leave_or_dawdle_are_a_line_each(fleet: Fleet, tmp_path: Path) -> None:
    """In the middle of a body, with a body that never ends, and without any request."""
    before = "import picofed.helper.app as app, picofed.helper.connection as connection\n"
    before += "app.BODY_TIME = 0.5; connection.PATIENCE = 8.0"
    head = b"POST /v1/unmask HTTP/1.1\r\nHost: helper\r\nContent-Length: 1000\r\n\r\n"
    request = fleet.request([fleet.release(number) for number in range(3)])
    with process(tmp_path / "helper", roster_of(fleet.boards), before=before, stderr=subprocess.PIPE) as (url, running):
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.create_connection(place, 60) as idle, socket.create_connection(place, 60) as partial:
            partial.sendall(head[:30])
            for _ in range(3):
                with socket.create_connection(place, 60) as leaving:
                    leaving.sendall(head + b"part of a request")
            with socket.create_connection(place, 60) as slow:
                slow.sendall(head + b"part of a request")
                answer = b"".join(iter(lambda: slow.recv(1000), b""))  # until the helper closes it
            assert answer.startswith(b"HTTP/1.1 408 ") and answer.endswith(b"the request takes too long\n")
            assert len(HttpHelper(url).unmask(request)) == request.fields
            for waiting in (idle, partial):
                with contextlib.suppress(ConnectionResetError):
                    assert waiting.recv(1000) == b""
        lines = said(running)
    assert len(lines) == 6 and not any("Traceback" in line for line in lines), lines
    assert [sum(word in line for line in lines) for word in ("left before", "given up", "was closed")] == [3, 1, 2]


def test_a_full_disk_is_a_line_and_is_got_over(fleet: Fleet, tmp_path: Path) -> None:
    """Nothing is answered that is not in the log; the host asks again, and has its sum once there is room."""
    request = fleet.request([fleet.release(number) for number in range(3)])
    with process(tmp_path / "helper", roster_of(fleet.boards), stderr=subprocess.PIPE) as (url, running):
        limit = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (1, limit[1]))
        with pytest.raises(urllib.error.HTTPError, match="503") as caught:
            urllib.request.urlopen(f"{url}/v1/unmask", request.body, timeout=60)
        with caught.value:
            text = caught.value.read().decode()
        assert text.startswith("the helper cannot use its log: ") and text.count("\n") == 1
        with pytest.raises(HelperLost, match=r"does not answer \(status 503: the helper cannot use its log: "):
            HttpHelper(url, pauses=()).unmask(request)
        waited: list[float] = []

        def room(pause: float) -> None:
            waited.append(pause)
            resource.prlimit(running.pid, resource.RLIMIT_FSIZE, limit)

        assert len(HttpHelper(url, pauses=(0.0,), sleep=room).unmask(request)) == request.fields and waited == [0.0]
        lines = said(running)
    assert len(lines) == 3 and all("the helper cannot use its log" in line for line in lines), lines
