/* Update payloads: known bytes, round trips, the shortest k, one encoding a value, malformed input. */
#include "check.h"
#include "picofed.h"
#include "port.h"

#define N_MAX 300u

/* What a value becomes by rounding (SPEC 7.6), in wide arithmetic. */
static int32_t rounded(int32_t v, uint32_t shift) {
    int64_t step = (int64_t)1 << shift;
    int64_t q = shift == 0 ? v : (v >> shift) + (v >> (shift - 1) & 1);
    int64_t out = q * step;
    return out > INT32_MAX ? INT32_MAX : out < INT32_MIN ? INT32_MIN : (int32_t)out;
}

static pf_status decode(int32_t *values, size_t n, const uint8_t *data, size_t len) {
    uint8_t *exact = (uint8_t *)malloc(len == 0 ? 1 : len);
    int32_t *out = (int32_t *)malloc(n == 0 ? 1 : 4 * n);
    memcpy(exact, data, len);
    pf_status status = pf_update_decode(out, n, exact, len);
    if (status == PF_OK && values != NULL) {
        memcpy(values, out, 4 * n);
    }
    free(exact);
    free(out);
    return status;
}

static uint64_t bits_with(const int32_t *values, size_t n, uint32_t shift, uint32_t k) {
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t q = shift == 0 ? values[i] : (values[i] >> shift) + (values[i] >> (shift - 1) & 1);
        uint32_t u = q < 0 ? 2u * (uint32_t)-(int64_t)(q + 1) + 1 : 2u * (uint32_t)q;
        bits += u >> k < 24 ? (u >> k) + 1 + k : 56;
    }
    return bits;
}

static void check_round_trip(const int32_t *values, size_t n, uint32_t shift) {
    static uint8_t data[4 + 8 * N_MAX];
    static int32_t back[N_MAX];
    pf_status len = pf_update_encode(data, sizeof data, (const uint32_t *)values, n, shift);
    CHECK(len >= 3);
    CHECK_EQ(data[0], 1);
    CHECK_EQ(data[1], shift);
    uint32_t best = 0;
    for (uint32_t k = 1; k <= 30; k++) {
        if (bits_with(values, n, shift, k) < bits_with(values, n, shift, best)) {
            best = k;
        }
    }
    CHECK_EQ(data[2], best);
    CHECK_EQ(len, 3 + (bits_with(values, n, shift, best) + 7) / 8);
    CHECK_EQ(decode(back, n, data, (size_t)len), PF_OK);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(back[i], rounded(values[i], shift));
    }
    CHECK_EQ(decode(NULL, n, data, (size_t)len - 1), PF_E_FRAME);
    data[len] = 0;
    CHECK_EQ(decode(NULL, n, data, (size_t)len + 1), PF_E_FRAME);
    if (n > 0) {
        CHECK_EQ(pf_update_encode(data, (size_t)len - 1, (const uint32_t *)values, n, shift), PF_E_MEMORY);
    }
}

static void test_known_bytes(void) {
    /* k = 0: 0, -1, 1, -2 are u = 0, 1, 2, 3: bits 0 10 110 1110, lowest first */
    int32_t small[4] = {0, -1, 1, -2};
    uint8_t data[64];
    CHECK_EQ(pf_update_encode(data, sizeof data, (const uint32_t *)small, 4, 0), 5);
    uint8_t wanted[5] = {1, 0, 0, 0xda, 0x01}; /* 0 1 0 1 1 0 1 1 | 1 0 */
    CHECK_EQ(data[2], 0);
    CHECK_BYTES(data, wanted, 5);
    /* one escape: 24 ones, then u = 2^32 - 1 */
    int32_t values[12] = {INT32_MIN};
    CHECK_EQ(pf_update_encode(data, sizeof data, (const uint32_t *)values, 12, 0), 3 + (56 + 11 + 7) / 8);
    CHECK_EQ(data[2], 0);
    CHECK(pf_filled_with(data + 3, 0xff, 7) && data[10] == 0 && data[11] == 0);
    CHECK_EQ(pf_update_encode(data, sizeof data, (const uint32_t *)values, 0, 0), 3);
    CHECK_EQ(decode(NULL, 0, data, 3), PF_OK);
    CHECK_EQ(pf_update_encode(data, sizeof data, (const uint32_t *)values, 1, 31), PF_E_ARGUMENT);
}

static void test_round_trips(void) {
    uint64_t random = check_seed();
    int32_t values[N_MAX];
    static const int32_t edges[] = {0, 1, -1, INT32_MAX, INT32_MIN, INT32_MAX - 1, INT32_MIN + 1, 1 << 30, -(1 << 30)};
    for (uint32_t shift = 0; shift <= 30; shift++) {
        check_round_trip(values, 0, shift);
        check_round_trip(edges, sizeof edges / sizeof *edges, shift);
        for (size_t e = 0; e < sizeof edges / sizeof *edges; e++) {
            check_round_trip(edges + e, 1, shift);
        }
        for (int round = 0; round < 40; round++) {
            size_t n = 1 + check_below(&random, N_MAX);
            uint32_t width = check_below(&random, 32);
            for (size_t i = 0; i < n; i++) {
                uint32_t extra = check_below(&random, 20) == 0 ? 0 : width; /* with outliers */
                values[i] = (int32_t)(uint32_t)check_random(&random) >> extra;
            }
            check_round_trip(values, n, shift);
        }
    }
}

/* Whatever is accepted must be what the encoder writes for k = data[2]: there is one encoding of a value. */
static void test_accepted_means_canonical(void) {
    uint64_t random = check_seed();
    uint32_t accepted = 0;
    for (int i = 0; i < 300000; i++) {
        uint8_t data[16];
        int32_t values[8];
        size_t len = check_below(&random, 16);
        uint8_t ones = (uint8_t)check_below(&random, 3);
        for (size_t b = 0; b < len; b++) {
            data[b] = (uint8_t)(ones == 2 ? check_random(&random) | check_random(&random) : check_random(&random));
        }
        if (len > 2 && i % 16 != 0) {
            data[0] = 1;
            data[1] &= 31;
            data[2] &= 31;
        }
        size_t n = check_below(&random, 9);
        if (decode(values, n, data, len) == PF_OK) {
            uint32_t bits = 0;
            accepted++;
            for (size_t v = 0; v < n; v++) {
                CHECK_EQ(values[v] & ((1u << data[1]) - 1) & (values[v] == INT32_MAX ? 0 : ~0u), 0);
            }
            if (data[1] == 0) {
                bits = (uint32_t)bits_with(values, n, 0, data[2]);
                CHECK_EQ(len, 3 + (bits + 7) / 8);
            }
        }
    }
    CHECK(accepted > 1000);
}

static void test_malformed(void) {
    int32_t values[3] = {5, -700, 123456};
    uint8_t data[64];
    uint8_t bad[64];
    size_t len = (size_t)pf_update_encode(data, sizeof data, (const uint32_t *)values, 3, 0);
    CHECK_EQ(decode(NULL, 3, data, len), PF_OK);
    CHECK_EQ(decode(NULL, 2, data, len), PF_E_FRAME); /* other numbers of values */
    CHECK_EQ(decode(NULL, 60, data, len), PF_E_FRAME);
    static const uint8_t headers[][3] = {{0, 0, 0}, {2, 0, 0}, {1, 31, 0}, {1, 0, 31}, {1, 255, 255}};
    for (size_t i = 0; i < sizeof headers / 3; i++) {
        memcpy(bad, data, len);
        memcpy(bad, headers[i], 3);
        CHECK_EQ(decode(NULL, 3, bad, len), PF_E_FRAME);
    }
    uint8_t padded[4] = {1, 0, 0, 0x02}; /* one value, 0, then a padding bit that is set */
    CHECK_EQ(decode(NULL, 1, padded, 4), PF_E_FRAME);
    padded[3] = 0;
    CHECK_EQ(decode(NULL, 1, padded, 4), PF_OK);
    uint8_t escape[10] = {1, 0, 0, 0xff, 0xff, 0xff, 23, 0, 0, 0}; /* u = 23 has a shorter code */
    CHECK_EQ(decode(NULL, 1, escape, 10), PF_E_FRAME);
    escape[6] = 24;
    CHECK_EQ(decode(values, 1, escape, 10), PF_OK);
    CHECK_EQ(values[0], 12);
    uint8_t wide[8] = {1, 0, 30, 0x0f, 0, 0, 0, 0}; /* 4 ones, k = 30: u would be 2^32 */
    CHECK_EQ(decode(NULL, 1, wide, 8), PF_E_FRAME);
}

int main(void) {
    RUN(test_known_bytes);
    RUN(test_round_trips);
    RUN(test_accepted_means_canonical);
    RUN(test_malformed);
    return 0;
}
