/* ratchet.c: the seed store in flash and the noise keys of one boot (SPEC 4.2 to 4.4).
 *
 * What must hold: no noise key is ever given twice, whatever the entropy is worth and wherever power is cut. A key can
 * only come twice from the same secret; so the secret of the next boot is written and read back, and the one just used
 * is destroyed, before the first key is given. A cut before that leaves a secret from which no key has been given. */
#include "flash.h"
#include "picofed.h"
#include "port.h"

#define RATCHET_SLOT 64u
#define RATCHET_CONTEXT_MAX 64u

/* offsets in a slot */
enum { RATCHET_BOOT = 4, RATCHET_SECRET = 8, RATCHET_TAG = 48 };

PF_TABLE uint8_t pf_ratchet_magic[4] = {'P', 'F', 'S', '1'};
PF_TABLE uint8_t pf_ratchet_boot_label[12] = {'p', 'i', 'c', 'o', 'f', 'e', 'd', ' ', 'b', 'o', 'o', 't'};
PF_TABLE uint8_t pf_ratchet_noise_label[5] = {'n', 'o', 'i', 's', 'e'};
PF_TABLE uint8_t pf_ratchet_next_label[7] = {'r', 'a', 't', 'c', 'h', 'e', 't'};

static void ratchet_slot(uint8_t slot[RATCHET_SLOT], uint32_t boot, const uint8_t secret[32]) {
    pf_zero(slot, RATCHET_SLOT);
    pf_copy(slot, pf_ratchet_magic, 4);
    pf_put_u32(slot + RATCHET_BOOT, boot);
    pf_copy(slot + RATCHET_SECRET, secret, 32);
    pf_blake2b(slot + RATCHET_TAG, 16, secret, 32, slot, RATCHET_TAG);
}

static int ratchet_slot_valid(const uint8_t slot[RATCHET_SLOT]) {
    uint8_t wanted[RATCHET_SLOT];
    ratchet_slot(wanted, pf_get_u32(slot + RATCHET_BOOT), slot + RATCHET_SECRET);
    int valid = !pf_differ(wanted, slot, RATCHET_SLOT);
    pf_wipe(wanted, sizeof wanted);
    return valid;
}

typedef struct {
    uint8_t slot[RATCHET_SLOT]; /* the valid one with the highest boot number */
    uint32_t offset;            /* of it */
    uint32_t boot;
    uint32_t found;
    uint32_t used; /* some slot is not blank */
} ratchet_scan;

static pf_status ratchet_find(const pf_flash *flash, ratchet_scan *scan) {
    uint8_t slot[RATCHET_SLOT];
    scan->offset = 0;
    scan->boot = 0;
    scan->found = 0;
    scan->used = 0;
    for (uint32_t offset = 0; offset < 2 * flash->block_size; offset += RATCHET_SLOT) {
        if (pf_flash_read(flash, offset, slot, RATCHET_SLOT) != PF_OK) {
            return PF_E_FLASH;
        }
        if (pf_filled_with(slot, 0xff, RATCHET_SLOT)) {
            continue;
        }
        scan->used = 1;
        if (pf_filled_with(slot, 0, RATCHET_SLOT) || !ratchet_slot_valid(slot)) {
            continue;
        }
        uint32_t boot = pf_get_u32(slot + RATCHET_BOOT);
        if (!scan->found || boot > scan->boot) {
            pf_copy(scan->slot, slot, RATCHET_SLOT);
            scan->offset = offset;
            scan->boot = boot;
            scan->found = 1;
        }
    }
    pf_wipe(slot, sizeof slot);
    return PF_OK;
}

/* Where the next slot goes: the first blank one behind the current one in its block, else the start of the other block,
 * erased. */
static pf_status ratchet_room(const pf_flash *flash, uint32_t current, uint32_t *offset) {
    uint8_t slot[RATCHET_SLOT];
    uint32_t end = (current & ~(flash->block_size - 1)) + flash->block_size;
    for (uint32_t at = current + RATCHET_SLOT; at < end; at += RATCHET_SLOT) {
        if (pf_flash_read(flash, at, slot, RATCHET_SLOT) != PF_OK) {
            return PF_E_FLASH;
        }
        if (pf_filled_with(slot, 0xff, RATCHET_SLOT)) {
            *offset = at;
            return PF_OK;
        }
    }
    uint32_t other = current < flash->block_size;
    *offset = other * flash->block_size;
    return pf_flash_erase(flash, other);
}

/* Overwrite every slot but the one at `keep` that may hold a secret. A half-written slot can hold one too (the same
 * that the next try derives, where the entropy is worth nothing), but only with a valid slot is it a failure if that
 * does not work: a worn cell in an invalid one must not stop the board for good. */
static pf_status ratchet_destroy(const pf_flash *flash, uint32_t keep) {
    uint8_t slot[RATCHET_SLOT];
    pf_status status = PF_OK;
    for (uint32_t offset = 0; offset < 2 * flash->block_size && status == PF_OK; offset += RATCHET_SLOT) {
        status = pf_flash_read(flash, offset, slot, RATCHET_SLOT);
        if (status != PF_OK || offset == keep || pf_filled_with(slot, 0xff, RATCHET_SLOT) ||
            pf_filled_with(slot, 0, RATCHET_SLOT)) {
            continue;
        }
        int valid = ratchet_slot_valid(slot);
        pf_status spent = pf_flash_spend(flash, offset, RATCHET_SLOT);
        status = valid ? spent : PF_OK;
    }
    pf_wipe(slot, sizeof slot);
    return status;
}

pf_status pf_ratchet_provision(const pf_flash *flash, const uint8_t secret[32]) {
    if (!pf_flash_valid(flash)) {
        return PF_E_ARGUMENT;
    }
    if (pf_flash_erase(flash, 0) != PF_OK || pf_flash_erase(flash, 1) != PF_OK) {
        return PF_E_FLASH;
    }
    uint8_t slot[RATCHET_SLOT];
    ratchet_slot(slot, 0, secret);
    pf_status status = pf_flash_write(flash, 0, slot, RATCHET_SLOT);
    pf_wipe(slot, sizeof slot);
    return status;
}

/* Write the slot of the next boot, then destroy the older ones. */
static pf_status ratchet_replace(const pf_flash *flash, uint32_t current, uint32_t boot, const uint8_t secret[32]) {
    uint32_t offset;
    pf_status status = ratchet_room(flash, current, &offset);
    if (status != PF_OK) {
        return status;
    }
    uint8_t slot[RATCHET_SLOT];
    ratchet_slot(slot, boot, secret);
    status = pf_flash_write(flash, offset, slot, RATCHET_SLOT);
    pf_wipe(slot, sizeof slot);
    return status == PF_OK ? ratchet_destroy(flash, offset) : status;
}

pf_status pf_ratchet_boot(
    pf_ratchet *ratchet, const pf_flash *flash, const uint8_t entropy[32], const uint8_t *context, size_t context_len) {
    pf_wipe(ratchet, sizeof *ratchet);
    if (!pf_flash_valid(flash) || context_len > RATCHET_CONTEXT_MAX) {
        return PF_E_ARGUMENT;
    }
    ratchet_scan scan;
    pf_status status = ratchet_find(flash, &scan);
    if (status == PF_OK && !scan.found) {
        status = scan.used ? PF_E_CORRUPT : PF_E_BLANK;
    }
    if (status == PF_OK && scan.boot == 0xffffffffu) {
        status = PF_E_CORRUPT;
    }
    if (status == PF_OK) {
        uint8_t data[12 + 4 + 32 + RATCHET_CONTEXT_MAX];
        uint8_t derived[64];
        pf_copy(data, pf_ratchet_boot_label, 12);
        pf_put_u32(data + 12, scan.boot);
        pf_copy(data + 16, entropy, 32);
        pf_copy(data + 48, context, context_len);
        pf_blake2b(derived, 64, scan.slot + RATCHET_SECRET, 32, data, 48 + context_len);
        status = ratchet_replace(flash, scan.offset, scan.boot + 1, derived + 32);
        if (status == PF_OK) {
            pf_copy(ratchet->chain, derived, 32);
            ratchet->boot = scan.boot + 1;
            ratchet->ready = 1;
        }
        pf_wipe(derived, sizeof derived);
        pf_wipe(data, sizeof data);
    }
    pf_wipe(&scan, sizeof scan);
    return status;
}

pf_status pf_ratchet_next(pf_ratchet *ratchet, uint32_t seq, uint8_t out[32]) {
    if (!ratchet->ready) {
        pf_wipe(out, 32);
        return PF_E_STATE;
    }
    uint8_t label[9];
    uint8_t next[32];
    pf_copy(label, pf_ratchet_noise_label, 5);
    pf_put_u32(label + 5, seq);
    pf_blake2b(out, 32, ratchet->chain, 32, label, 9);
    pf_blake2b(next, 32, ratchet->chain, 32, pf_ratchet_next_label, 7);
    pf_copy(ratchet->chain, next, 32);
    pf_wipe(next, sizeof next);
    return PF_OK;
}
