/* crypto.c: the primitives, for the cycle model; apart from bench.c, because X25519 needs the compiler's runtime
 * library (64-bit products) and a memset, both of which a native module gets from MicroPython. */
#include "picofed.h"

#define CRYPTO_BYTES 1024u

uint8_t crypto_data[CRYPTO_BYTES];
uint8_t crypto_key[32];

void bench_chacha20(void);
void bench_blake2b(uint32_t n);
void bench_x25519(void);
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
    pf_x25519(crypto_data, crypto_key, crypto_data + 32);
}
