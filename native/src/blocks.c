/* blocks.c: a window as it is, in means of a few samples, and targets that come from the window itself (SPEC 8.4, 8.5).
 * What is done does not depend on the samples' values. */
#include "picofed.h"
#include "fixed.h"
#include "mean.h"
#include "port.h"

pf_status pf_features_blocks(int8_t *out, const int16_t *samples, uint32_t n, uint32_t block, uint32_t seen) {
    if (n < PF_WINDOW_MIN || n > PF_WINDOW_MAX || block == 0 || block > n || seen == 0 || seen > n) {
        return PF_E_ARGUMENT;
    }
    uint32_t blocks = pf_divide(n, block);
    if (blocks * block != n) {
        return PF_E_ARGUMENT;
    }
    int32_t sums[PF_IMU_AXES];
    pf_axis_sums(sums, samples, seen);
    int32_t sign = sums[0] >> 31 | 1;
    uint32_t inverse = pf_mean_inverse(block);
    for (uint32_t k = 0; k < blocks; k++) {
        pf_axis_sums(sums, samples, block);
        for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
            int32_t mean = pf_mean(sums[i], block, inverse);
            int32_t mirror = i == 0 || i >= 4u ? sign : 1;
            *out++ = (int8_t)pf_limit((mirror * mean) >> 6, -127, 127); /* |mean| <= 2^15 */
        }
        samples += PF_IMU_AXES * block;
    }
    return PF_OK;
}

void pf_targets(uint8_t *out, const int8_t *values, size_t n, const int8_t *from, size_t period) {
    size_t at = 0;
    for (size_t k = 0; k < n; k++) {
        int32_t value = values[k];
        if (period != 0) {
            value -= from[at]; /* within 255 */
            at = at + 1u == period ? 0 : at + 1u;
        }
        pf_put_u16(out + 2u * k, (uint32_t)(value * 32)); /* within 2^13 */
    }
}
