/* noise_thumb.h: ChaCha20's block function (RFC 8439) and the table search of noise.c in ARMv6-M assembly, for that
 * file alone. No branch and no address depends on a secret.
 *
 * ChaCha20: a quarter round works in r0-r3 and has its rotations in r4-r7 (left by 16, 12, 8, 7 is right by 16, 20, 24,
 * 25). Of the other words a (0-3) lives in r8-r11, 4 and 5 in r12 and lr, 6 to 15 on the stack. The last column and the
 * first diagonal share word 15, the last diagonal and the first column word 8: those stay where they are. */
#ifndef PF_NOISE_THUMB_H
#define PF_NOISE_THUMB_H

#include "armv6m.h"

#define PF_CHACHA_QUARTER                                                                                              \
    "adds r0, r0, r1\n eors r3, r0\n rors r3, r4\n adds r2, r2, r3\n eors r1, r2\n rors r1, r5\n"                      \
    "adds r0, r0, r1\n eors r3, r0\n rors r3, r6\n adds r2, r2, r3\n eors r1, r2\n rors r1, r7\n"
#define PF_CHACHA_LOAD(r, word) "ldr " r ", [sp, #4*(" #word "-6)]\n"
#define PF_CHACHA_STORE(r, word) "str " r ", [sp, #4*(" #word "-6)]\n"
/* out = state + words, four at a time: r4 out, r5 state, r6 temporary. */
#define PF_CHACHA_ADD(r, word) PF_CHACHA_LOAD("r6", word) "adds " r ", " r ", r6\n"
#define PF_CHACHA_ADD4(w0, w1, w2, w3)                                                                                 \
    "ldm r5!, {r0-r3}\n" PF_CHACHA_ADD("r0", w0) PF_CHACHA_ADD("r1", w1) PF_CHACHA_ADD("r2", w2)                       \
        PF_CHACHA_ADD("r3", w3) "stm r4!, {r0-r3}\n"

/* out[0..15] = the block of state[0..15]. The stack's copy of the words is overwritten. */
PF_NAKED static void pf_thumb_chacha(uint32_t *out PF_UNUSED, const uint32_t *state PF_UNUSED) {
    __asm__ volatile(
        ".syntax unified\n" PF_PUSH "movs r2, #10\n push {r0, r1, r2}\n" /* out, state, double rounds left */
        "sub sp, #40\n"
        "ldm r1!, {r2-r7}\n"
        "mov r8, r2\n mov r9, r3\n mov r10, r4\n mov r11, r5\n mov r12, r6\n mov lr, r7\n"
        "mov r0, sp\n"
        "ldm r1!, {r2-r7}\n stm r0!, {r2-r7}\n"
        "ldm r1!, {r2-r5}\n stm r0!, {r2-r5}\n"
        "movs r4, #16\n movs r5, #20\n movs r6, #24\n movs r7, #25\n" PF_CHACHA_LOAD(
            "r2", 8) "1:\n"
                     "mov r0, r8\n mov r1, r12\n" PF_CHACHA_LOAD("r3", 12) PF_CHACHA_QUARTER
        "mov r8, r0\n mov r12, r1\n" PF_CHACHA_STORE("r2", 8)
            PF_CHACHA_STORE("r3", 12) "mov r0, r9\n mov r1, lr\n" PF_CHACHA_LOAD("r2", 9) PF_CHACHA_LOAD("r3", 13)
                PF_CHACHA_QUARTER "mov r9, r0\n mov lr, r1\n" PF_CHACHA_STORE("r2", 9)
                    PF_CHACHA_STORE("r3", 13) "mov r0, r10\n" PF_CHACHA_LOAD("r1", 6) PF_CHACHA_LOAD("r2", 10)
                        PF_CHACHA_LOAD("r3", 14) PF_CHACHA_QUARTER "mov r10, r0\n" PF_CHACHA_STORE("r1", 6)
                            PF_CHACHA_STORE("r2", 10) PF_CHACHA_STORE("r3", 14) "mov r0, r11\n" PF_CHACHA_LOAD("r1", 7)
                                PF_CHACHA_LOAD("r2", 11) PF_CHACHA_LOAD("r3", 15) PF_CHACHA_QUARTER
        "mov r11, r0\n" PF_CHACHA_STORE("r1", 7) PF_CHACHA_STORE("r2", 11) "mov r0, r8\n mov r1, lr\n" PF_CHACHA_LOAD(
            "r2", 10) PF_CHACHA_QUARTER "mov r8, r0\n mov lr, r1\n" PF_CHACHA_STORE("r2", 10)
            PF_CHACHA_STORE("r3", 15) "mov r0, r9\n" PF_CHACHA_LOAD("r1", 6) PF_CHACHA_LOAD("r2", 11) PF_CHACHA_LOAD(
                "r3", 12) PF_CHACHA_QUARTER "mov r9, r0\n" PF_CHACHA_STORE("r1", 6) PF_CHACHA_STORE("r2", 11)
                PF_CHACHA_STORE("r3", 12) "mov r0, r11\n mov r1, r12\n" PF_CHACHA_LOAD("r2", 9) PF_CHACHA_LOAD("r3", 14)
                    PF_CHACHA_QUARTER "mov r11, r0\n mov r12, r1\n" PF_CHACHA_STORE("r2", 9)
                        PF_CHACHA_STORE("r3", 14) "mov r0, r10\n" PF_CHACHA_LOAD("r1", 7) PF_CHACHA_LOAD("r2", 8)
                            PF_CHACHA_LOAD("r3", 13) PF_CHACHA_QUARTER
        "mov r10, r0\n" PF_CHACHA_STORE("r1", 7) PF_CHACHA_STORE("r3",
            13) "ldr r0, [sp, #48]\n subs r0, #1\n str r0, [sp, #48]\n"
                "beq 2f\n"
                "b 1b\n"
                "2:\n" PF_CHACHA_STORE("r2",
                    8) "ldr r4, [sp, #40]\n ldr r5, [sp, #44]\n"
                       "ldm r5!, {r0-r3}\n add r0, r8\n add r1, r9\n add r2, r10\n add r3, r11\n stm r4!, {r0-r3}\n"
                       "ldm r5!, {r0-r3}\n add r0, r12\n add r1, lr\n" PF_CHACHA_ADD("r2", 6) PF_CHACHA_ADD(
                           "r3", 7) "stm r4!, {r0-r3}\n" PF_CHACHA_ADD4(8, 9, 10, 11) PF_CHACHA_ADD4(12, 13, 14,
                           15) "mov r4, sp\n movs r0, #0\n movs r1, #0\n movs r2, #0\n movs r3, #0\n movs r5, #0\n"
                               "stm r4!, {r0-r3, r5}\n stm r4!, {r0-r3, r5}\n"
                               "add sp, #52\n" PF_POP PF_CLOBBERS);
}

/* (high, low) + table entry: its carry is counted in r6 by adding r7 = 0 with it. movs leaves the carry alone. */
#define PF_NOISE_WIDE "ldm r2!, {r4, r5}\n adds r4, r4, r1\n adcs r5, r0\n adcs r6, r7\n"
#define PF_NOISE_NARROW "ldm r3!, {r4}\n adds r4, r4, r1\n movs r5, #0\n adcs r5, r0\n adcs r6, r7\n"
#define PF_NOISE_THREE(entry) entry entry entry

/* The C version is noise_steps in noise.c: 12 entries of two words, 6 of one. */
PF_NAKED static uint32_t pf_thumb_noise_steps(
    uint32_t high PF_UNUSED, uint32_t low PF_UNUSED, const uint32_t *wide PF_UNUSED, const uint32_t *narrow PF_UNUSED) {
    __asm__ volatile(".syntax unified\n push {r4-r7, lr}\n movs r6, #0\n movs r7, #0\n" PF_NOISE_THREE(PF_NOISE_WIDE)
            PF_NOISE_THREE(PF_NOISE_WIDE) PF_NOISE_THREE(PF_NOISE_WIDE) PF_NOISE_THREE(PF_NOISE_WIDE) PF_NOISE_THREE(
                PF_NOISE_NARROW) PF_NOISE_THREE(PF_NOISE_NARROW) "movs r0, r6\n pop {r4-r7, pc}\n" PF_CLOBBERS);
}

#endif
