/* nor.h: a NOR flash that loses power. Programming clears bits only, erasing sets a block to ones; the chosen operation
 * is done in part (or not, or completely) and then the board is gone: control returns to the test by longjmp. */
#ifndef NOR_H
#define NOR_H

#include <setjmp.h>

#include "check.h"
#include "picofed.h"

#define NOR_BLOCK_MAX 1024u

enum nor_tear { NOR_NOTHING, NOR_PREFIX, NOR_BITS, NOR_COMPLETE, NOR_TEARS };

typedef struct {
    uint8_t bytes[2 * NOR_BLOCK_MAX];
    uint32_t block_size;
    uint64_t random;
    uint32_t operations; /* programs and erases so far */
    uint32_t cut_at;     /* the operation during which power goes; 0 = never */
    enum nor_tear tear;
    jmp_buf power_off;
    int fail_program; /* the next programs report failure */
    int ignore_bits;  /* the next programs leave this many bits set that should be cleared */
} nor;

static inline int nor_read(void *context, uint32_t offset, uint8_t *data, uint32_t len) {
    nor *chip = (nor *)context;
    CHECK(offset + len <= 2 * chip->block_size);
    memcpy(data, chip->bytes + offset, len);
    return 0;
}

static inline int nor_program(void *context, uint32_t offset, const uint8_t *data, uint32_t len) {
    nor *chip = (nor *)context;
    CHECK(len > 0 && offset + len <= 2 * chip->block_size);
    uint8_t *to = chip->bytes + offset;
    if (chip->fail_program) {
        return -1;
    }
    int cut = ++chip->operations == chip->cut_at;
    uint32_t done = cut && chip->tear == NOR_NOTHING ? 0 : len;
    if (cut && chip->tear == NOR_PREFIX) {
        done = check_below(&chip->random, len);
    }
    for (uint32_t i = 0; i < done; i++) {
        uint8_t keep = cut && chip->tear == NOR_BITS ? (uint8_t)check_random(&chip->random) : 0;
        if (chip->ignore_bits > 0) {
            keep |= (uint8_t)~data[i];
            chip->ignore_bits--;
        }
        to[i] &= data[i] | keep;
    }
    if (cut) {
        longjmp(chip->power_off, 1);
    }
    return 0;
}

static inline int nor_erase(void *context, uint32_t offset) {
    nor *chip = (nor *)context;
    CHECK(offset == 0 || offset == chip->block_size);
    uint8_t *to = chip->bytes + offset;
    int cut = ++chip->operations == chip->cut_at;
    uint32_t done = cut && chip->tear == NOR_NOTHING ? 0 : chip->block_size;
    if (cut && chip->tear == NOR_PREFIX) {
        done = check_below(&chip->random, chip->block_size);
    }
    int from_end = cut && check_below(&chip->random, 2);
    for (uint32_t n = 0; n < done; n++) {
        uint32_t i = from_end ? chip->block_size - 1 - n : n;
        to[i] |= cut && chip->tear == NOR_BITS ? (uint8_t)check_random(&chip->random) : 0xff;
    }
    if (cut) {
        longjmp(chip->power_off, 1);
    }
    return 0;
}

static inline void nor_start(nor *chip, pf_flash *flash, uint32_t block_size, uint64_t seed) {
    memset(chip, 0, sizeof *chip);
    memset(chip->bytes, 0xff, sizeof chip->bytes);
    chip->block_size = block_size;
    chip->random = seed | 1;
    flash->context = chip;
    flash->block_size = block_size;
    flash->read = nor_read;
    flash->program = nor_program;
    flash->erase = nor_erase;
}

#endif
