"""A second reading of SPEC.md: what its text says, with the standard library and nothing of picofed. Slow, and short.

Section numbers stand beside what was written from them."""

import struct
from collections.abc import Iterator
from decimal import Decimal, localcontext
from hashlib import blake2b
from typing import Any
from zlib import crc32

MASK32 = 0xFFFFFFFF


def H(n: int, key: bytes | None, data: bytes) -> bytes:
    return blake2b(data, digest_size=n, key=key or b"").digest()


def le32(x: int) -> bytes:
    return struct.pack("<I", x)


def sat(x: int, low: int, high: int) -> int:
    return max(low, min(high, x))


def signed(x: int, bits: int = 32) -> int:
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


# ---- primitives that the text names ----------------------------------------------------------------------------------


def chacha20(key: bytes, nonce: bytes = bytes(12)) -> Iterator[int]:
    """RFC 8439's keystream from block 0, byte by byte."""
    counter = 0
    while True:
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter]
        start += struct.unpack("<3I", nonce)
        s = start[:]
        for _ in range(10):
            for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)):
                quarter(s, a, b, c, d)
            for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
                quarter(s, a, b, c, d)
        yield from struct.pack("<16I", *(x + y & MASK32 for x, y in zip(s, start, strict=True)))
        counter += 1


def quarter(s: list[int], a: int, b: int, c: int, d: int) -> None:
    for to, by, rotate, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[to] = s[to] + s[by] & MASK32
        x = s[rotate] ^ s[to]
        s[rotate] = (x << turn | x >> (32 - turn)) & MASK32


def xor_stream(key: bytes, nonce: bytes, data: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(data, chacha20(key, nonce), strict=False))


def x25519(secret: bytes, public: bytes = b"\x09" + bytes(31)) -> bytes:
    """RFC 7748, by a ladder."""
    p = 2**255 - 19
    k = int.from_bytes(secret, "little") & ~7 & (1 << 254) - 1 | 1 << 254
    x1 = int.from_bytes(public, "little") & (1 << 255) - 1
    x2, z2, x3, z3 = 1, 0, x1, 1
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        e, da, cb = a * a - b * b, d * a, c * b
        x3, z3 = (da + cb) ** 2 % p, x1 * (da - cb) ** 2 % p
        x2, z2 = a * a * b * b % p, e * (a * a + 121665 * e) % p
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


# ---- 6: link ---------------------------------------------------------------------------------------------------------


def frame(payload: bytes) -> bytes:
    """6.1"""
    coded, block, ended = b"", b"", False
    for byte in payload + le32(crc32(payload)):
        ended = False
        if byte:
            block += bytes([byte])
        if not byte or len(block) == 254:
            coded += bytes([len(block) + 1]) + block
            block, ended = b"", byte != 0
    if not ended:
        coded += bytes([len(block) + 1]) + block
    return b"\0" + coded.replace(b"\x1d", b"\x1d\x3d").replace(b"\x03", b"\x1d\x23") + b"\0"


def unframe(coded: bytes) -> bytes | None:
    """What stands between two delimiters; None for what does not decode."""
    coded = coded.replace(b"\x1d\x23", b"\x03").replace(b"\x1d\x3d", b"\x1d")
    data, at = b"", 0
    while at < len(coded):
        code = coded[at]
        data += coded[at + 1 : at + code]
        at += code
        if at < len(coded) and code < 255:
            data += b"\0"
    payload = data[:-4]
    return payload if payload and data[-4:] == le32(crc32(payload)) else None


def pack(item: Any) -> bytes:
    """6.2: CBOR, shortest forms."""
    if item is None or isinstance(item, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[item]
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(pack, item))
    return head(5, len(item)) + b"".join(pack(key) + pack(value) for key, value in item.items())


def head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes([major << 5 | n])
    size = next(size for size in range(4) if n < 1 << (8 << size))
    return bytes([major << 5 | 24 + size]) + n.to_bytes(1 << size, "big")


def unpack(data: bytes) -> Any:
    item, rest = take(data)
    assert not rest and pack(item) == data, "not one item in its shortest form"
    return item


def take(data: bytes) -> tuple[Any, bytes]:
    major, n, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7:
        return {20: False, 21: True, 22: None}[n], data
    if n >= 24:
        size = 1 << n - 24
        n, data = int.from_bytes(data[:size], "big"), data[size:]
    if major < 2:
        return (n if major == 0 else -1 - n), data
    if major < 4:
        return (data[:n] if major == 2 else data[:n].decode()), data[n:]
    items = []
    for _ in range(n * (major - 3)):
        item, data = take(data)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2], strict=True))), data


class Keys:
    """6.8: what a board derives from its board key."""

    def __init__(self, board_key: bytes) -> None:
        self.ledger, self.update, self.link, self.mask = (
            H(32, board_key, b"picofed " + what) for what in (b"ledger", b"update", b"link", b"mask")
        )


class Sealing:
    """6.9: a session, of which b, n and the used seeds' tags make the challenge."""

    def __init__(self, keys: Keys, boot: int, number: int, secrets: list[bytes], nonce: bytes) -> None:
        used = b"".join(H(16, secret, b"picofed used") for secret in secrets)
        self.challenge = H(16, keys.link, b"picofed challenge" + le32(boot) + le32(number) + used)
        opening = le32(boot) + self.challenge + nonce
        self.proof = H(16, keys.link, b"picofed open" + opening)
        both = H(64, keys.link, b"picofed session" + opening)
        self.mac, self.cipher = both[:32], both[32:]
        self.opened = H(16, self.mac, b"picofed opened")
        self.s = 0

    def seal(self, message: bytes) -> bytes:
        self.s += 1
        body = b"\x02" + le32(self.s) + xor_stream(self.cipher, le32(2) + le32(self.s) + bytes(4), message)
        return body + H(16, self.mac, body)

    def open(self, sealed: bytes) -> bytes:
        body, tag = sealed[:-16], sealed[-16:]
        assert body[:5] == b"\x04" + le32(self.s) and tag == H(16, self.mac, body)
        return xor_stream(self.cipher, le32(4) + le32(self.s) + bytes(4), body[5:])


# ---- 3, 4: noise -----------------------------------------------------------------------------------------------------


def first_noise_keys(secret: bytes, boot: int, raw: bytes, context: bytes) -> Iterator[bytes]:
    """4.3, 4.4: keys of the ratchet after a start; the first thing is the next secret."""
    x = H(64, secret, b"picofed boot" + le32(boot) + H(32, None, raw) + context)
    yield x[32:]
    key, n = x[:32], 0
    while True:
        yield H(32, key, b"noise" + le32(n))
        key, n = H(32, key, b"ratchet"), n + 1


def cdt() -> list[int]:
    with localcontext() as context:
        context.prec = 60
        w = [(-Decimal(k * k) / 8).exp() for k in range(80)]
        whole = sum(w)
        table = [int(2**64 * sum(w[: i + 1]) / whole + Decimal(1) / 2) for i in range(80)]
    return [entry for entry in table if entry < 2**64]


def noise(key: bytes, log2_sigma: int, count: int) -> list[int]:
    """3"""
    m, table, stream, out = log2_sigma - 1, cdt(), chacha20(key), []
    assert len(table) == 18

    def word() -> int:
        return next(stream) | next(stream) << 8 | next(stream) << 16 | next(stream) << 24

    while len(out) < count:
        r = word() << 32 | word()
        w = word()
        t = word() << 32 | word()
        z = sum(entry <= r for entry in table)
        s, y = w & 1, w >> (32 - m) if m else 0
        if z == 0 and y == 0 and s == 1:
            continue
        with localcontext() as context:
            context.prec = 60
            x = Decimal(y * (y + 2 ** (m + 1) * z)) / 2 ** (2 * m + 3)
            threshold = 2**64 if y == 0 else int(2**64 * (-x).exp())
        if t < threshold:
            out.append((z << m) + y if s == 0 else -((z << m) + y))
    return out


# ---- 5 to 7, 10: what leaves and what stays --------------------------------------------------------------------------


def charge(clip: int, log2_sigma: int, steps: int = 1) -> int:
    """5.2"""
    return -(-clip * clip * 2**24 // (4**log2_sigma - 3)) * steps


def ledger(region: bytes, key: bytes) -> list[tuple[int, ...]]:
    """5.1: (kind, log2 sigma, seq, charge, cumulative, clip, steps) of all valid records, in order."""
    found = []
    for at in range(0, len(region), 32):
        one = region[at : at + 32]
        first, sigma, _, seq, cost, cumulative, clipping, _ = struct.unpack_from("<BBHIIIII", one)
        if one[24:] == H(8, key, one[:24]):
            assert first >> 4 == 1
            found.append((first & 15, sigma, seq, cost, cumulative, clipping & 0xFFFFF, clipping >> 20))
    return sorted(found, key=lambda record: record[2])


def seed_store(region: bytes) -> tuple[int, bytes, int]:
    """4.2: (boot, secret) of the current slot, and how many slots are neither blank nor spent."""
    slots = [region[at : at + 64] for at in range(0, len(region), 64)]
    live = [slot for slot in slots if slot not in (b"\xff" * 64, bytes(64))]
    valid = [slot for slot in live if slot[:4] == b"PFS1" and slot[48:] == H(16, slot[8:40], slot[:48])]
    boot, secret = max((int.from_bytes(slot[4:8], "little"), slot[8:40]) for slot in valid)
    return boot, secret, len(live)


def rounded(value: int, shift: int) -> int:
    return (value >> shift) + (value >> shift - 1 & 1) if shift else value


def payload(values: list[int], shift: int) -> bytes:
    """7.6"""
    u = []
    for value in values:
        q = rounded(value, shift)
        u.append((q << 1 ^ q >> 31) & MASK32)

    def code(x: int, k: int) -> str:
        if x >> k >= 24:
            return "1" * 24 + f"{x:032b}"[::-1]
        return "1" * (x >> k) + "0" + (f"{x & (1 << k) - 1:0{k}b}"[::-1] if k else "")

    k = min(range(31), key=lambda k: sum(24 + 32 if x >> k >= 24 else (x >> k) + 1 + k for x in u))
    bits = "".join(code(x, k) for x in u)
    bits += "0" * (-len(bits) % 8)
    return bytes([1, shift, k]) + bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))


def masks(seed: bytes, bits: int, count: int) -> list[int]:
    """10.4"""
    stream = chacha20(seed)
    run = int.from_bytes(bytes(next(stream) for _ in range((bits * count + 7) // 8)), "little")
    return [run >> bits * k & (1 << bits) - 1 for k in range(count)]


def fields(values: list[int], bits: int) -> bytes:
    run = sum((value & (1 << bits) - 1) << bits * k for k, value in enumerate(values))
    return run.to_bytes((bits * len(values) + 7) // 8, "little")


def named(body: bytes, keys: Keys, digest: bytes) -> tuple[bytes, bytes]:
    """6.6, 10.3: an update's object and its id, from what is before the payload's digest in its head, and the rest."""
    update_head = body + digest
    tag = H(16, keys.update, update_head)
    return tag, H(16, None, update_head + tag)
