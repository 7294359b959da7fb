// The life of the board: starts, one after the other, until the emulator kills the process.

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "entropy.h"
#include "functions.h"
#include "py/gc.h"
#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "shared/runtime/pyexec.h"
#include "system.h"

#define HEAP_MAX (4u * 1024 * 1024)
// Of the 8 MiB that Linux gives; the ESP32's main task has 16 KiB.
#define STACK_BYTES (64u * 1024)
#define SPILL_DEPTH 10

extern uint8_t bss_start, bss_end;
extern void spill_registers(int depth);

// Survives resets, which clear everything else.
static struct {
    jmp_buf start;
    const char *counter; // path of the file that counts the starts
    const char *entropy;
    size_t heap_bytes;
    uint8_t id[8];
    long power_left;
    int flash, cause;
    bool raw_repl;
    char *stack_top;
} board __attribute__((section(".kept")));

static uint8_t heap[HEAP_MAX] __attribute__((aligned(16), section(".kept.heap")));

int board_reset_cause, board_flash;
unsigned board_jumps;

static const char *setting(char **environment, const char *name) {
    size_t len = strlen(name);
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=') {
            return *environment + len + 1;
        }
    }
    return NULL;
}

static long number(const char *text, long otherwise) {
    if (text == NULL) {
        return otherwise;
    }
    long value = 0; // the emulator writes no number above 2^31
    for (; *text >= '0' && *text <= '9'; text++) {
        value = 10 * value + (*text - '0');
    }
    return value;
}

static void read_id(const char *hex) {
    for (size_t i = 0; hex != NULL && i < 2 * sizeof(board.id) && hex[i] != '\0'; i++) {
        int digit = hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10;
        board.id[i / 2] = (uint8_t)(board.id[i / 2] << 4 | digit); // the upper half falls off
    }
}

static __attribute__((noreturn)) void give_up(const char *why) {
    system_write(2, why, strlen(why));
    system_write(2, "\n", 1);
    system_exit(2);
}

// How often the board started before; this start is counted.
static uint32_t count_start(void) {
    char text[16];
    int fd = system_open(board.counter, SYSTEM_READ_WRITE | SYSTEM_CREATE);
    int len = fd < 0 ? fd : system_read(fd, text, sizeof(text) - 1);
    if (len < 0) {
        give_up("the file that counts the starts cannot be read");
    }
    text[len] = '\0';
    uint32_t before = (uint32_t)number(text, 0);
    size_t at = sizeof(text);
    for (uint32_t left = before + 1; left > 0; left /= 10) {
        text[--at] = (char)('0' + left % 10);
    }
    // never shorter than what was there
    if (system_write_at(fd, 0, text + at, sizeof(text) - at) != 0) {
        give_up("the file that counts the starts cannot be written");
    }
    system_close(fd);
    return before;
}

void entropy_from_host(uint8_t *out, size_t n) {
    system_random(out, n);
}

uint32_t board_random(void) {
    uint32_t seed;
    system_random(&seed, sizeof(seed));
    return seed;
}

void board_power_fails(void) {
    system_die();
}

void board_restart(bool soft) {
    board.cause = soft ? BOARD_SOFT_RESET : BOARD_POWER_ON;
    board.power_left = board_power_left;
    board.raw_repl = soft && pyexec_mode_kind == PYEXEC_MODE_RAW_REPL;
    if (!soft) {
        line_clear();
    }
    longjmp(board.start, 1);
}

static __attribute__((noreturn)) void run(void) {
    board_flash = board.flash;
    board_reset_cause = board.cause;
    board_power_left = board.power_left;
    memcpy(board_id, board.id, sizeof(board_id));
    if (entropy_init(board.entropy, count_start()) != 0) {
        give_up("PICOFED_ENTROPY_SEED is malformed");
    }
    pyexec_mode_kind = board.raw_repl ? PYEXEC_MODE_RAW_REPL : PYEXEC_MODE_FRIENDLY_REPL;
    mp_hal_set_interrupt_char(-1);
    mp_stack_set_top(board.stack_top);
    mp_stack_set_limit(STACK_BYTES);
    gc_init(heap, heap + board.heap_bytes);
    mp_init();
    pyexec_frozen_module("_boot.py", false);
    int exit = pyexec_file_if_exists("boot.py") & PYEXEC_FORCED_EXIT;
    if (!exit && pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
        exit = pyexec_file_if_exists("main.py") & PYEXEC_FORCED_EXIT;
    }
    while (!exit) {
        exit = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    }
    mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
    board_restart(true);
}

// stack: what Linux puts there: the number of arguments, the arguments, NULL, the environment, NULL. Arguments: the
// files that are the flash and the count of starts.
void c_main(long *stack) {
    char **arguments = (char **)(stack + 1);
    char **environment = arguments + stack[0] + 1;
    const char *line = setting(environment, "PICOFED_LINE");
    if (stack[0] != 3 || line == NULL) {
        give_up("usage: PICOFED_LINE=DESCRIPTOR micropython FLASH COUNTER");
    }
    system_die_with((int)number(setting(environment, "PICOFED_PARENT"), 0));
    board.stack_top = (char *)stack;
    board.counter = arguments[2];
    system_virtual_time(setting(environment, "PICOFED_VIRTUAL_TIME"));
    board.entropy = setting(environment, "PICOFED_ENTROPY_SEED");
    board.heap_bytes = (size_t)number(setting(environment, "PICOFED_HEAP"), 0);
    if (board.heap_bytes < 16 * 1024 || board.heap_bytes > HEAP_MAX) {
        give_up("PICOFED_HEAP: give 16 KiB to 4 MiB");
    }
    board.power_left = number(setting(environment, "PICOFED_POWER_CUT"), -1);
    read_id(setting(environment, "PICOFED_BOARD_ID"));
    board.flash = system_open(arguments[1], SYSTEM_READ_WRITE);
    if (board.flash < 0) {
        give_up("the file that is the flash cannot be opened");
    }
    board.cause = BOARD_POWER_ON;
    line_start((int)number(line, 0));
    setjmp(board.start);
    memset(&bss_start, 0, (size_t)(&bss_end - &bss_start));
    memset(heap, 0, board.heap_bytes);
    run();
}

void gc_collect(void) {
    gc_collect_start();
    // Then every register that a caller counts on is in the stack.
    spill_registers(SPILL_DEPTH);
    // Registers of the caller are saved below its frame, in ours.
    uintptr_t here = (uintptr_t)__builtin_frame_address(0) - 64;
    gc_collect_root((void **)here, ((uintptr_t)MP_STATE_THREAD(stack_top) - here) / sizeof(void *));
    gc_collect_end();
}

void nlr_jump_fail(void *value) {
    (void)value;
    give_up("an exception that nobody handles");
}

void abort(void) {
    give_up("abort");
}

void __assert_func(const char *file, int line, const char *function, const char *condition) {
    (void)file;
    (void)line;
    (void)function;
    give_up(condition);
}
