# Signatures as an owner makes them (EdDSA with BLAKE2b); the native module on a board only checks them.
import picofed_core as core

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960


def hashed(*parts):
    out = bytearray(64)
    core.blake2b(out, b"", b"".join(parts))
    return bytes(out)


def add(a, b):
    x1, y1, z1 = a
    x2, y2, z2 = b
    z, x, y = z1 * z2 % P, x1 * x2 % P, y1 * y2 % P
    e = D * x * y % P
    f, g = z * z - e, z * z + e
    return z * f * ((x1 + y1) * (x2 + y2) - x - y) % P, z * g * (y + x) % P, f * g % P


def times_base(n):
    total, point = (0, 1, 1), (X, Y, 1)
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    x, y, z = total
    inverse = pow(z, P - 2, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def number(data):
    return int.from_bytes(data, "little")


def expanded(seed):
    digest = hashed(seed)
    return number(digest[:32]) & ~7 & (2**254 - 1) | 2**254, digest[32:]


def public(seed):
    return times_base(expanded(seed)[0])


def sign(seed, data):
    secret, prefix = expanded(seed)
    r = number(hashed(prefix, data)) % L
    commitment = times_base(r)
    h = number(hashed(commitment, times_base(secret), data)) % L
    return commitment + ((r + h * secret) % L).to_bytes(32, "little")
