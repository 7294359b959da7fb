// Start-up: mount the flash, run boot.py and main.py, serve the REPL, over and over.
#include "board.h"
#include "machine.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/pyexec.h"

// Of the 16 KiB that the linker scripts keep for the stack: the rest is for C below the last check.
#define STACK_LIMIT (14 * 1024)

static void run(void) {
    pyexec_frozen_module("_boot.py", false);
    int exit = pyexec_file_if_exists("boot.py") & PYEXEC_FORCED_EXIT;
    if (!exit && pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
        exit = pyexec_file_if_exists("main.py") & PYEXEC_FORCED_EXIT;
    }
    while (!exit) {
        exit = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    }
}

int main(void) {
    machine_init();
    mp_stack_ctrl_init();
    mp_stack_set_limit(STACK_LIMIT);
    for (bool soft = false;; soft = true) {
        board_start(soft);
        size_t len;
        char *heap = board_heap(&len);
        gc_init(heap, heap + len);
        mp_init();
        run();
        mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
        gc_sweep_all();
        mp_deinit();
    }
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

void nlr_jump_fail(void *value) {
    (void)value;
    board_fail("an exception that nobody caught");
}
