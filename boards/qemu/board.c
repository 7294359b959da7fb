#include "board.h"

#include <string.h>

#include "entropy.h"
#include "functions.h"
#include "machine.h"
#include "semihosting.h"
#include "settings.h"

#define BOOTS "state/boots"
#define RANDOM "/dev/urandom"
// Exit statuses of the emulator that boards/common/bridge.c knows.
#define EXIT_FAILED 3
#define EXIT_POWER_CUT 42
// Only machine.reset() leaves this.
#define KEPT 0x7069636f

extern char _heap_start, _heap_end;

int board_reset_cause = CAUSE_POWER_ON;

// Lives through machine.reset(); QEMU clears all RAM when it starts.
static struct {
    uint32_t magic;
    long power_left;
} kept __attribute__((section(".noinit")));

void board_fail(const char *why) {
    host_complain("board: ");
    host_complain(why);
    host_complain("\n");
    host_exit(EXIT_FAILED);
}

void board_power_fails(void) {
    host_exit(EXIT_POWER_CUT);
}

void board_reset(void) {
    kept.magic = KEPT;
    kept.power_left = board_power_left;
    machine_reset();
}

void entropy_from_host(uint8_t *out, size_t n) {
    int file = host_open(RANDOM, HOST_READ);
    if (file < 0 || host_read(file, out, n) != n) {
        board_fail("no " RANDOM);
    }
    host_close(file);
}

// How often this board started before; one more is written.
static uint32_t count_start(void) {
    char digits[12] = {0};
    int file = host_open(BOOTS, HOST_READ);
    if (file >= 0) {
        host_read(file, digits, sizeof(digits) - 1);
        host_close(file);
    }
    uint32_t before = number(digits);
    char *at = digits + sizeof(digits) - 1;
    *at = 0;
    for (uint32_t left = before + 1; left > 0; left /= 10) {
        *--at = (char)('0' + left % 10);
    }
    file = host_open(BOOTS, HOST_CREATE);
    if (file < 0 || !host_write_at(file, 0, at, strlen(at))) {
        board_fail("cannot write " BOOTS);
    }
    host_close(file);
    return before;
}

static uint8_t nibble(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void read_id(const char *hex) {
    if (hex == NULL || strlen(hex) != 2 * sizeof(board_id)) {
        return;
    }
    for (size_t i = 0; i < sizeof(board_id); i++) {
        board_id[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1])); // both in 0..15
    }
}

void board_start(bool soft) {
    settings_read();
    board_reset_cause = soft ? CAUSE_SOFT : CAUSE_POWER_ON;
    if (kept.magic == KEPT) {
        board_power_left = kept.power_left;
    } else if (!soft) {
        board_power_left = (long)setting_number("power_cut", 0);
    }
    kept.magic = 0;
    read_id(setting("board_id"));
    if (entropy_init(setting("entropy"), count_start()) != 0) {
        board_fail("entropy is malformed");
    }
}

void *board_heap(size_t *len) {
    uint32_t most = (uint32_t)(&_heap_end - &_heap_start);
    *len = setting_number("heap", most);
    if (*len > most) {
        board_fail("the heap is larger than this board's memory");
    }
    return &_heap_start;
}
