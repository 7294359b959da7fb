// Module `boardserve`: what turns MicroPython's unix port into a board on a serial line. See ../README.md.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "entropy.h"
#include "functions.h"
#include "line.h"
#include "py/builtin.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/runtime/pyexec.h"
#include "virtual_time.h"

#define ARGS_MAX 16
#define CAUSE_POWER_ON 1
#define CAUSE_SOFT 5

static int master = -1;
static int reset_cause = CAUSE_POWER_ON;
static long env_number(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value != NULL ? atol(value) : otherwise;
}

// Before main: programs that run without a line, as some tests do, have the id too.
__attribute__((constructor)) static void read_board_id(void) {
    const char *hex = getenv("PICOFED_BOARD_ID");
    unsigned long long number = hex != NULL ? strtoull(hex, NULL, 16) : 0;
    for (size_t i = 0; i < sizeof(board_id); i++) {
        board_id[i] = (uint8_t)(number >> (56 - 8 * i)); // shift in 0..56
    }
}

void entropy_from_host(uint8_t *out, size_t n) {
    while (n > 0) {
        ssize_t got = getrandom(out, n, 0);
        if (got > 0) {
            out += got;
            n -= (size_t)got;
        }
    }
}

void board_power_fails(void) {
    kill(getpid(), SIGKILL);
    _exit(1);
}

// Become a fresh process: an empty heap, no modules, no state but the flash folder, behind the same serial line.
static __attribute__((noreturn)) void restart(bool soft) {
    static char text[4096];
    char *argv[ARGS_MAX + 1];
    size_t n = 0;
    FILE *self = fopen("/proc/self/cmdline", "rb");
    size_t len = self != NULL ? fread(text, 1, sizeof(text) - 1, self) : 0;
    for (size_t at = 0; at < len && n < ARGS_MAX; at += strlen(text + at) + 1) {
        argv[n++] = text + at;
    }
    argv[n] = NULL;
    line_stop(soft);
    setenv("PICOFED_RESET_CAUSE", soft ? "5" : "1", 1);
    setenv("PICOFED_RAW_REPL", soft && pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? "1" : "0", 1);
    char left[24];
    snprintf(left, sizeof(left), "%ld", board_power_left);
    setenv("PICOFED_POWER_CUT", left, 1);
    // Files that the program left open are gone after a reset, as on a board; the line and its input are not.
    long kept = env_number("PICOFED_LINE_INPUT", -1);
    for (int fd = 3; fd < 1024; fd++) {
        if (fd != master && fd != kept) {
            close(fd);
        }
    }
    execv("/proc/self/exe", argv);
    _exit(1);
}

// serve(boot): run boot.py, main.py and the REPL on the serial line until a reset, for ever. boot: this start's number.
static mp_obj_t boardserve_serve(mp_obj_t boot_in) {
    mp_int_t boot = mp_obj_get_int(boot_in);
    // The emulator may die without a word; the board must not outlive it.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != env_number("PICOFED_PARENT", getppid())) {
        _exit(1);
    }
    master = (int)env_number("PICOFED_LINE", -1);
    reset_cause = (int)env_number("PICOFED_RESET_CAUSE", CAUSE_POWER_ON);
    board_power_left = env_number("PICOFED_POWER_CUT", -1);
    if (master < 0 || entropy_init(getenv("PICOFED_ENTROPY_SEED"), (uint32_t)boot) != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("PICOFED_LINE or PICOFED_ENTROPY_SEED"));
    }
    virtual_time_init(getenv("PICOFED_VIRTUAL_TIME"));
    line_start(master);
    pyexec_mode_kind = env_number("PICOFED_RAW_REPL", 0) ? PYEXEC_MODE_RAW_REPL : PYEXEC_MODE_FRIENDLY_REPL;

    // Programs and the REPL run in this module's namespace: empty it of what the start-up script left.
    mp_obj_dict_t *globals = mp_globals_get();
    mp_map_clear(&globals->map);
    mp_obj_dict_store(MP_OBJ_FROM_PTR(globals), MP_OBJ_NEW_QSTR(MP_QSTR___name__), MP_OBJ_NEW_QSTR(MP_QSTR___main__));

    int exit = pyexec_file_if_exists("boot.py") & PYEXEC_FORCED_EXIT;
    if (!exit && pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
        exit = pyexec_file_if_exists("main.py") & PYEXEC_FORCED_EXIT;
    }
    while (!exit) {
        exit = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    }
    mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
    restart(true);
}
static MP_DEFINE_CONST_FUN_OBJ_1(boardserve_serve_obj, boardserve_serve);

// machine.reset()
static mp_obj_t boardserve_reset(void) {
    restart(false);
}
MP_DEFINE_CONST_FUN_OBJ_0(boardserve_reset_obj, boardserve_reset);

// machine.reset_cause()
static mp_obj_t boardserve_reset_cause(void) {
    return MP_OBJ_NEW_SMALL_INT(reset_cause);
}
MP_DEFINE_CONST_FUN_OBJ_0(boardserve_reset_cause_obj, boardserve_reset_cause);

// rename(old, new) of the host's own paths
static mp_obj_t boardserve_rename(mp_obj_t old_path, mp_obj_t new_path) {
    if (rename(mp_obj_str_get_str(old_path), mp_obj_str_get_str(new_path)) != 0) {
        mp_raise_OSError(errno);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(boardserve_rename_obj, boardserve_rename);

static const mp_rom_map_elem_t boardserve_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_boardserve)},
    {MP_ROM_QSTR(MP_QSTR_serve), MP_ROM_PTR(&boardserve_serve_obj)},
    {MP_ROM_QSTR(MP_QSTR_unique_id), MP_ROM_PTR(&boardserve_unique_id_obj)},
    {MP_ROM_QSTR(MP_QSTR_rename), MP_ROM_PTR(&boardserve_rename_obj)},
    {MP_ROM_QSTR(MP_QSTR_entropy), MP_ROM_PTR(&boardserve_entropy_obj)},
    {MP_ROM_QSTR(MP_QSTR_flash_op), MP_ROM_PTR(&boardserve_flash_op_obj)},
    {MP_ROM_QSTR(MP_QSTR_power_cut_after), MP_ROM_PTR(&boardserve_power_cut_after_obj)},
};
static MP_DEFINE_CONST_DICT(boardserve_globals, boardserve_globals_table);

const mp_obj_module_t boardserve_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&boardserve_globals,
};
MP_REGISTER_MODULE(MP_QSTR_boardserve, boardserve_module);
