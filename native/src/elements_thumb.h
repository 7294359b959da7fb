/* elements_thumb.h: loops of elements.c in ARMv6-M assembly, for that file alone; the C versions are there, and
 * elements.h says what the arguments may be. Two elements a turn; no branch depends on a value. */
#ifndef PF_ELEMENTS_THUMB_H
#define PF_ELEMENTS_THUMB_H

#include "armv6m.h"

/* v = sat((v + 2^10) >> 11) & -(0 < a < 127): a - 1, as unsigned, is below 126 for those a alone. r6 = 16383,
 * r12 = 2^10; uses r3, r7. */
#define PF_GATE(v, place)                                                                                              \
    "add " v ", r12\n asrs " v ", " v ", #11\n"                                                                        \
    "subs r7, " v ", r6\n asrs r3, r7, #31\n bics r7, r3\n subs " v ", " v ", r7\n"                                    \
    "adds r7, " v ", r6\n asrs r3, r7, #31\n ands r7, r3\n subs " v ", " v ", r7\n"                                    \
    "ldrb r7, [r2, #" place "]\n subs r7, #1\n cmp r7, #126\n sbcs r3, r3\n ands " v ", r3\n"

/* Up to `end`, an even number of elements. */
PF_NAKED static void pf_thumb_gate(
    int32_t *delta PF_UNUSED, const int32_t *s PF_UNUSED, const int8_t *a PF_UNUSED, const int32_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r7, lr}\n"
                     "mov lr, r3\n"
                     "movs r7, #1\n lsls r6, r7, #14\n subs r6, r6, #1\n"
                     "lsls r7, r7, #10\n mov r12, r7\n"
                     "1:\n"
                     "ldm r1!, {r4, r5}\n" PF_GATE("r4", "0") PF_GATE("r5", "1") "adds r2, #2\n"
                                                                                 "stm r0!, {r4, r5}\n"
                                                                                 "cmp r1, lr\n"
                                                                                 "bne 1b\n"
                                                                                 "pop {r4-r7, pc}\n" PF_CLOBBERS);
}

/* v = sat(((v >> bias shift) + bias) >> 6, 0, 127): the bias's own shift is part of the whole one. What is above 127
 * becomes all ones first. r3 = bias shift; uses r6, r7. */
#define PF_RELU_SHIFT(v, bias) "asrs " v ", r3\n adds " v ", " v ", " bias "\n asrs " v ", " v ", #6\n"
#define PF_RELU_LIMIT(v)                                                                                               \
    "asrs r7, " v ", #31\n bics " v ", r7\n subs r7, r6, " v "\n asrs r7, r7, #31\n orrs " v ", r7\n ands " v ", r6\n"

/* Up to `end`, an even number of elements. */
PF_NAKED static void pf_thumb_relu(int8_t *out PF_UNUSED, const int32_t *z PF_UNUSED, const int16_t *biases PF_UNUSED,
    uint32_t bias_shift PF_UNUSED, const int32_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r7, lr}\n"
                     "ldr r4, [sp, #20]\n mov lr, r4\n"
                     "1:\n"
                     "ldm r1!, {r4, r5}\n"
                     "ldm r2!, {r6}\n"
                     "sxth r7, r6\n asrs r6, r6, #16\n" PF_RELU_SHIFT("r4", "r7")
                         PF_RELU_SHIFT("r5", "r6") "movs r6, #127\n" PF_RELU_LIMIT("r4")
                             PF_RELU_LIMIT("r5") "lsls r5, r5, #8\n orrs r4, r5\n"
                                                 "strh r4, [r0]\n adds r0, #2\n"
                                                 "cmp r1, lr\n"
                                                 "bne 1b\n"
                                                 "pop {r4-r7, pc}\n" PF_CLOBBERS);
}

/* An odd element comes first. Two squares together: < 2^29. */
PF_NAKED static uint64_t pf_thumb_keep(int32_t *out PF_UNUSED, const int32_t *delta PF_UNUSED, uint32_t n PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r7, lr}\n"
                     "movs r3, #0\n movs r6, #0\n movs r7, #0\n"
                     "lsls r4, r2, #2\n adds r4, r4, r1\n mov r12, r4\n"
                     "lsrs r2, r2, #1\n"
                     "bcc 1f\n"
                     "ldm r1!, {r6}\n str r6, [r0]\n adds r0, #32\n muls r6, r6, r6\n"
                     "1:\n"
                     "cmp r1, r12\n"
                     "beq 3f\n"
                     "2:\n"
                     "ldm r1!, {r4, r5}\n"
                     "str r4, [r0]\n str r5, [r0, #32]\n adds r0, #64\n"
                     "muls r4, r4, r4\n muls r5, r5, r5\n adds r4, r4, r5\n"
                     "adds r6, r6, r4\n adcs r7, r3\n"
                     "cmp r1, r12\n"
                     "bne 2b\n"
                     "3:\n"
                     "movs r0, r6\n movs r1, r7\n"
                     "pop {r4-r7, pc}\n" PF_CLOBBERS);
}

#endif
