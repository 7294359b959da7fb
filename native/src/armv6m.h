/* armv6m.h: what the files with ARMv6-M assembly share (thumb.h, *_thumb.h).
 *
 * The cost of an instruction is 1 cycle, of a load or store of n words by ldm/stm 1 + n, of a single one 2; muls
 * overwrites one of its factors and takes low registers (r0-r7), mov and add also take high ones. */
#ifndef PF_ARMV6M_H
#define PF_ARMV6M_H

#include "port.h"

#if defined(__thumb__) && !defined(__thumb2__) && !defined(PF_KERNELS_PLAIN)
#define PF_KERNELS_THUMB 1

#if defined(__clang__)
#define PF_NAKED __attribute__((naked, noinline, used))
#else
/* noclone: a copy of the function with one parameter propagated would move the others to other registers */
#define PF_NAKED __attribute__((naked, noinline, noclone, used))
#endif
#define PF_UNUSED __attribute__((unused))

/* Prologue and epilogue: r4-r11 and lr are the caller's. */
#define PF_PUSH "push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4-r7}\n"
#define PF_POP "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n"

/* A naked function needs no more than the registers that its caller does not expect back. */
#define PF_CLOBBERS :: : "r0", "r1", "r2", "r3", "r12", "cc", "memory"

#endif
#endif
