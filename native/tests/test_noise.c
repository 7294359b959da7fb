/* The sampler: vectors, five words a trial, fast against exact thresholds. Its law: tests/native/test_noise_pmf.py. */
#include "check.h"
#include "noise_exp.h"
#include "picofed.h"

static void counting_key(uint8_t key[32]) {
    for (uint8_t i = 0; i < 32; i++) {
        key[i] = i;
    }
}

/* Words consumed since init. */
static uint64_t words_used(const pf_noise *noise) {
    return noise->counter == 0 ? 0 : (uint64_t)(noise->counter - 5) * 16 + noise->used;
}

static void test_vectors(void) {
    static const struct {
        uint32_t log2_sigma;
        int32_t samples[16];
    } vectors[] = {
        {6, {-46, -61, -26, 130, 39, -22, 17, -100, -21, 277, -17, 5, -75, 43, -11, -33}},
        {14, {-12000, -15686, -6708, 33375, 10112, -5879, 4519, -25715, -5415, 70915, -4599, 1482, -19288, 11151, -2853,
                 -8548}},
        {17, {-96003, -125493, -53670, 267004, 80896, -47038, 36156, -205725, -43325, 567324, -36798, 11859, -154304,
                 89215, -22824, -68386}},
    };
    uint8_t key[32];
    counting_key(key);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        pf_noise noise;
        int32_t out[16];
        CHECK_EQ(pf_noise_init(&noise, key, vectors[i].log2_sigma), PF_OK);
        pf_noise_fill(&noise, out, 16);
        CHECK_BYTES(out, vectors[i].samples, sizeof out);
        CHECK_EQ(words_used(&noise), 105);
    }
}

static void test_arguments(void) {
    uint8_t key[32] = {0};
    pf_noise noise;
    CHECK_EQ(pf_noise_init(&noise, key, 0), PF_E_ARGUMENT);
    CHECK_EQ(pf_noise_init(&noise, key, 26), PF_E_ARGUMENT);
    CHECK_EQ(pf_noise_init(&noise, key, 1), PF_OK);
    CHECK_EQ(pf_noise_init(&noise, key, 25), PF_OK);
}

static void test_pieces_give_the_same_stream(void) {
    uint64_t random = check_seed();
    uint8_t key[32];
    counting_key(key);
    for (uint32_t log2_sigma = 1; log2_sigma <= 25; log2_sigma++) {
        int32_t whole[1000];
        int32_t pieces[1000];
        pf_noise noise;
        pf_noise_init(&noise, key, log2_sigma);
        pf_noise_fill(&noise, whole, 1000);
        uint64_t words = words_used(&noise);
        CHECK_EQ(words % 5, 0);
        int32_t largest = 0;
        for (size_t i = 0; i < 1000; i++) {
            largest = whole[i] > largest ? whole[i] : largest;
        }
        CHECK(largest > 2 << log2_sigma && largest < 19 << (log2_sigma - 1)); /* 2 sigma .. 9.5 sigma */
        pf_noise_init(&noise, key, log2_sigma);
        for (size_t done = 0; done < 1000;) {
            size_t n = check_below(&random, 40);
            n = n > 1000 - done ? 1000 - done : n;
            pf_noise_fill(&noise, pieces + done, n);
            done += n;
        }
        CHECK_BYTES(whole, pieces, sizeof whole);
        CHECK_EQ(words_used(&noise), words);
    }
}

/* The sampler of SPEC 3 word by word, deciding every trial by the exact threshold. */
static int32_t slow_sample(const uint8_t key[32], uint32_t m, uint64_t *word, uint32_t block[16]) {
    static const uint64_t cdt[18] = {0x55252c92c6309bbc, 0xa0491cdd90d2d8a4, 0xd3edc464091b70d3, 0xef924604b256a75c,
        0xfb1833430a9d94bd, 0xfed5e6b74505d077, 0xffc80bc4696667d8, 0xfff7ba229ae8d348, 0xffff0a0ad5f84380,
        0xffffe99c18e415f6, 0xfffffe679eaba03f, 0xffffffe9412624c5, 0xffffffff02b0abdf, 0xfffffffff7660ff9,
        0xffffffffffc5ab78, 0xfffffffffffecb85, 0xfffffffffffffb08, 0xfffffffffffffff0};
    static const uint8_t nonce[12];
    for (;;) {
        uint32_t w[5];
        for (int i = 0; i < 5; i++, (*word)++) {
            if (*word % 16 == 0) {
                pf_chacha20((uint8_t *)block, NULL, 64, key, nonce, (uint32_t)(*word / 16));
            }
            w[i] = block[*word % 16];
        }
        uint64_t r = (uint64_t)w[0] << 32 | w[1];
        uint64_t t = (uint64_t)w[3] << 32 | w[4];
        uint32_t z = 0;
        while (z < 18 && cdt[z] <= r) {
            z++;
        }
        uint32_t y = m == 0 ? 0 : w[2] >> (32 - m);
        uint32_t high;
        uint32_t low;
        int always = pf_noise_threshold(z, y, m, &high, &low);
        if ((z == 0 && y == 0 && (w[2] & 1)) || !(always || t < ((uint64_t)high << 32 | low))) {
            continue;
        }
        int32_t x = (int32_t)((z << m) + y);
        return w[2] & 1 ? -x : x;
    }
}

static void test_fast_and_exact_samplers_agree(void) {
    uint64_t random = check_seed();
    uint8_t key[32];
    uint32_t block[16];
    for (uint32_t m = 0; m <= 24; m++) {
        for (int i = 0; i < 32; i++) {
            key[i] = (uint8_t)check_random(&random);
        }
        pf_noise noise;
        pf_noise_init(&noise, key, m + 1);
        uint64_t word = 0;
        for (int i = 0; i < 3000; i++) {
            int32_t fast;
            pf_noise_fill(&noise, &fast, 1);
            CHECK_EQ(fast, slow_sample(key, m, &word, block));
        }
        CHECK_EQ(words_used(&noise), word);
    }
}

/* What the sampler decides without the exact threshold must be what the exact threshold decides. */
static void check_threshold(uint32_t z, uint32_t y, uint32_t m) {
    uint32_t high;
    uint32_t low;
    uint32_t p = pf_noise_fast(z, y << (32 - m));
    CHECK_EQ(pf_noise_threshold(z, y, m, &high, &low), 0);
    /* refused by p for all t_high >= p + margin, accepted for all t_high < p - margin */
    CHECK((uint64_t)p + PF_NOISE_MARGIN > high);
    CHECK(p < PF_NOISE_MARGIN || p - PF_NOISE_MARGIN <= high);
}

static void test_fast_threshold_within_margin(void) {
    uint64_t random = check_seed();
    for (uint32_t z = 0; z <= 18; z++) {
        for (uint32_t m = 1; m <= 24; m++) {
            check_threshold(z, 1, m);
            check_threshold(z, (1u << m) - 1, m);
            for (int i = 0; i < 300; i++) {
                check_threshold(z, 1 + check_below(&random, (1u << m) - 1 + (m == 1)) % ((1u << m) - 1), m);
            }
        }
        for (uint32_t y = 1; y < 1u << 13; y++) {
            check_threshold(z, y, 13);
        }
    }
}

static void test_zero_is_always_below_the_threshold(void) {
    for (uint32_t m = 0; m <= 24; m++) {
        for (uint32_t z = 0; z <= 18; z++) {
            uint32_t high;
            uint32_t low;
            CHECK_EQ(pf_noise_threshold(z, 0, m, &high, &low), 1);
            CHECK_EQ(pf_noise_fast(z, 0), 0xffffffffu);
        }
    }
}

int main(void) {
    RUN(test_vectors);
    RUN(test_arguments);
    RUN(test_pieces_give_the_same_stream);
    RUN(test_fast_and_exact_samplers_agree);
    RUN(test_fast_threshold_within_margin);
    RUN(test_zero_is_always_below_the_threshold);
    return 0;
}
