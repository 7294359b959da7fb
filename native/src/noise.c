/* noise.c: PF-DG1, discrete Gaussian noise with sigma = 2^(m+1) (SPEC 3). */
#include "noise_pause.h"
#include "noise_trial.h"
#include "picofed.h"
#include "port.h"

#define NOISE_WORDS 80u
#define NOISE_TRIAL 5u

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

void pf_noise_hold(pf_noise_pause *pause, const pf_noise *noise) {
    pf_copy(pause->key, noise->key, 32);
    pause->counter = noise->counter;
    pause->used = noise->used;
    pause->m = noise->m;
}

void pf_noise_resume(pf_noise *noise, const pf_noise_pause *pause) {
    pf_copy(noise->key, pause->key, 32);
    noise->m = pause->m;
    noise->counter = pause->counter;
    if (pause->counter != 0) {
        noise->counter -= NOISE_WORDS / 16u; /* the blocks that were there, once more */
        noise_refill(noise);
    }
    noise->used = pause->used;
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
