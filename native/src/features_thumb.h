/* features_thumb.h: the products of features.c in ARMv6-M assembly, for that file alone. */
#ifndef PF_FEATURES_THUMB_H
#define PF_FEATURES_THUMB_H

#include "armv6m.h"

/* One sample: r0 a, r1 b, (x, y) its values; (p, q) those of LAG samples earlier, which are used up. r7 covariance, r12
 * a b', lr a' b. */
#define PF_IMU_STEP(place, x, y, p, q)                                                                                 \
    "ldr " x ", [r0, #" place "]\n ldr " y ", [r1, #" place "]\n movs r6, " x "\n muls r6, " y ", r6\n"                \
    "adds r7, r7, r6\n muls " q ", " x ", " q "\n add r12, " q "\n muls " p ", " y ", " p "\n add lr, " p "\n"
#define PF_IMU_STEPS(one, two) PF_IMU_STEP(one, "r4", "r5", "r2", "r3") PF_IMU_STEP(two, "r2", "r3", "r4", "r5")
#define PF_IMU_BEFORE(place) "ldr r2, [r0, #" place "]\n ldr r3, [r1, #" place "]\n"
#define PF_IMU_EVEN                                                                                                    \
    PF_IMU_BEFORE("0")                                                                                                 \
    PF_IMU_STEPS("8", "16")                                                                                            \
    PF_IMU_STEPS("24", "32") PF_IMU_STEPS("40", "48") PF_IMU_STEPS("56", "64") PF_IMU_STEPS("72", "80")
#define PF_IMU_ODD                                                                                                     \
    PF_IMU_BEFORE("4")                                                                                                 \
    PF_IMU_STEPS("12", "20")                                                                                           \
    PF_IMU_STEPS("28", "36") PF_IMU_STEPS("44", "52") PF_IMU_STEPS("60", "68") PF_IMU_STEPS("76", "84")

/* The C version is in features.c: a block of 20 samples, 2 before it. */
PF_NAKED static void pf_imu_pair(
    const int32_t *a PF_UNUSED, const int32_t *b PF_UNUSED, int32_t *covariance PF_UNUSED, int32_t *sweep PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r2-r7, lr}\n"
                     "ldr r7, [r2]\n"
                     "ldr r3, [r3]\n mov r12, r3\n"
                     "movs r3, #0\n mov lr, r3\n" PF_IMU_EVEN PF_IMU_ODD "pop {r2, r3}\n"
                     "str r7, [r2]\n"
                     "mov r0, r12\n mov r1, lr\n subs r0, r0, r1\n"
                     "str r0, [r3]\n"
                     "pop {r4-r7, pc}\n" PF_CLOBBERS);
}

/* The C version is in features.c. */
PF_NAKED static int32_t pf_imu_samples(int32_t *z PF_UNUSED, const int16_t *samples PF_UNUSED,
    const int32_t *end PF_UNUSED, const int32_t *centre PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r7, lr}\n"
                     "ldr r4, [r3, #24]\n ldr r3, [r3]\n"
                     "movs r5, #0\n movs r7, #0\n"
                     "1:\n ldrsh r6, [r1, r7]\n adds r1, #12\n subs r6, r6, r3\n muls r6, r4, r6\n asrs r6, r6, #4\n"
                     "stmia r0!, {r6}\n muls r6, r6, r6\n adds r5, r5, r6\n cmp r0, r2\n bne 1b\n"
                     "movs r0, r5\n"
                     "pop {r4-r7, pc}\n" PF_CLOBBERS);
}

#endif
