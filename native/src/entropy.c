/* entropy.c: health tests and conditioning of raw noise (SPEC 4.1; the tests of NIST SP 800-90B, section 4.4). */
#include "picofed.h"
#include "port.h"

/* For 0.1 bit a bit and false alarms of 2^-20: 1 + ceil(20 / 0.1) equal bits in a row, and
 * 1 + critbinom(1024, 2^-0.1, 1 - 2^-20) equal ones in a window. tests/vectors/generate_noise.py computes both. */
#define ENTROPY_RUN_CUTOFF 201u
#define ENTROPY_WINDOW 1024u
#define ENTROPY_WINDOW_CUTOFF 991u
/* Equal neighbouring blocks of 256 bits: 25.6 bits of entropy each, 2^-20.6 in all for the 31 pairs of 1024 bytes. They
 * catch what the standard's tests of single bits let pass: a source that repeats a byte or a pattern. */
#define ENTROPY_BLOCK 32u
/* Tests of whole samples of 8192 bits, as 0.1 bit a bit lets a bias of 0.93 pass.
 * Bias: as many ones, or zeros, as the cutoff fail: the least c with P(Binomial(8192, 11/16) >= c) <= 2^-20. If no bit
 * is likelier than 11/16, whatever came before it, then each count is stochastically below that binomial, and a false
 * alarm has probability 2^-19 at most. Independent bits at 3/4 stay below with less than 2^-48.
 * Repeats: the first 512 bits come again later in the sample. For each of the 960 distances 512 bits must equal what
 * was there: 2^-51.2 at 0.1 bit a bit, 2^-41 in all. Catches patterns of any length up to 960 bytes. */
#define ENTROPY_SAMPLE 1024u
#define ENTROPY_BIAS_CUTOFF 5831u
#define ENTROPY_PATTERN 64u

static uint32_t entropy_ones(const uint8_t *raw, size_t len) {
    uint32_t ones = 0;
    for (size_t i = 0; i < len; i++) {
        for (uint32_t rest = raw[i]; rest != 0; rest &= rest - 1) {
            ones++; /* <= 8 len, and len <= 1024 */
        }
    }
    return ones;
}

/* 1 if a whole sample is neither biased nor a pattern that repeats. */
static int entropy_sample_healthy(const uint8_t *raw) {
    uint32_t ones = entropy_ones(raw, ENTROPY_SAMPLE);
    if (ones >= ENTROPY_BIAS_CUTOFF || 8 * ENTROPY_SAMPLE - ones >= ENTROPY_BIAS_CUTOFF) { /* ones <= 8192 */
        return 0;
    }
    for (size_t distance = 1; distance + ENTROPY_PATTERN <= ENTROPY_SAMPLE; distance++) {
        if (pf_equal(raw, raw + distance, ENTROPY_PATTERN)) {
            return 0;
        }
    }
    return 1;
}

/* 1 if the raw bits look alive. Repetition: how often the current bit has come in a row. Proportion: how many of the
 * window equal its first bit. */
static int entropy_healthy(const uint8_t *raw, size_t len) {
    for (size_t i = ENTROPY_BLOCK; i + ENTROPY_BLOCK <= len; i += ENTROPY_BLOCK) {
        if (pf_equal(raw + i, raw + i - ENTROPY_BLOCK, ENTROPY_BLOCK)) {
            return 0;
        }
    }
    for (size_t i = 0; i + ENTROPY_SAMPLE <= len; i += ENTROPY_SAMPLE) {
        if (!entropy_sample_healthy(raw + i)) {
            return 0;
        }
    }
    uint32_t previous = 2; /* no bit */
    uint32_t run = 0;
    uint32_t first = 0;
    uint32_t position = 0;
    uint32_t equal = 0;
    for (size_t i = 0; i < len; i++) {
        for (uint32_t shift = 0; shift < 8; shift++) {
            uint32_t bit = (uint32_t)raw[i] >> shift & 1u;
            run = bit == previous ? run + 1 : 1; /* <= 201: it returns there */
            previous = bit;
            if (position == 0) {
                first = bit;
                equal = 0;
            }
            equal += bit == first; /* <= 1024 */
            if (run >= ENTROPY_RUN_CUTOFF || equal >= ENTROPY_WINDOW_CUTOFF) {
                return 0;
            }
            position = (position + 1) & (ENTROPY_WINDOW - 1);
        }
    }
    return 1;
}

pf_status pf_entropy_condition(uint8_t out[32], const uint8_t *raw, size_t len) {
    pf_wipe(out, 32);
    if (len < PF_ENTROPY_RAW_MIN) {
        return PF_E_ARGUMENT;
    }
    if (!entropy_healthy(raw, len)) {
        return PF_E_ENTROPY;
    }
    pf_blake2b(out, 32, NULL, 0, raw, len);
    return PF_OK;
}
