/* noise_exp.h: the acceptance threshold of PF-DG1 (SPEC 3), T(z, y) = floor(2^64 exp(-x)).
 *
 * With f = y / 2^m in [0, 1), x = y (y + 2^(m+1) z) / 2^(2m+3) = f (f + 2 z) / 8 depends on z and f only. f is handed
 * over as a Q32 fraction, F = y 2^(32-m): one set of arguments serves every m. z <= 18, so x < 37/8. */
#ifndef PF_NOISE_EXP_H
#define PF_NOISE_EXP_H

#include "port.h"

/* How far the fast threshold may lie from T / 2^32, rounded up generously: the bound derived below is 6.9. */
#define PF_NOISE_MARGIN 16u

/* High word of a * b, less than 3 too small: the two shifts drop less than 1 each, and the product of the low halves,
 * which is left out, is less than 2^32. Three multiplications instead of a libgcc call (port.h, trap 2). */
PF_ALWAYS_INLINE uint32_t pf_noise_high(uint32_t a, uint32_t b) {
    uint32_t a_low = a & 0xffffu;
    uint32_t a_high = a >> 16;
    uint32_t b_low = b & 0xffffu;
    uint32_t b_high = b >> 16;
    return a_high * b_high + ((a_high * b_low) >> 16) + ((a_low * b_high) >> 16);
}

/* p with -3.9 < p - 2^32 exp(-x) < 6.9, for z <= 18 and the low 8 bits of fraction 0 (m <= 24). No branch and no table,
 * because z and the fraction are secret.
 *
 * exp(-x) = 2^-t with t = (f^2 + 2 z f) c, c = log2(e) / 8. "ulp" below is 2^-32.
 *
 * f^2 + 2 z f = whole + part, whole <= 36. pf_noise_high(F, F) is less than 3 ulp low, the rest exact.
 *
 * t: whole c with c in two pieces, 11818 / 2^16 + 37431644 / 2^42 (error 2^-43, times 36: under 0.02 ulp; shift: under
 * 1 ulp low); part c with c truncated to 774541002 / 2^32 (0.4 low) and pf_noise_high (3 low); 3 ulp of part (0.6 low).
 * Altogether -5.0 < t_computed - t < 0.02 ulp, which makes p at most 5.0 ln 2 < 3.5 ulp high, 0.02 low.
 *
 * 2^-g = 1 - s(g), g the fractional part: a minimax polynomial of degree 7 without constant term, off by 2^-34.9, that
 * is 0.14 ulp. Its coefficients are Q32, Q34, Q36, Q38, Q41, Q44, Q48, rounded (0.5 of their own unit). A step h = a -
 * (g h' >> shift) with h' off by (low, high) is off by more than -0.5 - high / 2^shift and by less than 0.5 + 1 + 3 /
 * 2^shift - low / 2^shift units: (-0.6, 1.8), (-0.8, 2.0), (-0.8, 2.0), (-1.0, 2.5), (-1.2, 2.5), (-1.2, 2.6) in turn.
 * The last product adds up to 3 low: s is off by -4.2 .. 2.6 ulp, with the polynomial's own error -4.4 .. 2.8.
 *
 * ~s is 2^32 - 1 - s, one more ulp low. For k = 0, p is off by -2.8 - 1 - 0.02 .. 4.4 - 1 + 3.5. For k >= 1 that is at
 * least halved, and the final shift takes less than 1: inside the same bounds.
 *
 * Measured over all 19 * 2^24 arguments (native/tests/exhaustive_noise.c): -2 .. 4. */
PF_INLINE uint32_t pf_noise_fast(uint32_t z, uint32_t fraction) {
    uint32_t low = (fraction & 0xffffu) * (2 * z);            /* < 2^16 * 36 < 2^22 */
    uint32_t high = (fraction >> 16) * (2 * z) + (low >> 16); /* < 2^22 */
    uint32_t square = pf_noise_high(fraction, fraction);
    uint32_t part = (high << 16 | (low & 0xffffu)) + square; /* modulo 2^32, carry below */
    uint32_t whole = (high >> 16) + (part < square);         /* <= 36 */

    uint32_t scaled = whole * 11818u;                  /* Q16, < 2^19 */
    uint32_t rest = ((whole * 37431644u) >> 10)        /* 36 * 37431644 < 2^31 */
                    + pf_noise_high(part, 774541002u); /* < 2^22 + 2^29.6 */
    uint32_t g = (scaled << 16) + rest;                /* modulo 2^32, carry below */
    uint32_t k = (scaled >> 16) + (g < rest);          /* <= 6 */

    /* 0 < h in every step: a coefficient is more than twice as large as the next, in real value, and g < 1 */
    uint32_t h = 0x9a97eb40u - (pf_noise_high(0xb652f966u, g) >> 4);
    h = 0xae11b978u - (pf_noise_high(h, g) >> 3);
    h = 0x9d8b622au - (pf_noise_high(h, g) >> 3);
    h = 0xe357ad05u - (pf_noise_high(h, g) >> 2);
    h = 0xf5fdeb96u - (pf_noise_high(h, g) >> 2);
    h = 0xb17217edu - (pf_noise_high(h, g) >> 2);
    return ~pf_noise_high(h, g) >> k; /* s < 1/2 + 2^-29 */
}

/* 2^128 exp(-x) as four words, least significant first, off by less than 2^13.1 (2^-50.9 of a unit of T), modulo 2^128
 * for fraction = 0; low 8 bits of fraction 0, z <= 18. Slow; takes the same time for all arguments. */
void pf_noise_exact(uint32_t value[4], uint32_t z, uint32_t fraction);
/* T(z, y), which is 2^64 for y = 0: returns 1 then and sets the words to 0. z <= 18, m <= 24, y < 2^m. */
int pf_noise_threshold(uint32_t z, uint32_t y, uint32_t m, uint32_t *high, uint32_t *low);

#endif
