/* noise_exp.c: the 64-bit acceptance threshold, exactly.
 *
 * 128-bit fixed point, error below 2^-114.9, so T is right unless 2^64 exp(-x) is within 2^-50.9 of an integer. There
 * are 19 (2^24 - 1) arguments (those of an m below 24 are among those of 24); native/tests/exhaustive_noise.c goes
 * through all of them: the nearest is 2^-39 away (z = 0, y = 1). So T is exact for every argument. */
#include "noise_exp.h"

/* floor(2^128 / j!) for j = 10 down to 2 */
PF_TABLE uint32_t pf_noise_factorials[9][4] = {
    {0x5b4fa999u, 0x1cbbc05bu, 0x93edde27u, 0x0000049fu},
    {0x911ca002u, 0x671f5583u, 0xc74aad8eu, 0x00002e3bu},
    {0xa01a01a0u, 0x1a01a01au, 0xa01a01a0u, 0x0001a01au},
    {0x00d00d00u, 0xd00d00d0u, 0x0d00d00du, 0x000d00d0u},
    {0x05b05b05u, 0xb05b05b0u, 0x5b05b05bu, 0x005b05b0u},
    {0x22222222u, 0x22222222u, 0x22222222u, 0x02222222u},
    {0xaaaaaaaau, 0xaaaaaaaau, 0xaaaaaaaau, 0x0aaaaaaau},
    {0xaaaaaaaau, 0xaaaaaaaau, 0xaaaaaaaau, 0x2aaaaaaau},
    {0x00000000u, 0x00000000u, 0x00000000u, 0x80000000u},
};

/* out = floor(a b / 2^128); out may be a or b */
static void noise_exp_multiply(uint32_t out[4], const uint32_t a[4], const uint32_t b[4]) {
    uint32_t product[8];
    pf_zero(product, sizeof product);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t carry = 0;
        for (uint32_t j = 0; j < 4; j++) {
            /* (2^32 - 1)^2 + 2 (2^32 - 1) < 2^64 */
            uint64_t sum = pf_multiply(a[i], b[j]) + product[i + j] + carry;
            product[i + j] = (uint32_t)(sum & 0xffffffffu);
            carry = (uint32_t)(sum >> 32);
        }
        product[i + 4] = carry;
    }
    pf_copy(out, product + 4, 16);
    pf_zero(product, sizeof product);
}

/* out = a - b modulo 2^128; a = NULL stands for 2^128 itself */
static void noise_exp_subtract(uint32_t out[4], const uint32_t *a, const uint32_t b[4]) {
    uint32_t borrow = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t difference = (uint64_t)(a == NULL ? 0 : a[i]) - b[i] - borrow;
        out[i] = (uint32_t)(difference & 0xffffffffu);
        borrow = (uint32_t)(difference >> 63);
    }
}

void pf_noise_exact(uint32_t value[4], uint32_t z, uint32_t fraction) {
    /* r = x / 2^12 = y (y + 2^25 z) / 2^63, y = 2^24 f; y + 2^25 z < 2^24 * 37 < 2^30, product < 2^53.3, r < 2^-9.7 */
    uint32_t y = fraction >> 8;
    uint64_t product = pf_multiply(y, y + (z << 25)) << 1;
    uint32_t r[4] = {0, 0, (uint32_t)(product & 0xffffffffu), (uint32_t)(product >> 32)};

    /* exp(-r) = 1 - r (1 - r (1/2 - r (1/6 - ... 1/10!))). Left out: r^11 / 11! < 2^-132. Each step is off by its
     * coefficient (under 1 unit of 2^-128, low), the product's truncation (under 1, which makes the result high) and r
     * times the error before: |error| < 1.01. */
    uint32_t h[4];
    pf_copy(h, pf_noise_factorials[0], 16);
    for (uint32_t i = 1; i < 9; i++) {
        noise_exp_multiply(h, h, r);
        noise_exp_subtract(h, pf_noise_factorials[i], h);
    }
    for (uint32_t i = 0; i < 2; i++) {
        noise_exp_multiply(h, h, r);
        noise_exp_subtract(h, NULL, h); /* r h > 0, so that the difference is below 2^128 */
    }
    /* exp(-x) = exp(-r)^(2^12): a squaring doubles the error and truncates (under 1): 2^12 * 1.1 + 2^12 - 1 < 2^13.1 */
    for (uint32_t i = 0; i < 12; i++) {
        noise_exp_multiply(h, h, h);
    }
    pf_copy(value, h, 16);
}

int pf_noise_threshold(uint32_t z, uint32_t y, uint32_t m, uint32_t *high, uint32_t *low) {
    uint32_t value[4];
    /* for y = 0 too, although it is not needed: time must not tell that y is 0. The result is 2^128 modulo 2^128 then.
     */
    pf_noise_exact(value, z, y << 1 << (31 - m)); /* y < 2^m; two shifts: m = 0 would shift by 32 */
    *high = value[3];
    *low = value[2];
    return y == 0;
}
