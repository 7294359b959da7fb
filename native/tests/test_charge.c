/* What a release costs (SPEC 5.2). */
#include "check.h"
#include "picofed.h"

static void test_charge_vectors(void) {
    CHECK_EQ(pf_charge(4096, 14, 1), 1048577); /* 2^48 / (2^28 - 3), rounded up */
    CHECK_EQ(pf_charge(274317, 21, 1), 287056);
    CHECK_EQ(pf_charge(1024, 13, 1), 262145);
    CHECK_EQ(pf_charge(4096, 14, 10), 10485770);
    CHECK_EQ(pf_charge(1, 25, 1), 1);
    CHECK_EQ(pf_charge(1, 6, 1), 4100);                   /* 2^24 / 4093 = 4099.0008 */
    CHECK_EQ(pf_charge(1048575, 25, 4095), 16384 * 4095); /* ceil(16383.97) a step */
    CHECK_EQ(pf_charge(1048575, 6, 1), 0xffffffffu);
    CHECK_EQ(pf_charge(0, 14, 1), 0xffffffffu);
    CHECK_EQ(pf_charge(1048576, 14, 1), 0xffffffffu);
    CHECK_EQ(pf_charge(4096, 5, 1), 0xffffffffu);
    CHECK_EQ(pf_charge(4096, 26, 1), 0xffffffffu);
    CHECK_EQ(pf_charge(4096, 14, 0), 0xffffffffu);
    CHECK_EQ(pf_charge(4096, 14, 4096), 0xffffffffu);
}

static void test_charge_against_wide_division(void) {
    uint64_t random = check_seed();
    for (int i = 0; i < 100000; i++) {
        uint32_t clip = 1 + check_below(&random, 1048575) % (1u << check_below(&random, 21));
        uint32_t log2_sigma = 6 + check_below(&random, 20);
        uint32_t steps = 1 + check_below(&random, 4095);
        uint64_t divisor = (1ull << 2 * log2_sigma) - 3;
        uint64_t numerator = (uint64_t)clip * clip << 24;
        uint64_t one = numerator / divisor + (numerator % divisor != 0);
        double wide = (double)one * steps;
        CHECK_EQ(pf_charge(clip, log2_sigma, steps), wide >= 4294967295.0 ? 0xffffffffu : (uint32_t)(one * steps));
    }
}

int main(void) {
    RUN(test_charge_vectors);
    RUN(test_charge_against_wide_division);
    return 0;
}
