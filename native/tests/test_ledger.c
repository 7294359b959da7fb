/* The ledger under power cuts at every flash operation, bit rot, stale and full blocks. */
#include "check.h"
#include "nor.h"
#include "picofed.h"
#include "port.h"

#define ONE 65537u /* pf_charge(1024, 14, 1) */
#define MAX_CHARGE (3 * ONE)
#define BLOCK 256u /* 8 records: many block switches in a short life */

static const uint8_t key[32] = {1, 2, 3};

/* ---- a life ---------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t released; /* sum of the charges of what was allowed */
    uint32_t cuts;
    uint32_t job; /* number of the attempt */
    uint32_t refused;
} life;

static uint32_t newest_with_job(const nor *chip, uint32_t job, const uint8_t **record) {
    uint32_t found = 0;
    for (uint32_t offset = 0; offset < 2 * chip->block_size; offset += 32) {
        const uint8_t *at = chip->bytes + offset;
        uint8_t tag[8];
        pf_blake2b(tag, 8, key, 32, at, 24);
        if (memcmp(tag, at + 24, 8) == 0 && at[0] == 0x12 && pf_get_u32(at + 20) == job) {
            *record = at;
            found++;
        }
    }
    return found;
}

static void check_bounds(const pf_ledger *ledger, const life *now) {
    CHECK(ledger->cumulative >= now->released);
    CHECK(ledger->cumulative <= now->released + (uint64_t)now->cuts * MAX_CHARGE);
}

/* One attempt to release. Everything that PF_OK promises is checked at once. */
static void attempt(pf_ledger *ledger, const pf_flash *flash, life *now, uint32_t budget) {
    nor *chip = (nor *)flash->context;
    uint32_t steps = 1 + now->job % 3;
    uint32_t charge = pf_charge(1024, 14, steps);
    uint32_t before = ledger->cumulative;
    now->job++;
    pf_status status = pf_ledger_charge(ledger, flash, 1024, 14, steps, now->job, budget);
    if (status == PF_E_BUDGET) {
        CHECK((uint64_t)before + charge > budget);
        CHECK_EQ(ledger->cumulative, before);
        now->refused++;
        return;
    }
    CHECK_EQ(status, PF_OK);
    now->released += charge;
    const uint8_t *record = NULL;
    CHECK_EQ(newest_with_job(chip, now->job, &record), 1);
    CHECK_EQ(record[1], 14);
    CHECK_EQ(pf_get_u32(record + 4), ledger->seq);
    CHECK_EQ(pf_get_u32(record + 8), charge);
    CHECK_EQ(pf_get_u32(record + 12), ledger->cumulative);
    CHECK_EQ(pf_get_u32(record + 16), 1024 | steps << 20);
    CHECK_EQ(ledger->cumulative, before + charge);
    CHECK(ledger->cumulative <= budget);
    check_bounds(ledger, now);
}

/* Open after a cut; the opening itself is cut `again` operations later (0 = not). */
static void reopen(pf_ledger *ledger, nor *chip, const pf_flash *flash, life *now, uint32_t again) {
    chip->cut_at = again == 0 ? 0 : chip->operations + again;
    if (setjmp(chip->power_off)) {
        now->cuts++;
        chip->cut_at = 0;
    }
    CHECK_EQ(pf_ledger_open(ledger, flash, key, MAX_CHARGE), PF_OK);
    check_bounds(ledger, now);
    chip->cut_at = 0;
}

/* A whole life, with power cut in flash operation `cut` after provisioning. Returns the number of operations. */
static uint32_t live(
    uint32_t attempts, uint32_t budget, uint32_t cut, enum nor_tear tear, uint32_t again, uint64_t seed) {
    static nor chip;
    static pf_ledger ledger;
    static life now;
    pf_flash flash;
    nor_start(&chip, &flash, BLOCK, seed);
    memset(&now, 0, sizeof now);
    CHECK_EQ(pf_ledger_provision(&flash, key, 7, 0), PF_OK);
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(ledger.seq, 7);
    chip.operations = 0;
    chip.cut_at = cut;
    chip.tear = tear;
    while (now.job < attempts) {
        if (setjmp(chip.power_off)) {
            now.cuts++;
            reopen(&ledger, &chip, &flash, &now, again);
        }
        attempt(&ledger, &flash, &now, budget);
    }
    uint32_t operations = chip.operations;
    uint32_t seq = ledger.seq;
    uint32_t cumulative = ledger.cumulative;
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(ledger.cumulative, cumulative); /* nothing is charged for a clean restart */
    CHECK_EQ(ledger.seq, seq);
    check_bounds(&ledger, &now);
    CHECK(cut != 0 || now.cuts == 0);
    if (now.cuts == 0) {
        CHECK(now.refused != 0 || cumulative == now.released);
    }
    return operations;
}

static void test_power_cut_at_every_operation(void) {
    uint64_t random = check_seed();
    uint32_t operations = live(60, 0xfffffff0u, 0, NOR_NOTHING, 0, 1);
    CHECK(operations > 70); /* 60 releases, each 7th with a carry and an erase */
    for (uint32_t cut = 1; cut <= operations; cut++) {
        for (int tear = 0; tear < NOR_TEARS; tear++) {
            int repeats = tear == NOR_PREFIX || tear == NOR_BITS ? 6 : 1;
            for (int i = 0; i < repeats; i++) {
                for (uint32_t again = 0; again <= 3; again++) {
                    live(60, 0xfffffff0u, cut, (enum nor_tear)tear, again, check_random(&random));
                }
            }
        }
    }
}

static void test_budget_is_kept_under_power_cuts(void) {
    uint64_t random = check_seed();
    uint32_t budget = 20 * ONE + 17;
    for (uint32_t cut = 0; cut <= 30; cut++) {
        for (int tear = 0; tear < NOR_TEARS; tear++) {
            live(60, budget, cut, (enum nor_tear)tear, 1, check_random(&random));
        }
    }
}

/* Power cuts at random, many in one life. */
static void test_many_cuts_in_a_long_life(void) {
    static uint64_t random;
    random = check_seed();
    static nor chip;
    static pf_ledger ledger;
    static life now;
    static pf_flash flash;
    nor_start(&chip, &flash, 512, check_random(&random));
    memset(&now, 0, sizeof now);
    CHECK_EQ(pf_ledger_provision(&flash, key, 0, 0), PF_OK);
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    static uint32_t generation;
    while (now.job < 5000) {
        if (setjmp(chip.power_off)) {
            now.cuts++;
            reopen(&ledger, &chip, &flash, &now, check_below(&random, 4));
            continue; /* to set power_off again: reopen has used it */
        }
        if (chip.cut_at == 0 && check_below(&random, 4) == 0) {
            chip.cut_at = chip.operations + 1 + check_below(&random, 4);
            chip.tear = (enum nor_tear)check_below(&random, NOR_TEARS);
        }
        CHECK(ledger.generation >= generation);
        generation = ledger.generation;
        attempt(&ledger, &flash, &now, 0xfffffff0u);
    }
    CHECK(now.cuts > 500);
    CHECK(ledger.generation > 200);
}

/* ---- provisioning ---------------------------------------------------------------------------------------------- */

static void provisioned(nor *chip, pf_flash *flash, pf_ledger *ledger, uint32_t releases) {
    nor_start(chip, flash, BLOCK, 77);
    CHECK_EQ(pf_ledger_provision(flash, key, 100, 1000), PF_OK);
    CHECK_EQ(pf_ledger_open(ledger, flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(ledger->cumulative, 1000);
    for (uint32_t i = 0; i < releases; i++) {
        CHECK_EQ(pf_ledger_charge(ledger, flash, 1024, 14, 3, i, 0xfffffff0u), PF_OK);
    }
}

/* Provision over a ledger with so many releases, cut in operation `cut`. Returns whether it came to its end before. */
static int reprovision(uint32_t releases, enum nor_tear tear, uint32_t cut, uint64_t seed) {
    static nor chip;
    static pf_ledger ledger;
    static uint32_t before;
    static int done;
    pf_flash flash;
    provisioned(&chip, &flash, &ledger, releases);
    before = ledger.cumulative;
    chip.random = seed | 1;
    chip.operations = 0;
    chip.cut_at = cut;
    chip.tear = tear;
    done = 0;
    if (!setjmp(chip.power_off)) {
        CHECK_EQ(pf_ledger_provision(&flash, key, ledger.seq + 5, before + 3), PF_OK);
        done = 1;
    }
    chip.cut_at = 0;
    pf_status status = pf_ledger_open(&ledger, &flash, key, MAX_CHARGE);
    CHECK(status == PF_OK || status == PF_E_BLANK || status == PF_E_CORRUPT);
    CHECK(status != PF_OK || ledger.cumulative >= before);
    if (done) {
        CHECK_EQ(status, PF_OK);
        CHECK_EQ(ledger.cumulative, before + 3);
    }
    return done;
}

static void test_provisioning_cut_never_lowers(void) {
    uint64_t random = check_seed();
    for (uint32_t releases = 0; releases < 20; releases++) {
        for (int tear = 0; tear < NOR_TEARS; tear++) {
            for (int i = 0; i < 10; i++) {
                uint32_t cut = 1;
                while (!reprovision(releases, (enum nor_tear)tear, cut, check_random(&random))) {
                    cut++;
                }
                CHECK(cut >= 4);
            }
        }
    }
}

static void test_blank_corrupt_and_foreign(void) {
    nor chip;
    pf_flash flash;
    pf_ledger ledger;
    uint8_t other[32] = {9};
    nor_start(&chip, &flash, BLOCK, 1);
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_E_BLANK);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 0xfffffff0u), PF_E_STATE);
    CHECK_EQ(pf_ledger_provision(&flash, key, 0, 0), PF_OK);
    CHECK_EQ(pf_ledger_open(&ledger, &flash, other, MAX_CHARGE), PF_E_CORRUPT);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 0xfffffff0u), PF_E_STATE);
    memset(chip.bytes, 0xff, sizeof chip.bytes);
    chip.bytes[2 * BLOCK - 1] = 0x7f;
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_E_CORRUPT);
    flash.block_size = 300;
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_E_ARGUMENT);
    CHECK_EQ(pf_ledger_provision(&flash, key, 0, 0), PF_E_ARGUMENT);
}

/* ---- rot, stale blocks, worn cells, limits ----------------------------------------------------------------------- */

static void test_bit_rot_never_undercounts(void) {
    uint64_t random = check_seed();
    for (int i = 0; i < 20000; i++) {
        nor chip;
        pf_flash flash;
        pf_ledger ledger;
        uint32_t releases = check_below(&random, 30);
        provisioned(&chip, &flash, &ledger, releases);
        uint32_t start = (ledger.offset - 1) / BLOCK * BLOCK;
        uint32_t records = (ledger.offset - start) / 32;
        uint32_t before = ledger.cumulative;
        /* any number of slots, as long as one record of the current block survives, and the other block as it likes */
        uint32_t survivor = check_below(&random, records);
        uint32_t hits = 1 + check_below(&random, 4);
        for (uint32_t n = 0; n < hits; n++) {
            uint32_t slot = check_below(&random, 16);
            if (slot * 32 != start + survivor * 32) {
                chip.bytes[slot * 32 + check_below(&random, 32)] ^= (uint8_t)(1u << check_below(&random, 8));
            }
        }
        CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
        CHECK(ledger.cumulative >= before);
        CHECK(ledger.cumulative <= before + hits * MAX_CHARGE + (releases + 1) * MAX_CHARGE);
        uint32_t opened = ledger.cumulative;
        CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 1, 0xfffffff0u), PF_OK);
        CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
        CHECK_EQ(ledger.cumulative, opened + ONE); /* rot is charged once */
    }
}

static void test_a_stale_block_never_wins(void) {
    nor chip;
    nor old;
    pf_flash flash;
    pf_ledger ledger;
    provisioned(&chip, &flash, &ledger, 7); /* block 0 full */
    old = chip;
    for (uint32_t i = 0; i < 7; i++) {
        CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, i, 0xfffffff0u), PF_OK);
    }
    CHECK(ledger.offset > BLOCK);
    CHECK(memcmp(chip.bytes, old.bytes, BLOCK) == 0); /* the stale block is still there, full and valid */
    uint32_t cumulative = ledger.cumulative;
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(ledger.cumulative, cumulative);
    CHECK_EQ(
        pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 0xfffffff0u), PF_OK); /* both full: the stale one is erased */
    CHECK_EQ(ledger.offset, 64);
    CHECK_EQ(chip.bytes[0], 0x13);
    CHECK_EQ(ledger.generation, 3);
    CHECK_EQ(ledger.cumulative, cumulative + ONE);
}

static void test_torn_last_slot_goes_to_a_fresh_block(void) {
    nor chip;
    pf_flash flash;
    pf_ledger ledger;
    provisioned(&chip, &flash, &ledger, 6);
    chip.bytes[7 * 32 + 5] = 0; /* the eighth slot of block 0 */
    uint32_t before = ledger.cumulative;
    uint32_t seq = ledger.seq;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
        CHECK_EQ(ledger.cumulative, before + MAX_CHARGE); /* once */
        CHECK_EQ(ledger.seq, seq + 1);
        CHECK_EQ(ledger.offset, BLOCK + 32);
        CHECK_EQ(chip.bytes[BLOCK], 0x14);
        CHECK_EQ(pf_get_u32(chip.bytes + BLOCK + 8), MAX_CHARGE);
    }
}

static void test_failed_read_back_is_charged(void) {
    nor chip;
    pf_flash flash;
    pf_ledger ledger;
    provisioned(&chip, &flash, &ledger, 2);
    uint32_t before = ledger.cumulative;
    chip.ignore_bits = 4;
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 0xfffffff0u), PF_E_FLASH);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 0xfffffff0u), PF_E_STATE);
    chip.ignore_bits = 0;
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(ledger.cumulative, before + MAX_CHARGE);
    chip.fail_program = 1;
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 0xfffffff0u), PF_E_FLASH);
    chip.fail_program = 0;
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(ledger.cumulative, before + MAX_CHARGE); /* the slot stayed blank */
}

static void test_limits(void) {
    nor chip;
    pf_flash flash;
    pf_ledger ledger;
    provisioned(&chip, &flash, &ledger, 0);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 1000 + ONE - 1), PF_E_BUDGET);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 1000 + ONE), PF_OK); /* to the last unit */
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 1000 + ONE), PF_E_BUDGET);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 4, 0, 0xfffffff0u), PF_E_BUDGET); /* above MAX_CHARGE */
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 3, 0, 0xfffffff0u), PF_OK);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 5, 1, 0, 0xfffffff0u), PF_E_ARGUMENT);
    /* a saturated cumulative stays saturated, and refuses under any budget */
    CHECK_EQ(pf_ledger_provision(&flash, key, 1, 0xffffff00u), PF_OK);
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, 0, 0xffffffffu), PF_E_BUDGET);
    chip.bytes[32] = 0;
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(ledger.cumulative, 0xffffffffu);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1, 25, 1, 0, 0xffffffffu), PF_E_BUDGET);
    /* the last seq */
    CHECK_EQ(pf_ledger_provision(&flash, key, 0xfffffffeu, 0), PF_OK);
    CHECK_EQ(pf_ledger_open(&ledger, &flash, key, MAX_CHARGE), PF_OK);
    CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1, 25, 1, 0, 0xfffffff0u), PF_E_BUDGET);
}

static void test_generation_at_its_limit(void) {
    nor chip;
    pf_flash flash;
    pf_ledger ledger;
    provisioned(&chip, &flash, &ledger, 0);
    ledger.generation = 65534; /* as after 65533 switches */
    for (uint32_t i = 0; i < 50; i++) {
        CHECK_EQ(pf_ledger_charge(&ledger, &flash, 1024, 14, 1, i, 0xfffffff0u), PF_OK);
        pf_ledger again;
        CHECK_EQ(pf_ledger_open(&again, &flash, key, MAX_CHARGE), PF_OK);
        CHECK_EQ(again.cumulative, ledger.cumulative);
        CHECK_EQ(again.offset, ledger.offset);
    }
    CHECK_EQ(ledger.generation, 65535);
}

int main(void) {
    RUN(test_power_cut_at_every_operation);
    RUN(test_budget_is_kept_under_power_cuts);
    RUN(test_many_cuts_in_a_long_life);
    RUN(test_provisioning_cut_never_lowers);
    RUN(test_blank_corrupt_and_foreign);
    RUN(test_bit_rot_never_undercounts);
    RUN(test_a_stale_block_never_wins);
    RUN(test_torn_last_slot_goes_to_a_fresh_block);
    RUN(test_failed_read_back_is_charged);
    RUN(test_limits);
    RUN(test_generation_at_its_limit);
    return 0;
}
