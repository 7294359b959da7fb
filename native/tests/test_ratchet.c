/* The seed store and the ratchet: no key twice, whatever is cut. */
#include "check.h"
#include "nor.h"
#include "picofed.h"
#include "port.h"

#define BLOCK 256u /* 4 slots: many block switches */
#define KEYS_MAX 4096u

/* The worst entropy and context there can be: always the same. */
static const uint8_t entropy[32] = {5};
static const uint8_t context[16] = {6};

typedef struct {
    uint8_t given[KEYS_MAX][32];
    uint32_t count;
} keys;

static void remember(keys *all, const uint8_t key[32]) {
    CHECK(all->count < KEYS_MAX);
    for (uint32_t i = 0; i < all->count; i++) {
        CHECK(memcmp(all->given[i], key, 32) != 0);
    }
    memcpy(all->given[all->count++], key, 32);
}

static uint32_t valid_slots(const nor *chip, uint32_t *boot) {
    uint32_t count = 0;
    for (uint32_t offset = 0; offset < 2 * chip->block_size; offset += 64) {
        const uint8_t *slot = chip->bytes + offset;
        uint8_t tag[16];
        pf_blake2b(tag, 16, slot + 8, 32, slot, 48);
        if (memcmp(tag, slot + 48, 16) == 0 && memcmp(slot, "PFS1", 4) == 0) {
            *boot = pf_get_u32(slot + 4);
            count++;
        }
    }
    return count;
}

/* Does the secret of this (earlier) state of the chip occur anywhere in the flash? */
static int holds(const nor *chip, const uint8_t *secret) {
    for (uint32_t i = 0; i + 32 <= 2 * chip->block_size; i++) {
        if (memcmp(chip->bytes + i, secret, 32) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Boots `boots` times with power cut in operation `cut` (0 = never), and possibly again in the boot after it. */
static uint32_t live(uint32_t boots, uint32_t cut, enum nor_tear tear, uint32_t again, uint64_t seed) {
    static nor chip;
    static keys all;
    static uint8_t secret[32];
    static volatile uint32_t boot;
    static volatile uint32_t second;
    pf_flash flash;
    memset(secret, 7, 32);
    nor_start(&chip, &flash, BLOCK, seed);
    CHECK_EQ(pf_ratchet_provision(&flash, secret), PF_OK);
    all.count = 0;
    chip.operations = 0;
    chip.cut_at = cut;
    chip.tear = tear;
    second = again;
    if (setjmp(chip.power_off)) {
        chip.cut_at = second == 0 ? 0 : chip.operations + second;
        second = 0;
    }
    for (boot = 0; boot < boots; boot++) {
        pf_ratchet ratchet;
        uint8_t key[32];
        uint32_t number = 0;
        CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 16), PF_OK);
        CHECK_EQ(valid_slots(&chip, &number), 1);
        CHECK_EQ(number, ratchet.boot);
        CHECK(!holds(&chip, secret)); /* the first one; it is gone for good */
        for (uint32_t n = 0; n < 3; n++) {
            CHECK_EQ(pf_ratchet_next(&ratchet, n, key), PF_OK);
            remember(&all, key);
        }
        CHECK_EQ(pf_ratchet_next(&ratchet, 0, key), PF_OK); /* even if a caller forgets to count */
        remember(&all, key);
    }
    return chip.operations;
}

static void test_power_cut_at_every_operation(void) {
    uint64_t random = check_seed();
    uint32_t operations = live(20, 0, NOR_NOTHING, 0, 1);
    CHECK(operations >= 40);
    for (uint32_t cut = 1; cut <= operations; cut++) {
        for (int tear = 0; tear < NOR_TEARS; tear++) {
            int repeats = tear == NOR_PREFIX || tear == NOR_BITS ? 5 : 1;
            for (int i = 0; i < repeats; i++) {
                for (uint32_t again = 0; again <= 4; again++) {
                    live(20, cut, (enum nor_tear)tear, again, check_random(&random));
                }
            }
        }
    }
}

static void test_derivation_follows_the_specification(void) {
    nor chip;
    pf_flash flash;
    pf_ratchet ratchet;
    uint8_t secret[32];
    uint8_t data[64];
    uint8_t x[64];
    uint8_t wanted[32];
    uint8_t key[32];
    memset(secret, 7, 32);
    nor_start(&chip, &flash, BLOCK, 1);
    CHECK_EQ(pf_ratchet_provision(&flash, secret), PF_OK);
    CHECK(holds(&chip, secret));
    CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 16), PF_OK);
    memcpy(data, "picofed boot\0\0\0\0", 16);
    memcpy(data + 16, entropy, 32);
    memcpy(data + 48, context, 16);
    pf_blake2b(x, 64, secret, 32, data, 64);
    CHECK_EQ(ratchet.boot, 1);
    CHECK_BYTES(chip.bytes + 64 + 8, x + 32, 32);
    CHECK(pf_filled_with(chip.bytes, 0, 64));
    pf_blake2b(wanted, 32, x, 32, (const uint8_t *)"noise\x04\x03\x02\x01", 9);
    CHECK_EQ(pf_ratchet_next(&ratchet, 0x01020304, key), PF_OK);
    CHECK_BYTES(key, wanted, 32);
    pf_blake2b(wanted, 32, x, 32, (const uint8_t *)"ratchet", 7);
    CHECK_BYTES(ratchet.chain, wanted, 32);
}

static void test_entropy_and_context_matter(void) {
    uint8_t seen[3][32];
    for (int i = 0; i < 3; i++) {
        nor chip;
        pf_flash flash;
        pf_ratchet ratchet;
        uint8_t secret[32] = {1};
        uint8_t noise[32] = {0};
        uint8_t about[16] = {0};
        noise[0] = i == 1;
        about[15] = i == 2;
        nor_start(&chip, &flash, BLOCK, 1);
        CHECK_EQ(pf_ratchet_provision(&flash, secret), PF_OK);
        CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, noise, about, 16), PF_OK);
        memcpy(seen[i], ratchet.chain, 32);
    }
    CHECK(memcmp(seen[0], seen[1], 32) != 0 && memcmp(seen[0], seen[2], 32) != 0 && memcmp(seen[1], seen[2], 32) != 0);
}

static void test_failures_leave_it_unusable(void) {
    nor chip;
    pf_flash flash;
    pf_ratchet ratchet;
    uint8_t secret[32] = {1};
    uint8_t key[32];
    nor_start(&chip, &flash, BLOCK, 1);
    CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 16), PF_E_BLANK);
    CHECK_EQ(pf_ratchet_next(&ratchet, 0, key), PF_E_STATE);
    CHECK_EQ(pf_ratchet_provision(&flash, secret), PF_OK);
    CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 65), PF_E_ARGUMENT);
    chip.fail_program = 1;
    CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 16), PF_E_FLASH);
    CHECK_EQ(pf_ratchet_next(&ratchet, 0, key), PF_E_STATE);
    CHECK(pf_filled_with(key, 0, 32) && pf_filled_with(ratchet.chain, 0, 32));
    chip.fail_program = 0;
    chip.ignore_bits = 8;
    CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 16), PF_E_FLASH);
    CHECK_EQ(pf_ratchet_next(&ratchet, 0, key), PF_E_STATE);
    chip.ignore_bits = 0;
    CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 16), PF_OK);
    for (uint32_t offset = 0; offset < 2 * BLOCK; offset++) {
        chip.bytes[offset] &= 0xfe;
    }
    CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 16), PF_E_CORRUPT);
    CHECK_EQ(pf_ratchet_next(&ratchet, 0, key), PF_E_STATE);
    flash.block_size = 128;
    CHECK_EQ(pf_ratchet_boot(&ratchet, &flash, entropy, context, 16), PF_E_ARGUMENT);
    CHECK_EQ(pf_ratchet_provision(&flash, secret), PF_E_ARGUMENT);
}

int main(void) {
    RUN(test_power_cut_at_every_operation);
    RUN(test_derivation_follows_the_specification);
    RUN(test_entropy_and_context_matter);
    RUN(test_failures_leave_it_unusable);
    return 0;
}
