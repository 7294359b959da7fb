/* crypto.c: the primitives, for the cycle model; apart from bench.c, because X25519 needs the compiler's runtime
 * library (64-bit products) and a memset, both of which a native module gets from MicroPython. */
#include "picofed.h"

#define CRYPTO_BYTES 1024u

#define CRYPTO_FIELDS 256u

uint8_t crypto_data[CRYPTO_BYTES] __attribute__((aligned(8)));
uint32_t crypto_values[CRYPTO_FIELDS];
uint8_t crypto_out[CRYPTO_BYTES] __attribute__((aligned(8)));
uint8_t crypto_key[32];

void bench_chacha20(void);
void bench_blake2b(uint32_t n);
void bench_x25519(void);
void bench_x25519_public(void);
uint32_t bench_mask_encode(uint32_t bits);
uint32_t bench_mask_add(uint32_t bits, uint32_t minus);
uint32_t bench_share(uint32_t threshold);
uint32_t bench_differ(uint32_t n);
void bench_product(void);
void *memset(void *to, int value, size_t n);

void *memset(void *to, int value, size_t n) {
    for (uint8_t *out = to; n != 0; n--) {
        *out++ = (uint8_t)value;
    }
    return to;
}

void bench_chacha20(void) {
    static const uint8_t nonce[12] = {0};
    (void)pf_chacha20(crypto_data, crypto_data, CRYPTO_BYTES, crypto_key, nonce, 0);
}

/* A keyed tag of 8 bytes over n bytes. */
void bench_blake2b(uint32_t n) {
    uint8_t tag[8];
    pf_blake2b(tag, sizeof tag, crypto_key, sizeof crypto_key, crypto_data, n);
}

void bench_x25519(void) {
    pf_x25519(crypto_out, crypto_key, crypto_data);
}

void bench_x25519_public(void) {
    pf_x25519_public(crypto_out, crypto_key);
}

uint32_t bench_mask_encode(uint32_t bits) {
    return (uint32_t)pf_mask_encode(crypto_out, sizeof crypto_out, crypto_values, CRYPTO_FIELDS, 3, bits, crypto_key);
}

uint32_t bench_mask_add(uint32_t bits, uint32_t minus) {
    size_t len = (CRYPTO_FIELDS * bits + 7) / 8; /* <= 1024 */
    return (uint32_t)pf_mask_add(crypto_data, len, CRYPTO_FIELDS, bits, crypto_key, minus);
}

/* A share of the secret crypto_key, by coefficients from crypto_data. */
uint32_t bench_share(uint32_t threshold) {
    return (uint32_t)pf_shamir_share(crypto_out, crypto_key, crypto_data, threshold, 5);
}

/* The tags that a session compares. */
uint32_t bench_differ(uint32_t n) {
    return (uint32_t)pf_differ(crypto_key, crypto_data, n);
}

/* Of two 64-bit integers in crypto_data. */
void bench_product(void) {
    const uint64_t *factors = (const uint64_t *)(const void *)crypto_data;
    *(uint64_t *)(void *)crypto_out = factors[0] * factors[1];
}
