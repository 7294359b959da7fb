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
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r7, lr}\n"
        "mov lr, r3\n"
        "movs r7, #1\n lsls r6, r7, #14\n subs r6, r6, #1\n"
        "lsls r7, r7, #10\n mov r12, r7\n"
        "1:\n"
        "ldm r1!, {r4, r5}\n"
        "lsls r3, r5, #16\n subs r4, r4, r3\n" PF_GATE("r4", "0") PF_GATE("r5", "1") "adds r2, #2\n"
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
PF_NAKED static uint64_t pf_thumb_squares(const int32_t *delta PF_UNUSED, uint32_t n PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4, r5, lr}\n"
                     "movs r2, r0\n"
                     "movs r3, #0\n movs r0, #0\n"
                     "lsls r4, r1, #2\n adds r4, r4, r2\n mov r12, r4\n"
                     "lsrs r1, r1, #1\n"
                     "movs r1, #0\n"
                     "bcc 1f\n"
                     "ldm r2!, {r0}\n muls r0, r0, r0\n"
                     "1:\n"
                     "cmp r2, r12\n"
                     "beq 3f\n"
                     "2:\n"
                     "ldm r2!, {r4, r5}\n"
                     "muls r4, r4, r4\n muls r5, r5, r5\n adds r4, r4, r5\n"
                     "adds r0, r0, r4\n adcs r1, r3\n"
                     "cmp r2, r12\n"
                     "bne 2b\n"
                     "3:\n"
                     "pop {r4, r5, pc}\n" PF_CLOBBERS);
}

/* pf_clip_scale of v: uses r6; r2 = factor. */
#define PF_SCALE(v)                                                                                                    \
    "muls " v ", r2, " v "\n asrs r6, " v ", #31\n lsrs r6, r6, #17\n adds " v ", " v ", r6\n asrs " v ", " v ", "     \
    "#15\n"

/* Up to `end`, an even number (> 0) of elements. */
PF_NAKED static void pf_thumb_scale(
    int32_t *out PF_UNUSED, const int32_t *delta PF_UNUSED, uint32_t factor PF_UNUSED, const int32_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r6, lr}\n"
                     "1:\n"
                     "ldm r1!, {r4, r5}\n" PF_SCALE("r4") PF_SCALE("r5") "str r4, [r0]\n str r5, [r0, #32]\n"
                                                                         "adds r0, #64\n"
                                                                         "cmp r1, r3\n"
                                                                         "bne 1b\n"
                                                                         "pop {r4-r6, pc}\n" PF_CLOBBERS);
}

#endif
