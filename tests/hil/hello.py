"""Waiting for a board's firmware, however slow the machine is."""

from __future__ import annotations

import time

from console import PATIENCE
from dut import Dut
from picofed.link.client import BoardClient
from picofed.link.messages import Info, LinkError
from picofed.link.stream import SerialStream


def hello(dut: Dut) -> Info:
    """Who is there, once the firmware is up; nothing is sent to the board but the question."""
    end = time.monotonic() + PATIENCE
    client = BoardClient(SerialStream(dut.port), timeouts=(0.5, 1.0, 2.0, 4.0))
    try:
        while True:
            try:
                return client.hello()
            except LinkError:
                assert time.monotonic() < end, f"{dut.kind} does not answer\n{dut.log}"
    finally:
        client.close()
