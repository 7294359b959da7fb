"""EdDSA on Curve25519 with BLAKE2b in place of SHA-512 (Monocypher's default), slowly: RFC 8032, 5.1, in ints."""

from __future__ import annotations

import hashlib

from picofed.native_errors import CoreArgumentError

Point = tuple[int, int, int]  # x, y, z: projective

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)


def _recover(y: int, odd: int) -> int | None:
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and odd):
        return None
    return _P - x if x & 1 != odd else x


def _add(a: Point, b: Point) -> Point:
    x1, y1, z1 = a
    x2, y2, z2 = b
    z = z1 * z2
    zz, xx, yy = z * z, x1 * x2, y1 * y2
    e = _D * xx * yy
    f, g = zz - e, zz + e
    return z * f * ((x1 + y1) * (x2 + y2) - xx - yy) % _P, z * g * (yy + xx) % _P, f * g % _P


def _times(n: int, point: Point) -> Point:
    total = (0, 1, 1)
    while n:
        if n & 1:
            total = _add(total, point)
        point = _add(point, point)
        n >>= 1
    return total


def _pack(point: Point) -> bytes:
    x, y, z = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _unpack(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y = number & (2**255 - 1)
    x = _recover(y, number >> 255) if y < _P else None
    return None if x is None else (x, y, 1)


_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE: Point = (_recover(_BASE_Y, 0) or 0, _BASE_Y, 1)


def _scalar(*parts: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(b"".join(parts)).digest(), "little") % _L


def _secret(seed: bytes) -> tuple[int, bytes]:
    if len(seed) != 32:
        raise CoreArgumentError("seed")
    digest = hashlib.blake2b(seed).digest()
    return int.from_bytes(digest[:32], "little") & ~7 & (2**254 - 1) | 2**254, digest[32:]


def eddsa_public(seed: bytes) -> bytes:
    """The public key of a 32-byte seed."""
    return _pack(_times(_secret(seed)[0], _BASE))


def eddsa_sign(seed: bytes, data: bytes) -> bytes:
    """The signature of data, 64 bytes."""
    secret, prefix = _secret(seed)
    public = _pack(_times(secret, _BASE))
    r = _scalar(prefix, data)
    commitment = _pack(_times(r, _BASE))
    return commitment + ((r + _scalar(commitment, public, data) * secret) % _L).to_bytes(32, "little")


def eddsa_check(signature: bytes, public: bytes, data: bytes) -> bool:
    """Whether the signature is genuine."""
    if len(signature) != 64 or len(public) != 32:
        raise CoreArgumentError("signature or public key")
    point, s = _unpack(public), int.from_bytes(signature[32:], "little")
    if point is None or s >= _L:
        return False
    # the commitment that s belongs to: s B - h A
    x, y, z = _times(_scalar(signature[:32], public, data), point)
    return _pack(_add(_times(s, _BASE), (_P - x, y, z))) == signature[:32]
