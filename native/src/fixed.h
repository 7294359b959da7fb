/* fixed.h: the loss functions and the fixed-point helpers of training (SPEC 2.2 to 2.6). */
#ifndef PF_FIXED_H
#define PF_FIXED_H

#include "port.h"

#define PF_WEIGHT_MIN (-16384)
#define PF_WEIGHT_MAX 16383
#define PF_DELTA_MAX 16383
#define PF_INPUT_MAX 127

/* Bias activation and fraction bits of the pre-activations; `first`: the layer is the model's first. */
PF_INLINE uint32_t pf_bias_shift(uint32_t first) {
    return first ? 7u : 5u; /* b = 2^7 or 2^5 */
}

PF_INLINE uint32_t pf_fraction_bits(uint32_t first) {
    return first ? 18u : 16u;
}

/* Limit x to [low, high] without a branch. Needs |x| <= 2^30 and |low|, |high| <= 2^30: the differences fit. */
PF_ALWAYS_INLINE int32_t pf_limit(int32_t x, int32_t low, int32_t high) {
    int32_t over = x - high;
    x -= over & ~(over >> 31);
    int32_t under = x - low;
    return x - (under & (under >> 31));
}

/* Softmax and cross-entropy (SPEC 2.3). logits: n pre-activations, Qbits (16 or 18); out: n deltas, Q12, in
 * [-4096, 4096], absolute values summing to at most 2^13 + 2^7: sum p <= 4096 + n / 2, as each p is rounded.
 * 2 <= n <= 255, label < n. out must not overlap logits. */
void pf_softmax_delta(int32_t *out, const int32_t *logits, uint32_t n, uint32_t bits, uint32_t label);

/* Squared error (SPEC 2.4). targets: n int16, little-endian, Q12; out: n deltas, Q12, within +-16383. */
void pf_squared_delta(int32_t *out, const int32_t *logits, uint32_t n, uint32_t bits, const uint8_t *targets);

/* floor((remainder 2^15 + rest) / divisor) for remainder < divisor, where the 15 bits of rest all are `next` (0 or 1):
 * 15 digits, whatever the values are. */
uint32_t pf_quotient(uint32_t remainder, uint32_t divisor, uint32_t next);

/* ceil(sqrt(n)), saturating at 2^32 - 1 (harmless in SPEC 2.6: see pf_sqrt_ceil64 in port.h, the plain version of
 * this); the number of steps does not depend on n. */
uint32_t pf_sqrt_ceil(uint64_t n);

#endif
