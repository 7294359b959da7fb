/* elements.h: the loops over the elements of one layer, apart from each other, so that each has the registers to itself
 * (on ARMv6-M a third of the time of a training example was spent on spilled ones). */
#ifndef PF_ELEMENTS_H
#define PF_ELEMENTS_H

#include "kernels.h"

/* z_j += w_b b for n > 0 elements, b = 2^bias_shift. The whole sum is within (1023 * 127 + 128) * 2^14 < 2^31. */
void pf_add_biases(int32_t *z, const int16_t *biases, uint32_t n, uint32_t bias_shift);
/* The same, and out_j = sat(z_j >> (bias_shift + 6), 0, 127), where bias_shift + 6 = fraction bits - 5 for every layer;
 * z is left as it was. n > 0; bias_shift 5 or 7. */
void pf_relu(int8_t *out, const int32_t *z, const int16_t *biases, uint32_t n, uint32_t bias_shift);

/* 32-bit case of SPEC 2.5: delta_i = sat((s_i + 2^10) >> 11) where 0 < a_i < 127, else 0; s as pf_backward leaves it.
 * n > 0; |s_i| < 2^31 - 2^10. */
void pf_gate(int32_t *delta, const int32_t *s, const int8_t *a, uint32_t n);
/* The 64-bit case; s_i includes the 2^10; |s_i| < 2^39. */
void pf_gate_wide(int32_t *delta, const int64_t *s, const int8_t *a, uint32_t n);

/* The sum of squares of n > 0 elements within +-16383, < 1023 * 2^28. */
uint64_t pf_squares(const int32_t *delta, uint32_t n);
/* out[j * PF_BATCH] = trunc(delta_j factor / 2^15); n > 0, factor <= 2^15. */
void pf_scale(int32_t *out, const int32_t *delta, uint32_t n, uint32_t factor);
/* acc_j += (sum of the batch's deltas) << shift; n > 0: |sum| < PF_BATCH * 2^14, shift <= 7. */
void pf_add_deltas(uint32_t *acc, const int32_t *deltas, uint32_t n, uint32_t shift);

/* 1 if one of n activations is -128, which is outside the format. */
uint32_t pf_outside(const int8_t *a, size_t n);

#endif
