/* port.h: helpers that every file of the core shares, and the traps of building for a MicroPython native module.
 *
 * The traps, each with where it is described:
 * 1. GCC and clang recognise copying, clearing and comparing loops and replace them by calls of memcpy, memset and
 *    memcmp, which a native module has no libc for (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=56888,
 *    micropython#6053, micropython#10562). PF_OPAQUE in such a loop hides the pattern on any compiler flags. For the
 * same reason no struct or array is copied by assignment or cleared by an initialiser: use pf_copy and pf_zero.
 * 2. ARMv6-M has neither a divide nor a 32 x 32 -> 64 multiply instruction: `/`, `%` and uint64_t products become
 *    libgcc calls (__aeabi_uidiv, __aeabi_lmul) that a native module only gets with LINK_RUNTIME=1
 *    (docs.micropython.org/en/latest/develop/natmod.html). Division goes through pf_divide and pf_quotient; 64-bit
 *    products stay out of inner loops.
 * 3. Mutable static variables are not linkable into a native module (micropython#15943): state lives in the caller's
 *    structs. Constant tables without pointers in them are fine, except that `static const` ones have been seen to read
 *    wrongly on xtensawin, where dropping `static` helps (micropython#14429): declare them PF_TABLE, with names that
 * are unique in the core, and build with -DPF_TABLES_EXTERNAL where it is needed.
 * 4. The whole core is also compiled as one unit, so no two files may define the same static name. */
#ifndef PF_PORT_H
#define PF_PORT_H

#include <stddef.h>
#include <stdint.h>

/* Makes the compiler forget what it knows about an integer or pointer; costs no instruction. */
#if defined(__GNUC__) || defined(__clang__)
#define PF_OPAQUE(variable) __asm__ volatile("" : "+r"(variable))
#define PF_INLINE static inline __attribute__((unused))
#define PF_NOINLINE __attribute__((noinline))
/* Where a call costs as much as the function, and a build for size (a native module) would make it one. */
#define PF_ALWAYS_INLINE static inline __attribute__((always_inline, unused))
#else
#define PF_ALWAYS_INLINE static inline
#define PF_OPAQUE(variable) ((void)0)
#define PF_INLINE static inline
#define PF_NOINLINE
#endif

/* A word of a byte buffer where it is little-endian and aligned to 4: what the caller makes sure of. */
#if (defined(__GNUC__) || defined(__clang__)) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PF_WORDS 1
typedef uint32_t __attribute__((may_alias)) pf_word;
#endif

#ifdef PF_TABLES_EXTERNAL
#define PF_TABLE const
#else
#define PF_TABLE static const
#endif

PF_INLINE void pf_copy(void *to, const void *from, size_t len) {
    uint8_t *out = (uint8_t *)to;
    const uint8_t *in = (const uint8_t *)from;
    for (size_t i = 0; i < len; i++) {
        out[i] = in[i];
        PF_OPAQUE(i);
    }
}

/* Once, and not wherever something is cleared: that would be kilobytes. */
__attribute__((unused)) static PF_NOINLINE void pf_set(void *mem, uint8_t value, size_t len) {
    uint8_t *out = (uint8_t *)mem;
#ifdef PF_WORDS
    if (((uintptr_t)out & 3u) == 0) {
        uint32_t word = value * 0x01010101u; /* <= 0xffffffff */
        for (; len >= 16u; len -= 16u) {
            ((pf_word *)mem)[0] = word;
            ((pf_word *)mem)[1] = word;
            ((pf_word *)mem)[2] = word;
            ((pf_word *)mem)[3] = word;
            mem = (pf_word *)mem + 4;
            PF_OPAQUE(mem);
        }
        out = (uint8_t *)mem;
    }
#endif
    for (size_t i = 0; i < len; i++) {
        out[i] = value;
        PF_OPAQUE(i);
    }
}

PF_INLINE void pf_zero(void *mem, size_t len) {
    pf_set(mem, 0, len);
}

/* 1 if all len bytes have this value. Not constant-time: for flash contents, not for secrets (see pf_differ). */
PF_INLINE int pf_filled_with(const uint8_t *data, uint8_t value, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (data[i] != value) {
            return 0;
        }
        PF_OPAQUE(i);
    }
    return 1;
}

/* 1 if equal. Not constant-time. */
PF_INLINE int pf_equal(const uint8_t *a, const uint8_t *b, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (a[i] != b[i]) {
            return 0;
        }
        PF_OPAQUE(i);
    }
    return 1;
}

/* Little-endian access at any alignment; bytes, because ARMv6-M faults on unaligned words. */
PF_INLINE uint32_t pf_get_u16(const uint8_t *in) {
    return (uint32_t)in[0] | (uint32_t)in[1] << 8;
}

PF_INLINE uint32_t pf_get_u32(const uint8_t *in) {
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

PF_INLINE void pf_put_u16(uint8_t *out, uint32_t value) {
    out[0] = (uint8_t)(value & 0xffu);
    out[1] = (uint8_t)(value >> 8 & 0xffu);
}

PF_INLINE void pf_put_u32(uint8_t *out, uint32_t value) {
    pf_put_u16(out, value);
    pf_put_u16(out + 2, value >> 16);
}

/* a * b, exact, in 16-bit halves (trap 2). */
PF_INLINE uint64_t pf_multiply(uint32_t a, uint32_t b) {
    uint32_t a_low = a & 0xffffu;
    uint32_t a_high = a >> 16;
    uint32_t b_low = b & 0xffffu;
    uint32_t b_high = b >> 16;
    /* each product <= (2^16 - 1)^2 < 2^32 */
    uint32_t low = a_low * b_low;
    uint32_t cross_a = a_high * b_low;
    uint32_t cross_b = a_low * b_high;
    uint32_t middle = (low >> 16) + (cross_a & 0xffffu) + (cross_b & 0xffffu); /* < 3 * 2^16 */
    uint32_t high = a_high * b_high + (cross_a >> 16) + (cross_b >> 16) + (middle >> 16);
    return (uint64_t)high << 32 | (middle << 16 | (low & 0xffffu));
}

/* floor(numerator / denominator), denominator > 0: restoring division, a bit a step. For sizes, which are no secret:
 * the bytes above the numerator's highest are left out. */
PF_INLINE uint32_t pf_divide(uint32_t numerator, uint32_t denominator) {
    uint32_t remainder = 0;
    uint32_t quotient = 0;
    uint32_t i = 8;
    while (i < 32 && numerator >> i != 0) {
        i += 8;
    }
    while (i-- > 0) {
        /* invariant: remainder < denominator, so 2 remainder + 1 < 2^33, and less the denominator < 2^32 */
        uint32_t carry = remainder >> 31;
        remainder = remainder << 1 | (numerator >> i & 1u);
        uint32_t fits = carry | (uint32_t)(remainder >= denominator);
        remainder -= denominator & (0u - fits);
        quotient = quotient << 1 | fits;
        PF_OPAQUE(quotient);
    }
    return quotient;
}

/* ceil(sqrt(n)), bit by bit. Saturates at 2^32 - 1: n > (2^32 - 1)^2 has the ceiling 2^32. (For SPEC 2.6 that makes no
 * difference: with C < 2^20, C 2^15 = k 2^32 + r has k < 8 and r <= 2^32 - 2^15, so its quotients by 2^32 and by 2^32 -
 * 1 have the same floor k.) */
PF_INLINE uint32_t pf_sqrt_ceil64(uint64_t n) {
    uint64_t remainder = n;
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 62; bit != 0; bit >>= 2) {
        /* root < 2^63 is twice the root so far, aligned to `bit`; root + bit < 2^64 */
        if (remainder >= root + bit) {
            remainder -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    /* now root = floor(sqrt n) <= 2^32 - 1 */
    if (remainder != 0 && root < 0xffffffffu) {
        root++;
    }
    return (uint32_t)root;
}

#endif
