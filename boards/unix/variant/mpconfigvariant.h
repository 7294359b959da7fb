// The feature level of the boards picofed runs on (ports/rp2), plus upstream's settings common to its unix variants.
#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)
#include "variants/mpconfigvariant_common.h"

// Ctrl-C is scheduled into the VM, as an interrupt does it on a board, and never unwinds a C function half way.
#undef MICROPY_ASYNC_KBD_INTR
#define MICROPY_ASYNC_KBD_INTR (0)

#define MICROPY_HW_BOARD_NAME "picofed unix board"
#define MICROPY_HW_MCU_NAME "a host CPU"

// machine.reset, reset_cause and unique_id come from the boardserve module: upstream's unix port has none.
extern const struct _mp_obj_fun_builtin_fixed_t boardserve_reset_obj;
extern const struct _mp_obj_fun_builtin_fixed_t boardserve_reset_cause_obj;
extern const struct _mp_obj_fun_builtin_fixed_t boardserve_unique_id_obj;
#define MICROPY_PY_MACHINE_EXTRA_GLOBALS                                                                               \
    {MP_ROM_QSTR(MP_QSTR_reset), MP_ROM_PTR(&boardserve_reset_obj)},                                                   \
        {MP_ROM_QSTR(MP_QSTR_reset_cause), MP_ROM_PTR(&boardserve_reset_cause_obj)},                                   \
        {MP_ROM_QSTR(MP_QSTR_unique_id), MP_ROM_PTR(&boardserve_unique_id_obj)},                                       \
        {MP_ROM_QSTR(MP_QSTR_PWRON_RESET), MP_ROM_INT(1)}, {MP_ROM_QSTR(MP_QSTR_SOFT_RESET), MP_ROM_INT(5)},
