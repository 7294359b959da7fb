#include "line.h"

#include <stdint.h>

#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "system.h"

#define INPUT_BYTES 4096u // a power of two
// How often to look for a host while nobody has the port open: the kernel does not tell.
#define LOOK_MS 20

// Lives through a soft reset: what was typed ahead is not lost.
static struct {
    int master;
    int interrupt_char;
    uint32_t read, written; // bytes taken out and put in, modulo 2^32
    uint8_t bytes[INPUT_BYTES];
} input __attribute__((section(".kept")));

void line_start(int master) {
    input.master = master;
    input.interrupt_char = -1;
    line_clear();
}

void line_clear(void) {
    input.read = input.written = 0;
}

// As a UART's receive interrupt does: look for the interrupt character before anything is queued.
static void receive(void) {
    uint8_t chunk[256];
    uint32_t space = INPUT_BYTES - (input.written - input.read);
    int got = system_read(input.master, chunk, space < sizeof(chunk) ? space : sizeof(chunk));
    for (int i = 0; i < got; i++) {
        if (chunk[i] == input.interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            input.bytes[input.written++ % INPUT_BYTES] = chunk[i];
        }
    }
}

// Take input that is there or comes within timeout; the events that ended the wait.
static int look(int wanted, int timeout) {
    int in = input.written - input.read < INPUT_BYTES ? SYSTEM_IN : 0;
    int events = system_poll(input.master, wanted | in, timeout);
    // What the host sent before it closed the port comes first, the hang-up after it.
    if (events & SYSTEM_IN) {
        receive();
    }
    return events;
}

void line_wait(int timeout) {
    if (look(0, timeout < 0 ? LOOK_MS : 0) & SYSTEM_IN || timeout == 0) {
        return;
    }
    uint64_t end = system_nanoseconds(0) + (uint64_t)(timeout < 0 ? LOOK_MS : timeout) * 1000000u;
    for (;;) {
        uint64_t now = system_nanoseconds(0);
        if (now >= end) {
            return;
        }
        int left = (int)((end - now + 999999u) / 1000000u); // <= timeout
        int events = look(0, left);
        if (events & SYSTEM_IN) {
            return;
        }
        if (events & SYSTEM_HANG_UP) {
            system_poll(-1, 0, left < LOOK_MS || system_jumps() ? left : LOOK_MS);
        }
    }
}

void mp_hal_set_interrupt_char(int c) {
    // What came before this call is judged by the old rule.
    line_wait(0);
    input.interrupt_char = (signed char)c;
}

int mp_hal_stdin_rx_chr(void) {
    while (input.read == input.written) {
        mp_event_wait_indefinite();
    }
    return input.bytes[input.read++ % INPUT_BYTES];
}

uintptr_t mp_hal_stdio_poll(uintptr_t wanted) {
    uintptr_t ready = wanted & MP_STREAM_POLL_WR;
    if (wanted & MP_STREAM_POLL_RD) {
        line_wait(0);
        ready |= input.read != input.written ? MP_STREAM_POLL_RD : 0;
    }
    return ready;
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t len) {
    size_t sent = 0;
    while (sent < len) {
        int events = look(SYSTEM_OUT, -1);
        if (events & SYSTEM_HANG_UP) {
            // Nobody listens: as on a UART with no cable, what is sent is lost, and the board never waits.
            break;
        }
        if (events & SYSTEM_OUT) {
            int n = system_write(input.master, text + sent, len - sent);
            sent += n > 0 ? (size_t)n : 0;
        } else {
            // A host that has the port open and does not read: Ctrl-C still ends the program.
            mp_handle_pending(true);
        }
    }
    return len;
}
