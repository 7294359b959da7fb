/* noise_trial.h: the parts of one trial of PF-DG1 (SPEC 3), shared by the sampler that boards have (noise.c) and the
 * one that draws many trials at once on hosts (wide.c). */
#ifndef PF_NOISE_TRIAL_H
#define PF_NOISE_TRIAL_H

#include "armv6m.h"
#include "noise_exp.h"
#include "picofed.h"

#ifdef PF_KERNELS_THUMB
#include "noise_thumb.h"
#endif

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

/* z = number of table entries <= r. Looks at all of them, without a branch on r. */
PF_INLINE uint32_t noise_steps(uint32_t high, uint32_t low) {
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
    uint32_t always = (uint32_t)pf_noise_threshold(z, y, m, &threshold_high, &threshold_low);
    uint32_t equal = (uint32_t)(high == threshold_high) & (uint32_t)(low < threshold_low);
    return always | (uint32_t)(high < threshold_high) | equal; /* no branch: t and T are secret */
}

#endif
