"""A second reading of SPEC.md: what its text says, with the standard library and nothing of picofed. Slow, and short.

Section numbers stand beside what was written from them."""

import struct
from collections.abc import Iterator
from decimal import Decimal, localcontext
from hashlib import blake2b
from math import isqrt
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


# ---- 2, 7: training --------------------------------------------------------------------------------------------------


class Model:
    """7.1"""

    def __init__(self, descriptor: bytes) -> None:
        version, self.loss, layers, zero = descriptor[:4]
        assert version == 1 and zero == 0
        self.widths = struct.unpack_from(f"<{layers + 1}H", descriptor, 4)
        at = 4 + 2 * (layers + 1)
        self.trained = [struct.unpack_from("<4HBB", descriptor, at + 10 * k)[:5] for k in range(layers)]
        assert len(descriptor) == at + 10 * layers

    def layers(self, weights: list[int]) -> list[tuple[list[list[int]], list[int]]]:
        """7.2"""
        found, at = [], 0
        for i, o in zip(self.widths, self.widths[1:], strict=False):
            rows = [weights[at + r * i : at + (r + 1) * i] for r in range(o)]
            found.append((rows, weights[at + o * i : at + o * i + o]))
            at += o * i + o
        assert at == len(weights)
        return found


E_TABLE = [round(2**16 * 2 ** (-k / 32)) for k in range(33)]


def softmax_deltas(z: list[int], f: int, label: int) -> list[int]:
    """2.3"""
    e = []
    for value in z:
        t = max(z) - value >> f - 10
        u = t * 94548 >> 16
        i, k, low = u >> 10, u >> 5 & 31, u & 31
        e.append(0 if t >= 11264 else (E_TABLE[k] * (32 - low) + E_TABLE[k + 1] * low + 16 >> 5) >> i)
    r = (2**31 - 1) // sum(e)
    return [(x * r + 2**18 >> 19) - (4096 if j == label else 0) for j, x in enumerate(e)]


def contribution(model: Model, weights: list[int], inputs: list[int], label: int, clip: int) -> list[int]:
    """2.2 to 2.7 for one record: what it adds, in the order of 7.3."""
    layers = model.layers(weights)
    activations, last = [inputs], len(layers) - 1
    for number, (rows, biases) in enumerate(layers):
        b, f = (128, 18) if number == 0 else (32, 16)
        z = [sum(map(int.__mul__, row, activations[-1])) + w * b for row, w in zip(rows, biases, strict=True)]
        if number < last:
            activations.append([sat(x >> f - 5, 0, 127) for x in z])
    deltas = [softmax_deltas(z, f, label)]
    for number in range(last, 0, -1):
        rows = layers[number][0]
        s = [sum(rows[j][i] * deltas[0][j] for j in range(len(rows))) for i in range(len(activations[number]))]
        a = activations[number]
        deltas.insert(0, [sat(x + 2**10 >> 11, -16383, 16383) if 0 < y < 127 else 0 for x, y in zip(s, a, strict=True)])
    parts, n = [], 0
    for number, (top, bottom, left, right, bias) in enumerate(model.trained):
        d, a = deltas[number][top:bottom], activations[number][left:right]
        if bias:
            a = [*a, 128 if number == 0 else 32]
        n += sum(x * x for x in d) * sum(x * x for x in a)
        parts.append((d, a, bias))
    if n > clip * clip:
        q = isqrt(n) + (isqrt(n) ** 2 < n)
        f = clip * 2**15 // q
        parts = [([abs(x) * f // 2**15 * (1 if x > 0 else -1) for x in d], a, bias) for d, a, bias in parts]
    out: list[int] = []
    for d, a, bias in parts:
        out += [x * y for x in d for y in (a[:-1] if bias else a)]
        out += [x * a[-1] for x in d] if bias else []
    assert sum(x * x for x in out) <= clip * clip, "lemma 3"
    return out


# ---- 8, 9: records ---------------------------------------------------------------------------------------------------


def windows(store: bytes, window: int, stride: int, labels: int) -> Iterator[tuple[list[tuple[int, ...]], int]]:
    """9: (samples, label) of the windows that a job with labels learns from."""
    magic, version, channels, _, samples, size, slots = struct.unpack_from("<4sBBHHHI", store)
    assert magic == b"PFR1" and version == 1 and le32(crc32(store[:28])) == store[28:32]
    found = {}
    for n in range(slots):
        slot = store[32 + n * size : 32 + (n + 1) * size]
        if len(slot) == size and le32(crc32(slot[:-4])) == slot[-4:]:
            seq, session, index, valid, label = struct.unpack_from("<IIHBB", slot)
            if seq != MASK32 and seq % slots == n:
                at = [struct.unpack_from(f"<{channels}h", slot, 12 + 2 * channels * i) for i in range(valid)]
                found[seq] = (session, index, label, at)
    sessions: dict[int, dict[int, tuple[tuple[int, ...], int]]] = {}
    for seq in sorted(found):
        session, index, label, at = found[seq]
        for i, sample in enumerate(at):
            sessions.setdefault(session, {})[index * samples + i] = (sample, label)
    for held in sessions.values():
        for start in range(0, max(held) + 1, stride):
            cut = [held.get(start + i) for i in range(window)]
            whole = [one for one in cut if one is not None]
            known = {label for _, label in whole}
            if len(whole) == window and len(known) == 1 and min(known) < labels:
                yield [sample for sample, _ in whole], known.pop()


def lg(v: int) -> int:
    v = max(v, 1)
    b = v.bit_length() - 1
    return 16 * b + (v >> b - 4 if b >= 4 else v << 4 - b) - 16


def imu45(x: list[tuple[int, ...]]) -> list[int]:
    """8.2, 8.3"""
    n = len(x)
    total = [sum(sample[i] for sample in x) for i in range(6)]
    fold = -1 if total[0] < 0 else 1
    g = [fold, 1, 1, 1, fold, fold]
    z = [[g[i] * (sample[i] - total[i] // n) >> 4 for i in range(6)] for sample in x]
    energy = [sum(t[i] ** 2 for t in z) for i in range(6)]
    pairs = [(j, i) for i in range(6) for j in range(i)]
    kind = ["aa" if i < 3 else "ww" if j >= 3 else "aw" for j, i in pairs]
    out = [g[i] * total[i] >> 12 for i in range(3)]
    out += [lg(one) - 304 for one in energy] + [(energy[i] >> 14) - 64 for i in range(3)]
    out += [max(t[i] for t in z) + min(t[i] for t in z) >> 1 for i in range(3)]
    for (j, i), name in zip(pairs, kind, strict=True):
        out.append(sum(t[j] * t[i] for t in z) >> {"aa": 15, "aw": 13, "ww": 14}[name])
    for (j, i), name in zip(pairs, kind, strict=True):
        swept = sum(z[t + 2][j] * z[t][i] - z[t][j] * z[t + 2][i] for t in range(n - 2))
        out.append(swept >> {"aa": 10, "aw": 12, "ww": 10}[name])
    return [sat(value, -127, 127) for value in out]


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
