"""ChaCha20 (RFC 8439), BLAKE2b (RFC 7693) and X25519 (RFC 7748), slowly: written from the RFCs, in Python ints."""

from __future__ import annotations

import hashlib

from picofed.native_errors import CoreArgumentError

_MASK = 0xFFFFFFFF


def _rotate(value: int, n: int) -> int:
    return (value << n | value >> (32 - n)) & _MASK


def _quarter_round(x: list[int], a: int, b: int, c: int, d: int) -> None:
    for into, other, target, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[into] = (x[into] + x[other]) & _MASK
        x[target] = _rotate(x[target] ^ x[into], n)


def chacha20_words(key: bytes, nonce: bytes, counter: int) -> list[int]:
    """One block of keystream as 16 uint32 (RFC 8439, 2.3)."""
    material = b"expand 32-byte k" + key + (counter & _MASK).to_bytes(4, "little") + nonce
    state = [int.from_bytes(material[i : i + 4], "little") for i in range(0, 64, 4)]
    x = list(state)
    for _ in range(10):
        for column in range(4):
            _quarter_round(x, column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            _quarter_round(x, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return [(a + b) & _MASK for a, b in zip(x, state, strict=True)]


def chacha20(key: bytes, nonce: bytes, counter: int, data: bytes) -> bytes:
    """data XOR the keystream from block `counter`. key: 32 bytes, nonce: 12 bytes."""
    if len(key) != 32 or len(nonce) != 12 or not 0 <= counter <= _MASK:
        raise CoreArgumentError("chacha20")
    stream = bytearray()
    while len(stream) < len(data):
        for word in chacha20_words(key, nonce, counter):
            stream += word.to_bytes(4, "little")
        counter += 1
    return bytes(a ^ b for a, b in zip(data, stream, strict=False))


def blake2b(data: bytes, size: int = 32, key: bytes = b"") -> bytes:
    """H(size, key, data): `size` bytes (1..64) under an optional key (0..64 bytes)."""
    if not 1 <= size <= 64 or len(key) > 64:
        raise CoreArgumentError("blake2b")
    return hashlib.blake2b(data, digest_size=size, key=key).digest()


def x25519(secret: bytes, public: bytes) -> bytes:
    """Raw shared secret, 32 bytes (RFC 7748, 5: the Montgomery ladder)."""
    if len(secret) != 32 or len(public) != 32:
        raise CoreArgumentError("x25519")
    p = 2**255 - 19
    k = int.from_bytes(secret, "little")
    k = k & ~7 & (2**255 - 1) | 2**254
    u = int.from_bytes(public, "little") & (2**255 - 1)
    x2, z2, x3, z3 = 1, 0, u, 1
    for t in reversed(range(255)):
        if k >> t & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        x3, z3 = (d * a + c * b) ** 2 % p, u * (d * a - c * b) ** 2 % p
        aa, bb = a * a % p, b * b % p
        e = aa - bb
        x2, z2 = aa * bb % p, e * (aa + 121665 * e) % p
        if k >> t & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


def x25519_public(secret: bytes) -> bytes:
    """The public key of a secret: x25519 with the base point 9."""
    return x25519(secret, (9).to_bytes(32, "little"))
