// Time.

#include "py/mphal.h"

#include "py/runtime.h"
#include "system.h"

mp_uint_t mp_hal_ticks_ms(void) {
    return (mp_uint_t)(system_nanoseconds(0) / 1000000u);
}

mp_uint_t mp_hal_ticks_us(void) {
    return (mp_uint_t)(system_nanoseconds(0) / 1000u);
}

uint64_t mp_hal_time_ns(void) {
    return system_nanoseconds(1);
}

void mp_hal_delay_ms(mp_uint_t ms) {
    mp_uint_t start = mp_hal_ticks_ms(), passed;
    mp_handle_pending(true);
    while ((passed = mp_hal_ticks_ms() - start) < ms) {
        mp_uint_t left = ms - passed;
        mp_event_wait_ms(left < 1000 ? left : 1000);
    }
    mp_handle_pending(true);
}

void mp_hal_delay_us(mp_uint_t us) {
    if (us >= 1000) {
        mp_hal_delay_ms(us / 1000);
        us %= 1000;
    }
    mp_uint_t start = mp_hal_ticks_us();
    while (mp_hal_ticks_us() - start < us) {
    }
}
