/* fixed_thumb.h: the square root's digits of fixed.c in ARMv6-M assembly, for that file alone. */
#ifndef PF_FIXED_THUMB_H
#define PF_FIXED_THUMB_H

#include "armv6m.h"

/* The next digits (an even number) of a square root; digit: `rest` without the trial 4 root + 1 if that does not
 * borrow, and the carry, which says so, becomes the digit. */
#define PF_SQRT_DIGIT                                                                                                  \
    "lsls r4, r4, #2\n lsrs r5, r2, #30\n adds r4, r4, r5\n lsls r2, r2, #2\n"                                         \
    "lsls r5, r0, #2\n adds r5, #1\n subs r4, r4, r5\n sbcs r6, r6\n adcs r0, r0\n ands r6, r5\n adds r4, r4, r6\n"

PF_NAKED static uint32_t pf_thumb_sqrt_digits(
    uint32_t root PF_UNUSED, uint32_t *remainder PF_UNUSED, uint32_t bits PF_UNUSED, uint32_t digits PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r6, lr}\n"
                     "ldr r4, [r1]\n"
                     "1:\n" PF_SQRT_DIGIT PF_SQRT_DIGIT "subs r3, #2\n"
                     "bne 1b\n"
                     "str r4, [r1]\n"
                     "pop {r4-r6, pc}\n" PF_CLOBBERS);
}

#endif
