// Waits that are jumped over: with the setting virtual_time, the clock moves on by what the board does not sleep.
#pragma once

#include <stdint.h>

// What is left to sleep of these milliseconds: all in real time.
uint32_t virtual_time_jump(uint32_t milliseconds);

// What was jumped over since the machine started.
uint64_t virtual_time_microseconds(void);
