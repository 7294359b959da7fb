/* mean.h: sums and floored means of the axes of a window of six-axis samples (SPEC 8.2, 8.4). */
#ifndef PF_MEAN_H
#define PF_MEAN_H

#include "armv6m.h"
#include "picofed.h"
#include "port.h"

/* sums[i]: of axis i over n samples, 1 <= n <= 128; within 128 * 2^15 = 2^22. */
PF_INLINE void pf_axis_sums_plain(int32_t *sums, const int16_t *samples, uint32_t n) {
    for (uint32_t i = 0; i < PF_IMU_AXES; i++) {
        const int16_t *end = samples + PF_IMU_AXES * n;
        int32_t sum = 0;
        do {
            sum += *samples;
            samples += PF_IMU_AXES;
        } while (samples != end);
        sums[i] = sum;
        samples -= PF_IMU_AXES * n - 1u;
    }
}

#ifdef PF_KERNELS_THUMB
/* Two axes a word, three words a sample, sums in r8-r12 and lr. samples: aligned to 4. */
#define PF_AXIS_PAIR(word, low, high)                                                                                  \
    "sxth r4, " word "\n add " low ", r4\n asrs " word ", " word ", #16\n add " high ", " word "\n"
PF_NAKED static void pf_axis_sums_words(
    int32_t *sums PF_UNUSED, const int16_t *samples PF_UNUSED, const int16_t *end PF_UNUSED) {
    __asm__ volatile(
        ".syntax unified\n" PF_PUSH "movs r4, #0\n mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n mov r12, r4\n"
        "mov lr, r4\n"
        "1:\n ldmia r1!, {r3, r5, r6}\n" PF_AXIS_PAIR("r3", "r8", "r9") PF_AXIS_PAIR("r5", "r10", "r11")
            PF_AXIS_PAIR("r6", "r12", "lr") "cmp r1, r2\n bne 1b\n"
                                            "mov r1, r8\n mov r2, r9\n mov r3, r10\n mov r4, r11\n mov r5, r12\n"
                                            "mov r6, lr\n stmia r0!, {r1-r6}\n" PF_POP PF_CLOBBERS);
}
#endif

PF_INLINE void pf_axis_sums(int32_t *sums, const int16_t *samples, uint32_t n) {
#ifdef PF_KERNELS_THUMB
    if (((uintptr_t)samples & 3u) == 0) {
        pf_axis_sums_words(sums, samples, samples + PF_IMU_AXES * n);
        return;
    }
#endif
    pf_axis_sums_plain(sums, samples, n);
}

/* ceil(2^31 / n), n <= 128. */
PF_INLINE uint32_t pf_mean_inverse(uint32_t n) {
    return pf_divide(((uint32_t)1 << 31) + n - 1u, n);
}

/* floor(sum / n) of a sum of n int16. floor(u / n) = floor(u inverse / 2^31): inverse n = 2^31 + e, e < n, and u e <
 * 2^23 2^7 < 2^31 */
PF_INLINE int32_t pf_mean(int32_t sum, uint32_t n, uint32_t inverse) {
    uint32_t above = (uint32_t)(sum + 32768 * (int32_t)n); /* <= 128 * 65535 < 2^23 */
    return (int32_t)(pf_multiply(above, inverse) >> 31) - 32768;
}

#endif
