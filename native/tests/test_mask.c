/* Masked payloads: sums come out, masks are the keystream's bits, in place, malformed input, edges. */
#include "check.h"
#include "picofed.h"
#include "port.h"

#define N_MAX 200u

static uint32_t limit(uint32_t bits) {
    return (uint32_t)(((uint64_t)1 << bits) - 1);
}

/* Field k of a run of bits, bit by bit. */
static uint32_t field(const uint8_t *data, size_t k, uint32_t bits) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < bits; i++) {
        size_t at = k * bits + i;
        value |= (uint32_t)(data[at / 8] >> at % 8 & 1) << i;
    }
    return value;
}

static void fill(uint64_t *random, void *mem, size_t len) {
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)mem)[i] = (uint8_t)check_random(random);
    }
}

static void test_fields(void) {
    uint64_t random = check_seed();
    static uint8_t stream[4 * N_MAX];
    uint8_t nonce[12] = {0};
    for (uint32_t bits = PF_MASK_BITS_MIN; bits <= 32; bits++) {
        for (uint32_t round = 0; round < 60; round++) {
            size_t n = round == 0 ? N_MAX : 1 + check_below(&random, N_MAX);
            uint32_t shift = check_below(&random, 33 - bits);
            size_t len = (n * bits + 7) / 8;
            uint8_t seed[32];
            fill(&random, seed, sizeof seed);
            uint32_t *values = (uint32_t *)malloc(4 * n);
            uint32_t *fields = (uint32_t *)malloc(4 * n);
            uint32_t *sum = (uint32_t *)calloc(n, 4);
            uint8_t *out = (uint8_t *)malloc(len); /* exact: the sanitizer sees one byte more */
            fill(&random, values, 4 * n);
            values[0] = 0x7fffffffu;
            values[n - 1] = 0x80000000u;
            CHECK_EQ(pf_mask_encode(out, len, values, n, shift, bits, seed), len);
            pf_chacha20(stream, NULL, sizeof stream, seed, nonce, 0);
            CHECK_EQ(pf_mask_unpack(fields, n, bits, out, len), PF_OK);
            CHECK_EQ(pf_mask_sum(sum, n, bits, seed, 1), PF_OK);
            for (size_t k = 0; k < n; k++) {
                int64_t v = (int32_t)values[k];
                int64_t q = shift == 0 ? v : (v + ((int64_t)1 << (shift - 1))) >> shift;
                CHECK_EQ(fields[k], field(out, k, bits));
                CHECK_EQ(sum[k], field(stream, k, bits));
                CHECK_EQ((fields[k] - sum[k]) & limit(bits), (uint32_t)q & limit(bits));
            }
            /* in the values' own memory */
            CHECK_EQ(pf_mask_encode((uint8_t *)values, 4 * n, values, n, shift, bits, seed), len);
            CHECK_BYTES(values, out, len);
            /* one more mask, there and back, in place */
            uint8_t other[32];
            uint8_t *added = (uint8_t *)malloc(len);
            memcpy(added, out, len);
            fill(&random, other, sizeof other);
            memset(sum, 0, 4 * n);
            CHECK_EQ(pf_mask_add(added, len, n, bits, other, 0), PF_OK);
            CHECK_EQ(pf_mask_sum(sum, n, bits, other, 1), PF_OK);
            for (size_t k = 0; k < n; k++) {
                CHECK_EQ(field(added, k, bits), (fields[k] + sum[k]) & limit(bits));
            }
            CHECK_EQ(pf_mask_add(added, len, n, bits, other, 1), PF_OK);
            CHECK_BYTES(added, out, len);
            free(added);
            free(values);
            free(fields);
            free(sum);
            free(out);
        }
    }
}

/* What SPEC 10.4 says of wrapped accumulators, for the widest grid. */
static void test_a_wrapped_accumulator_changes_nothing(void) {
    uint64_t random = check_seed();
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t bits = PF_MASK_BITS_MIN + check_below(&random, 33 - PF_MASK_BITS_MIN);
        uint32_t shift = 32 - bits;
        int64_t exact = (int64_t)(check_random(&random) << 16) >> 24; /* far beyond 32 bits */
        uint32_t value = (uint32_t)(uint64_t)exact;
        int64_t q = shift == 0 ? exact : (exact + ((int64_t)1 << (shift - 1))) >> shift;
        uint8_t seed[32] = {1};
        uint8_t out[4];
        uint32_t got;
        uint32_t mask = 0;
        pf_status len = pf_mask_encode(out, sizeof out, &value, 1, shift, bits, seed);
        CHECK_EQ(pf_mask_unpack(&got, 1, bits, out, (size_t)len), PF_OK);
        pf_mask_sum(&mask, 1, bits, seed, 1);
        CHECK_EQ((got - mask) & limit(bits), (uint32_t)(uint64_t)q & limit(bits));
    }
}

static void test_weighted_sums_of_masks(void) {
    uint64_t random = check_seed();
    uint32_t total[50] = {0};
    uint32_t wanted[50] = {0};
    for (uint32_t i = 0; i < 20; i++) {
        uint8_t seed[32];
        uint32_t one[50] = {0};
        uint32_t weight = 1u << check_below(&random, 6);
        fill(&random, seed, sizeof seed);
        CHECK_EQ(pf_mask_sum(total, 50, 19, seed, weight), PF_OK);
        CHECK_EQ(pf_mask_sum(one, 50, 19, seed, 1), PF_OK);
        for (size_t k = 0; k < 50; k++) {
            wanted[k] = (wanted[k] + weight * one[k]) & limit(19);
        }
    }
    CHECK_BYTES(total, wanted, sizeof total);
}

static void test_refusals(void) {
    uint32_t values[3] = {1, 2, 3};
    uint8_t seed[32] = {0};
    uint8_t out[16];
    CHECK_EQ(pf_mask_encode(out, sizeof out, values, 3, 0, 7, seed), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_encode(out, sizeof out, values, 3, 0, 33, seed), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_encode(out, sizeof out, values, 3, 13, 20, seed), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_encode(out, sizeof out, values, 3, 0xfffffff0u, 20, seed), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_encode(out, sizeof out, values, 3, 25, 8, seed), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_encode(out, 3, values, 3, 24, 8, seed), 3);
    CHECK_EQ(pf_mask_encode(out, sizeof out, values, 0, 0, 20, seed), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_encode(out, 7, values, 3, 0, 20, seed), PF_E_MEMORY);
    CHECK_EQ(pf_mask_encode(out, 8, values, 3, 0, 20, seed), 8);
    CHECK_EQ(out[7] >> 4, 0);
    CHECK_EQ(pf_mask_unpack(values, 3, 20, out, 8), PF_OK);
    CHECK_EQ(pf_mask_unpack(values, 3, 20, out, 7), PF_E_FRAME);
    CHECK_EQ(pf_mask_unpack(values, 3, 20, out, 9), PF_E_FRAME);
    CHECK_EQ(pf_mask_unpack(values, 3, 7, out, 3), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_unpack(values, 0, 20, out, 0), PF_E_ARGUMENT);
    out[7] |= 0x10;
    CHECK_EQ(pf_mask_unpack(values, 3, 20, out, 8), PF_E_FRAME);
    CHECK_EQ(pf_mask_sum(values, 3, 33, seed, 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_sum(values, 3, 7, seed, 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_add(out, 3, 3, 7, seed, 0), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_add(out, 8, 3, 20, seed, 2), PF_E_ARGUMENT);
    CHECK_EQ(pf_mask_add(out, 7, 3, 20, seed, 0), PF_E_FRAME);
}

int main(void) {
    RUN(test_fields);
    RUN(test_a_wrapped_accumulator_changes_nothing);
    RUN(test_weighted_sums_of_masks);
    RUN(test_refusals);
    return 0;
}
