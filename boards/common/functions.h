// Functions of module `boardserve` that all emulated boards share. See ../unix/README.md.
#pragma once

#include <stdint.h>

#include "py/obj.h"

// Set by the port before any program runs.
extern uint8_t board_id[8];
// flash_op() calls left before the power fails; not positive: it does not.
extern long board_power_left;

// Given by the port: nothing runs after this.
__attribute__((noreturn)) void board_power_fails(void);

MP_DECLARE_CONST_FUN_OBJ_0(boardserve_unique_id_obj);
MP_DECLARE_CONST_FUN_OBJ_1(boardserve_entropy_obj);
MP_DECLARE_CONST_FUN_OBJ_0(boardserve_flash_op_obj);
MP_DECLARE_CONST_FUN_OBJ_1(boardserve_power_cut_after_obj);
