/* lmul.c: the product of two 64-bit integers on ARMv6-M, for native modules. GCC's library has one whose time depends
 * on the factors: it adds a carry in a branch. X25519 multiplies secrets with it (docs/proofs/timing.md). Compiled
 * where PF_OWN_LMUL is defined, and called by the compiler. The Pico's SDK has one without a branch. */
#include "port.h"

#ifdef PF_OWN_LMUL

uint64_t __aeabi_lmul(uint64_t a, uint64_t b);

__attribute__((used, externally_visible, noinline)) uint64_t __aeabi_lmul(uint64_t a, uint64_t b) {
    uint32_t a0 = (uint32_t)a & 0xffffu;
    uint32_t a1 = (uint32_t)a >> 16;
    uint32_t b0 = (uint32_t)b & 0xffffu;
    uint32_t b1 = (uint32_t)b >> 16;
    /* factors below 2^16: (2^16 - 1)^2 + 2^16 - 1 < 2^32 */
    uint32_t low = a0 * b0;
    uint32_t middle = a1 * b0 + (low >> 16);
    uint32_t cross = a0 * b1 + (middle & 0xffffu);
    uint32_t high = a1 * b1 + (middle >> 16) + (cross >> 16);                      /* the exact product's: below 2^32 */
    high += (uint32_t)a * (uint32_t)(b >> 32) + (uint32_t)(a >> 32) * (uint32_t)b; /* modulo 2^32 */
    return (uint64_t)high << 32 | (cross << 16 | (low & 0xffffu));
}

#endif
