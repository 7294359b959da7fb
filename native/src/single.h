/* single.h: training on one example at a time, where there is no memory for a batch: trainers with an image. */
#ifndef PF_SINGLE_H
#define PF_SINGLE_H

#include "trainer.h"

/* Sum of squares of n activations, <= 1023 * 127^2 < 2^24. */
uint32_t pf_single_squares(const int8_t *a, uint32_t n);
/* Copies n deltas within +-16383; returns the sum of squares, < 1023 * 2^28. */
uint64_t pf_single_keep(int32_t *out, const int32_t *delta, uint32_t n);
/* Scales the deltas that were kept and adds the example to the accumulators. */
void pf_single_accumulate(pf_trainer *trainer, const int8_t *features, uint32_t factor);

#endif
