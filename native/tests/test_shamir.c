/* Shares: any threshold of them gives the secret back, one fewer is consistent with any secret; refusals. */
#include "check.h"
#include "picofed.h"
#include "port.h"

static void fill(uint64_t *random, uint8_t *mem, size_t len) {
    for (size_t i = 0; i < len; i++) {
        mem[i] = (uint8_t)check_random(random);
    }
}

static void test_a_threshold_of_shares_gives_the_secret_back(void) {
    uint64_t random = check_seed();
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t threshold = 1 + check_below(&random, 24);
        uint8_t secret[PF_SHARE];
        uint8_t back[PF_SHARE];
        uint8_t points[24];
        uint8_t shares[24 * PF_SHARE];
        uint8_t *coefficients = (uint8_t *)malloc(PF_SHARE * threshold); /* one too many: malloc(0) may be NULL */
        fill(&random, secret, sizeof secret);
        fill(&random, coefficients, PF_SHARE * threshold);
        uint32_t first = 1 + check_below(&random, 255);
        for (uint32_t i = 0; i < threshold; i++) {
            points[i] = (uint8_t)(1 + (first + 7 * i) % 255); /* 7 and 255 have no common factor: all different */
            CHECK_EQ(pf_shamir_share(shares + i * PF_SHARE, secret, coefficients, threshold, points[i]), PF_OK);
        }
        CHECK_EQ(pf_shamir_combine(back, points, shares, threshold), PF_OK);
        CHECK_BYTES(back, secret, PF_SHARE);
        free(coefficients);
    }
}

/* With one share fewer, every value of the missing one gives another secret: all 256 are possible. */
static void test_fewer_shares_say_nothing(void) {
    uint64_t random = check_seed();
    uint8_t secret[PF_SHARE];
    uint8_t coefficients[2 * PF_SHARE];
    uint8_t shares[3 * PF_SHARE];
    uint8_t points[3] = {1, 2, 3};
    uint8_t seen[256] = {0};
    fill(&random, secret, sizeof secret);
    fill(&random, coefficients, sizeof coefficients);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_EQ(pf_shamir_share(shares + i * PF_SHARE, secret, coefficients, 3, points[i]), PF_OK);
    }
    for (uint32_t value = 0; value < 256; value++) {
        uint8_t back[PF_SHARE];
        memset(shares + 2 * PF_SHARE, (int)value, PF_SHARE);
        CHECK_EQ(pf_shamir_combine(back, points, shares, 3), PF_OK);
        CHECK_EQ(seen[back[0]], 0);
        seen[back[0]] = 1;
    }
}

static void test_refusals(void) {
    uint8_t secret[PF_SHARE] = {1};
    uint8_t share[2 * PF_SHARE] = {0};
    uint8_t twice[2] = {5, 5};
    uint8_t zero[2] = {5, 0};
    CHECK_EQ(pf_shamir_share(share, secret, NULL, 0, 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_shamir_share(share, secret, NULL, 256, 1), PF_E_ARGUMENT);
    CHECK_EQ(pf_shamir_share(share, secret, NULL, 1, 0), PF_E_ARGUMENT);
    CHECK_EQ(pf_shamir_share(share, secret, NULL, 1, 256), PF_E_ARGUMENT);
    CHECK_EQ(pf_shamir_share(share, secret, NULL, 1, 255), PF_OK);
    CHECK_BYTES(share, secret, PF_SHARE);
    CHECK_EQ(pf_shamir_combine(secret, twice, share, 2), PF_E_ARGUMENT);
    CHECK_EQ(pf_shamir_combine(secret, zero, share, 2), PF_E_ARGUMENT);
    CHECK_EQ(pf_shamir_combine(secret, zero, share, 0), PF_E_ARGUMENT);
}

int main(void) {
    RUN(test_a_threshold_of_shares_gives_the_secret_back);
    RUN(test_fewer_shares_say_nothing);
    RUN(test_refusals);
    return 0;
}
