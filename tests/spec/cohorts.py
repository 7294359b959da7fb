"""SPEC 6.7 and 11, read a second time: signatures, and masks in pairs. As reader.py, of which it is a part."""

import struct

from .reader import H, chacha20, fields, masks, rounded, x25519

# ---- 6.7, 11: signatures, and masks in pairs -------------------------------------------------------------------------

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    k = D * a[0] * b[0] * a[1] * b[1] % P
    x, y = a[0] * b[1] + a[1] * b[0], a[1] * b[1] + a[0] * b[0]
    return x * pow(1 + k, P - 2, P) % P, y * pow(1 - k, P - 2, P) % P


def times(n: int, point: Point) -> Point:
    total = (0, 1)
    while n:
        if n & 1:
            total = add(total, point)
        point, n = add(point, point), n >> 1
    return total


def point_of(data: bytes) -> Point:
    y = int.from_bytes(data, "little") & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - square) % P == 0
    return (x if x & 1 == data[31] >> 7 else P - x), y


def signs(public: bytes, message: bytes, signature: bytes) -> bool:
    """RFC 8032, 5.1.7, with BLAKE2b in place of SHA-512."""
    s = int.from_bytes(signature[32:], "little")
    k = int.from_bytes(H(64, None, signature[:32] + public + message), "little") % ORDER
    base = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    return s < ORDER and times(s, base) == add(point_of(signature[:32]), times(k, point_of(public)))


class Cohort:
    """11.1 to 11.3"""

    def __init__(self, data: bytes, members: bytes, owner: bytes) -> None:
        version, zero, n, _ = struct.unpack_from("<BBHI", members)
        assert (version, zero, len(members)) == (1, 0, 8 + 40 * n + 64)
        entries = [members[8 + 40 * i : 48 + 40 * i] for i in range(n)]
        chain = bytes(32)
        for entry in entries:
            chain = H(32, chain, entry)
        assert signs(owner, b"picofed members" + members[:8] + chain, members[-64:])
        version, zero, n, self.number, self.version = struct.unpack_from("<BBHII", data)
        assert (version, zero, data[20:36]) == (1, 0, H(16, None, members))
        self.job = data[12:20]
        self.boards = [entries[index] for index in struct.unpack_from(f"<{n}H", data, 36)]
        self.C = H(32, None, data)
        k = min(n - 1, 24)
        self.t = 2 * k // 3 + 1
        assert n <= 25, "the reader knows complete graphs only"

    def neighbours(self, i: int) -> list[int]:
        return [j for j in range(len(self.boards)) if j != i]

    def pair(self, i: int, j: int, secret: bytes) -> bytes:
        """r_ij, by the secret of i."""
        low, high = self.boards[min(i, j)][8:], self.boards[max(i, j)][8:]
        return H(32, x25519(secret, self.boards[j][8:]), b"picofed peer" + low + high + self.C)

    def update(self, i: int, secret: bytes, fresh: bytes, values: list[int], bits: int, shift: int) -> bytes:
        """11.4 to 11.6: the payload of board i. fresh: N."""
        pairs = {j: self.pair(i, j, secret) for j in self.neighbours(i)}
        own = H(32, fresh, b"picofed self")
        stream = chacha20(H(32, fresh, b"picofed shares"))
        polynomial = [own] + [bytes(next(stream) for _ in range(32)) for _ in range(self.t - 1)]
        hidden = [rounded(value, shift) for value in values]
        for seed, sign in [(H(32, own, b"picofed mask"), 1)] + [
            (H(32, r, b"picofed mask"), 1 if j > i else -1) for j, r in pairs.items()
        ]:
            hidden = [value + sign * mask for value, mask in zip(hidden, masks(seed, bits, len(values)), strict=True)]
        out = self.C + struct.pack("<BBH", bits, shift, len(values) & 0xFFFF) + H(16, own, b"picofed check")
        out += fields(hidden, bits)
        for x, r in enumerate(pairs.values(), 1):
            pad = H(32, r, b"picofed share" + self.boards[i][:8])
            out += bytes(evaluate([row[k] for row in polynomial], x) ^ pad[k] for k in range(32))
        return out

    def told(self, i: int, secret: bytes, survivors: int) -> bytes:
        """11.7"""
        out = b""
        for j in self.neighbours(i):
            label = b"picofed share" + self.boards[j][:8] if survivors >> j & 1 else b"picofed mask"
            out += H(32, self.pair(i, j, secret), label)
        return out


def product(a: int, b: int) -> int:
    total = 0
    for bit in range(8):
        total ^= a << bit if b >> bit & 1 else 0
    for bit in range(15, 7, -1):
        total ^= 0x11B << bit - 8 if total >> bit & 1 else 0
    return total


def evaluate(polynomial: list[int], x: int) -> int:
    total, power = 0, 1
    for coefficient in polynomial:
        total, power = total ^ product(coefficient, power), product(power, x)
    return total
