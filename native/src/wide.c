/* wide.c: PF-DG1 for many samples at once: eight ChaCha20 blocks side by side, then 128 trials side by side. */
#include "wide.h"
#include "noise_trial.h"
#include "picofed.h"

#if defined(__GNUC__) || defined(__clang__)

#define WIDE_LANES 8u
#define WIDE_BLOCKS 40u  /* the fewest, in whole groups of lanes, that are whole trials */
#define WIDE_TRIALS 128u /* 40 blocks of 16 words, 5 words a trial */

typedef uint32_t pf_lanes __attribute__((vector_size(4 * WIDE_LANES)));

#define WIDE_ROTATE(x, k) (((x) << (k)) | ((x) >> (32 - (k))))
#define WIDE_QUARTER(a, b, c, d)                                                                                       \
    do {                                                                                                               \
        a += b;                                                                                                        \
        d ^= a;                                                                                                        \
        d = WIDE_ROTATE(d, 16);                                                                                        \
        c += d;                                                                                                        \
        b ^= c;                                                                                                        \
        b = WIDE_ROTATE(b, 12);                                                                                        \
        a += b;                                                                                                        \
        d ^= a;                                                                                                        \
        d = WIDE_ROTATE(d, 8);                                                                                         \
        c += d;                                                                                                        \
        b ^= c;                                                                                                        \
        b = WIDE_ROTATE(b, 7);                                                                                         \
    } while (0)

/* Keystream blocks counter .. counter + 7 (RFC 8439) under a nonce of zeros; out: [block][word]. */
PF_WIDE_BODY void wide_chacha(uint32_t *out, const uint32_t state[12], uint32_t counter) {
    pf_lanes x[16];
    pf_lanes start[16];
    for (uint32_t i = 0; i < 16; i++) {
        for (uint32_t lane = 0; lane < WIDE_LANES; lane++) {
            start[i][lane] = i < 12 ? state[i] : 0;
        }
    }
    for (uint32_t lane = 0; lane < WIDE_LANES; lane++) {
        start[12][lane] = counter + lane; /* below 2^32: 2^25 samples take fewer than 2^26 blocks */
    }
    for (uint32_t i = 0; i < 16; i++) {
        x[i] = start[i];
    }
    for (uint32_t round = 0; round < 10; round++) {
        WIDE_QUARTER(x[0], x[4], x[8], x[12]);
        WIDE_QUARTER(x[1], x[5], x[9], x[13]);
        WIDE_QUARTER(x[2], x[6], x[10], x[14]);
        WIDE_QUARTER(x[3], x[7], x[11], x[15]);
        WIDE_QUARTER(x[0], x[5], x[10], x[15]);
        WIDE_QUARTER(x[1], x[6], x[11], x[12]);
        WIDE_QUARTER(x[2], x[7], x[8], x[13]);
        WIDE_QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (uint32_t i = 0; i < 16; i++) {
        x[i] += start[i];
        for (uint32_t lane = 0; lane < WIDE_LANES; lane++) {
            out[16u * lane + i] = x[i][lane];
        }
    }
}

/* Trials are columns here: the same steps as in pf_noise_fill, which says why. */
typedef struct {
    uint32_t first[WIDE_TRIALS];
    uint32_t second[WIDE_TRIALS];
    uint32_t middle[WIDE_TRIALS];
    uint32_t high[WIDE_TRIALS];
    uint32_t low[WIDE_TRIALS];
    uint32_t z[WIDE_TRIALS];
    uint32_t accept[WIDE_TRIALS];
    int32_t value[WIDE_TRIALS];
} pf_wide_trials;

PF_WIDE_BODY void wide_columns(pf_wide_trials *trials, const uint32_t *words) {
    for (uint32_t t = 0; t < WIDE_TRIALS; t++) {
        trials->first[t] = words[5u * t];
        trials->second[t] = words[5u * t + 1u];
        trials->middle[t] = words[5u * t + 2u];
        trials->high[t] = words[5u * t + 3u];
        trials->low[t] = words[5u * t + 4u];
    }
}

PF_WIDE_BODY void wide_try(pf_wide_trials *trials, uint32_t m) {
    uint32_t mask = ~(0xffffffffu >> m); /* m <= 24 */
    uint32_t unclear = 0;
    for (uint32_t t = 0; t < WIDE_TRIALS; t++) {
        trials->z[t] = noise_steps(trials->first[t], trials->second[t]);
    }
    for (uint32_t t = 0; t < WIDE_TRIALS; t++) {
        uint32_t p = pf_noise_fast(trials->z[t], trials->middle[t] & mask);
        trials->accept[t] = trials->high[t] < p;
        unclear |= trials->high[t] - p + PF_NOISE_MARGIN < 2 * PF_NOISE_MARGIN;
    }
    if (unclear) {
        for (uint32_t t = 0; t < WIDE_TRIALS; t++) {
            uint32_t fraction = trials->middle[t] & mask;
            uint32_t p = pf_noise_fast(trials->z[t], fraction);
            if (trials->high[t] - p + PF_NOISE_MARGIN < 2 * PF_NOISE_MARGIN) {
                uint32_t y = fraction >> 1 >> (31 - m);
                trials->accept[t] = noise_decide(trials->z[t], y, m, trials->high[t], trials->low[t]);
            }
        }
    }
    for (uint32_t t = 0; t < WIDE_TRIALS; t++) {
        uint32_t y = (trials->middle[t] & mask) >> 1 >> (31 - m);
        uint32_t z = trials->z[t];
        uint32_t sign = trials->middle[t] & 1u;
        trials->accept[t] &= ~(sign & ((z | y) - 1) >> 31);
        uint32_t magnitude = (z << m) + y; /* <= 19 * 2^24 */
        trials->value[t] = (int32_t)((magnitude ^ (0u - sign)) + sign);
    }
}

PF_WIDE_BODY void wide_fill(int32_t *out, size_t n, const uint8_t key[32], uint32_t m) {
    uint32_t state[12] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u, 0, 0, 0, 0, 0, 0, 0, 0};
    for (uint32_t i = 0; i < 8; i++) {
        state[4u + i] = pf_get_u32(key + 4u * i);
    }
    uint32_t words[16u * WIDE_BLOCKS];
    pf_wide_trials trials;
    uint32_t counter = 0;
    for (size_t done = 0; done < n;) {
        for (uint32_t block = 0; block < WIDE_BLOCKS; block += WIDE_LANES) {
            wide_chacha(words + 16u * block, state, counter + block);
        }
        counter += WIDE_BLOCKS;
        wide_columns(&trials, words);
        wide_try(&trials, m);
        for (uint32_t t = 0; t < WIDE_TRIALS && done < n; t++) {
            out[done] = trials.value[t];
            done += trials.accept[t];
        }
    }
}

#ifdef PF_WIDE_X86
__attribute__((target("avx2"))) static void wide_fill_avx2(int32_t *out, size_t n, const uint8_t key[32], uint32_t m) {
    wide_fill(out, n, key, m);
}
#endif

static void wide_fill_plain(int32_t *out, size_t n, const uint8_t key[32], uint32_t m) {
    wide_fill(out, n, key, m);
}

void pf_wide_noise(int32_t *out, size_t n, const uint8_t key[32], uint32_t log2_sigma) {
#ifdef PF_WIDE_X86
    if (__builtin_cpu_supports("avx2")) {
        wide_fill_avx2(out, n, key, log2_sigma - 1u);
        return;
    }
#endif
    wide_fill_plain(out, n, key, log2_sigma - 1u);
}

#else

void pf_wide_noise(int32_t *out, size_t n, const uint8_t key[32], uint32_t log2_sigma) {
    pf_noise noise;
    if (pf_noise_init(&noise, key, log2_sigma) == PF_OK) {
        pf_noise_fill(&noise, out, n);
    }
}

#endif
