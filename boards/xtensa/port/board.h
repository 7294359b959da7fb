// What outlives a reset, and resets. See ../README.md.
#pragma once

#include <stdbool.h>

#include "py/obj.h"

enum { BOARD_POWER_ON = 1, BOARD_SOFT_RESET = 5 }; // reset causes, numbered as on the ESP32

extern int board_reset_cause;
// File descriptor of the flash.
extern int board_flash;

// A fresh start behind the same serial line: nothing stays in RAM.
void board_restart(bool soft) __attribute__((noreturn));
