/* ledger.c: the append-only record of what this board has released (SPEC 5).
 *
 * What must hold, wherever power is cut: cumulative never falls below the sum of the charges of the releases that were
 * allowed, because a release is allowed only after its record was read back; and a cut costs at most one max_charge,
 * because it can tear at most one record. */
#include "flash.h"
#include "picofed.h"
#include "port.h"

#define LEDGER_VERSION 1u
#define LEDGER_STEPS_MAX 4095u
#define LEDGER_GENERATION_MAX 65535u /* stays there; of equal generations the higher seq decides */
#define LEDGER_FULL 0xffffffffu

/* offsets in a record */
enum {
    LEDGER_KIND = 0,
    LEDGER_LOG2_SIGMA = 1,
    LEDGER_GENERATION = 2,
    LEDGER_SEQ = 4,
    LEDGER_CHARGE = 8,
    LEDGER_CUMULATIVE = 12,
    LEDGER_CLIP_STEPS = 16,
    LEDGER_JOB = 20,
    LEDGER_TAG = 24
};

uint32_t pf_charge(uint32_t clip_norm, uint32_t log2_sigma, uint32_t steps) {
    if (log2_sigma < PF_LOG2_SIGMA_MIN || log2_sigma > PF_LOG2_SIGMA_MAX || clip_norm < 1 ||
        clip_norm > PF_CLIP_NORM_MAX || steps < 1 || steps > LEDGER_STEPS_MAX) {
        return LEDGER_FULL;
    }
    /* ceil(C^2 2^24 / (4^s - 3)): restoring division. Shifts by constants only: on ARMv6-M, other 64-bit shifts are
     * libgcc calls. */
    uint64_t divisor = 1;
    for (uint32_t i = 0; i < log2_sigma; i++) {
        divisor <<= 2;
    }
    divisor -= 3;                                                 /* 4093 .. 2^50 - 3 */
    uint64_t numerator = pf_multiply(clip_norm, clip_norm) << 24; /* < 2^40 * 2^24 */
    uint64_t remainder = 0;                                       /* < divisor between steps, so < 2^51 in them */
    uint64_t quotient = 0;
    for (uint32_t i = 0; i < 64; i++) {
        remainder = remainder << 1 | numerator >> 63;
        numerator <<= 1;
        quotient <<= 1;
        if (remainder >= divisor) {
            remainder -= divisor;
            quotient |= 1u;
        }
    }
    quotient += remainder != 0; /* <= 2^64 / 4093 + 1 */
    if (quotient >= LEDGER_FULL) {
        return LEDGER_FULL;
    }
    uint64_t charge = pf_multiply((uint32_t)quotient, steps);
    return charge >= LEDGER_FULL ? LEDGER_FULL : (uint32_t)charge;
}

static uint32_t ledger_add(uint32_t a, uint32_t b) {
    uint32_t sum = a + b;
    return sum < a ? LEDGER_FULL : sum;
}

static void ledger_tag(uint8_t tag[8], const uint8_t *record, const uint8_t key[32]) {
    pf_blake2b(tag, 8, key, 32, record, LEDGER_TAG);
}

static int ledger_valid(const uint8_t *record, const uint8_t key[32]) {
    uint8_t tag[8];
    if (record[LEDGER_KIND] >> 4 != LEDGER_VERSION) {
        return 0;
    }
    ledger_tag(tag, record, key);
    return !pf_differ(tag, record + LEDGER_TAG, 8);
}

/* Append a record of ledger's generation, seq and cumulative at ledger->offset, which is known to be blank. On failure
 * the slot may be torn: the ledger closes, and opening it again charges for that. */
static pf_status ledger_append(pf_ledger *ledger, const pf_flash *flash, uint32_t kind, uint32_t log2_sigma,
    uint32_t charge, uint32_t clip_steps, uint32_t job) {
    uint8_t record[PF_LEDGER_RECORD];
    record[LEDGER_KIND] = (uint8_t)(LEDGER_VERSION << 4 | kind);
    record[LEDGER_LOG2_SIGMA] = (uint8_t)log2_sigma;
    pf_put_u16(record + LEDGER_GENERATION, ledger->generation);
    pf_put_u32(record + LEDGER_SEQ, ledger->seq);
    pf_put_u32(record + LEDGER_CHARGE, charge);
    pf_put_u32(record + LEDGER_CUMULATIVE, ledger->cumulative);
    pf_put_u32(record + LEDGER_CLIP_STEPS, clip_steps);
    pf_put_u32(record + LEDGER_JOB, job);
    ledger_tag(record + LEDGER_TAG, record, ledger->key);
    pf_status status = pf_flash_write(flash, ledger->offset, record, PF_LEDGER_RECORD);
    if (status != PF_OK) {
        ledger->open = 0;
        return status;
    }
    ledger->offset += PF_LEDGER_RECORD;
    return PF_OK;
}

/* Is there no slot left in the block of the newest record? ledger->offset is then behind that block. */
static int ledger_block_full(const pf_ledger *ledger, uint32_t block, uint32_t block_size) {
    return ledger->offset >= (block + 1) * block_size;
}

/* Erase the block that does not hold the newest record and go on there. */
static pf_status ledger_switch(pf_ledger *ledger, const pf_flash *flash, uint32_t block) {
    uint32_t other = 1 - block;
    if (pf_flash_erase(flash, other) != PF_OK) {
        ledger->open = 0;
        return PF_E_FLASH;
    }
    ledger->offset = other * flash->block_size;
    ledger->generation += ledger->generation < LEDGER_GENERATION_MAX;
    return PF_OK;
}

/* The newest valid record: of the highest generation, the one with the highest seq. used: some slot is not blank. */
typedef struct {
    uint32_t found;
    uint32_t used;
    uint32_t offset;
    uint32_t generation;
    uint32_t seq;
    uint32_t cumulative;
} ledger_newest;

static pf_status ledger_scan(const pf_flash *flash, const uint8_t key[32], ledger_newest *newest) {
    uint8_t record[PF_LEDGER_RECORD];
    pf_zero(newest, sizeof *newest);
    for (uint32_t offset = 0; offset < 2 * flash->block_size; offset += PF_LEDGER_RECORD) {
        if (pf_flash_read(flash, offset, record, PF_LEDGER_RECORD) != PF_OK) {
            return PF_E_FLASH;
        }
        if (pf_filled_with(record, 0xff, PF_LEDGER_RECORD)) {
            continue;
        }
        newest->used = 1;
        if (!ledger_valid(record, key)) {
            continue;
        }
        uint32_t generation = pf_get_u16(record + LEDGER_GENERATION);
        uint32_t seq = pf_get_u32(record + LEDGER_SEQ);
        if (!newest->found || generation > newest->generation ||
            (generation == newest->generation && seq > newest->seq)) {
            newest->found = 1;
            newest->offset = offset;
            newest->generation = generation;
            newest->seq = seq;
            newest->cumulative = pf_get_u32(record + LEDGER_CUMULATIVE);
        }
    }
    return PF_OK;
}

/* Provisioning over an older ledger must not pass through a state in which an older record looks newest: first the
 * block that does not hold the newest record goes, then the records of the other are cleared oldest first, then it is
 * erased too. */
static pf_status ledger_erase_all(const pf_flash *flash, const uint8_t key[32]) {
    ledger_newest newest;
    pf_status status = ledger_scan(flash, key, &newest);
    uint32_t block = newest.found && newest.offset >= flash->block_size;
    if (status == PF_OK) {
        status = pf_flash_erase(flash, 1 - block);
    }
    if (status == PF_OK && newest.found) {
        for (uint32_t offset = block * flash->block_size; offset <= newest.offset && status == PF_OK;
            offset += PF_LEDGER_RECORD) {
            status = pf_flash_spend(flash, offset, PF_LEDGER_RECORD);
        }
    }
    return status == PF_OK ? pf_flash_erase(flash, block) : status;
}

pf_status pf_ledger_provision(const pf_flash *flash, const uint8_t key[32], uint32_t seq, uint32_t cumulative) {
    if (!pf_flash_valid(flash)) {
        return PF_E_ARGUMENT;
    }
    pf_status status = ledger_erase_all(flash, key);
    if (status == PF_OK) {
        pf_ledger ledger;
        pf_zero(&ledger, sizeof ledger);
        pf_copy(ledger.key, key, 32);
        ledger.generation = 1;
        ledger.seq = seq;
        ledger.cumulative = cumulative;
        status = ledger_append(&ledger, flash, PF_LEDGER_GENESIS, 0, 0, 0, 0);
        pf_wipe(&ledger, sizeof ledger);
    }
    return status;
}

/* Set ledger->offset behind the last slot in use, and count what is torn behind the newest record. */
static pf_status ledger_tail(pf_ledger *ledger, const pf_flash *flash, uint32_t newest, uint32_t *torn) {
    uint8_t record[PF_LEDGER_RECORD];
    uint32_t end = (newest & ~(flash->block_size - 1)) + flash->block_size;
    ledger->offset = newest + PF_LEDGER_RECORD;
    *torn = 0;
    for (uint32_t offset = newest + PF_LEDGER_RECORD; offset < end; offset += PF_LEDGER_RECORD) {
        if (pf_flash_read(flash, offset, record, PF_LEDGER_RECORD) != PF_OK) {
            return PF_E_FLASH;
        }
        if (!pf_filled_with(record, 0xff, PF_LEDGER_RECORD)) {
            *torn += 1;
            ledger->offset = offset + PF_LEDGER_RECORD;
        }
    }
    return PF_OK;
}

pf_status pf_ledger_open(pf_ledger *ledger, const pf_flash *flash, const uint8_t key[32], uint32_t max_charge) {
    ledger_newest newest;
    uint32_t torn;
    pf_zero(ledger, sizeof *ledger);
    if (!pf_flash_valid(flash)) {
        return PF_E_ARGUMENT;
    }
    pf_status status = ledger_scan(flash, key, &newest);
    if (status != PF_OK) {
        return status;
    }
    if (!newest.found) {
        return newest.used ? PF_E_CORRUPT : PF_E_BLANK;
    }
    pf_copy(ledger->key, key, 32);
    ledger->max_charge = max_charge;
    ledger->seq = newest.seq;
    ledger->cumulative = newest.cumulative;
    ledger->generation = newest.generation;
    status = ledger_tail(ledger, flash, newest.offset, &torn);
    if (status != PF_OK) {
        return status;
    }
    if (torn != 0) {
        uint32_t block = newest.offset >= flash->block_size;
        uint64_t sum = pf_multiply(torn, max_charge); /* saturating, as cumulative is */
        uint32_t charge = sum > LEDGER_FULL ? LEDGER_FULL : (uint32_t)sum;
        if (ledger_block_full(ledger, block, flash->block_size)) {
            status = ledger_switch(ledger, flash, block);
        }
        if (status != PF_OK) {
            return status;
        }
        ledger->seq = ledger_add(ledger->seq, 1);
        ledger->cumulative = ledger_add(ledger->cumulative, charge);
        status = ledger_append(ledger, flash, PF_LEDGER_TORN, 0, charge, 0, 0);
    }
    ledger->open = status == PF_OK;
    return status;
}

pf_status pf_ledger_charge(pf_ledger *ledger, const pf_flash *flash, uint32_t clip_norm, uint32_t log2_sigma,
    uint32_t steps, uint32_t job, uint32_t budget) {
    if (!ledger->open) {
        return PF_E_STATE;
    }
    uint32_t charge = pf_charge(clip_norm, log2_sigma, steps);
    if (charge == LEDGER_FULL) {
        return PF_E_ARGUMENT;
    }
    /* Above max_charge a torn record would be charged too little. A saturated cumulative or seq has no truth behind it.
     */
    uint32_t after = ledger_add(ledger->cumulative, charge);
    if (charge > ledger->max_charge || after > budget || after == LEDGER_FULL || ledger->seq >= LEDGER_FULL - 1) {
        return PF_E_BUDGET;
    }
    uint32_t block = ledger->offset > flash->block_size; /* of the newest record, which is right before offset */
    pf_status status = PF_OK;
    if (ledger_block_full(ledger, block, flash->block_size)) {
        status = ledger_switch(ledger, flash, block);
        if (status == PF_OK) {
            ledger->seq++;
            status = ledger_append(ledger, flash, PF_LEDGER_CARRY, 0, 0, 0, 0);
        }
    }
    if (status != PF_OK) {
        return status;
    }
    ledger->seq++;
    ledger->cumulative = after;
    return ledger_append(ledger, flash, PF_LEDGER_RELEASE, log2_sigma, charge, clip_norm | steps << 20, job);
}
