#include "elements.h"
#include "clip.h"
#include "fixed.h"

#ifdef PF_KERNELS_THUMB
#include "elements_thumb.h"
#endif

PF_NOINLINE void pf_add_biases(int32_t *z, const int16_t *biases, uint32_t n, uint32_t bias_shift) {
    const int32_t *end = z + n;
    int32_t b = 1 << bias_shift;
    do {
        *z++ += *biases++ * b; /* |w b| <= 2^21 */
    } while (z != end);
}

#ifdef PF_KERNELS_THUMB
/* An odd n: z has a zero behind it, biases and out have room (pf_trainer_layout). */
void pf_relu(int8_t *out, const int32_t *z, const int16_t *biases, uint32_t n, uint32_t bias_shift) {
    pf_thumb_relu(out, z, biases, bias_shift, z + ((n + 1u) & ~1u));
}
#else
PF_NOINLINE void pf_relu(int8_t *out, const int32_t *z, const int16_t *biases, uint32_t n, uint32_t bias_shift) {
    const int32_t *end = z + n;
    do {
        int32_t value = ((*z++ >> bias_shift) + *biases++) >> 6; /* within 2^26 + 2^14 before the second shift */
        value &= ~(value >> 31);
        int32_t over = value - 127;
        *out++ = (int8_t)(value - (over & ~(over >> 31)));
    } while (z != end);
}
#endif

/* `rounded` limited, where the ReLU is neither off nor saturated: a - 1 and 126 - a are both non-negative there. */
PF_INLINE int32_t pf_gated(int32_t rounded, int32_t a) {
    return pf_limit(rounded, -PF_DELTA_MAX, PF_DELTA_MAX) & ~(((a - 1) | (126 - a)) >> 31);
}

#ifdef PF_KERNELS_THUMB
/* An odd n: s, a and delta have room for one more, a is 0 there, and so becomes delta (pf_trainer_layout). */
void pf_gate(int32_t *delta, const int32_t *s, const int8_t *a, uint32_t n) {
    pf_thumb_gate(delta, s, a, s + ((n + 1u) & ~1u));
}
#else
PF_NOINLINE void pf_gate(int32_t *delta, const int32_t *s, const int8_t *a, uint32_t n) {
    const int32_t *end = s + n;
    do {
        *delta++ = pf_gated((*s++ + (1 << 10)) >> 11, *a++); /* after the shift < 2^20 */
    } while (s != end);
}
#endif

PF_NOINLINE void pf_gate_wide(int32_t *delta, const int64_t *s, const int8_t *a, uint32_t n) {
    const int64_t *end = s + n;
    do {
        *delta++ = pf_gated((int32_t)(*s++ >> 11), *a++); /* after the shift < 2^28 */
    } while (s != end);
}

#ifdef PF_KERNELS_THUMB
uint64_t pf_squares(const int32_t *delta, uint32_t n) {
    return pf_thumb_squares(delta, n);
}

void pf_scale(int32_t *out, const int32_t *delta, uint32_t n, uint32_t factor) {
    if (n & 1u) {
        *out = pf_clip_scale(*delta++, factor);
        out += PF_BATCH;
    }
    if (n > 1u) {
        pf_thumb_scale(out, delta, factor, delta + (n & ~1u));
    }
}
#else
PF_NOINLINE uint64_t pf_squares(const int32_t *delta, uint32_t n) {
    const int32_t *end = delta + n;
    uint64_t sum = 0;
    do {
        int32_t d = *delta++;
        sum += (uint32_t)(d * d); /* < 2^28 */
    } while (delta != end);
    return sum;
}

PF_NOINLINE void pf_scale(int32_t *out, const int32_t *delta, uint32_t n, uint32_t factor) {
    const int32_t *end = delta + n;
    do {
        *out = pf_clip_scale(*delta++, factor);
        out += PF_BATCH;
    } while (delta != end);
}
#endif

PF_NOINLINE void pf_add_deltas(uint32_t *acc, const int32_t *deltas, uint32_t n, uint32_t shift) {
    const uint32_t *end = acc + n;
    do {
        int32_t sum = deltas[0] + deltas[1] + deltas[2] + deltas[3];
        sum += deltas[4] + deltas[5] + deltas[6] + deltas[7];
        *acc++ += (uint32_t)sum << shift;
        deltas += PF_BATCH;
    } while (acc != end);
}

#if defined(__GNUC__) || defined(__clang__)
typedef uint32_t __attribute__((may_alias)) pf_four_bytes;
#endif

PF_NOINLINE uint32_t pf_outside(const int8_t *a, size_t n) {
    const int8_t *end = a + n;
    uint32_t outside = 0;
#if defined(__GNUC__) || defined(__clang__)
    /* four at a time, where the compiler can be told that words are read over bytes */
    for (; a != end && ((uintptr_t)a & 3u) != 0; a++) {
        outside |= (uint32_t)(*a == -128);
    }
    const int8_t *words = a + ((size_t)(end - a) & ~(size_t)3u);
    uint32_t found = 0;
    uint32_t ones = 0x01010101u;
    uint32_t tops = ones << 7;
    PF_OPAQUE(ones);
    PF_OPAQUE(tops);
    /* a zero byte of the exclusive or: the subtraction borrows into its top bit, which was 0 */
    for (; words - a >= 16; a += 16) {
        const pf_four_bytes *four = (const pf_four_bytes *)(const void *)a;
        uint32_t word = four[0] ^ tops;
        found |= (word - ones) & ~word;
        word = four[1] ^ tops;
        found |= (word - ones) & ~word;
        word = four[2] ^ tops;
        found |= (word - ones) & ~word;
        word = four[3] ^ tops;
        found |= (word - ones) & ~word;
    }
    for (; a != words; a += 4) {
        uint32_t word = *(const pf_four_bytes *)(const void *)a ^ tops;
        found |= (word - ones) & ~word;
    }
    outside |= found & tops;
#endif
    for (; a != end; a++) {
        outside |= (uint32_t)(*a == -128);
    }
    return (uint32_t)(outside != 0);
}
