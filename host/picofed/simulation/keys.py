"""The noise keys of simulated clients: those of SPEC 4, as a SimulatedBoard with the same seed has them."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import numpy as np

from picofed import native
from picofed.learn.clients import ENTROPY_BYTES, emulated_entropy
from picofed.provisioning import emulated_secret

CHAIN: Final = 32


def board_id(client: int) -> bytes:
    """The board id that a client has."""
    return (client + 1).to_bytes(8, "big")


class Keys:
    """Ratchets of all clients, 36 bytes each. `chain` and `used` are all there is to keep."""

    def __init__(self, clients: int, seed: str) -> None:
        self.chain = np.zeros((clients, CHAIN), np.uint8)
        self.used = np.zeros(clients, np.uint32)  # keys so far; 0: the client has not started yet
        self._seed = seed.encode()
        self._entropy = native.entropy_condition(emulated_entropy(self._seed, 0, ENTROPY_BYTES))

    def draw(self, client: int, steps: int) -> tuple[bytes, bytes]:
        """Keys for the client's next round, 32 bytes a step, and the chain after it. `commit` moves on."""
        used = int(self.used[client])
        chain = self.chain[client].tobytes() if used else self._boot(client)
        keys = []
        for number in range(used, used + steps):
            keys.append(blake2b(b"noise" + number.to_bytes(4, "little"), digest_size=32, key=chain).digest())
            chain = blake2b(b"ratchet", digest_size=CHAIN, key=chain).digest()
        return b"".join(keys), chain

    def commit(self, client: int, steps: int, chain: bytes) -> None:
        """The round is over: its keys are gone."""
        self.chain[client] = np.frombuffer(chain, np.uint8)
        self.used[client] += steps

    def _boot(self, client: int) -> bytes:
        secret = emulated_secret(self._seed, board_id(client))
        data = b"picofed boot" + bytes(4) + self._entropy + board_id(client) + bytes(8)
        return blake2b(data, digest_size=64, key=secret).digest()[:CHAIN]
