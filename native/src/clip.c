#include "picofed.h"
#include "clip.h"
#include "fixed.h"

uint32_t pf_clip_factor(uint64_t square, uint32_t clip_norm) {
    uint32_t root = pf_sqrt_ceil(square);
    /* numerator < denominator is needed by the division: where it does not hold, its result is not used. */
    uint32_t denominator = root > clip_norm ? root : clip_norm + 1u;
    uint32_t factor = pf_quotient(clip_norm, denominator, 0);
    /* square <= C^2 exactly if ceil(sqrt square) <= C */
    uint32_t within = (uint32_t)(root <= clip_norm) | (uint32_t)(clip_norm == 0);
    return factor + ((32768u - factor) & (0u - within));
}

/* sum of squares of one layer's deltas; *outside is set if one is outside the format. < 65535 * 2^30 < 2^46 */
static uint64_t pf_clip_square(const int16_t *delta, uint32_t n, uint32_t *outside) {
    uint64_t sum = 0;
    for (uint32_t j = 0; j < n; j++) {
        int32_t d = delta[j];
        *outside |= (uint32_t)(d > PF_DELTA_MAX) | (uint32_t)(d < -PF_DELTA_MAX);
        sum += (uint32_t)(d * d); /* <= 2^30 */
    }
    return sum;
}

pf_status pf_clip(int16_t *const *deltas, const uint16_t *delta_counts, const uint32_t *activation_squares,
    size_t layers, uint32_t clip_norm, uint64_t *before, uint64_t *after) {
    if (layers == 0 || layers > PF_LAYERS_MAX || clip_norm == 0 || clip_norm > PF_CLIP_NORM_MAX) {
        return PF_E_ARGUMENT;
    }
    uint64_t square = 0;
    uint32_t outside = 0;
    for (size_t l = 0; l < layers; l++) {
        uint64_t d = pf_clip_square(deltas[l], delta_counts[l], &outside);
        uint64_t product = pf_clip_product(d, activation_squares[l], &outside);
        square += product;
        outside |= square < product;
    }
    if (outside != 0) {
        return PF_E_RANGE;
    }
    uint32_t factor = pf_clip_factor(square, clip_norm);
    uint64_t clipped = 0; /* <= square */
    for (size_t l = 0; l < layers; l++) {
        for (uint32_t j = 0; j < delta_counts[l]; j++) {
            deltas[l][j] = (int16_t)pf_clip_scale(deltas[l][j], factor);
        }
        clipped +=
            pf_clip_product(pf_clip_square(deltas[l], delta_counts[l], &outside), activation_squares[l], &outside);
    }
    *before = square;
    *after = clipped;
    return PF_OK;
}
