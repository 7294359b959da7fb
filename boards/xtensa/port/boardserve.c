// Module `boardserve`: what stands in for the hardware. Entropy, identity and power cuts are those of every emulated
// board (../../common); the flash is a file.

#include <string.h>

#include "board.h"
#include "functions.h"
#include "py/mperrno.h"
#include "py/runtime.h"
#include "system.h"

#define BLOCK_BYTES 4096u

static uint32_t flash_bytes(void) {
    int32_t size = system_size(board_flash);
    return size > 0 ? (uint32_t)size : 0;
}

// offset of the bytes in the flash; refuses what is outside
static uint32_t place(mp_obj_t block, mp_obj_t offset, size_t len) {
    mp_int_t number = mp_obj_get_int(block);
    mp_int_t start = offset == MP_OBJ_NULL ? 0 : mp_obj_get_int(offset);
    uint32_t size = flash_bytes();
    // number < 2^20 and start < 2^12: the sum stays below 2^32
    if (number < 0 || (uint32_t)number >= size / BLOCK_BYTES || start < 0 || (uint32_t)start >= BLOCK_BYTES ||
        len > size - ((uint32_t)number * BLOCK_BYTES + (uint32_t)start)) {
        mp_raise_OSError(MP_EINVAL);
    }
    return (uint32_t)number * BLOCK_BYTES + (uint32_t)start;
}

static void erase(uint32_t at) {
    uint8_t blank[256];
    memset(blank, 0xff, sizeof(blank));
    for (uint32_t done = 0; done < BLOCK_BYTES; done += sizeof(blank)) {
        if (system_write_at(board_flash, at + done, blank, sizeof(blank)) != 0) {
            mp_raise_OSError(MP_EIO);
        }
    }
}

// readblocks(block, buffer, offset=0)
static mp_obj_t flash_readblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[1], &buffer, MP_BUFFER_WRITE);
    uint32_t at = place(args[0], n_args > 2 ? args[2] : MP_OBJ_NULL, buffer.len);
    if (system_read_at(board_flash, at, buffer.buf, buffer.len) != 0) {
        mp_raise_OSError(MP_EIO);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_readblocks_obj, 2, 3, flash_readblocks);

// writeblocks(block, buffer, offset=None): without an offset the blocks are erased first
static mp_obj_t flash_writeblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[1], &buffer, MP_BUFFER_READ);
    uint32_t at = place(args[0], n_args > 2 ? args[2] : MP_OBJ_NULL, buffer.len);
    for (uint32_t done = 0; n_args == 2 && done < buffer.len; done += BLOCK_BYTES) {
        erase(at + done);
    }
    if (system_write_at(board_flash, at, buffer.buf, buffer.len) != 0) {
        mp_raise_OSError(MP_EIO);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_writeblocks_obj, 2, 3, flash_writeblocks);

// ioctl(operation, argument) of MicroPython's block devices
static mp_obj_t flash_ioctl(mp_obj_t operation, mp_obj_t argument) {
    switch (mp_obj_get_int(operation)) {
    case 4:
        return MP_OBJ_NEW_SMALL_INT(flash_bytes() / BLOCK_BYTES);
    case 5:
        return MP_OBJ_NEW_SMALL_INT(BLOCK_BYTES);
    case 6:
        erase(place(argument, MP_OBJ_NULL, BLOCK_BYTES));
        return MP_OBJ_NEW_SMALL_INT(0);
    default:
        return MP_OBJ_NEW_SMALL_INT(0);
    }
}
static MP_DEFINE_CONST_FUN_OBJ_2(flash_ioctl_obj, flash_ioctl);

static const mp_rom_map_elem_t flash_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&flash_readblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&flash_writeblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&flash_ioctl_obj)},
};
static MP_DEFINE_CONST_DICT(flash_globals, flash_globals_table);

// A module is an object with functions that are not handed a `self`: all that a block device needs, as there is one.
static const mp_obj_module_t flash_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&flash_globals,
};

static const mp_rom_map_elem_t boardserve_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_boardserve)},
    {MP_ROM_QSTR(MP_QSTR_unique_id), MP_ROM_PTR(&boardserve_unique_id_obj)},
    {MP_ROM_QSTR(MP_QSTR_entropy), MP_ROM_PTR(&boardserve_entropy_obj)},
    {MP_ROM_QSTR(MP_QSTR_flash_op), MP_ROM_PTR(&boardserve_flash_op_obj)},
    {MP_ROM_QSTR(MP_QSTR_power_cut_after), MP_ROM_PTR(&boardserve_power_cut_after_obj)},
    {MP_ROM_QSTR(MP_QSTR_flash), MP_ROM_PTR(&flash_module)},
};
static MP_DEFINE_CONST_DICT(boardserve_globals, boardserve_globals_table);

const mp_obj_module_t boardserve_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&boardserve_globals,
};
MP_REGISTER_MODULE(MP_QSTR_boardserve, boardserve_module);
