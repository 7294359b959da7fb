// Time and the serial line as MicroPython asks for them, on any of the machines.
#include "py/mphal.h"

#include "machine.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "virtual_time.h"

// Spins for room in the UART before the processor sleeps: a host that does not read may take long.
#define SPINS 1000
#define LONGEST_SLEEP_MS 60000

uint8_t hal_poll_countdown;
static uint8_t input[512];
static size_t first, waiting;

static uint64_t microseconds(void) {
    return machine_microseconds() + virtual_time_microseconds();
}

static void sleep_ms(uint32_t timeout_ms) {
    uint32_t ms = timeout_ms < LONGEST_SLEEP_MS ? timeout_ms : LONGEST_SLEEP_MS;
    if ((ms = virtual_time_jump(ms)) > 0) {
        machine_sleep(ms);
    }
}

// Where the buffer is full, the emulator keeps what comes; the interrupt character then waits its turn.
void hal_poll(void) {
    while (waiting < sizeof(input) && machine_can_receive()) {
        uint8_t byte = machine_receive();
        if (byte == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            input[(first + waiting++) % sizeof(input)] = byte;
        }
    }
}

// Sleep until something may have happened; negative: without an end.
void hal_sleep(int32_t timeout_ms) {
    hal_poll();
    if (waiting == 0 && timeout_ms != 0 && MP_STATE_MAIN_THREAD(mp_pending_exception) == MP_OBJ_NULL) {
        sleep_ms(timeout_ms > 0 ? (uint32_t)timeout_ms : LONGEST_SLEEP_MS);
        hal_poll();
    }
}

int mp_hal_stdin_rx_chr(void) {
    for (;;) {
        hal_poll();
        if (waiting > 0) {
            uint8_t byte = input[first];
            first = (first + 1) % sizeof(input);
            waiting--;
            return byte;
        }
        mp_event_wait_indefinite();
    }
}

uintptr_t mp_hal_stdio_poll(uintptr_t wanted) {
    hal_poll();
    uintptr_t ready = wanted & MP_STREAM_POLL_WR;
    return waiting > 0 ? ready | (wanted & MP_STREAM_POLL_RD) : ready;
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        for (int spins = 0; !machine_can_send(); spins++) {
            if (spins >= SPINS) {
                hal_poll();
                machine_sleep(1);
            }
        }
        machine_send((uint8_t)text[i]);
    }
    return len;
}

mp_uint_t mp_hal_ticks_us(void) {
    return (mp_uint_t)microseconds();
}

mp_uint_t mp_hal_ticks_ms(void) {
    return (mp_uint_t)(microseconds() / 1000);
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return machine_instructions();
}

uint64_t mp_hal_time_ns(void) {
    return microseconds() * 1000;
}

void mp_hal_delay_us(mp_uint_t us) {
    uint64_t end = microseconds() + us;
    while (microseconds() < end) {
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    uint64_t end = microseconds() + (uint64_t)ms * 1000; // below 2^42
    for (;;) {
        mp_event_handle_nowait();
        uint64_t now = microseconds();
        if (now >= end) {
            return;
        }
        uint64_t left = (end - now + 999) / 1000; // below 2^32
        // input that waits must not keep the processor awake
        sleep_ms((uint32_t)left);
    }
}
