// One start of the board: what is behind module `boardserve`, `machine` and the start-up.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What machine.reset_cause() answers; the numbers of the unix board.
enum { CAUSE_POWER_ON = 1, CAUSE_SOFT = 5 };
extern int board_reset_cause;

// Read the settings and count this start. soft: RAM was kept.
void board_start(bool soft);

// Memory for MicroPython's heap, as large as the settings say.
void *board_heap(size_t *len);

__attribute__((noreturn)) void board_reset(void);

// End the emulator after a line in its log.
__attribute__((noreturn)) void board_fail(const char *why);
