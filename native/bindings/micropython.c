/* micropython.c: the core as MicroPython module `picofed_core`. Glue only; one source for the native module
 * (natmod.mk) and the user C module (micropython.mk).
 *
 * Functions work in the caller's buffers and return an int: 0 or a count, or a negative error code (SPEC 1.3), which
 * firmware/picofed/errors.py turns into an exception. A buffer that is too short or not aligned is refused with
 * PF_E_MEMORY, an integer outside uint32 with PF_E_ARGUMENT. Exceptions: TypeError for an argument of the wrong type,
 * and whatever a flash hook raises; the object that was being worked on is then closed (PF_E_STATE until opened again).
 *
 * Objects (trainer, ledger, ratchet) live in a bytearray of *_size() bytes that the caller keeps. A guard in front of
 * each says what it is and where it was made, so that a wrong, copied or moved buffer is refused.
 *
 * A flash is a Python object with block_size and read(offset, buffer), program(offset, bytes), erase(offset). */
#ifdef MICROPY_ENABLE_DYNRUNTIME
/* A native module lies in RAM, on boards whose flash nobody has prepared for images of weights. */
#define PF_WITHOUT_IMAGES
#endif
#include "../src/unit.c" /* before MicroPython's headers, so that the core cannot come to need them */

#ifdef MICROPY_ENABLE_DYNRUNTIME
#include "py/dynruntime.h"
#else
#include "py/obj.h"
#include "py/objarray.h"
#include "py/runtime.h"
#endif

#ifdef MICROPY_ENABLE_DYNRUNTIME
#if defined(__GNUC__) && !defined(__clang__)
#define EXPORT __attribute__((externally_visible, used))
#else
#define EXPORT __attribute__((used))
#endif
/* Compilers call these for copies and initialisers even in freestanding code; a native module has no libc. */
EXPORT void *memcpy(void *to, const void *from, size_t len) {
    return mp_fun_table.memmove_(to, from, len);
}
EXPORT void *memset(void *mem, int value, size_t len) {
    return mp_fun_table.memset_(mem, value, len);
}
#endif

/* MicroPython's rules for native modules look for names in this file only. */
#define NAME_READ MP_QSTR_read
#define NAME_PROGRAM MP_QSTR_program
#define NAME_ERASE MP_QSTR_erase
#define NAME_BLOCK_SIZE MP_QSTR_block_size

#include "mp_arguments.h"
#include "mp_primitives.h"
#include "mp_records.h"
#include "mp_training.h"
#include "mp_stores.h"

/* ---- module ---------------------------------------------------------------------------------------------------- */

#ifdef PF_WITHOUT_IMAGES
#define ENTRIES_IMAGES
#else
#define ENTRIES_IMAGES                                                                                                 \
    ENTRY(MP_QSTR_frozen_size, core_frozen_size_obj)                                                                   \
    ENTRY(MP_QSTR_frozen_clear, core_frozen_clear_obj)                                                                 \
    ENTRY(MP_QSTR_frozen_put, core_frozen_put_obj)                                                                     \
    ENTRY(MP_QSTR_trainer_frozen_size, core_trainer_frozen_size_obj)                                                   \
    ENTRY(MP_QSTR_trainer_frozen_init, core_trainer_frozen_init_obj)
#endif

#define ENTRIES                                                                                                        \
    ENTRIES_IMAGES                                                                                                     \
    ENTRY(MP_QSTR_blake2b, core_blake2b_obj)                                                                           \
    ENTRY(MP_QSTR_chacha20, core_chacha20_obj)                                                                         \
    ENTRY(MP_QSTR_x25519, core_x25519_obj)                                                                             \
    ENTRY(MP_QSTR_eddsa_check, core_eddsa_check_obj)                                                                   \
    ENTRY(MP_QSTR_differ, core_differ_obj)                                                                             \
    ENTRY(MP_QSTR_crc32, core_crc32_obj)                                                                               \
    ENTRY(MP_QSTR_mask_add, core_mask_add_obj)                                                                         \
    ENTRY(MP_QSTR_shamir_share, core_shamir_share_obj)                                                                 \
    ENTRY(MP_QSTR_noise, core_noise_obj)                                                                               \
    ENTRY(MP_QSTR_entropy_condition, core_entropy_condition_obj)                                                       \
    ENTRY(MP_QSTR_features_imu, core_features_imu_obj)                                                                 \
    ENTRY(MP_QSTR_features_blocks, core_features_blocks_obj)                                                           \
    ENTRY(MP_QSTR_targets, core_targets_obj)                                                                           \
    ENTRY(MP_QSTR_convolution, core_convolution_obj)                                                                   \
    ENTRY(MP_QSTR_slots_check, core_slots_check_obj)                                                                   \
    ENTRY(MP_QSTR_windows_next, core_windows_next_obj)                                                                 \
    ENTRY(MP_QSTR_front_record, core_front_record_obj)                                                                 \
    ENTRY(MP_QSTR_front_rows, core_front_rows_obj)                                                                     \
    ENTRY(MP_QSTR_frame_encode, core_frame_encode_obj)                                                                 \
    ENTRY(MP_QSTR_frame_decode, core_frame_decode_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_size, core_trainer_size_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_init, core_trainer_init_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_counts, core_trainer_counts_obj)                                                             \
    ENTRY(MP_QSTR_trainer_set_weights, core_trainer_set_weights_obj)                                                   \
    ENTRY(MP_QSTR_trainer_set_subset, core_trainer_set_subset_obj)                                                     \
    ENTRY(MP_QSTR_trainer_get_weights, core_trainer_get_weights_obj)                                                   \
    ENTRY(MP_QSTR_trainer_begin, core_trainer_begin_obj)                                                               \
    ENTRY(MP_QSTR_trainer_fill, core_trainer_fill_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_examples, core_trainer_examples_obj)                                                         \
    ENTRY(MP_QSTR_trainer_step, core_trainer_step_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_logits, core_trainer_logits_obj)                                                             \
    ENTRY(MP_QSTR_trainer_encode, core_trainer_encode_obj)                                                             \
    ENTRY(MP_QSTR_trainer_mask, core_trainer_mask_obj)                                                                 \
    ENTRY(MP_QSTR_trainer_wipe, core_trainer_wipe_obj)                                                                 \
    ENTRY(MP_QSTR_ratchet_size, core_ratchet_size_obj)                                                                 \
    ENTRY(MP_QSTR_ratchet_provision, core_ratchet_provision_obj)                                                       \
    ENTRY(MP_QSTR_ratchet_boot, core_ratchet_boot_obj)                                                                 \
    ENTRY(MP_QSTR_ratchet_next, core_ratchet_next_obj)                                                                 \
    ENTRY(MP_QSTR_charge, core_charge_obj)                                                                             \
    ENTRY(MP_QSTR_ledger_size, core_ledger_size_obj)                                                                   \
    ENTRY(MP_QSTR_ledger_provision, core_ledger_provision_obj)                                                         \
    ENTRY(MP_QSTR_ledger_open, core_ledger_open_obj)                                                                   \
    ENTRY(MP_QSTR_ledger_charge, core_ledger_charge_obj)                                                               \
    ENTRY(MP_QSTR_ledger_head, core_ledger_head_obj)

#ifdef MICROPY_ENABLE_DYNRUNTIME

EXPORT mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    (void)n_args;
    (void)n_kw;
    (void)args;
    MP_DYNRUNTIME_INIT_ENTRY
#define ENTRY(name, object) mp_store_global(name, MP_OBJ_FROM_PTR(&object));
    ENTRIES
#undef ENTRY
    mp_store_global(MP_QSTR_VERSION, MP_OBJ_NEW_SMALL_INT(PF_VERSION));
    MP_DYNRUNTIME_INIT_EXIT
}

#else

#define ENTRY(name, object) {MP_ROM_QSTR(name), MP_ROM_PTR(&object)},
static const mp_rom_map_elem_t core_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_picofed_core)},
    {MP_ROM_QSTR(MP_QSTR_VERSION), MP_ROM_INT(PF_VERSION)}, ENTRIES};
#undef ENTRY
static MP_DEFINE_CONST_DICT(core_globals, core_globals_table);
const mp_obj_module_t picofed_core_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&core_globals,
};
MP_REGISTER_MODULE(MP_QSTR_picofed_core, picofed_core_module);

#endif
