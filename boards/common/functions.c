#include "functions.h"

#include "entropy.h"
#include "py/runtime.h"

uint8_t board_id[8];
long board_power_left = -1;

// unique_id() -> 8 bytes, also machine.unique_id()
static mp_obj_t boardserve_unique_id(void) {
    return mp_obj_new_bytes(board_id, sizeof(board_id));
}
MP_DEFINE_CONST_FUN_OBJ_0(boardserve_unique_id_obj, boardserve_unique_id);

// entropy(n) -> the next n bytes of the board's entropy source
static mp_obj_t boardserve_entropy(mp_obj_t n_in) {
    mp_int_t n = mp_obj_get_int(n_in);
    if (n < 0) {
        mp_raise_ValueError(NULL);
    }
    vstr_t bytes;
    vstr_init_len(&bytes, (size_t)n);
    entropy_read((uint8_t *)bytes.buf, (size_t)n);
    return mp_obj_new_bytes_from_vstr(&bytes);
}
MP_DEFINE_CONST_FUN_OBJ_1(boardserve_entropy_obj, boardserve_entropy);

// flash_op(): one step of a flash operation. The power fails in the step that power_cut_after() or the emulator named.
static mp_obj_t boardserve_flash_op(void) {
    if (board_power_left > 0 && --board_power_left == 0) {
        board_power_fails();
    }
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_0(boardserve_flash_op_obj, boardserve_flash_op);

// power_cut_after(n): the power fails in the n-th flash_op() from now, n >= 1; any other n: it does not.
static mp_obj_t boardserve_power_cut_after(mp_obj_t n) {
    board_power_left = (long)mp_obj_get_int(n);
    return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_1(boardserve_power_cut_after_obj, boardserve_power_cut_after);
