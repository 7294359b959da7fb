/* Health tests of the entropy source: what they must catch, what they must let pass, and the exact cutoffs. */
#include "check.h"
#include "picofed.h"

#define LEN 1024u

/* `good` bits from BLAKE2b in counter mode: as random as can be, the same on every run */
static void good(uint8_t *raw, size_t len, uint32_t label) {
    for (size_t i = 0; i < len; i += 64) {
        uint32_t in[2] = {label, (uint32_t)i};
        pf_blake2b(raw + i, 64, NULL, 0, (const uint8_t *)in, sizeof in);
    }
}

static void set_bit(uint8_t *raw, size_t i, uint32_t bit) {
    raw[i / 8] = (uint8_t)((raw[i / 8] & ~(1u << i % 8)) | bit << i % 8);
}

static uint32_t get_bit(const uint8_t *raw, size_t i) {
    return raw[i / 8] >> i % 8 & 1u;
}

static pf_status condition(const uint8_t *raw, size_t len) {
    uint8_t out[32];
    uint8_t wanted[32];
    memset(out, 0xaa, 32);
    pf_status status = pf_entropy_condition(out, raw, len);
    memset(wanted, 0, 32);
    if (status == PF_OK) {
        pf_blake2b(wanted, 32, NULL, 0, raw, len);
    }
    CHECK_BYTES(out, wanted, 32); /* wiped on failure */
    return status;
}

static void test_good_sources_pass(void) {
    uint8_t raw[2048];
    for (uint32_t i = 0; i < 200; i++) {
        good(raw, sizeof raw, i);
        CHECK_EQ(condition(raw, i % 2 ? LEN : sizeof raw), PF_OK);
    }
}

static void test_too_short(void) {
    uint8_t raw[LEN];
    good(raw, LEN, 0);
    CHECK_EQ(condition(raw, LEN - 1), PF_E_ARGUMENT);
    CHECK_EQ(condition(raw, 0), PF_E_ARGUMENT);
}

static void test_stuck_sources_fail(void) {
    uint8_t raw[LEN];
    memset(raw, 0, LEN);
    CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
    memset(raw, 0xff, LEN);
    CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
    for (size_t at = 0; at <= LEN - 26; at += 37) { /* gets stuck for 26 bytes somewhere */
        good(raw, LEN, 1);
        memset(raw + at, at % 2 ? 0xff : 0, 26);
        CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
    }
}

static void test_repetition_cutoff_is_201(void) {
    uint8_t raw[LEN];
    for (size_t at = 1; at + 202 < 8 * LEN; at += 61) {
        for (uint32_t bit = 0; bit < 2; bit++) {
            good(raw, LEN, 2);
            for (size_t i = 0; i < 200; i++) {
                set_bit(raw, at + i, bit);
            }
            set_bit(raw, at - 1, !bit);
            set_bit(raw, at + 200, !bit);
            CHECK_EQ(condition(raw, LEN), PF_OK);
            set_bit(raw, at + 200, bit);
            set_bit(raw, at + 201, !bit);
            CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
        }
    }
}

/* A window with `equal` bits like its first, spread so that no run is long, and without a period. */
static void window(uint8_t *raw, size_t start, uint32_t equal, uint32_t bit) {
    for (uint32_t i = 0; i < 1024; i++) {
        set_bit(raw, start + i, bit);
    }
    uint32_t different = 1024 - equal;
    for (uint32_t i = 0; i < different; i++) {
        set_bit(raw, start + 1 + i * (1023 / different) + i * i * i % 17, !bit);
    }
}

static void test_proportion_cutoff_is_991(void) {
    uint8_t raw[LEN];
    for (uint32_t w = 0; w < 8; w++) {
        for (uint32_t bit = 0; bit < 2; bit++) {
            good(raw, LEN, 3);
            window(raw, 1024 * w, 990, bit);
            CHECK_EQ(condition(raw, LEN), PF_OK);
            window(raw, 1024 * w, 991, bit);
            CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
        }
    }
    /* windows do not overlap: the same bits across a border are in no window */
    good(raw, LEN, 3);
    window(raw, 512, 991, 1);
    CHECK_EQ(get_bit(raw, 512), 1);
    CHECK_EQ(condition(raw, LEN), PF_OK);
}

static void test_a_last_partial_window_is_not_tested(void) {
    uint8_t raw[LEN + 127];
    good(raw, LEN, 4);
    memset(raw + LEN, 0, 127);
    for (size_t i = 8 * LEN; i < 8 * sizeof raw; i += 100) {
        set_bit(raw, i, 1);
    }
    CHECK_EQ(condition(raw, sizeof raw), PF_OK);
}

/* Independent bits, P(1) = share / 256. */
static uint32_t failures(uint32_t share, uint32_t times, uint64_t random) {
    uint32_t failed = 0;
    for (uint32_t n = 0; n < times; n++) {
        uint8_t raw[LEN];
        for (size_t i = 0; i < 8 * LEN; i++) {
            set_bit(raw, i, check_below(&random, 256) < share);
        }
        failed += condition(raw, LEN) != PF_OK;
    }
    return failed;
}

static void test_biased_sources(void) {
    CHECK_EQ(failures(128, 50, 5), 0);  /* no bias */
    CHECK_EQ(failures(160, 50, 6), 0);  /* 5/8 */
    CHECK_EQ(failures(96, 50, 6), 0);   /* 3/8 */
    CHECK_EQ(failures(192, 50, 6), 50); /* 3/4 */
    CHECK_EQ(failures(64, 50, 6), 50);  /* 1/4 */
    CHECK_EQ(failures(230, 50, 7), 50); /* 0.9 */
    CHECK_EQ(failures(251, 50, 8), 50); /* 0.98: 0.03 bit a bit */
    CHECK_EQ(failures(254, 50, 9), 50);
    CHECK_EQ(failures(4, 50, 10), 50);
}

/* Turns bits here and there until the sample at `start` has so many ones. */
static void make_ones(uint8_t *raw, size_t start, uint32_t ones) {
    uint32_t have = 0;
    for (size_t i = 0; i < 8192; i++) {
        have += get_bit(raw, start + i);
    }
    for (size_t i = 0; have != ones; i = (i + 7) % 8192) {
        uint32_t wanted = have < ones;
        if (get_bit(raw, start + i) != wanted) {
            set_bit(raw, start + i, wanted);
            have = wanted ? have + 1 : have - 1;
        }
    }
}

static void test_bias_cutoff_is_5831_in_each_sample(void) {
    uint8_t raw[3 * LEN + LEN / 2];
    for (size_t sample = 0; sample < 4; sample++) {
        for (uint32_t bit = 0; bit < 2; bit++) {
            for (uint32_t count = 5830; count <= 5831; count++) {
                good(raw, sizeof raw, 8);
                if (sample < 3) {
                    make_ones(raw, 8192 * sample, bit ? count : 8192 - count);
                } else { /* half a sample at the end is not tested */
                    memset(raw + 3 * LEN, 0, LEN / 2);
                    for (size_t i = 8 * 3 * LEN; i < 8 * sizeof raw; i += 20) {
                        set_bit(raw, i, 1);
                    }
                    set_bit(raw, 8 * sizeof raw - 1, bit);
                }
                CHECK_EQ(condition(raw, sizeof raw), sample < 3 && count == 5831 ? PF_E_ENTROPY : PF_OK);
            }
        }
    }
}

static void test_patterns_of_any_length_fail(void) {
    uint8_t raw[2 * LEN];
    for (size_t period = 1; period <= 1000; period += period < 70 ? 1 : 31) {
        for (size_t sample = 0; sample < 2; sample++) {
            good(raw, sizeof raw, 9);
            for (size_t i = period; i < LEN; i++) {
                raw[LEN * sample + i] = raw[LEN * sample + i - period];
            }
            CHECK_EQ(condition(raw, sizeof raw), period <= 960 ? PF_E_ENTROPY : PF_OK);
        }
    }
    good(raw, sizeof raw, 9);
    memcpy(raw + 700, raw, 64);
    CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
    raw[763] ^= 0x80; /* one bit makes the difference */
    CHECK_EQ(condition(raw, LEN), PF_OK);
}

/* A stuck byte, a clock line or a repeated block passes the standard's tests of single bits. */
static void test_repeating_sources(void) {
    uint8_t raw[LEN];
    for (size_t period = 1; period <= 32; period *= 2) {
        good(raw, LEN, 6);
        for (size_t i = period; i < LEN; i++) {
            raw[i] = raw[i - period];
        }
        CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
    }
    memset(raw, 0x55, LEN);
    CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
    for (size_t block = 0; block + 1 < LEN / 32; block++) {
        good(raw, LEN, 7);
        CHECK_EQ(condition(raw, LEN), PF_OK);
        memcpy(raw + 32 * (block + 1), raw + 32 * block, 32);
        CHECK_EQ(condition(raw, LEN), PF_E_ENTROPY);
        raw[32 * block + 31] ^= 0x80; /* one bit makes the difference */
        CHECK_EQ(condition(raw, LEN), PF_OK);
    }
}

int main(void) {
    RUN(test_good_sources_pass);
    RUN(test_too_short);
    RUN(test_stuck_sources_fail);
    RUN(test_repetition_cutoff_is_201);
    RUN(test_proportion_cutoff_is_991);
    RUN(test_a_last_partial_window_is_not_tested);
    RUN(test_biased_sources);
    RUN(test_bias_cutoff_is_5831_in_each_sample);
    RUN(test_patterns_of_any_length_fail);
    RUN(test_repeating_sources);
    return 0;
}
