/* thumb.h: the inner loops of kernels_thumb.c in ARMv6-M assembly, for that file alone.
 *
 * Matrices. Two neighbouring columns share a word: W = (w1 << 16) + (w0 + 2^14), the low half never negative. Then
 *     w0 a0 + w1 a1 = W a0 + (W >> 16) (a1 - (a0 << 16)) - 2^14 a0   (mod 2^32)
 * splits the word with one shift, and the last term, summed over the columns, is the same for every row: the sums start
 * with it. Rows are taken six at a time (six high registers hold their sums), in the end four or two; the words of such
 * a group lie behind each other column pair by column pair, so that ldm fetches them in order. An odd last row is
 * followed by one of zeros.
 *
 * Backward, with the same words: P = sum W d - 2^14 sum d and H = sum (W >> 16) d give both columns,
 *     s1 = H,   s0 = P - (H << 16)   (mod 2^32),
 * and stay as they are until they are used (pf_sum_get).
 *
 * Accumulating: four columns in four high registers, the examples of the batch one after the other. */
#ifndef PF_THUMB_H
#define PF_THUMB_H

#include "armv6m.h"

/* w: word of two columns; r2, r3: the column pair's factors, a1 - (a0 << 16) first; sum: high register. Uses r7. */
#define PF_FORWARD_ROW(w, sum)                                                                                         \
    "asrs r7, " w ", #16\n muls " w ", r3, " w "\n muls r7, r2, r7\n add " sum ", " w "\n add " sum ", r7\n"
#define PF_FORWARD_PAIR6                                                                                               \
    "ldm r1!, {r2, r3}\n"                                                                                              \
    "ldm r0!, {r4, r5, r6}\n" PF_FORWARD_ROW("r4", "r8") PF_FORWARD_ROW("r5", "r9")                                    \
        PF_FORWARD_ROW("r6", "r10") "ldm r0!, {r4, r5, r6}\n" PF_FORWARD_ROW("r4", "r11") PF_FORWARD_ROW("r5", "r12")  \
            PF_FORWARD_ROW("r6", "lr")

#define PF_FORWARD_PAIR6_BYTES 66u

/* z[0..5] = init + rows' sums, for `groups` (> 0) groups of six rows. factors: init, then two words a column pair, up
 * to end. Six pairs a turn; where their number is not a multiple of six, the first turn is entered `skip` bytes later,
 * PF_FORWARD_PAIR6_BYTES for each pair left out. */
PF_NAKED static void pf_thumb_forward6(const int16_t *matrix PF_UNUSED, const int32_t *factors PF_UNUSED,
    const int32_t *end PF_UNUSED, int32_t *z PF_UNUSED, uint32_t skip PF_UNUSED, uint32_t groups PF_UNUSED) {
    __asm__ volatile(
        ".syntax unified\n" PF_PUSH "push {r1, r2, r3}\n" /* skip and groups: [sp, #48], [sp, #52] */
        "4:\n"
        "ldr r1, [sp]\n ldr r5, [sp, #48]\n"
        "ldm r1!, {r4}\n"
        "mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n mov r12, r4\n mov lr, r4\n"
        "add pc, r5\n" /* pc is 4 bytes on */
        "nop\n"
        "1:\n" PF_FORWARD_PAIR6 PF_FORWARD_PAIR6 PF_FORWARD_PAIR6 PF_FORWARD_PAIR6 PF_FORWARD_PAIR6 PF_FORWARD_PAIR6
        "ldr r2, [sp, #4]\n"
        "cmp r1, r2\n"
        "beq 2f\n"
        "b 1b\n"
        "2:\n"
        "ldr r3, [sp, #8]\n"
        "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
        "stm r3!, {r4-r7}\n"
        "mov r4, r12\n mov r5, lr\n"
        "stm r3!, {r4, r5}\n"
        "str r3, [sp, #8]\n"
        "ldr r4, [sp, #52]\n subs r4, #1\n str r4, [sp, #52]\n"
        "beq 5f\n"
        "b 4b\n"
        "5:\n"
        "add sp, #12\n" PF_POP PF_CLOBBERS);
}

#define PF_FORWARD_PAIR2 "ldm r1!, {r2, r3}\n ldm r0!, {r4, r5}\n" PF_FORWARD_ROW("r4", "r8") PF_FORWARD_ROW("r5", "r9")

#define PF_FORWARD_PAIR4                                                                                               \
    "ldm r1!, {r2, r3}\n ldm r0!, {r4, r5, r6}\n" PF_FORWARD_ROW("r4", "r8") PF_FORWARD_ROW("r5", "r9")                \
        PF_FORWARD_ROW("r6", "r10") "ldm r0!, {r4}\n" PF_FORWARD_ROW("r4", "r11")

/* The same for four rows, three pairs a turn: the first is entered in the middle, `skip` pairs (0..2) later. */
PF_NAKED static void pf_thumb_forward4(const int16_t *matrix PF_UNUSED, const int32_t *factors PF_UNUSED,
    const int32_t *end PF_UNUSED, int32_t *z PF_UNUSED, uint32_t skip PF_UNUSED) {
    __asm__ volatile(".syntax unified\n" PF_PUSH "ldr r5, [sp, #36]\n"
                     "push {r3}\n"
                     "mov r12, r2\n"
                     "ldm r1!, {r4}\n"
                     "mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n"
                     "cmp r5, #1\n"
                     "beq 2f\n"
                     "bhi 3f\n"
                     "1:\n" PF_FORWARD_PAIR4 "2:\n" PF_FORWARD_PAIR4 "3:\n" PF_FORWARD_PAIR4 "cmp r1, r12\n"
                     "bne 1b\n"
                     "pop {r3}\n"
                     "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
                     "stm r3!, {r4-r7}\n" PF_POP PF_CLOBBERS);
}

/* The same for two rows. */
PF_NAKED static void pf_thumb_forward2(const int16_t *matrix PF_UNUSED, const int32_t *factors PF_UNUSED,
    const int32_t *end PF_UNUSED, int32_t *z PF_UNUSED, uint32_t skip PF_UNUSED) {
    __asm__ volatile(".syntax unified\n" PF_PUSH "ldr r5, [sp, #36]\n"
                     "push {r3}\n"
                     "mov r12, r2\n"
                     "ldm r1!, {r4}\n"
                     "mov r8, r4\n mov r9, r4\n"
                     "cmp r5, #1\n"
                     "beq 2f\n"
                     "bhi 3f\n"
                     "1:\n" PF_FORWARD_PAIR2 "2:\n" PF_FORWARD_PAIR2 "3:\n" PF_FORWARD_PAIR2 "cmp r1, r12\n"
                     "bne 1b\n"
                     "pop {r3}\n"
                     "mov r4, r8\n mov r5, r9\n"
                     "stm r3!, {r4, r5}\n" PF_POP PF_CLOBBERS);
}

/* r2 = P, r3 = H; w: word, uses r6 and r7. d: high register. */
#define PF_BACKWARD_ROW(w, d)                                                                                          \
    "mov r7, " d "\n asrs r6, " w ", #16\n muls " w ", r7, " w "\n muls r6, r7, r6\n adds r2, r2, " w "\n"             \
    "adds r3, r3, r6\n"
#define PF_BACKWARD_LOAD "ldm r1!, {r2, r3}\n"
#define PF_BACKWARD_STORE "subs r1, #8\n stm r1!, {r2, r3}\n"

/* P = first and H = 0 up to `end`, one pair of columns or more. */
PF_NAKED static void pf_thumb_fill(int32_t *s PF_UNUSED, uint32_t first PF_UNUSED, const int32_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4, lr}\n"
                     "subs r4, r2, r0\n" /* bytes: 8 a pair */
                     "movs r2, #0\n movs r3, r1\n"
                     "lsrs r4, r4, #4\n"
                     "bcc 1f\n"
                     "stm r0!, {r1, r2}\n"
                     "1:\n"
                     "subs r4, #1\n"
                     "bmi 3f\n"
                     "2:\n"
                     "stm r0!, {r1, r2}\n stm r0!, {r1, r2}\n"
                     "subs r4, #1\n"
                     "bpl 2b\n"
                     "3:\n"
                     "pop {r4, pc}\n" PF_CLOBBERS);
}

/* Adds six rows to the P and H of `columns` (even) columns; end = s + columns. */
PF_NAKED static void pf_thumb_backward6(const int16_t *matrix PF_UNUSED, int32_t *s PF_UNUSED,
    const int32_t *end PF_UNUSED, const int32_t *delta PF_UNUSED) {
    __asm__ volatile(".syntax unified\n" PF_PUSH "push {r2}\n"
                     "ldm r3!, {r2, r4-r7}\n"
                     "mov r8, r2\n mov r9, r4\n mov r10, r5\n mov r11, r6\n mov r12, r7\n"
                     "ldr r2, [r3]\n"
                     "mov lr, r2\n"
                     "1:\n" PF_BACKWARD_LOAD "ldm r0!, {r4, r5}\n" PF_BACKWARD_ROW("r4", "r8")
                         PF_BACKWARD_ROW("r5", "r9") "ldm r0!, {r4, r5}\n" PF_BACKWARD_ROW("r4", "r10")
                             PF_BACKWARD_ROW("r5", "r11") "ldm r0!, {r4, r5}\n" PF_BACKWARD_ROW("r4", "r12")
                                 PF_BACKWARD_ROW("r5", "lr") PF_BACKWARD_STORE "ldr r2, [sp]\n"
                                                                               "cmp r1, r2\n"
                                                                               "bne 1b\n"
                                                                               "pop {r2}\n" PF_POP PF_CLOBBERS);
}

/* The same for four rows. */
PF_NAKED static void pf_thumb_backward4(const int16_t *matrix PF_UNUSED, int32_t *s PF_UNUSED,
    const int32_t *end PF_UNUSED, const int32_t *delta PF_UNUSED) {
    __asm__ volatile(".syntax unified\n" PF_PUSH "mov r12, r2\n"
                     "ldm r3!, {r4-r7}\n"
                     "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
                     "1:\n" PF_BACKWARD_LOAD "ldm r0!, {r4, r5}\n" PF_BACKWARD_ROW("r4", "r8")
                         PF_BACKWARD_ROW("r5", "r9") "ldm r0!, {r4, r5}\n" PF_BACKWARD_ROW("r4", "r10")
                             PF_BACKWARD_ROW("r5", "r11") PF_BACKWARD_STORE "cmp r1, r12\n"
                                                                            "bne 1b\n" PF_POP PF_CLOBBERS);
}

/* The same for two rows. */
PF_NAKED static void pf_thumb_backward2(const int16_t *matrix PF_UNUSED, int32_t *s PF_UNUSED,
    const int32_t *end PF_UNUSED, const int32_t *delta PF_UNUSED) {
    __asm__ volatile(".syntax unified\n" PF_PUSH "mov r12, r2\n"
                     "ldm r3!, {r4, r5}\n"
                     "mov r8, r4\n mov r9, r5\n"
                     "1:\n" PF_BACKWARD_LOAD "ldm r0!, {r4, r5}\n" PF_BACKWARD_ROW("r4", "r8")
                         PF_BACKWARD_ROW("r5", "r9") PF_BACKWARD_STORE "cmp r1, r12\n"
                                                                       "bne 1b\n" PF_POP PF_CLOBBERS);
}

#define PF_OUTER_PRODUCTS(d)                                                                                           \
    "ldm r1!, {r4-r7}\n muls r4, " d ", r4\n muls r5, " d ", r5\n muls r6, " d ", r6\n muls r7, " d ", r7\n"
#define PF_OUTER_ADD "add r8, r4\n add r9, r5\n add r10, r6\n add r11, r7\n"
#define PF_OUTER_NEXT(place) "ldr r3, [sp, #" place "]\n" PF_OUTER_PRODUCTS("r3")
/* Four columns: r0 accumulators, r1 blocks, lr their end, r2 = d0, r12 = d1, from [sp] on d2 to d7. */
#define PF_OUTER_BEGIN                                                                                                 \
    "ldm r0!, {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n" PF_OUTER_PRODUCTS("r2") PF_OUTER_ADD    \
        "mov r3, r12\n" PF_OUTER_PRODUCTS("r3") PF_OUTER_ADD PF_OUTER_NEXT("0") PF_OUTER_ADD
#define PF_OUTER_END "add r4, r8\n add r5, r9\n add r6, r10\n add r7, r11\n subs r0, #16\n stm r0!, {r4-r7}\n"
#define PF_OUTER_BLOCK8                                                                                                \
    PF_OUTER_BEGIN PF_OUTER_NEXT("4") PF_OUTER_ADD PF_OUTER_NEXT("8") PF_OUTER_ADD PF_OUTER_NEXT("12")                 \
        PF_OUTER_ADD PF_OUTER_NEXT("16") PF_OUTER_ADD PF_OUTER_NEXT("20") PF_OUTER_END
/* The first four examples alone. */
#define PF_OUTER_BLOCK4 PF_OUTER_BEGIN PF_OUTER_NEXT("4") PF_OUTER_END "adds r1, #64\n"

/* acc += deltas x blocks over rows x (blocks of 4 columns); a row of accumulators is `pad` bytes (0, 4, 8, 12) shorter
 * than its blocks: what is added there is zero. */
typedef struct {
    const int32_t *deltas;
    const int32_t *deltas_end;
    const int32_t *blocks;
    const int32_t *blocks_end;
    uint32_t pad;
} pf_outer_frame;

#define PF_OUTER_BODY(block)                                                                                           \
    ".syntax unified\n" PF_PUSH "sub sp, #44\n"                                                                        \
    "add r2, sp, #24\n ldm r1!, {r3-r7}\n stm r2!, {r3-r7}\n mov lr, r6\n"                                             \
    "1:\n" /* a row */                                                                                                 \
    "ldr r3, [sp, #24]\n ldm r3!, {r2, r4}\n mov r12, r4\n mov r1, sp\n"                                               \
    "ldm r3!, {r4-r7}\n stm r1!, {r4-r7}\n ldm r3!, {r4, r5}\n stm r1!, {r4, r5}\n"                                    \
    "str r3, [sp, #24]\n ldr r1, [sp, #32]\n"                                                                          \
    "2:\n" block "cmp r1, lr\n bne 2b\n"                                                                               \
    "ldr r3, [sp, #40]\n subs r0, r0, r3\n"                                                                            \
    "ldr r3, [sp, #24]\n ldr r4, [sp, #28]\n cmp r3, r4\n beq 3f\n b 1b\n"                                             \
    "3:\n add sp, #44\n" PF_POP

PF_NAKED static void pf_thumb_outer8(uint32_t *acc PF_UNUSED, const pf_outer_frame *frame PF_UNUSED) {
    __asm__ volatile(PF_OUTER_BODY(PF_OUTER_BLOCK8) PF_CLOBBERS);
}

PF_NAKED static void pf_thumb_outer4(uint32_t *acc PF_UNUSED, const pf_outer_frame *frame PF_UNUSED) {
    __asm__ volatile(PF_OUTER_BODY(PF_OUTER_BLOCK4) PF_CLOBBERS);
}

#define PF_OUTER_PAIR                                                                                                  \
    "ldm r1!, {r3, r4}\n muls r3, r2, r3\n muls r4, r2, r4\n ldm r0!, {r5, r6}\n adds r5, r5, r3\n"                    \
    "adds r6, r6, r4\n subs r0, #8\n stm r0!, {r5, r6}\n"

/* acc += d a up to `end`, an even number (> 0) of columns, four a turn; where two are left over the first turn is
 * entered in the middle. */
PF_NAKED static void pf_thumb_outer_one(
    uint32_t *acc PF_UNUSED, const int32_t *a PF_UNUSED, int32_t d PF_UNUSED, const int32_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r6, lr}\n"
                     "mov r12, r3\n"
                     "subs r3, r3, r1\n"
                     "lsls r3, r3, #28\n"
                     "bmi 2f\n"
                     "1:\n" PF_OUTER_PAIR "2:\n" PF_OUTER_PAIR "cmp r1, r12\n"
                     "bne 1b\n"
                     "pop {r4-r6, pc}\n" PF_CLOBBERS);
}

/* Writes a1 - (a0 << 16) and a0 for each column pair (at least one) and returns the sum of the a0. */
PF_NAKED static int32_t pf_thumb_factors(
    int32_t *factors PF_UNUSED, const int8_t *a PF_UNUSED, const int8_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r6, lr}\n"
                     "mov r12, r2\n"
                     "movs r2, #0\n"
                     "movs r3, #0\n"
                     "1:\n"
                     "ldrsb r5, [r1, r3]\n"
                     "adds r1, #1\n"
                     "ldrsb r4, [r1, r3]\n"
                     "adds r1, #1\n"
                     "adds r2, r2, r5\n"
                     "lsls r6, r5, #16\n"
                     "subs r4, r4, r6\n"
                     "stm r0!, {r4, r5}\n"
                     "cmp r1, r12\n"
                     "bne 1b\n"
                     "movs r0, r2\n"
                     "pop {r4-r6, pc}\n" PF_CLOBBERS);
}

/* r4 to r7: four activations. The blocks of the other examples of the batch are 112 bytes. */
#define PF_FACTORS_SPREAD                                                                                              \
    "stm r0!, {r4-r7}\n adds r0, #112\n add r9, r4\n add r9, r6\n"                                                     \
    "lsls r3, r4, #16\n subs r3, r5, r3\n stm r2!, {r3, r4}\n muls r5, r5, r5\n add r8, r5\n"                          \
    "lsls r5, r6, #16\n subs r5, r7, r5\n stm r2!, {r5, r6}\n"                                                         \
    "muls r4, r4, r4\n muls r6, r6, r6\n muls r7, r7, r7\n adds r4, r4, r6\n adds r4, r4, r7\n add r8, r4\n"           \
    "cmp r1, r12\n"

/* pf_thumb_factors and pf_thumb_spread in one, for blocks of four columns (at least one); the sum of squares in the low
 * word of the result, that of the even columns in the high word. Words are
 * read where they are aligned, which says nothing about a record. */
PF_NAKED static uint64_t pf_thumb_factors_spread(
    int32_t *out PF_UNUSED, const int8_t *a PF_UNUSED, int32_t *factors PF_UNUSED, const int8_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r7, lr}\n"
                     "mov r4, r8\n mov r5, r9\n push {r4, r5}\n"
                     "mov r12, r3\n"
                     "movs r3, #0\n mov r8, r3\n mov r9, r3\n"
                     "lsls r3, r1, #30\n"
                     "bne 2f\n"
                     "1:\n"
                     "ldm r1!, {r7}\n"
                     "sxtb r4, r7\n"
                     "lsls r5, r7, #16\n asrs r5, r5, #24\n"
                     "lsls r6, r7, #8\n asrs r6, r6, #24\n"
                     "asrs r7, r7, #24\n" PF_FACTORS_SPREAD "bne 1b\n"
                     "b 3f\n"
                     "2:\n"
                     "movs r3, #0\n ldrsb r4, [r1, r3]\n"
                     "movs r3, #1\n ldrsb r5, [r1, r3]\n"
                     "movs r3, #2\n ldrsb r6, [r1, r3]\n"
                     "movs r3, #3\n ldrsb r7, [r1, r3]\n"
                     "adds r1, #4\n" PF_FACTORS_SPREAD "bne 2b\n"
                     "3:\n"
                     "mov r0, r8\n mov r1, r9\n"
                     "pop {r4, r5}\n mov r8, r4\n mov r9, r5\n"
                     "pop {r4-r7, pc}\n" PF_CLOBBERS);
}

/* Whole blocks of four columns (at least one); returns the sum of squares. */
PF_NAKED static uint32_t pf_thumb_spread(
    int32_t *out PF_UNUSED, const int8_t *a PF_UNUSED, const int8_t *end PF_UNUSED) {
    __asm__ volatile(".syntax unified\n"
                     "push {r4-r7, lr}\n"
                     "mov r12, r2\n"
                     "movs r2, #0\n"
                     "1:\n"
                     "movs r3, #0\n ldrsb r4, [r1, r3]\n"
                     "movs r3, #1\n ldrsb r5, [r1, r3]\n"
                     "movs r3, #2\n ldrsb r6, [r1, r3]\n"
                     "movs r3, #3\n ldrsb r7, [r1, r3]\n"
                     "adds r1, #4\n"
                     "stm r0!, {r4-r7}\n"
                     "adds r0, #112\n" /* the other examples of the batch */
                     "muls r4, r4, r4\n muls r5, r5, r5\n muls r6, r6, r6\n muls r7, r7, r7\n"
                     "adds r2, r2, r4\n adds r2, r2, r5\n adds r2, r2, r6\n adds r2, r2, r7\n"
                     "cmp r1, r12\n"
                     "bne 1b\n"
                     "movs r0, r2\n"
                     "pop {r4-r7, pc}\n" PF_CLOBBERS);
}

#endif
