"""Primitives of the reference and of the compiled core, against published vectors and each other."""

from __future__ import annotations

import hashlib
import random
import re
import zlib
from pathlib import Path
from types import ModuleType

import pytest
from picofed import native, native_errors, reference
from picofed.reference.entropy import proportion_cutoff
from picofed.reference.noise import Noise, cdt

ROOT = Path(__file__).parents[3]
BOTH = pytest.mark.parametrize("core", [native, reference], ids=["native", "reference"])


@BOTH
def test_chacha20_rfc_8439(core: ModuleType) -> None:
    """Sections 2.3.2 and 2.4.2."""
    key = bytes(range(32))
    block = core.chacha20(key, bytes.fromhex("000000090000004a00000000"), 1, bytes(64))
    assert block.hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e")
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    secret = core.chacha20(key, bytes.fromhex("000000000000004a00000000"), 1, text)
    assert secret.hex().startswith("6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b")


@BOTH
def test_x25519_rfc_7748(core: ModuleType) -> None:
    """Section 6.1."""
    alice = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert core.x25519_public(bob).hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert core.x25519(bob, alice).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


@BOTH
def test_blake2b_and_crc32(core: ModuleType, rng: random.Random) -> None:
    for _ in range(50):
        data, key, size = (
            rng.randbytes(rng.randrange(300)),
            rng.randbytes(rng.randrange(65)),
            rng.randint(1, 64),
        )
        assert core.blake2b(data, size, key) == hashlib.blake2b(data, digest_size=size, key=key).digest()
        cut = rng.randint(0, len(data))
        assert core.crc32(data[cut:], core.crc32(data[:cut])) == core.crc32(data) == zlib.crc32(data)
    assert core.blake2b(b"abc", 64).hex().startswith("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b7")


def test_crypto_agrees(rng: random.Random) -> None:
    for _ in range(20):
        key, nonce, counter = rng.randbytes(32), rng.randbytes(12), rng.randrange(2**32 - 8)
        data = rng.randbytes(rng.randrange(200))
        assert native.chacha20(key, nonce, counter, data) == reference.chacha20(key, nonce, counter, data)
        secret, public = rng.randbytes(32), rng.randbytes(32)
        assert native.x25519(secret, public) == reference.x25519(secret, public)
        assert native.x25519_public(secret) == reference.x25519_public(secret)


def test_signatures_agree(rng: random.Random) -> None:
    for _ in range(8):
        seed, data = rng.randbytes(32), rng.randbytes(rng.randrange(300))
        public, signature = native.eddsa_public(seed), native.eddsa_sign(seed, data)
        assert (public, signature) == (reference.eddsa_public(seed), reference.eddsa_sign(seed, data))
        assert native.eddsa_check(signature, public, data) and reference.eddsa_check(signature, public, data)
        for place in (0, 31, 32, 63):
            broken = bytearray(signature)
            broken[place] ^= 1 << rng.randrange(8)
            for core in (native, reference):
                assert not core.eddsa_check(bytes(broken), public, data)
        assert not native.eddsa_check(signature, public, data + b"x")
        assert not reference.eddsa_check(signature, public, data + b"x")
    # a scalar of L or more is another spelling of the same signature: refused
    order = 2**252 + 27742317777372353535851937790883648493
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    for core in (native, reference):
        assert not core.eddsa_check(other, public, data)
        with pytest.raises(native_errors.CoreArgumentError):
            core.eddsa_check(signature[:63], public, data)


VECTORS = {
    6: [-46, -61, -26, 130, 39, -22, 17, -100, -21, 277, -17, 5, -75, 43, -11, -33],
    14: [-12000, -15686, -6708, 33375, 10112, -5879, 4519, -25715,
         -5415, 70915, -4599, 1482, -19288, 11151, -2853, -8548],
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("log2_sigma", VECTORS)
def test_noise_vectors(core: ModuleType, log2_sigma: int) -> None:
    """Made by an implementation with other arithmetic (mpmath)."""
    assert list(core.discrete_gaussian(bytes(range(32)), log2_sigma, 16)) == VECTORS[log2_sigma]


def test_noise_takes_five_words_a_trial(rng: random.Random) -> None:
    noise = Noise(bytes(range(32)), 6)
    assert [noise.sample() for _ in range(16)] == VECTORS[6]
    assert noise.words == 105
    noise = Noise(rng.randbytes(32), rng.randint(1, 25))
    for _ in range(300):
        noise.sample()
        assert noise.words % 5 == 0
    assert 0.7 < 300 * 5 / noise.words < 0.95  # 0.8337 of the trials are accepted


def test_noise_table() -> None:
    assert len(cdt()) == 18
    assert cdt()[0] == 0x55252C92C6309BBC


@pytest.mark.parametrize("log2_sigma", range(1, 26))
def test_noise_agrees(log2_sigma: int, rng: random.Random) -> None:
    key = rng.randbytes(32)
    assert native.discrete_gaussian(key, log2_sigma, 200).tolist() == reference.discrete_gaussian(key, log2_sigma, 200)


@BOTH
@pytest.mark.parametrize("log2_sigma", [0, 26, 2**32])
def test_noise_refuses_sigma(core: ModuleType, log2_sigma: int) -> None:
    with pytest.raises(native_errors.CoreArgumentError):
        core.discrete_gaussian(bytes(32), log2_sigma, 1)


def test_entropy_agrees(rng: random.Random) -> None:
    """Over sources of every quality, from constant to good: the same verdict and the same 32 bytes."""
    assert proportion_cutoff() == 991
    verdicts = set()
    for _ in range(150):
        bias = rng.choice([0.5, 0.5, 0.5, 0.65, 0.71, 0.72, 0.75, 0.93, 0.99])
        raw = bytearray(rng.choice([rng.randint(1020, 1400), 2048, 2100]))
        for i in range(len(raw)):
            raw[i] = sum((rng.random() < bias) << bit for bit in range(8))
        if rng.random() < 0.3:
            start, n = rng.randrange(900), rng.randint(24, 27)
            raw[start : start + n] = bytes([rng.choice([0, 255])]) * n
        if rng.random() < 0.2:
            start = rng.randrange(900)
            raw[start + 32 : start + 64] = raw[start : start + 32]
        if rng.random() < 0.2:
            start = rng.randrange(900)
            raw[start : start + 64] = raw[:64]
        results = []
        for core in (native, reference):
            try:
                results.append(core.entropy_condition(bytes(raw)))
            except native_errors.CoreError as error:
                results.append(type(error))
        assert results[0] == results[1]
        verdicts.add(results[0] if isinstance(results[0], type) else bytes)
    assert verdicts >= {bytes, native_errors.EntropyError}


def test_error_table_is_the_header() -> None:
    header = (ROOT / "native" / "include" / "picofed.h").read_text()
    codes = {int(code): name for name, code in re.findall(r"PF_E_(\w+) = (-\d+)", header)}
    assert set(codes) == set(native_errors.ERRORS)
    for code, error in native_errors.ERRORS.items():
        assert f"PF_E_{codes[code]}" in (error.__doc__ or "")
    specified = re.findall(r"^\| (-\d+) \| (\w+) \|", (ROOT / "SPEC.md").read_text(), flags=re.M)
    assert {int(code): name for code, name in specified if int(code) > -20} == codes


def test_unit_is_the_whole_core() -> None:
    """What the bindings compile is every file of the core; what boards compile is all but the host's loops."""
    folder = ROOT / "native" / "src"
    included = re.findall(r'^#include "(\w+\.c)"', (folder / "unit.c").read_text(), flags=re.M)
    assert not {"wide.c", "batch.c"} & set(included)
    binding = (ROOT / "native" / "bindings" / "cffi_build.py").read_text()
    included += set(re.findall(r'#include "(\w+\.c)"', binding)) - {"unit.c"}
    assert sorted(included) == sorted({path.name for path in folder.glob("*.c")} - {"unit.c"} | {"monocypher.c"})


def test_errors_are_one_line() -> None:
    for error in native_errors.ERRORS.values():
        assert "\n" not in str(error("frame"))
        assert str(error("frame")).startswith("frame: ")
    with pytest.raises(native_errors.BudgetExceededError, match="ledger"):
        native_errors.check(-5, "ledger")
    assert native_errors.check(7) == 7
