// Included by extmod/modmachine.c.
#include "board.h"
#include "functions.h"
#include "py/mphal.h"

static void mp_machine_idle(void) {
    mp_event_wait_ms(1);
}

static void mp_machine_reset(void) {
    board_reset();
}

static mp_int_t mp_machine_reset_cause(void) {
    return board_reset_cause;
}
