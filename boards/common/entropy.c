#include "entropy.h"

#include <string.h>

#include "lib/crypto-algorithms/sha256.h"

#define SEED_MAX 64

typedef enum { FROM_HOST, FROM_SEED, STUCK, BIASED, CONSTANT } source_t;

static struct {
    source_t source;
    uint8_t seed[SEED_MAX];
    size_t seed_len;
    uint32_t boot, block;
    uint8_t bytes[SHA256_BLOCK_SIZE];
    size_t used;
    uint8_t stuck_at;
} entropy;

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Bytes decoded from lower-case hex, or -1.
static int from_hex(const char *hex, uint8_t *out, size_t max) {
    size_t n = strlen(hex);
    if (n == 0 || n % 2 != 0 || n / 2 > max) {
        return -1;
    }
    for (size_t i = 0; i < n / 2; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return -1;
        }
        out[i] = (uint8_t)(high << 4 | low); // both in 0..15
    }
    return (int)(n / 2);
}

int entropy_init(const char *spec, uint32_t boot) {
    entropy.boot = boot;
    entropy.block = 0;
    entropy.seed_len = 0;
    entropy.used = sizeof(entropy.bytes);
    if (spec == NULL) {
        entropy.source = FROM_HOST;
    } else if (strncmp(spec, "stuck:", 6) == 0) {
        entropy.source = STUCK;
        return from_hex(spec + 6, &entropy.stuck_at, 1) == 1 ? 0 : -1;
    } else if (strcmp(spec, "biased") == 0) {
        entropy.source = BIASED;
    } else if (strcmp(spec, "constant") == 0) {
        entropy.source = CONSTANT;
        entropy.boot = 0;
    } else {
        int n = from_hex(spec, entropy.seed, sizeof(entropy.seed));
        entropy.source = FROM_SEED;
        entropy.seed_len = n > 0 ? (size_t)n : 0;
        return n > 0 ? 0 : -1;
    }
    return 0;
}

static void le32(uint8_t out[4], uint32_t x) {
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(x >> (8 * i)); // shift <= 24
    }
}

static uint8_t next_byte(void) {
    if (entropy.used == sizeof(entropy.bytes)) {
        uint8_t position[8];
        le32(position, entropy.boot);
        le32(position + 4, entropy.block);
        if (entropy.source != CONSTANT) {
            entropy.block++;
        }
        CRYAL_SHA256_CTX hash;
        sha256_init(&hash);
        sha256_update(&hash, entropy.seed, entropy.seed_len);
        sha256_update(&hash, position, sizeof(position));
        sha256_final(&hash, entropy.bytes);
        entropy.used = 0;
    }
    return entropy.bytes[entropy.used++];
}

void entropy_read(uint8_t *out, size_t n) {
    if (entropy.source == FROM_HOST) {
        entropy_from_host(out, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        switch (entropy.source) {
        case STUCK:
            out[i] = entropy.stuck_at;
            break;
        case BIASED:
            out[i] = next_byte();
            out[i] |= next_byte();
            break;
        default:
            out[i] = next_byte();
        }
    }
}
