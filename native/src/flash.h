/* flash.h: what the ledger and the seed store share: a region of two erase blocks, written with read-back. */
#ifndef PF_FLASH_H
#define PF_FLASH_H

#include "picofed.h"
#include "port.h"

#define PF_FLASH_PIECE 64u /* largest program */

PF_INLINE int pf_flash_valid(const pf_flash *flash) {
    uint32_t size = flash->block_size;
    return size >= 256 && size <= 65536 && (size & (size - 1)) == 0 && flash->read != NULL && flash->program != NULL &&
           flash->erase != NULL;
}

PF_INLINE pf_status pf_flash_read(const pf_flash *flash, uint32_t offset, uint8_t *data, uint32_t len) {
    return flash->read(flash->context, offset, data, len) < 0 ? PF_E_FLASH : PF_OK;
}

PF_INLINE pf_status pf_flash_erase(const pf_flash *flash, uint32_t block) {
    return flash->erase(flash->context, block * flash->block_size) < 0 ? PF_E_FLASH : PF_OK;
}

/* Program len <= 64 bytes and compare what the flash then holds. */
PF_INLINE pf_status pf_flash_write(const pf_flash *flash, uint32_t offset, const uint8_t *data, uint32_t len) {
    uint8_t held[PF_FLASH_PIECE];
    pf_status status = PF_E_FLASH;
    if (flash->program(flash->context, offset, data, len) >= 0 && pf_flash_read(flash, offset, held, len) == PF_OK &&
        pf_equal(held, data, len)) {
        status = PF_OK;
    }
    pf_wipe(held, len);
    return status;
}

/* Clear all bits of a slot: what it held can no longer be read, and no interrupted erase can bring it back. */
PF_INLINE pf_status pf_flash_spend(const pf_flash *flash, uint32_t offset, uint32_t len) {
    uint8_t zeros[PF_FLASH_PIECE];
    pf_zero(zeros, len);
    return pf_flash_write(flash, offset, zeros, len);
}

#endif
