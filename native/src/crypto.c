/* crypto.c: the core's primitives, from Monocypher 4 (not part of this repository; the build supplies it). */
#include "picofed.h"
#include "port.h"
#include "monocypher.h"

void pf_blake2b(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len, const uint8_t *data, size_t len) {
    crypto_blake2b_keyed(out, out_len, key, key_len, data, len);
}

uint32_t pf_chacha20(
    uint8_t *out, const uint8_t *data, size_t len, const uint8_t key[32], const uint8_t nonce[12], uint32_t counter) {
    return crypto_chacha20_ietf(out, data, len, key, nonce, counter);
}

void pf_x25519(uint8_t shared[32], const uint8_t secret[32], const uint8_t public_key[32]) {
    crypto_x25519(shared, secret, public_key);
}

void pf_x25519_public(uint8_t public_key[32], const uint8_t secret[32]) {
    crypto_x25519_public_key(public_key, secret);
}

void pf_eddsa_key_pair(uint8_t secret[64], uint8_t public_key[32], const uint8_t seed[32]) {
    uint8_t copy[32]; /* Monocypher wipes the seed that it is given */
    pf_copy(copy, seed, sizeof copy);
    crypto_eddsa_key_pair(secret, public_key, copy);
}

void pf_eddsa_sign(uint8_t signature[64], const uint8_t secret[64], const uint8_t *data, size_t len) {
    crypto_eddsa_sign(signature, secret, data, len);
}

pf_status pf_eddsa_check(const uint8_t signature[64], const uint8_t public_key[32], const uint8_t *data, size_t len) {
    return crypto_eddsa_check(signature, public_key, data, len) == 0 ? PF_OK : PF_E_CORRUPT;
}

int pf_differ(const uint8_t *a, const uint8_t *b, size_t len) {
    uint32_t difference = 0;
    for (size_t i = 0; i < len; i++) {
        difference |= (uint32_t)(a[i] ^ b[i]);
        PF_OPAQUE(difference);
    }
    return difference != 0;
}

/* As Monocypher's, by words where it can: a round wipes all of a trainer. */
PF_NOINLINE void pf_wipe(void *mem, size_t len) {
    volatile uint8_t *out = (volatile uint8_t *)mem;
#ifdef PF_WORDS
    if (((uintptr_t)mem & 3u) == 0) {
        volatile pf_word *words = (volatile pf_word *)mem;
        for (; len >= 16u; len -= 16u) {
            words[0] = 0;
            words[1] = 0;
            words[2] = 0;
            words[3] = 0;
            words += 4;
        }
        out = (volatile uint8_t *)words;
    }
#endif
    for (; len != 0; len--) {
        *out++ = 0;
    }
}
