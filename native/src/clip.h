/* clip.h: exact clipping by the outer-product identity (SPEC 2.6): the squared norm of sum over layers delta x (a, b)
 * is sum D A, so that it is known before a single product is accumulated. */
#ifndef PF_CLIP_H
#define PF_CLIP_H

#include "port.h"

/* D A, exact if below 2^64. d < 2^40 (at most 1023 rows of squares below 2^28, or 65535 of them in pf_clip), a any. */
PF_INLINE uint64_t pf_clip_product(uint64_t d, uint32_t a, uint32_t *overflow) {
    uint64_t low = pf_multiply((uint32_t)d, a);
    uint64_t high = pf_multiply((uint32_t)(d >> 32), a); /* < 2^12 * 2^32 */
    uint64_t product = low + (high << 32);
    *overflow |= (uint32_t)(high >> 32) | (uint32_t)(product < low);
    return product;
}

/* The same for one layer of a model: d <= 1023 * 16383^2 < 2^38 and a <= 1023 * 127^2 + 2^14 < 2^25, so that the upper
 * product is below 2^6 * 2^25 and there is no overflow. */
PF_INLINE uint64_t pf_clip_layer(uint64_t d, uint32_t a) {
    uint32_t high = (uint32_t)(d >> 32) * a;
    return pf_multiply((uint32_t)d, a) + ((uint64_t)high << 32);
}

/* f of SPEC 2.6, in 0..2^15: 2^15 where the squared norm is within clip_norm^2 (then nothing changes), otherwise
 * floor(C 2^15 / ceil(sqrt square)) < 2^15. clip_norm 1..2^20 - 1; 0: no clipping. The work done does not depend on the
 * values. */
uint32_t pf_clip_factor(uint64_t square, uint32_t clip_norm);

/* trunc(delta factor / 2^15), towards zero. |delta| <= 2^15, factor <= 2^15: the product is within 2^30. */
PF_INLINE int32_t pf_clip_scale(int32_t delta, uint32_t factor) {
    int32_t product = delta * (int32_t)factor;
    uint32_t towards_zero = (uint32_t)(product >> 31) >> 17; /* 2^15 - 1 for a negative product: the shift is a floor */
    return (product + (int32_t)towards_zero) >> 15;
}

#endif
