#pragma once

#include <stddef.h>
#include <stdint.h>

#include "line.h"

#define MICROPY_INTERNAL_WFE(timeout) line_wait(timeout)

#define mp_hal_ticks_cpu() mp_hal_ticks_us()

void mp_hal_set_interrupt_char(int c);
