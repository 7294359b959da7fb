/* check.h: the assertions of the C tests, and a random generator with a printed, settable seed (PICOFED_TEST_SEED). */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long check_count;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: %s: failed: %s\n", __FILE__, __LINE__, __func__, #condition);                               \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_EQ(actual, wanted)                                                                                       \
    do {                                                                                                               \
        long long check_actual = (long long)(actual);                                                                  \
        long long check_wanted = (long long)(wanted);                                                                  \
        check_count++;                                                                                                 \
        if (check_actual != check_wanted) {                                                                            \
            printf("%s:%d: %s: %s is %lld, wanted %lld\n", __FILE__, __LINE__, __func__, #actual, check_actual,        \
                check_wanted);                                                                                         \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_BYTES(actual, wanted, len) CHECK(memcmp((actual), (wanted), (len)) == 0)

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        unsigned long check_before = check_count;                                                                      \
        test();                                                                                                        \
        printf("  %s: %lu checks\n", #test, check_count - check_before);                                               \
    } while (0)

/* xorshift64*, for test data only */
static inline uint64_t check_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ull >> 16;
}

static inline uint32_t check_below(uint64_t *state, uint32_t limit) {
    return (uint32_t)(check_random(state) % limit);
}

static inline uint64_t check_seed(void) {
    const char *text = getenv("PICOFED_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20240229;
    printf("  PICOFED_TEST_SEED=%" PRIu64 "\n", seed);
    return seed * 2 + 1;
}

/* Hexadecimal text to bytes. */
static inline void check_hex(uint8_t *out, const char *text) {
    for (size_t i = 0; text[2 * i] != 0; i++) {
        unsigned value;
        CHECK(sscanf(text + 2 * i, "%2x", &value) == 1);
        out[i] = (uint8_t)value;
    }
}

#endif
