/* fixed_thumb.h: the digits of square roots and quotients of fixed.c and clip.c in ARMv6-M assembly. */
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

/* A digit of a quotient. r0 = 2 r0 + r3 less the divisor, unless that is larger: r4 is 0 if 2 r0 has 33 bits, r5 is 0
 * if there is no borrow, otherwise they are -1. r6 = 2 r6 + digit - 1. */
#define PF_QUOTIENT_DIGIT                                                                                              \
    "lsls r0, r0, #1\n sbcs r4, r4\n adds r0, r0, r3\n subs r0, r0, r1\n sbcs r5, r5\n ands r5, r4\n"                  \
    "adds r6, r6, r6\n adds r6, r6, r5\n ands r5, r1\n adds r0, r0, r5\n"

/* pf_quotient, by its first, second and last argument. */
PF_NAKED static uint32_t pf_thumb_quotient(
    uint32_t remainder PF_UNUSED, uint32_t divisor PF_UNUSED, uint32_t digits PF_UNUSED, uint32_t next PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r6, lr}\n"
                     "movs r6, #1\n" /* in the end 2^15, less the 2^15 - 1 that the digits lack, and one */
                     "1:\n" PF_QUOTIENT_DIGIT PF_QUOTIENT_DIGIT PF_QUOTIENT_DIGIT "subs r2, #3\n"
                     "bne 1b\n"
                     "subs r0, r6, #1\n"
                     "pop {r4-r6, pc}\n" PF_CLOBBERS);
}

#endif
