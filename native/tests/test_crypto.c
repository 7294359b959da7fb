/* The primitives, through our wrappers, against their RFCs' vectors. */
#include "check.h"
#include "picofed.h"
#include "port.h"

static void test_blake2b_rfc7693_and_keyed(void) {
    uint8_t out[64];
    uint8_t wanted[64];
    uint8_t key[64];
    pf_blake2b(out, 64, NULL, 0, (const uint8_t *)"abc", 3); /* RFC 7693, appendix A */
    check_hex(wanted, "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                      "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
    CHECK_BYTES(out, wanted, 64);
    for (uint8_t i = 0; i < 64; i++) {
        key[i] = i;
    }
    pf_blake2b(out, 64, key, 64, key, 1); /* blake2b-kat.txt of the BLAKE2 reference, in = 00 */
    check_hex(wanted, "961f6dd1e4dd30f63901690c512e78e4b45e4742ed197c3c5e45c549fd25f2e4"
                      "187b0bc9fe30492b16b0d0bc4ef9b0f34c7003fac09a5ef1532e69430234cebd");
    CHECK_BYTES(out, wanted, 64);
}

static void test_chacha20_rfc8439(void) {
    uint8_t key[32];
    uint8_t nonce[12] = {0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0};
    uint8_t out[160];
    uint8_t wanted[160];
    for (uint8_t i = 0; i < 32; i++) {
        key[i] = i;
    }
    CHECK_EQ(pf_chacha20(out, NULL, 64, key, nonce, 1), 2); /* 2.3.2 */
    check_hex(wanted, "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
                      "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e");
    CHECK_BYTES(out, wanted, 64);
    const char *text = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
                       "sunscreen would be it.";
    nonce[3] = 0;
    CHECK_EQ(pf_chacha20(out, (const uint8_t *)text, 114, key, nonce, 1), 3); /* 2.4.2 */
    check_hex(wanted, "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b"
                      "f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8"
                      "07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
                      "5af90bbf74a35be6b40b8eedf2785e42874d");
    CHECK_BYTES(out, wanted, 114);
}

static void test_x25519_rfc7748(void) {
    uint8_t scalar[32];
    uint8_t point[32];
    uint8_t out[32];
    uint8_t wanted[32];
    check_hex(scalar, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"); /* 5.2 */
    check_hex(point, "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    pf_x25519(out, scalar, point);
    check_hex(wanted, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    CHECK_BYTES(out, wanted, 32);

    memset(scalar, 0, 32); /* 5.2, iterated */
    scalar[0] = 9;
    memcpy(point, scalar, 32);
    pf_x25519_public(out, scalar);
    check_hex(wanted, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    CHECK_BYTES(out, wanted, 32);
    for (int i = 0; i < 1000; i++) {
        pf_x25519(out, scalar, point);
        memcpy(point, scalar, 32);
        memcpy(scalar, out, 32);
    }
    check_hex(wanted, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
    CHECK_BYTES(out, wanted, 32);
}

static void test_eddsa(void) {
    uint8_t seed[32];
    uint8_t secret[64];
    uint8_t public_key[32];
    uint8_t signature[64];
    uint8_t wanted[32];
    uint8_t data[3] = {'a', 'b', 'c'};
    for (uint32_t i = 0; i < 32; i++) {
        seed[i] = (uint8_t)i;
    }
    pf_eddsa_key_pair(secret, public_key, seed);
    CHECK_EQ(seed[31], 31);
    /* printed by host/picofed/reference/signature.py */
    check_hex(wanted, "f65333fa6303b6a23defd7de2af8aa461cb047ccbf12d4edd29ef3b1eba6706b");
    CHECK_BYTES(public_key, wanted, 32);
    pf_eddsa_sign(signature, secret, data, sizeof data);
    check_hex(wanted, "f22299476253907d3c66224eb8a939676533e5c59d41ffdca043b4ed82c2e317");
    CHECK_BYTES(signature, wanted, 32);
    CHECK_EQ(pf_eddsa_check(signature, public_key, data, sizeof data), PF_OK);
    CHECK_EQ(pf_eddsa_check(signature, public_key, data, 2), PF_E_CORRUPT);
    for (size_t i = 0; i < 8 * sizeof signature; i += 7) {
        signature[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK_EQ(pf_eddsa_check(signature, public_key, data, sizeof data), PF_E_CORRUPT);
        signature[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    data[0] ^= 1u;
    CHECK_EQ(pf_eddsa_check(signature, public_key, data, sizeof data), PF_E_CORRUPT);
}

static void test_differ_and_wipe(void) {
    uint8_t a[40];
    uint8_t b[40];
    memset(a, 0x5a, sizeof a);
    memcpy(b, a, sizeof b);
    CHECK(!pf_differ(a, b, sizeof a));
    CHECK(!pf_differ(a, b, 0));
    for (size_t i = 0; i < 8 * sizeof a; i++) {
        b[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK_EQ(pf_differ(a, b, sizeof a), 1);
        b[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    pf_wipe(a, sizeof a);
    CHECK(pf_filled_with(a, 0, sizeof a));
}

static void test_integer_helpers(void) {
    uint64_t random = check_seed();
    static const uint32_t edges[] = {1, 2, 3, 7, 0xffff, 0x10000, 0x7fffffff, 0x80000000u, 0xfffffffeu, 0xffffffffu};
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t a = i < 100 ? edges[i / 10] : (uint32_t)check_random(&random) >> check_below(&random, 32);
        uint32_t b = i < 100 ? edges[i % 10] : (uint32_t)check_random(&random) >> check_below(&random, 32);
        CHECK(pf_multiply(a, b) == (uint64_t)a * b);
        b |= b == 0;
        CHECK_EQ(pf_divide(a, b), a / b);
        /* around squares */
        uint64_t square = (uint64_t)a * a;
        CHECK_EQ(pf_sqrt_ceil64(square), a);
        CHECK_EQ(pf_sqrt_ceil64(square + 1), a == 0xffffffffu ? a : a + 1); /* saturates, see port.h */
        if (a > 1) {
            CHECK_EQ(pf_sqrt_ceil64(square - 1), a);
        }
    }
    CHECK_EQ(pf_sqrt_ceil64(0), 0);
    CHECK_EQ(pf_sqrt_ceil64(UINT64_MAX), 0xffffffffu);
    uint8_t bytes[5] = {1, 2, 3, 4, 5};
    CHECK_EQ(pf_get_u32(bytes + 1), 0x05040302);
    CHECK_EQ(pf_get_u16(bytes + 3), 0x0504);
    pf_put_u32(bytes, 0x01020304);
    pf_put_u16(bytes + 3, 0xa0b0);
    CHECK_EQ(pf_get_u32(bytes), 0xb0020304u);
}

int main(void) {
    RUN(test_blake2b_rfc7693_and_keyed);
    RUN(test_chacha20_rfc8439);
    RUN(test_x25519_rfc7748);
    RUN(test_eddsa);
    RUN(test_differ_and_wipe);
    RUN(test_integer_helpers);
    return 0;
}
