/* fuzz.h: what the fuzzer's parts share, and those that are in files of their own. */
#ifndef PF_FUZZ_H
#define PF_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "picofed.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static const uint8_t key[32] = {1, 2, 3};

void fuzz_frozen(const uint8_t *data, size_t size);
void fuzz_mask(const uint8_t *data, size_t size);
void fuzz_rows(const uint8_t *data, size_t size);

#endif
