#include <stddef.h>
#include <stdint.h>

#include "shared/runtime/interrupt_char.h"

void hal_sleep(int32_t timeout_ms);

#define MICROPY_INTERNAL_EVENT_HOOK hal_poll()
#define MICROPY_INTERNAL_WFE(timeout_ms) hal_sleep((int32_t)(timeout_ms))
