/* Blocks and targets against SPEC 8.4 and 8.5 in wide integers. */
#include "picofed.h"
#include "check.h"

static int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static void test_blocks(void) {
    uint64_t state = check_seed();
    int16_t x[128 * 6];
    int8_t out[128 * 6];
    for (int i = 0; i < 2000; i++) {
        int n = 16 + (int)check_below(&state, 113);
        int block = 1 + (int)check_below(&state, i % 3 == 0 ? 128 : 20);
        n -= n % block;
        n = n < 16 ? n + (16 / block + 1) * block : n;
        int seen = 1 + (int)check_below(&state, (uint32_t)n);
        uint32_t range = (uint32_t)1 << check_below(&state, 17);
        for (int k = 0; k < n * 6; k++) {
            x[k] = (int16_t)((int32_t)check_below(&state, range) - (int32_t)(range / 2));
            if (i % 5 == 0) {
                x[k] = i % 10 == 0 ? 32767 : -32768;
            }
        }
        int64_t first = 0;
        for (int t = 0; t < seen; t++) {
            first += x[6 * t];
        }
        CHECK_EQ(pf_features_blocks(out, x, (uint32_t)n, (uint32_t)block, (uint32_t)seen), PF_OK);
        for (int k = 0; k < n / block; k++) {
            for (int c = 0; c < 6; c++) {
                int64_t sum = 0;
                for (int t = 0; t < block; t++) {
                    sum += x[6 * (block * k + t) + c];
                }
                int64_t g = (c == 0 || c >= 4) && first < 0 ? -1 : 1;
                int64_t wanted = floor_divide(g * floor_divide(sum, block), 64);
                wanted = wanted < -127 ? -127 : wanted > 127 ? 127 : wanted;
                CHECK_EQ(out[6 * k + c], wanted);
            }
        }
    }
}

static void test_targets(void) {
    static const int8_t values[4] = {127, -127, 127, -1};
    static const int8_t from[2] = {-127, 127};
    static const uint8_t itself[8] = {0xe0, 0x0f, 0x20, 0xf0, 0xe0, 0x0f, 0xe0, 0xff};
    static const uint8_t change[8] = {0xc0, 0x1f, 0x40, 0xe0, 0xc0, 0x1f, 0x00, 0xf0};
    uint8_t out[8];
    pf_targets(out, values, 4, NULL, 0);
    CHECK_BYTES(out, itself, 8);
    pf_targets(out, values, 4, from, 2);
    CHECK_BYTES(out, change, 8);
}

static void test_refusals(void) {
    int16_t x[130 * 6] = {0};
    int8_t out[130 * 6] = {77};
    CHECK_EQ(pf_features_blocks(out, x, 15, 5, 5), PF_E_ARGUMENT);
    CHECK_EQ(pf_features_blocks(out, x, 129, 3, 5), PF_E_ARGUMENT);
    CHECK_EQ(pf_features_blocks(out, x, 20, 3, 5), PF_E_ARGUMENT);
    CHECK_EQ(pf_features_blocks(out, x, 20, 0, 5), PF_E_ARGUMENT);
    CHECK_EQ(pf_features_blocks(out, x, 20, 5, 0), PF_E_ARGUMENT);
    CHECK_EQ(pf_features_blocks(out, x, 20, 5, 21), PF_E_ARGUMENT);
    CHECK_EQ(out[0], 77);
}

int main(void) {
    RUN(test_blocks);
    RUN(test_targets);
    RUN(test_refusals);
    return 0;
}
