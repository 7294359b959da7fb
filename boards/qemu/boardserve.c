// Module `boardserve`: the flash, and what an emulated board has besides. See README.md.
#include "extmod/vfs.h"
#include "functions.h"
#include "machine.h"
#include "py/mperrno.h"
#include "py/runtime.h"
#include "semihosting.h"

#define FLASH "flash.img"
#define BLOCK 4096

static int file = -1;

// Flash(): block device over the host's file flash.img, which exists.
static mp_obj_t flash_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    // opened once: nobody closes it over a soft reset
    if (file < 0 && (file = host_open(FLASH, HOST_UPDATE)) < 0) {
        mp_raise_OSError(MP_ENODEV);
    }
    mp_obj_base_t *self = mp_obj_malloc(mp_obj_base_t, type);
    return MP_OBJ_FROM_PTR(self);
}

// Where [self, block, buffer, offset] lies in the file; raises what is wrong with it.
static uint32_t take(size_t n_args, const mp_obj_t *args, mp_uint_t access, mp_buffer_info_t *buffer) {
    mp_int_t block = mp_obj_get_int(args[1]), offset = n_args > 3 ? mp_obj_get_int(args[3]) : 0;
    mp_get_buffer_raise(args[2], buffer, access);
    int32_t size = host_size(file);
    uint64_t start = (uint64_t)block * BLOCK + (uint64_t)offset; // below 2^44
    if (block < 0 || offset < 0 || size < 0 || start + buffer->len > (uint32_t)size) {
        mp_raise_OSError(MP_EINVAL);
    }
    return (uint32_t)start;
}

static mp_obj_t answer(bool done) {
    return MP_OBJ_NEW_SMALL_INT(done ? 0 : -MP_EIO);
}

static mp_obj_t flash_readblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    uint32_t start = take(n_args, args, MP_BUFFER_WRITE, &buffer);
    return answer(host_read_at(file, start, buffer.buf, buffer.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_readblocks_obj, 3, 4, flash_readblocks);

static mp_obj_t flash_writeblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    uint32_t start = take(n_args, args, MP_BUFFER_READ, &buffer);
    return answer(host_write_at(file, start, buffer.buf, buffer.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_writeblocks_obj, 3, 4, flash_writeblocks);

static mp_obj_t flash_ioctl(mp_obj_t self, mp_obj_t operation, mp_obj_t argument) {
    (void)self;
    (void)argument;
    switch (mp_obj_get_int(operation)) {
    case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
        return MP_OBJ_NEW_SMALL_INT(host_size(file) / BLOCK);
    case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
        return MP_OBJ_NEW_SMALL_INT(BLOCK);
    default: // a write needs no erase here
        return MP_OBJ_NEW_SMALL_INT(0);
    }
}
static MP_DEFINE_CONST_FUN_OBJ_3(flash_ioctl_obj, flash_ioctl);

static const mp_rom_map_elem_t flash_locals_table[] = {
    {MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&flash_readblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&flash_writeblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&flash_ioctl_obj)},
};
static MP_DEFINE_CONST_DICT(flash_locals, flash_locals_table);
static MP_DEFINE_CONST_OBJ_TYPE(
    flash_type, MP_QSTR_Flash, MP_TYPE_FLAG_NONE, make_new, flash_make_new, locals_dict, &flash_locals);

// instructions() -> a number that grows with the instructions executed, modulo 2^32
static mp_obj_t boardserve_instructions(void) {
    return mp_obj_new_int_from_uint(machine_instructions());
}
static MP_DEFINE_CONST_FUN_OBJ_0(boardserve_instructions_obj, boardserve_instructions);

static const mp_rom_map_elem_t boardserve_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_boardserve)},
    {MP_ROM_QSTR(MP_QSTR_Flash), MP_ROM_PTR(&flash_type)},
    {MP_ROM_QSTR(MP_QSTR_unique_id), MP_ROM_PTR(&boardserve_unique_id_obj)},
    {MP_ROM_QSTR(MP_QSTR_entropy), MP_ROM_PTR(&boardserve_entropy_obj)},
    {MP_ROM_QSTR(MP_QSTR_flash_op), MP_ROM_PTR(&boardserve_flash_op_obj)},
    {MP_ROM_QSTR(MP_QSTR_power_cut_after), MP_ROM_PTR(&boardserve_power_cut_after_obj)},
    {MP_ROM_QSTR(MP_QSTR_instructions), MP_ROM_PTR(&boardserve_instructions_obj)},
};
static MP_DEFINE_CONST_DICT(boardserve_globals, boardserve_globals_table);

const mp_obj_module_t boardserve_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&boardserve_globals,
};
MP_REGISTER_MODULE(MP_QSTR_boardserve, boardserve_module);
