// The port's part of module `machine`, included by extmod/modmachine.c.

#include "board.h"

static void mp_machine_idle(void) {
    mp_event_wait_ms(1);
}

static NORETURN void mp_machine_reset(void) {
    board_restart(false);
}

static mp_int_t mp_machine_reset_cause(void) {
    return board_reset_cause;
}
