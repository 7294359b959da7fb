"""The helper's process: uvicorn around the app."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import ssl
from collections.abc import Callable
from pathlib import Path

import uvicorn

from picofed.errors import PicofedError
from picofed.helper.app import make_app
from picofed.helper.connection import Connection
from picofed.helper.judge import Judge
from picofed.roster import Roster


def serve(
    log: Path,
    secret: bytes,
    roster: Roster,
    address: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    ready: Callable[[str], None],
) -> None:
    """Serve until interrupted or terminated. ready: told the URL, once connections are taken. Raises PicofedError."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            raise PicofedError(f"cannot listen at {address} port {port}: {error.strerror or error}") from error
        try:
            judge = Judge(log, secret, roster)
        except sqlite3.Error as error:
            raise PicofedError(f"cannot use the log {log}: {error}") from error
        config = uvicorn.Config(
            make_app(judge),
            log_level="warning",
            http=Connection,
            ssl_certfile=certificate and str(certificate),
            ssl_keyfile=key and str(key),
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise PicofedError(f"cannot use {certificate} with {key}: {error}") from error
        scheme = "https" if certificate else "http"
        listener.listen()
        ready(f"{scheme}://{address}:{listener.getsockname()[1]}")
        try:
            asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
        finally:
            judge.close()
