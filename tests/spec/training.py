"""SPEC 2, 7 to 9, read a second time: what a record adds, and what records are. As reader.py, of which it is a part."""

import struct
from collections.abc import Iterator
from math import isqrt
from zlib import crc32

from .reader import MASK32, le32, sat

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
