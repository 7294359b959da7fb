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
    int32_t first = 0; /* of the first axis, seen samples: within 2^22 */
    const int16_t *sample = samples;
    for (const int16_t *end = samples + PF_IMU_AXES * seen; sample != end; sample += PF_IMU_AXES) {
        first += *sample;
    }
    int32_t mirror = first >> 31;
    uint32_t inverse = pf_divide(((uint32_t)1 << 21) + block - 1u, block); /* ceil(2^21 / block) */
    for (const int8_t *end = out + PF_IMU_AXES * blocks; out != end;) {
        int32_t sums[PF_IMU_AXES];
        pf_axis_sums(sums, samples, block);
        for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
            int32_t flip = i == 0 || i >= 4u ? mirror : 0;
            /* m = floor(sum / block): m >> 6 = floor(sum / 64 block), and -m >> 6 = -floor((m + 63) / 64) = -floor((sum
             * + 63 block) / 64 block). With 2^15 block more, which makes it positive and the quotient 512 larger:
             * v <= (2^16 + 62) block / 64 < 1025 block. inverse block = 2^21 + e, e < block <= 128, so that v inverse /
             * 2^21 lies above v / block by v e / (2^21 block) < 1025 * 128 / 2^21 < 1 at most: its floor is the right
             * one or one more, which leaves a negative rest. v inverse < 1025 (2^21 + 128) < 2^32 */
            uint32_t v = ((uint32_t)sums[i] + 32768u * block + (63u * block & (uint32_t)flip)) >> 6;
            int32_t quotient = (int32_t)((v * inverse) >> 21);           /* <= 1025 */
            quotient += (int32_t)(v - (uint32_t)quotient * block) >> 31; /* rest within block */
            int32_t value = ((quotient - 512) ^ flip) - flip;
            *out++ = (int8_t)pf_limit(value, -127, 127);
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
