"""The noise keys of simulated clients: those of SPEC 4, as a SimulatedBoard with the same seed has them."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from picofed import native
from picofed.learn.clients import ENTROPY_BYTES, emulated_entropy
from picofed.provisioning import emulated_secret

CHAIN: Final = 32


def board_id(client: int) -> bytes:
    """The board id that a client has."""
    return (client + 1).to_bytes(8, "big")


class Keys:
    """Ratchets of all clients, 36 bytes each: plain ones, into which a key is put in a third of an array's time."""

    def __init__(self, clients: int, seed: str) -> None:
        self._chain = bytearray(CHAIN * clients)
        self._used = array("I", bytes(4 * clients))  # keys so far; 0: the client has not started yet
        self._seed = seed.encode()
        self._entropy = native.entropy_condition(emulated_entropy(self._seed, 0, ENTROPY_BYTES))

    def draw(self, client: int, steps: int) -> tuple[bytes, bytes]:
        """Keys for the client's next round, 32 bytes a step, and the chain after it. `commit` moves on."""
        used = self._used[client]
        at = CHAIN * client
        chain = bytes(self._chain[at : at + CHAIN]) if used else self._boot(client)
        keys = []
        for number in range(used, used + steps):
            keys.append(blake2b(b"noise" + number.to_bytes(4, "little"), digest_size=32, key=chain).digest())
            chain = blake2b(b"ratchet", digest_size=CHAIN, key=chain).digest()
        return b"".join(keys), chain

    def commit(self, client: int, steps: int, chain: bytes) -> None:
        """The round is over: its keys are gone."""
        self._chain[CHAIN * client : CHAIN * (client + 1)] = chain
        self._used[client] += steps

    def keep(self) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
        """All there is to keep: uint8[clients, 32], uint32[clients]."""
        return np.array(self._chain, np.uint8).reshape(-1, CHAIN), np.array(self._used, np.uint32)

    def restore(self, chain: NDArray[np.uint8], used: NDArray[np.uint32]) -> None:
        """Go on where `keep` was called."""
        self._chain, self._used = bytearray(chain.tobytes()), array("I", used.tolist())

    def _boot(self, client: int) -> bytes:
        secret = emulated_secret(self._seed, board_id(client))
        data = b"picofed boot" + bytes(4) + self._entropy + board_id(client) + bytes(8)
        return blake2b(data, digest_size=64, key=secret).digest()[:CHAIN]
