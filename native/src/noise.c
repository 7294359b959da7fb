/* noise.c: PF-DG1, discrete Gaussian noise with sigma = 2^(m+1) (SPEC 3). */
#include "armv6m.h"
#include "noise_exp.h"
#include "picofed.h"
#include "port.h"

#ifdef PF_KERNELS_THUMB
#include "noise_thumb.h"
#endif

#define NOISE_WORDS 80u
#define NOISE_TRIAL 5u

/* 2^64 - CDT[i] with CDT[i] = round(2^64 (W_0 + ... + W_i) / sum W), W_k = exp(-k^2 / 8): r plus that carries out of 64
 * bits when r >= CDT[i]. Low word, high word for i < 12; the others' high words are 0. */
PF_TABLE uint32_t pf_noise_wide[24] = {
    0x39cf6444u,
    0xaadad36du,
    0x6f2d275cu,
    0x5fb6e322u,
    0xf6e48f2du,
    0x2c123b9bu,
    0x4da958a4u,
    0x106db9fbu,
    0xf5626b43u,
    0x04e7ccbcu,
    0xbafa2f89u,
    0x012a1948u,
    0x96999828u,
    0x0037f43bu,
    0x65172cb8u,
    0x000845ddu,
    0x2a07bc80u,
    0x0000f5f5u,
    0xe71bea0au,
    0x00001663u,
    0x61545fc1u,
    0x00000198u,
    0xbed9db3bu,
    0x00000016u,
};
PF_TABLE uint32_t pf_noise_narrow[6] = {
    0xfd4f5421u,
    0x0899f007u,
    0x003a5488u,
    0x0001347bu,
    0x000004f8u,
    0x00000010u,
};
#ifdef PF_KERNELS_THUMB
/* "expand 32-byte k" */
PF_TABLE uint32_t pf_noise_constants[4] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
#else
PF_TABLE uint8_t pf_noise_nonce[12] = {0};
#endif

pf_status pf_noise_init(pf_noise *noise, const uint8_t key[32], uint32_t log2_sigma) {
    if (log2_sigma < 1 || log2_sigma > PF_LOG2_SIGMA_MAX) {
        return PF_E_ARGUMENT;
    }
    pf_copy(noise->key, key, 32);
    pf_zero(noise->words, sizeof noise->words);
    noise->counter = 0;
    noise->used = NOISE_WORDS;
    noise->m = log2_sigma - 1;
    return PF_OK;
}

#ifdef PF_KERNELS_THUMB
static void noise_refill(pf_noise *noise) {
    uint32_t state[16]; /* the nonce, words 13 to 15, is 0 */
    for (uint32_t i = 0; i < 16; i++) {
        state[i] = i < 4 ? pf_noise_constants[i] : i < 12 ? pf_get_u32(noise->key + 4u * (i - 4u)) : 0;
        PF_OPAQUE(i);
    }
    for (uint32_t *out = noise->words; out != noise->words + NOISE_WORDS; out += 16) {
        state[12] = noise->counter++;
        pf_thumb_chacha(out, state);
    }
    pf_wipe(state + 4, 32); /* the key */
    noise->used = 0;
}
#else
static void noise_refill(pf_noise *noise) {
    /* five blocks a call: a call per block spends a third of its time on setting up and wiping */
    noise->counter =
        pf_chacha20((uint8_t *)noise->words, NULL, sizeof noise->words, noise->key, pf_noise_nonce, noise->counter);
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    for (uint32_t i = 0; i < NOISE_WORDS; i++) {
        noise->words[i] = pf_get_u32((const uint8_t *)&noise->words[i]);
    }
#endif
    noise->used = 0;
}
#endif

/* z = number of table entries <= r. Looks at all of them, without a branch on r. */
static inline uint32_t noise_steps(uint32_t high, uint32_t low) {
#ifdef PF_KERNELS_THUMB
    return pf_thumb_noise_steps(high, low, pf_noise_wide, pf_noise_narrow);
#else
    uint32_t z = 0;
    for (const uint32_t *entry = pf_noise_wide; entry != pf_noise_wide + 24; entry += 2) {
        uint32_t sum = low + entry[0];                 /* modulo 2^32: carries if it is smaller than a term */
        uint32_t addend = entry[1] + (sum < entry[0]); /* < 2^32: entry[1] < 0xaadad36e */
        z += high + addend < addend;
    }
    uint32_t carries = 0;
    for (const uint32_t *entry = pf_noise_narrow; entry != pf_noise_narrow + 6; entry++) {
        carries += low + *entry < *entry;
    }
    /* there the high word carries only if it is all ones, and the low one did */
    return z + (carries & (0u - (high + 1 < 1)));
#endif
}

/* t < T, exactly. Out of line: called with probability 2^-27. */
static PF_NOINLINE uint32_t noise_decide(uint32_t z, uint32_t y, uint32_t m, uint32_t high, uint32_t low) {
    uint32_t threshold_high;
    uint32_t threshold_low;
    if (pf_noise_threshold(z, y, m, &threshold_high, &threshold_low)) {
        return 1;
    }
    return high < threshold_high || (high == threshold_high && low < threshold_low);
}

void pf_noise_fill(pf_noise *noise, int32_t *out, size_t n) {
    uint32_t m = noise->m;
    uint32_t mask = ~(0xffffffffu >> m); /* m <= 24 */
    size_t done = 0;
    while (done < n) {
        if (noise->used == NOISE_WORDS) { /* depends on the number of trials only */
            noise_refill(noise);
        }
        const uint32_t *words = noise->words + noise->used;
        noise->used += NOISE_TRIAL;
        uint32_t z = noise_steps(words[0], words[1]);
        uint32_t w = words[2];
        uint32_t high = words[3];
        uint32_t low = words[4];
        uint32_t sign = w & 1u;
        uint32_t fraction = w & mask;           /* y as a Q32 fraction */
        uint32_t y = fraction >> 1 >> (31 - m); /* two shifts: m = 0 would shift by 32 */

        uint32_t p = pf_noise_fast(z, fraction);
        uint32_t accept = high < p;
        /* modulo 2^32, which can only send more here; includes every y = 0 that p would refuse */
        if (high - p + PF_NOISE_MARGIN < 2 * PF_NOISE_MARGIN) {
            accept = noise_decide(z, y, m, high, low);
        }
        accept &= ~(sign & ((z | y) - 1) >> 31); /* z | y < 2^25: the top bit says z = y = 0 */
        uint32_t magnitude = (z << m) + y;       /* <= 19 * 2^24 */
        out[done] = (int32_t)((magnitude ^ (0u - sign)) + sign);
        done += accept;
    }
}
