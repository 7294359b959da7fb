#include "fixed.h"
#include "armv6m.h"

#ifdef PF_KERNELS_THUMB
#include "fixed_thumb.h"
#endif

/* round(2^16 2^(-k/32)), k = 0..32 */
PF_TABLE uint32_t pf_exp2_table[33] = {65536, 64132, 62757, 61413, 60097, 58809, 57549, 56316, 55109, 53928, 52773,
    51642, 50535, 49452, 48393, 47356, 46341, 45348, 44376, 43425, 42495, 41584, 40693, 39821, 38968, 38133, 37316,
    36516, 35734, 34968, 34219, 33486, 32768};

#ifdef PF_KERNELS_THUMB
uint32_t pf_quotient(uint32_t remainder, uint32_t divisor, uint32_t next) {
    return pf_thumb_quotient(remainder, divisor, 15, next);
}
#else
uint32_t pf_quotient(uint32_t remainder, uint32_t divisor, uint32_t next) {
    uint32_t quotient = 0;
    for (uint32_t i = 0; i < 15u; i++) {
        /* invariant: remainder < divisor, so 2 remainder + 1 < 2^33, and less the divisor < 2^32 */
        uint32_t carry = remainder >> 31;
        remainder = remainder << 1 | next;
        uint32_t fits = carry | (uint32_t)(remainder >= divisor);
        remainder -= divisor & (0u - fits);
        quotient = quotient << 1 | fits;
        PF_OPAQUE(quotient);
    }
    return quotient;
}
#endif

#define PF_SOFTMAX_CUT 11264u /* 11 in Q10: e^-11 is below the table's resolution */

/* out_j = 2^16 e^(-t / 2^10), t = (largest - logit_j) >> shift in Q10, and 0 from PF_SOFTMAX_CUT on; returns the sum.
 * shift 6 or 8; n > 0. */
static PF_NOINLINE uint32_t pf_softmax_exp(
    int32_t *out, const int32_t *logits, uint32_t n, int32_t largest, uint32_t shift) {
    const int32_t *end = logits + n;
    uint32_t sum = 0; /* 2^16 (the largest logit's own term) <= sum <= 255 * 2^16 < 2^24 */
    do {
        uint32_t t = ((uint32_t)largest - (uint32_t)*logits++) >> shift; /* the difference fits 32 bits: t < 2^26 */
        int32_t within = (int32_t)(t - PF_SOFTMAX_CUT) >> 31;            /* negative below the cut */
        /* 94548 = round(2^16 log2 e); t 94548 <= 11264 * 94548 < 2^30 */
        uint32_t u = ((t & (uint32_t)within) * 94548u) >> 16; /* < 2^14: whole part <= 15 */
        const uint32_t *entry = pf_exp2_table + (u >> 5 & 31u);
        /* (E[k] (32 - l) + E[k + 1] l + 16) >> 5, less two operations: |E[k + 1] - E[k]| l < 2^11 * 2^5 */
        int32_t slope = (int32_t)(entry[1] - entry[0]) * (int32_t)(u & 31u);
        int32_t e = (((int32_t)entry[0] + ((slope + 16) >> 5)) >> (u >> 10)) & within;
        *out++ = e;
        sum += (uint32_t)e;
    } while (logits != end);
    return sum;
}

static PF_NOINLINE int32_t pf_softmax_largest(const int32_t *logits, uint32_t n) {
    const int32_t *end = logits + n;
    int32_t largest = *logits;
    do {
        int32_t logit = *logits++;
        uint32_t larger = 0u - (uint32_t)(logit > largest);
        PF_OPAQUE(larger); /* or it becomes a branch */
        largest ^= (largest ^ logit) & (int32_t)larger;
    } while (logits != end);
    return largest;
}

void pf_softmax_delta(int32_t *out, const int32_t *logits, uint32_t n, uint32_t bits, uint32_t label) {
    uint32_t sum = pf_softmax_exp(out, logits, n, pf_softmax_largest(logits, n), bits - 10u);
    /* floor((2^31 - 1) / sum): 31 one-bits, the first 16 of them 65535 < sum */
    uint32_t reciprocal = pf_quotient(0xffffu, sum, 1);
    uint32_t half = (uint32_t)1 << 18;
    PF_OPAQUE(half); /* or it is made again for each */
    for (uint32_t j = 0; j < n; j++) {
        /* e r <= sum r < 2^31; + 2^18 < 2^32 */
        out[j] = (int32_t)(((uint32_t)out[j] * reciprocal + half) >> 19);
    }
    out[label] -= 4096;
}

void pf_squared_delta(int32_t *out, const int32_t *logits, uint32_t n, uint32_t bits, const uint8_t *targets) {
    for (uint32_t j = 0; j < n; j++) {
        int32_t target = (int32_t)(pf_get_u16(targets + 2u * j) ^ 0x8000u) - 0x8000;
        /* bits - 12 >= 4, so the shifted logit is within 2^27 and the difference within 2^28 */
        out[j] = pf_limit((logits[j] >> (bits - 12u)) - target, -PF_DELTA_MAX, PF_DELTA_MAX);
    }
}

/* The next `digits` digits of the square root, from the top of `bits`. After i steps root = floor(sqrt(the top 2i
 * bits)) < 2^i and remainder <= 2 root < 2^(i+1). For i <= 28: remainder 4 + 3 < 2^31 and trial < 2^30, so that the
 * sign of their difference tells which is larger. */
#ifdef PF_KERNELS_THUMB
#define pf_sqrt_digits pf_thumb_sqrt_digits
#else
PF_INLINE uint32_t pf_sqrt_digits(uint32_t root, uint32_t *remainder, uint32_t bits, uint32_t digits) {
    uint32_t rest = *remainder;
    do {
        rest = (rest << 2) + (bits >> 30) - (root << 2) - 1u;
        uint32_t below = (uint32_t)((int32_t)rest >> 31); /* all ones if the digit is 0 */
        rest += ((root << 2) + 1u) & below;
        root = (root << 1) + 1u + below;
        bits <<= 2;
    } while (--digits != 0);
    *remainder = rest;
    return root;
}
#endif

uint32_t pf_sqrt_ceil(uint64_t n) {
    uint32_t high = (uint32_t)(n >> 32);
    uint32_t low = (uint32_t)n;
    uint32_t remainder = 0;
    if (high >> 24 == 0) { /* always, but for the norms of the widest models */
        uint32_t root = pf_sqrt_digits(0, &remainder, high << 8, 12);
        root = pf_sqrt_digits(root, &remainder, low, 16);
        return root + (uint32_t)(remainder != 0);
    }
    uint32_t root = pf_sqrt_digits(0, &remainder, high, 16);
    root = pf_sqrt_digits(root, &remainder, low, 12);
    uint64_t rest = remainder; /* the last four digits need more than 32 bits */
    for (uint32_t i = 0; i < 4u; i++) {
        rest = rest << 2 | (low >> (6u - 2u * i) & 3u);
        uint64_t trial = (uint64_t)root << 2 | 1u;
        uint32_t fits = rest >= trial;
        rest -= fits ? trial : 0u;
        root = root << 1 | fits;
    }
    return root + (uint32_t)(rest != 0 && root != 0xffffffffu);
}
