#include "virtual_time.h"

#include "semihosting.h"
#include "settings.h"

#define NOTE "state/uptime"
#define NOTE_MS 3600000u // how often the host is told
#define DIGITS 12
// So many jumps, and a sleep of 1 ms: QEMU looks at the line only when something of its own happens, as a sleep's end.
#define JUMPS 256

static uint64_t skipped_ms; // below 2^54 for half a million years: times 1000 it is below 2^64
static uint64_t noted_ms;

// One length for all numbers: who reads while it is written sees the old one, the new one or nothing.
static void note(void) {
    char text[DIGITS + 1];
    uint32_t seconds = (uint32_t)(skipped_ms / 1000); // below 2^32 for 136 years
    for (int i = DIGITS; i-- > 0; seconds /= 10) {
        text[i] = (char)('0' + seconds % 10);
    }
    text[DIGITS] = '\n';
    int file = host_open(NOTE, HOST_CREATE);
    if (file >= 0) {
        host_write_at(file, 0, text, sizeof(text));
        host_close(file);
    }
}

uint32_t virtual_time_jump(uint32_t milliseconds) {
    static uint32_t jumps;
    if (setting_number("virtual_time", 0) == 0) {
        return milliseconds;
    }
    skipped_ms += milliseconds;
    if (skipped_ms >= noted_ms + NOTE_MS) {
        noted_ms = skipped_ms;
        note();
    }
    return ++jumps % JUMPS == 0 ? 1 : 0;
}

uint64_t virtual_time_microseconds(void) {
    return skipped_ms * 1000;
}
